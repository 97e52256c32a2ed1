//! Is what was acknowledged there after `kill -9`?
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![cfg(unix)]

#[path = "support/child.rs"]
mod child;
#[path = "support/store.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;

use child::Child;
use nebula_alloc::lease::{LeaseState, list};
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Error, OwnerId, Sqlite, Writer, WriterOptions, event};
use support::*;

const THREADS: u16 = 8;

/// Not a test of its own: allocates without end, and says so after each commit.
#[test]
fn child_allocates_until_it_is_killed() {
    let Some(path) = child::argument() else { return };
    let mut store = Sqlite::open(path).unwrap();
    // Owners that no earlier child had.
    let leases = store.transaction(|tx| list(tx, NETWORK, None, usize::MAX)).unwrap();
    let last = leases.iter().map(|lease| lease.owner.0[8..].try_into().unwrap()).max();
    let first = u64::from_be_bytes(last.unwrap_or_default()) + u64::from(THREADS);
    let writer = Writer::start(store, || NOW, WriterOptions::default()).unwrap();
    let allocator = Arc::new(Allocator::new(writer, "child"));
    for thread in 0..THREADS {
        let allocator = Arc::clone(&allocator);
        thread::spawn(move || {
            for number in (first + u64::from(thread)..).step_by(THREADS.into()) {
                let lease = allocator.allocate(request(number)).unwrap();
                if number % 3 == 0 {
                    allocator.release(NETWORK, owner(number), DAY).unwrap();
                    child::say(&format!("{number} {} released", lease.address));
                } else {
                    child::say(&format!("{number} {} active", lease.address));
                }
            }
        });
    }
    child::wait();
}

#[test]
fn every_acknowledged_lease_is_there_after_a_kill_at_any_moment() {
    let rounds = std::env::var("KILL_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let mut store = Store::new();
    store.pool(1, "10.0.0.0/8");
    let path = store.path();
    let (writer, _directory) = store.writer(WriterOptions::default());
    writer.shutdown();

    let mut acknowledged: BTreeMap<IpAddr, (OwnerId, LeaseState)> = BTreeMap::new();
    for round in 0..rounds {
        let mut child = Child::start("child_allocates_until_it_is_killed", &path);
        // A different moment each time: after so many answers, from the first one on.
        let answers = (round * 37) % 211;
        let mut note = |line: String| {
            let mut words = line.split(' ');
            let number: u64 = words.next().unwrap().parse().unwrap();
            let address: IpAddr = words.next().unwrap().parse().unwrap();
            let state = match words.next() {
                Some("active") => LeaseState::Active,
                _ => LeaseState::Quarantined,
            };
            let before = acknowledged.insert(address, (owner(number), state));
            assert!(before.is_none(), "{address} was given twice");
        };
        for _ in 0..answers {
            note(child.line().unwrap());
        }
        child.kill();
        // It said more before it died.
        while let Some(line) = child.line() {
            note(line);
        }

        let mut store = Sqlite::open(&path).unwrap();
        let (leases, events) = store
            .transaction(|tx| {
                assert_eq!(verify(tx)?, []);
                let events = event::after(tx, Some(NETWORK), 0, usize::MAX)?;
                Ok::<_, Error>((list(tx, NETWORK, None, usize::MAX)?, events.len()))
            })
            .unwrap();
        let stored: BTreeMap<_, _> =
            leases.iter().map(|lease| (lease.address, (lease.owner, lease.state))).collect();
        for (address, expected) in &acknowledged {
            assert_eq!(stored.get(address), Some(expected), "{address} in round {round}");
        }
        let released = leases.iter().filter(|lease| lease.state == LeaseState::Quarantined).count();
        assert_eq!(
            events,
            leases.len() + released,
            "no lease without its event, nor the other way"
        );
    }
    assert!(!acknowledged.is_empty());
}
