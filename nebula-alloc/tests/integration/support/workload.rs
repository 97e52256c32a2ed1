//! What children do to a database while something bad happens to it: several threads allocate,
//! release, ask again, reclaim and make pools, and say before each what they try and after it what
//! they were answered. [`History`](crate::support::history::History) understands what they say.
//!
//! An owner belongs to one thread, so that what it may hold is known at any moment.

use std::path::Path;
use std::thread;

use nebula_alloc::lease::{LeaseState, Request};
use nebula_alloc::pool::{Pool, by_network};
use nebula_alloc::{Allocator, Error, PoolId, Sqlite, Writer, WriterOptions, usable};

use crate::shared::child::say;
use crate::shared::random::Random;
use crate::support::{DAY, NETWORK, NOW, given, owner, request};

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// What the choices are made from.
    pub seed: u64,
    /// Owners of different runs on one database are different.
    pub run: u64,
    pub threads: u64,
    /// Owners of each thread, at most 250.
    pub owners: u64,
    /// Operations of each thread.
    pub operations: u64,
}

/// The pool that is there first.
pub const POOL: &str = "10.0.0.0/16";

pub fn allocator(path: &Path) -> Allocator {
    let store = Sqlite::open(path).unwrap();
    Allocator::new(Writer::start(store, || NOW, WriterOptions::default()).unwrap(), "child")
}

impl Workload {
    /// Does it all; makes the database where there is none.
    pub fn run(self, path: &Path) {
        let allocator = allocator(path);
        say("open");
        let pools =
            allocator.writer().transaction(|tx, _| by_network(tx, NETWORK, None, 9)).unwrap();
        if pools.is_empty() {
            make_pool(&allocator, 1, POOL);
        }
        thread::scope(|scope| {
            for number in 0..self.threads {
                let allocator = &allocator;
                scope.spawn(move || self.thread(allocator, number));
            }
        });
    }

    fn thread(self, allocator: &Allocator, thread: u64) {
        let mut random = Random(self.seed << 48 | self.run << 32 | thread);
        let mut active = vec![false; usize::try_from(self.owners).unwrap()];
        for operation in 0..self.operations {
            if operation % 40 == 20 {
                reclaim(allocator);
            }
            if thread == 0 && operation % 50 == 10 && self.run == 0 {
                let id = u8::try_from(2 + operation / 50).unwrap_or(u8::MAX);
                if id < u8::MAX {
                    make_pool(allocator, id, &format!("10.{id}.0.0/24"));
                }
            }
            let index = random.below(active.len());
            let own = u64::try_from(index).unwrap();
            let number = (self.run * self.threads + thread) * 1000 + own;
            if active[index] && !random.once_in(4) {
                // Some may be reclaimed at once.
                release(allocator, number, if random.once_in(2) { 0 } else { DAY }).unwrap();
                active[index] = false;
            } else {
                let later = if random.once_in(4) { i64::try_from(operation).unwrap() } else { 0 };
                let wish = if self.run == 0 && own % 5 == 0 {
                    given(number, &format!("10.0.{}.{}", 200 + thread, own + 1))
                } else {
                    request(number)
                };
                allocate(allocator, number, Request { hold_until: NOW + later, ..wish }).unwrap();
                active[index] = true;
            }
        }
    }
}

/// Answers whether it succeeded. What it is refused is said, too.
pub fn allocate(allocator: &Allocator, number: u64, wish: Request) -> Result<(), Error> {
    say(&format!("try allocate {number}"));
    tell(number, allocator.allocate(wish).wait(), |lease| {
        assert_eq!((lease.owner, lease.state), (owner(number), LeaseState::Active));
        format!("held {number} {} {}", lease.address, lease.hold_until)
    })
}

pub fn release(allocator: &Allocator, number: u64, hold_seconds: i64) -> Result<(), Error> {
    say(&format!("try release {number}"));
    tell(number, allocator.release(NETWORK, owner(number), hold_seconds).wait(), |leases| {
        assert_eq!(leases.len(), 1, "an owner holds one lease here");
        format!("quarantined {number} {} {}", leases[0].address, leases[0].hold_until)
    })
}

pub fn reclaim(allocator: &Allocator) {
    say("try reclaim");
    allocator
        .transaction(|tx, now, actor| nebula_alloc::reclaim::reclaim(tx, now, actor, 16))
        .wait()
        .unwrap();
}

pub fn make_pool(allocator: &Allocator, id: u8, prefix: &str) {
    let range = usable(prefix.parse().unwrap()).unwrap();
    let pool = Pool { id: PoolId([id; 16]), network: NETWORK, range, position: i64::from(id) };
    allocator.create_pool(pool).wait().unwrap();
    say(&format!("pool {id}"));
}

fn tell<T>(
    number: u64,
    answer: Result<T, Error>,
    words: impl FnOnce(T) -> String,
) -> Result<(), Error> {
    match answer {
        Ok(answer) => {
            say(&words(answer));
            Ok(())
        }
        Err(error) => {
            // Asking again is how a caller learns what became of it.
            let unknown = matches!(error, Error::OutcomeUnknown { .. });
            say(&format!("{} {number}", if unknown { "unknown" } else { "refused" }));
            Err(error)
        }
    }
}
