//! Removing a network: does it end with nothing, step by step, and leave others alone?

use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::{self, Request};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::removal::remove;
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::{Error, Family, NetworkId, PoolId};

use crate::support::*;

/// A network with leases in both states and families, reservations, a block and three pools.
fn furnished(new: New) -> Store {
    let mut store = new();
    let four = store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    store.ranged(3, range("10.9.0.1", "10.9.0.4"));
    store
        .run(|tx| {
            let block = Block {
                id: PoolId([4; 16]),
                network: NETWORK,
                pool: four,
                name: "block".into(),
                range: range("10.0.0.64", "10.0.0.71"),
            };
            block::create(tx, NOW, &ACTOR, &block)?;
            for (range, purpose) in [
                (range("10.0.0.2", "10.0.0.3"), Purpose::Nobody),
                (range("10.0.0.200", "10.0.0.200"), Purpose::Owner(owner(5))),
                (range("172.16.0.1", "172.16.0.9"), Purpose::Asking),
                (range("fd00::9", "fd00::a"), Purpose::Asking),
            ] {
                let reservation = Reservation { range, purpose, note: None };
                reservation::make(tx, NOW, &ACTOR, NETWORK, &reservation)?;
            }
            for number in 1..=9 {
                lease::allocate(tx, NOW, &ACTOR, &request(number))?;
                let six = Request { family: Family::V6, ..request(number) };
                lease::allocate(tx, NOW, &ACTOR, &six)?;
            }
            let inside = Request { pool: Some(block.id), ..request(10) };
            lease::allocate(tx, NOW, &ACTOR, &inside)?;
            for number in [2, 5, 10] {
                let held = Request { hold_until: NOW + 9 * DAY, ..request(number) };
                lease::allocate(tx, NOW, &ACTOR, &held).map(drop).or_else(elsewhere)?;
                lease::release(tx, NOW, &ACTOR, NETWORK, owner(number), DAY)?;
            }
            Ok(())
        })
        .unwrap();
    store.assert_sound();
    store
}

/// One that has its address from a block.
fn elsewhere(error: Error) -> Result<(), Error> {
    match error {
        Error::OwnerHoldsElsewhere { .. } => Ok(()),
        other => Err(other),
    }
}

/// What a network has left.
fn left(store: &mut Store) -> i64 {
    ["alloc_lease", "alloc_reservation", "alloc_pool", "alloc_interval"]
        .iter()
        .map(|table| store.count(&format!("SELECT count(*) FROM {table}")))
        .sum()
}

pub fn a_removed_network_has_nothing_and_its_events_say_so(new: New) {
    let mut store = furnished(new);
    let mut steps = 0;
    while store.run(|tx| remove(tx, NOW, &ACTOR, NETWORK, 4)).unwrap() {
        steps += 1;
        // Wherever it is interrupted, all is as it should be.
        store.assert_sound();
    }
    assert!(steps > 5, "{steps}");
    assert_eq!(left(&mut store), 0);
    store.assert_sound();
    let removed = "SELECT count(*) FROM alloc_event WHERE kind = 'lease.removed'";
    assert_eq!(store.count(removed), 19);
    let events = store.count("SELECT count(*) FROM alloc_event");
    assert!(!store.run(|tx| remove(tx, NOW, &ACTOR, NETWORK, 4)).unwrap(), "again is nothing");
    assert_eq!(store.count("SELECT count(*) FROM alloc_event"), events);
}

pub fn another_network_keeps_what_it_has(new: New) {
    let mut store = furnished(new);
    let other = NetworkId([9; 16]);
    store
        .run(|tx| {
            let pool = Pool { network: other, ..pool_of(9, range("10.0.0.1", "10.0.0.9")) };
            pool::create(tx, NOW, &ACTOR, &pool)?;
            let reservation = Reservation {
                range: range("10.0.0.2", "10.0.0.2"),
                purpose: Purpose::Nobody,
                note: None,
            };
            reservation::make(tx, NOW, &ACTOR, other, &reservation)?;
            lease::allocate(tx, NOW, &ACTOR, &Request { network: other, ..request(1) })?;
            while remove(tx, NOW, &ACTOR, NETWORK, 100)? {}
            Ok(())
        })
        .unwrap();
    let theirs = store.run(|tx| lease::list(tx, other, None, 9)).unwrap();
    assert_eq!(theirs.len(), 1);
    assert_eq!(store.count("SELECT count(*) FROM alloc_pool"), 1);
    assert_eq!(store.count("SELECT count(*) FROM alloc_reservation"), 1);
    store.assert_sound();
}

pub fn a_lease_that_is_gone_without_an_event_is_still_found(new: New) {
    let mut store = furnished(new);
    store.run(|tx| remove(tx, NOW, &ACTOR, NETWORK, 4)).unwrap();
    let gone = "DELETE FROM alloc_lease WHERE address = \
                (SELECT address FROM alloc_lease ORDER BY address LIMIT 1)";
    store.run(|tx| tx.execute(gone, &[])).unwrap();
    assert_ne!(store.run(|tx| nebula_alloc::verify::verify(tx)).unwrap(), []);
}
