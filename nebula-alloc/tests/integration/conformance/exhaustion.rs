//! What happens when a pool is used up?

use std::collections::BTreeSet;

use nebula_alloc::lease::{allocate_many, release};
use nebula_alloc::reservation::{Purpose, Reservation, make};
use nebula_alloc::{Error, Family};

use crate::support::*;

const EXHAUSTED: Error = Error::PoolExhausted { network: NETWORK, family: Family::V4 };

pub fn a_24_gives_254_addresses_and_then_none(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/24");
    let given: BTreeSet<_> = (0..254).map(|n| store.allocate(n).unwrap()).collect();
    assert_eq!(given.len(), 254);
    assert_eq!(given.first(), Some(&ip("10.0.0.1")));
    assert_eq!(given.last(), Some(&ip("10.0.0.254")));

    let before = store.leases();
    assert_eq!(store.allocate(254), Err(EXHAUSTED));
    assert_eq!(store.leases(), before, "a refusal changes nothing");
    assert_eq!(store.free(pool), 0);
    store.assert_sound();
}

pub fn in_one_batch_the_first_254_get_one_and_the_others_are_refused(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let requests: Vec<_> = (0..300).map(request).collect();
    let answers = store.run(|tx| allocate_many(tx, NOW, &asked(&requests))).unwrap();
    assert!(answers[..254].iter().all(Result::is_ok));
    assert!(answers[254..].iter().all(|answer| *answer == Err(EXHAUSTED)));
    store.assert_sound();
}

pub fn holders_still_get_their_own_address(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/30");
    let first = store.allocate(1).unwrap();
    store.allocate(2).unwrap();
    assert_eq!(store.allocate(3), Err(EXHAUSTED));
    assert_eq!(store.allocate(1), Ok(first));
}

pub fn ended_quarantines_are_reclaimed_before_a_request_is_refused(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    for number in 0..254 {
        store.allocate(number).unwrap();
    }
    store
        .run(|tx| {
            (0..200).try_for_each(|n| release(tx, NOW, &ACTOR, NETWORK, owner(n), DAY).map(drop))
        })
        .unwrap();
    assert_eq!(store.allocate(1000), Err(EXHAUSTED));
    let later: Vec<_> = (1000..1200).map(request).collect();
    let answers = store.run(|tx| allocate_many(tx, NOW + DAY, &asked(&later))).unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(store.at(NOW + DAY, &request(2000)), Err(EXHAUSTED));
    store.assert_sound();
}

/// What ended first is reserved, and more than is reclaimed at once.
pub fn ended_quarantines_under_reservations_hide_no_others(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    for number in 1..=254 {
        store.allocate(number).unwrap();
    }
    store
        .run(|tx| {
            for number in 1..=100 {
                release(tx, NOW, &ACTOR, NETWORK, owner(number), 1)?;
            }
            release(tx, NOW, &ACTOR, NETWORK, owner(101), 2)?;
            let range = range("10.0.0.1", "10.0.0.100");
            let kept = Reservation { range, purpose: Purpose::Asking, note: None };
            make(tx, NOW, &ACTOR, NETWORK, &kept)
        })
        .unwrap();
    let lease = store.at(NOW + DAY, &request(1000));
    assert_eq!(lease.map(|lease| lease.address), Ok(ip("10.0.0.101")));
    assert_eq!(store.at(NOW + DAY, &request(1001)), Err(EXHAUSTED));
    store.assert_sound();
}

pub fn a_network_without_a_pool_of_the_family_says_so(new: New) {
    let mut store = new();
    assert_eq!(store.allocate(1), Err(Error::NoPool { network: NETWORK, family: Family::V4 }));
}
