//! Clients that ask for everything at once, and write down what they are answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nebula_alloc::lease::{self, Lease, LeaseState, Request};
use nebula_alloc::pool::Pool;
use nebula_alloc::reclaim::{expire, reclaim};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::{Engine, Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_alloc::{
    Actor, AddressRange, Error, Family, NetworkId, OwnerId, PoolId, Writer, WriterOptions, pool,
};

use super::checker::{Ground, ip};
use super::record::{Answer, Record, Wish};
use crate::shared::random::Random;

pub const NETWORK: NetworkId = NetworkId([1; 16]);

/// How many quarantines one reclaiming ends, and leases one expiring.
const STEP: usize = 4;

/// Monotonic, and the same for all processes.
pub fn nanoseconds() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// The writers' clock: how many nanoseconds are a second of it, so that quarantines are soon over.
#[derive(Clone, Copy)]
pub struct Clock(pub u64);

impl Clock {
    /// What it says at a moment.
    pub fn at(self, nanoseconds: u64) -> i64 {
        i64::try_from(nanoseconds / self.0).unwrap()
    }
}

/// The pool, and who is pinned to what.
pub fn prepare(tx: &mut dyn Transaction, ground: Ground) -> Result<(), Error> {
    let actor = Actor::named("test");
    let range = AddressRange::new(ip(1), ip(ground.addresses))?;
    let pool = Pool { id: PoolId([2; 16]), network: NETWORK, range, position: 0 };
    pool::create(tx, 0, &actor, &pool)?;
    for number in 1..=ground.pinned {
        let range = AddressRange::new(ip(number), ip(number))?;
        let purpose = Purpose::Owner(owner(number));
        let pin = Reservation { range, purpose, note: None };
        reservation::make(tx, 0, &actor, NETWORK, &pin)?;
    }
    Ok(())
}

pub fn owner(number: u16) -> OwnerId {
    let mut bytes = [0; 16];
    bytes[14..].copy_from_slice(&number.to_be_bytes());
    OwnerId(bytes)
}

/// Which of them it is.
pub fn number(owner: &[u8]) -> u16 {
    u16::from_be_bytes([owner[14], owner[15]])
}

pub struct Work {
    /// Different for each process.
    pub process: u64,
    pub threads: u64,
    /// Of all threads together.
    pub operations: u64,
    pub seed: u64,
    pub clock: Clock,
    pub ground: Ground,
}

impl Work {
    pub fn run(&self, store: impl Engine) -> Vec<Record> {
        let clock = self.clock;
        let now = move || clock.at(nanoseconds());
        let writer = Writer::start(store, now, WriterOptions::default()).unwrap();
        let asked = AtomicU64::new(0);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..self.threads)
                .map(|thread| {
                    let (writer, asked) = (&writer, &asked);
                    let random = Random(self.seed ^ (self.process * 1000 + thread) << 20);
                    scope.spawn(move || self.client(writer, asked, random))
                })
                .collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }

    fn client(&self, writer: &Writer, asked: &AtomicU64, mut random: Random) -> Vec<Record> {
        let mut records = Vec::new();
        loop {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            if number >= self.operations {
                return records;
            }
            let id = self.process << 40 | number;
            let owner = up_to(&mut random, self.ground.owners);
            let invoked = nanoseconds();
            let wish = wish(&mut random, self.clock.at(invoked), self.ground);
            let answer = writer.run(Ask { id: id.to_string(), owner, wish });
            let responded = nanoseconds();
            let answer = answer.unwrap_or_else(|error| Answer::refused(&error));
            records.push(Record { id, invoked, responded, owner, wish, answer });
        }
    }
}

fn up_to(random: &mut Random, most: u16) -> u16 {
    u16::try_from(random.below(usize::from(most)) + 1).unwrap()
}

fn wish(random: &mut Random, now: i64, ground: Ground) -> Wish {
    let more = |random: &mut Random| i64::from(random.once_in(2));
    match random.below(100) {
        0..40 => Wish::Any(now + more(random)),
        40..53 => Wish::Given(ip(up_to(random, ground.addresses)), now + more(random)),
        53..58 => Wish::Renew(now + 1_000_000 + more(random)),
        58..62 => Wish::Renew(now + more(random)),
        62..66 => Wish::Hold(now + 1 + more(random)),
        66..69 => Wish::Shorten(more(random)),
        69..72 => Wish::Transfer(up_to(random, ground.owners)),
        72..75 => Wish::Expire(more(random)),
        75..97 => Wish::Release(more(random)),
        _ => Wish::Reclaim,
    }
}

/// A request whose events name it.
struct Ask {
    id: String,
    owner: u16,
    wish: Wish,
}

fn named(id: &str) -> Actor<'_> {
    Actor { request_id: Some(id), ..Actor::named("test") }
}

impl Step for Ask {
    /// Its id.
    type Plan = String;
    type Output = Answer;
    type Error = Error;

    fn subject(&self) -> Subject {
        match self.wish {
            // It is about two.
            Wish::Transfer(_) => Subject::Everything,
            // Whoever comes may reclaim, whatever others are at.
            Wish::Reclaim | Wish::Expire(_) => Subject::Key(self.id.clone().into_bytes()),
            _ => Subject::Key([NETWORK.0, owner(self.owner).0].concat()),
        }
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<String>, Error> {
        let id = self.id.clone();
        let (address, hold_until) = match self.wish {
            Wish::Any(hold_until) => (None, hold_until),
            Wish::Given(address, hold_until) => (Some(address), hold_until),
            _ => return Ok(Planned::without_addresses(id)),
        };
        let request = Request {
            network: NETWORK,
            owner: owner(self.owner),
            family: Family::V4,
            address,
            pool: None,
            hold_until,
            until: None,
        };
        Ok(Planned::with_addresses(id, vec![request], |id| named(id)))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        id: String,
        leases: &[Lease],
    ) -> Result<Answer, Error> {
        let (actor, me) = (named(&id), owner(self.owner));
        match self.wish {
            Wish::Any(_) | Wish::Given(..) => Ok(Answer::held(&leases[0])),
            Wish::Renew(until) => {
                let renewed = lease::renew(tx, now, &actor, NETWORK, me, Some(until))?;
                Ok(Answer::held(&renewed[0]))
            }
            Wish::Release(seconds) => {
                let released = lease::release(tx, now, &actor, NETWORK, me, seconds)?;
                let end = |lease: &Lease| (lease.address, lease.hold_until);
                Ok(Answer::Released(released.iter().map(end).collect()))
            }
            Wish::Hold(until) => {
                lease::extend_hold(tx, now, &actor, NETWORK, me, until).map(Answer::Moved)
            }
            Wish::Shorten(seconds) => {
                lease::shorten_hold(tx, now, &actor, NETWORK, me, seconds).map(Answer::Moved)
            }
            Wish::Transfer(to) => {
                let passed = lease::transfer(tx, now, &actor, NETWORK, me, owner(to))?;
                let one = |lease: &Lease| (lease.address, lease.state == LeaseState::Active);
                Ok(Answer::Passed(passed.iter().map(one).collect()))
            }
            Wish::Expire(seconds) => {
                let expired = expire(tx, now, &actor, NETWORK, seconds, STEP)?;
                let one = |lease: &Lease| (number(&lease.owner.0), lease.address, lease.hold_until);
                Ok(Answer::Expired(expired.iter().map(one).collect()))
            }
            Wish::Reclaim => reclaim(tx, now, &actor, STEP).map(Answer::Freed),
        }
    }
}
