//! How does the end of a lease move, and how does a lease change hands?

use nebula_alloc::event::after;
use nebula_alloc::lease::{
    Lease, LeaseState, Request, allocate_many, heartbeat, release, renew, transfer,
};
use nebula_alloc::{Error, Family};

use crate::support::*;

fn ending(new: New, until: Option<i64>) -> Store {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.at(NOW, &Request { until, ..request(1) }).unwrap();
    store
}

fn ends(leases: &[Lease]) -> Vec<Option<i64>> {
    leases.iter().map(|lease| lease.until).collect()
}

fn events(store: &mut Store) -> usize {
    store.run(|tx| after(tx, None, 0, 100)).unwrap().len()
}

pub fn renewing_sets_the_end_whatever_it_was(new: New) {
    let mut store = ending(new, Some(NOW + 100));
    for until in [Some(NOW + 500), Some(NOW + 50), None, None, Some(NOW + 70)] {
        let renewed = store.run(|tx| renew(tx, NOW, &ACTOR, NETWORK, owner(1), until)).unwrap();
        assert_eq!(ends(&renewed), [until]);
        assert_eq!(store.leases(), renewed, "what is answered is what is stored");
    }
    assert_eq!(events(&mut store), 2 + 4, "none where nothing changed");
    store.assert_sound();
}

pub fn renewing_concerns_both_families_and_nobody_else(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    let six = Request { family: Family::V6, ..request(1) };
    store.run(|tx| allocate_many(tx, NOW, &asked(&[request(1), six, request(2)]))).unwrap();
    let renewed = store.run(|tx| renew(tx, NOW, &ACTOR, NETWORK, owner(1), Some(NOW + 9)));
    assert_eq!(ends(&renewed.unwrap()), [Some(NOW + 9); 2]);
    assert_eq!(store.at(NOW, &request(2)).unwrap().until, None);
}

pub fn who_has_no_active_lease_cannot_renew(new: New) {
    let mut store = ending(new, None);
    let none = |number| Error::NoLease { network: NETWORK, owner: owner(number) };
    let renewed = store.run(|tx| renew(tx, NOW, &ACTOR, NETWORK, owner(2), None));
    assert_eq!(renewed, Err(none(2)));
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), DAY).map(drop)).unwrap();
    let renewed = store.run(|tx| renew(tx, NOW, &ACTOR, NETWORK, owner(1), None));
    assert_eq!(renewed, Err(none(1)));
    let beaten = store.run(|tx| heartbeat(tx, NOW, &ACTOR, NETWORK, owner(1), 100));
    assert_eq!(beaten, Err(none(1)));
}

pub fn a_heartbeat_moves_the_end_once_a_quarter_has_passed(new: New) {
    let mut store = ending(new, Some(NOW + 100));
    let mut beat = |now| {
        let leases = store.run(|tx| heartbeat(tx, now, &ACTOR, NETWORK, owner(1), 100)).unwrap();
        assert_eq!(store.leases(), leases);
        leases[0].until.unwrap() - NOW
    };
    assert_eq!([beat(NOW), beat(NOW + 24), beat(NOW + 25), beat(NOW + 49)], [100, 100, 125, 125]);
    assert_eq!(beat(NOW + 500), 600);
    assert_eq!(events(&mut store), 2 + 2, "a heart may beat often");
    store.assert_sound();
}

pub fn a_heartbeat_neither_ends_nor_shortens_a_lease(new: New) {
    let mut store = ending(new, None);
    for (seconds, until) in [(100, None), (-5, None), (i64::MAX, None)] {
        let beaten = store.run(|tx| heartbeat(tx, NOW, &ACTOR, NETWORK, owner(1), seconds));
        assert_eq!(ends(&beaten.unwrap()), [until]);
    }
    let mut store = ending(new, Some(NOW + 1000));
    for seconds in [100, -5] {
        let beaten = store.run(|tx| heartbeat(tx, NOW, &ACTOR, NETWORK, owner(1), seconds));
        assert_eq!(ends(&beaten.unwrap()), [Some(NOW + 1000)]);
    }
    let beaten = store.run(|tx| heartbeat(tx, NOW, &ACTOR, NETWORK, owner(1), i64::MAX));
    assert_eq!(ends(&beaten.unwrap()), [Some(i64::MAX)]);
}

/// 10.0.0.1 in quarantine and .2 active, both of owner 1, and an IPv6 address.
fn to_transfer(new: New) -> Store {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    store.at(NOW, &Request { hold_until: NOW + 700, ..request(1) }).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), DAY).map(drop)).unwrap();
    store.at(NOW, &Request { hold_until: NOW + 800, ..given(1, "10.0.0.2") }).unwrap();
    store.at(NOW, &Request { family: Family::V6, ..request(1) }).unwrap();
    store
}

pub fn all_leases_change_hands_and_stay_as_they_are(new: New) {
    let mut store = to_transfer(new);
    let before = store.leases();
    let passed = store.run(|tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(1), owner(2))).unwrap();
    assert_eq!(passed.len(), 3);
    let number = passed[0].number;
    assert!(before.iter().all(|lease| lease.number < number), "they have other names then");
    let theirs = |lease| Lease { owner: owner(2), number, passed_on_by: Some(owner(1)), ..lease };
    let expected: Vec<_> = before.into_iter().map(theirs).collect();
    assert_eq!(store.leases(), expected);
    store.assert_sound();
    assert_eq!(store.allocate(2), Ok(ip("10.0.0.2")));
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.3")), "the former owner begins anew");
}

pub fn who_has_one_of_the_family_gets_no_second(new: New) {
    let mut store = to_transfer(new);
    store.at(NOW, &given(2, "10.0.0.9")).unwrap();
    let before = store.leases();
    let (held, asked) = (ip("10.0.0.9"), ip("10.0.0.2"));
    assert_eq!(
        store.run(|tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(1), owner(2))),
        Err(Error::OwnerHasAnother { network: NETWORK, owner: owner(2), held, asked })
    );
    assert_eq!(store.leases(), before);
    // One in quarantine is in nobody's way.
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(2), DAY).map(drop)).unwrap();
    store.run(|tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(1), owner(2)).map(drop)).unwrap();
    store.assert_sound();
}

pub fn who_has_none_passes_none_on(new: New) {
    let mut store = to_transfer(new);
    let passed = store.run(|tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(7), owner(2)));
    assert_eq!(passed, Err(Error::NoLease { network: NETWORK, owner: owner(7) }));
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), DAY).map(drop)).unwrap();
    let passed = store.run(|tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(1), owner(2)));
    assert_eq!(passed, Err(Error::NoLease { network: NETWORK, owner: owner(1) }));
}

pub fn to_oneself_changes_nothing(new: New) {
    let mut store = to_transfer(new);
    let (before, count) = (store.leases(), events(&mut store));
    let passed = store.run(|tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(1), owner(1))).unwrap();
    assert_eq!(passed.iter().filter(|lease| lease.state == LeaseState::Active).count(), 2);
    assert_eq!((store.leases(), events(&mut store)), (before, count));
}
