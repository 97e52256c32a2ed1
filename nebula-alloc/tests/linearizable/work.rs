//! Clients that ask for everything at once, and write down what they are answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nebula_alloc::lease::{self, Lease, Request};
use nebula_alloc::pool::Pool;
use nebula_alloc::reclaim::reclaim;
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Engine, Step, Subject};
use nebula_alloc::{
    Actor, AddressRange, Error, Family, NetworkId, OwnerId, PoolId, Writer, WriterOptions,
};

use super::checker::ADDRESSES;
use super::random::Random;
use super::record::{Answer, Record, Wish};

pub const NETWORK: NetworkId = NetworkId([1; 16]);
const OWNERS: u8 = 48;

/// How many quarantines one reclaiming ends.
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

pub fn pool() -> Pool {
    let address = |last| std::net::IpAddr::from([10, 0, 0, last]);
    let range = AddressRange::new(address(1), address(ADDRESSES)).unwrap();
    Pool { id: PoolId([2; 16]), network: NETWORK, range, position: 0 }
}

pub fn owner(number: u8) -> OwnerId {
    OwnerId([number; 16])
}

pub struct Work {
    /// Different for each process.
    pub process: u64,
    pub threads: u64,
    /// Of all threads together.
    pub operations: u64,
    pub seed: u64,
    pub clock: Clock,
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
            let owner = u8::try_from(random.below(usize::from(OWNERS))).unwrap();
            let invoked = nanoseconds();
            let wish = wish(&mut random, self.clock.at(invoked));
            let answer = writer.run(Ask { id: id.to_string(), owner, wish });
            let responded = nanoseconds();
            let answer = answer.unwrap_or_else(|error| Answer::refused(&error));
            records.push(Record { id, invoked, responded, owner, wish, answer });
        }
    }
}

fn wish(random: &mut Random, now: i64) -> Wish {
    let more = |random: &mut Random| i64::from(random.once_in(2));
    match random.below(100) {
        0..45 => Wish::Any(now + more(random)),
        45..58 => {
            let last = u8::try_from(random.below(usize::from(ADDRESSES)) + 1).unwrap();
            Wish::Given([10, 0, 0, last].into(), now + more(random))
        }
        58..66 => Wish::Renew(now + 1_000_000 + more(random)),
        66..97 => Wish::Release(more(random)),
        _ => Wish::Reclaim,
    }
}

/// A request whose events name it.
struct Ask {
    id: String,
    owner: u8,
    wish: Wish,
}

impl Step for Ask {
    type Output = Answer;
    type Error = Error;

    fn subject(&self) -> Subject {
        match self.wish {
            // Whoever comes may reclaim, whatever others are at.
            Wish::Reclaim => Subject::Key(self.id.clone().into_bytes()),
            _ => Subject::Key([NETWORK.0, owner(self.owner).0].concat()),
        }
    }

    fn actor(&self) -> Actor<'_> {
        Actor { request_id: Some(&self.id), ..Actor::named("test") }
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Vec<Request>, Error> {
        let (address, hold_until) = match self.wish {
            Wish::Any(hold_until) => (None, hold_until),
            Wish::Given(address, hold_until) => (Some(address), hold_until),
            Wish::Renew(_) | Wish::Release(_) | Wish::Reclaim => return Ok(Vec::new()),
        };
        Ok(vec![Request {
            network: NETWORK,
            owner: owner(self.owner),
            family: Family::V4,
            address,
            pool: None,
            hold_until,
            until: None,
        }])
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        leases: &[Lease],
    ) -> Result<Answer, Error> {
        let (actor, owner) = (self.actor(), owner(self.owner));
        match self.wish {
            Wish::Any(_) | Wish::Given(..) => Ok(Answer::held(&leases[0])),
            Wish::Renew(until) => {
                let renewed = lease::renew(tx, now, &actor, NETWORK, owner, Some(until))?;
                Ok(Answer::held(&renewed[0]))
            }
            Wish::Release(seconds) => {
                let released = lease::release(tx, now, &actor, NETWORK, owner, seconds)?;
                let end = |lease: &Lease| (lease.address, lease.hold_until);
                Ok(Answer::Released(released.iter().map(end).collect()))
            }
            Wish::Reclaim => reclaim(tx, now, &actor, STEP).map(Answer::Freed),
        }
    }
}
