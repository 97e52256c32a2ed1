//! Who may have a released address, and when?

use nebula_alloc::lease::{
    Hold, LeaseState, Reason, Request, allocate_many, by_address, by_owner, extend_hold, release,
    shorten_hold, take_over,
};
use nebula_alloc::reclaim::{expire, reclaim};
use nebula_alloc::{Error, NetworkId};

use crate::support::*;

/// One address, released by owner 1 at `NOW` with the given hold.
fn released(new: New, hold_until: i64, hold_seconds: i64) -> Store {
    let mut store = new();
    store.pool(1, "10.0.0.1/32");
    store.at(NOW, &Request { hold_until, ..request(1) }).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), hold_seconds).map(drop)).unwrap();
    store
}

pub fn it_ends_at_the_later_of_hold_until_and_the_hold_time(new: New) {
    for (hold_until, hold_seconds, end) in [
        (NOW + 10, 50, NOW + 50),
        (NOW + 90, 50, NOW + 90),
        (0, 0, NOW),
        (0, i64::MAX, i64::MAX),
        (0, -5, NOW),
    ] {
        let mut store = released(new, hold_until, hold_seconds);
        let lease = store.leases()[0];
        assert_eq!((lease.state, lease.hold_until), (LeaseState::Quarantined, end));
        assert_eq!(lease.released_at, Some(NOW));
    }
}

pub fn nobody_else_gets_the_address_before_its_end(new: New) {
    let mut store = released(new, NOW + 90, 50);
    assert!(matches!(store.at(NOW + 89, &request(2)), Err(Error::PoolExhausted { .. })));
    assert_eq!(
        store.at(NOW + 89, &given(2, "10.0.0.1")),
        Err(Error::AddressQuarantined {
            network: NETWORK,
            address: ip("10.0.0.1"),
            until: NOW + 90
        })
    );
    assert_eq!(store.run(|tx| reclaim(tx, NOW + 89, &ACTOR, 10)), Ok(0));
    assert_eq!(store.at(NOW + 90, &request(2)).unwrap().address, ip("10.0.0.1"));
    store.assert_sound();
}

pub fn an_address_asked_for_can_be_had_from_its_end_on_with_nothing_of_the_past(new: New) {
    let mut store = released(new, NOW + 90, 50);
    let lease = store.at(NOW + 90, &given(2, "10.0.0.1")).unwrap();
    assert_eq!((lease.owner, lease.hold_until, lease.released_at), (owner(2), NOW, None));
    assert_eq!(store.leases(), [lease]);
    store.assert_sound();
}

pub fn its_owner_gets_it_back_and_the_old_hold_counts_on(new: New) {
    let mut store = released(new, NOW + 90, 50);
    let back = store.at(NOW + 1, &request(1)).unwrap();
    assert_eq!((back.state, back.hold_until), (LeaseState::Active, NOW + 90));
    assert_eq!(store.leases(), [back]);
    store.run(|tx| release(tx, NOW + 2, &ACTOR, NETWORK, owner(1), 0).map(drop)).unwrap();
    assert_eq!(store.leases()[0].hold_until, NOW + 90);
    let asked = store.at(NOW + 3, &given(1, "10.0.0.1")).unwrap();
    assert_eq!(asked.address, back.address);
}

pub fn a_returning_owner_gets_what_it_had_last(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.at(NOW, &given(1, "10.0.0.50")).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), DAY).map(drop)).unwrap();
    store.at(NOW + 1, &given(1, "10.0.0.9")).unwrap();
    store.run(|tx| release(tx, NOW + 1, &ACTOR, NETWORK, owner(1), DAY).map(drop)).unwrap();
    assert_eq!(store.at(NOW + 2, &request(1)).unwrap().address, ip("10.0.0.9"));
    let leases = store.run(|tx| by_owner(tx, NETWORK, owner(1))).unwrap();
    assert_eq!(leases.len(), 2);
    assert_eq!(leases[0].state, LeaseState::Active);
    assert_eq!(leases[1].address, ip("10.0.0.50"));
}

pub fn in_one_batch_the_owner_comes_before_whoever_asks_for_its_ended_quarantine(new: New) {
    let mut store = released(new, NOW, 0);
    let batch = [given(2, "10.0.0.1"), request(1)];
    let answers = store.run(|tx| allocate_many(tx, NOW + 1, &asked(&batch))).unwrap();
    assert!(matches!(answers[0], Err(Error::AddressTaken { .. })));
    assert_eq!(answers[1].clone().unwrap().owner, owner(1));
    store.assert_sound();
}

pub fn releasing_twice_changes_nothing_more(new: New) {
    let mut store = released(new, NOW, 50);
    let before = store.leases();
    let again = store.run(|tx| release(tx, NOW + 9, &ACTOR, NETWORK, owner(1), 500)).unwrap();
    assert_eq!(again, before);
    assert_eq!(store.leases(), before);
}

pub fn releasing_again_answers_what_was_released_last(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    for (now, address) in [(NOW, "10.0.0.50"), (NOW + 1, "10.0.0.9"), (NOW + 2, "10.0.0.20")] {
        store.at(now, &given(1, address)).unwrap();
        let let_go = |store: &mut Store| {
            store.run(|tx| release(tx, now, &ACTOR, NETWORK, owner(1), DAY)).unwrap()
        };
        let first = let_go(&mut store);
        assert_eq!((first.len(), first[0].address), (1, ip(address)));
        assert_eq!(let_go(&mut store), first);
    }
    store.assert_sound();
}

pub fn the_hold_moves_forward_only_and_ends_early_only_after_the_hold_time(new: New) {
    let mut store = released(new, NOW + 90, 50);
    let ends = |store: &mut Store| store.leases()[0].hold_until;
    assert_eq!(store.run(|tx| extend_hold(tx, NOW, &ACTOR, NETWORK, owner(1), NOW + 80)), Ok(0));
    assert_eq!(store.run(|tx| extend_hold(tx, NOW, &ACTOR, NETWORK, owner(1), NOW + 100)), Ok(1));
    assert_eq!(ends(&mut store), NOW + 100);
    assert_eq!(store.run(|tx| shorten_hold(tx, NOW, &ACTOR, NETWORK, owner(1), 200)), Ok(0));
    assert_eq!(store.run(|tx| shorten_hold(tx, NOW, &ACTOR, NETWORK, owner(1), 50)), Ok(1));
    assert_eq!(ends(&mut store), NOW + 50);
}

pub fn a_new_owner_takes_over_what_the_old_one_left(new: New) {
    let mut store = released(new, NOW, 50);
    assert_eq!(store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, owner(1), owner(7))), Ok(1));
    assert_eq!(store.at(NOW + 1, &request(7)).unwrap().address, ip("10.0.0.1"));
    assert!(matches!(store.at(NOW + 1, &request(1)), Err(Error::PoolExhausted { .. })));
    assert_eq!(
        store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, owner(7), owner(8))),
        Ok(0),
        "an active lease stays"
    );
}

pub fn reclaiming_is_bounded_and_frees_the_earliest_first(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/24");
    for number in 0..10 {
        store.allocate(number).unwrap();
        let hold = 100 - i64::try_from(number).unwrap();
        store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(number), hold).map(drop)).unwrap();
    }
    assert_eq!(store.run(|tx| reclaim(tx, NOW + 100, &ACTOR, 4)), Ok(4));
    assert_eq!(store.free(pool), 248);
    assert!(store.leases().iter().all(|lease| lease.hold_until >= NOW + 95));
    assert_eq!(store.run(|tx| reclaim(tx, NOW + 100, &ACTOR, 100)), Ok(6));
    assert_eq!(store.run(|tx| reclaim(tx, NOW + 100, &ACTOR, 100)), Ok(0));
    assert_eq!(store.free(pool), 254);
    store.assert_sound();
}

pub fn leases_that_end_by_themselves_go_through_quarantine(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/24");
    store.at(NOW, &Request { until: Some(NOW + 10), ..request(1) }).unwrap();
    store.at(NOW, &Request { until: Some(NOW + 20), ..request(2) }).unwrap();
    store.allocate(3).unwrap();
    assert_eq!(store.run(|tx| expire(tx, NOW + 9, &ACTOR, NETWORK, 50, 10)), Ok(vec![]));
    let expired = store.run(|tx| expire(tx, NOW + 10, &ACTOR, NETWORK, 50, 10)).unwrap();
    assert_eq!(expired.len(), 1);
    let stored = store.run(|tx| by_address(tx, NETWORK, ip("10.0.0.1"))).unwrap();
    assert_eq!(stored, Some(expired[0]));
    assert_eq!((expired[0].state, expired[0].hold_until), (LeaseState::Quarantined, NOW + 60));
    assert_eq!(store.run(|tx| expire(tx, NOW + 99, &ACTOR, NETWORK, 50, 10)).unwrap().len(), 1);
    assert_eq!(store.run(|tx| reclaim(tx, NOW + 1000, &ACTOR, 10)), Ok(2));
    assert_eq!(store.free(pool), 253);
    store.assert_sound();
}

pub fn the_reason_is_kept_as_long_as_it_lasts(new: New) {
    for reason in
        [Reason::Released, Reason::Ended, Reason::Revoked, Reason::Replaced, Reason::Conflict]
    {
        let mut store = new();
        store.pool(1, "10.0.0.0/24");
        assert_eq!(store.at(NOW, &request(1)).unwrap().reason, None);
        let hold = Hold { seconds: 50, reason };
        let released = store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), hold)).unwrap();
        assert_eq!((released[0].reason, released[0].hold_until), (Some(reason), NOW + 50));
        assert_eq!(store.leases(), released, "what is answered is what is stored");
        let back = store.at(NOW + 1, &request(1)).unwrap();
        assert_eq!((back.reason, back.released_at), (None, None));
        assert_eq!(store.leases(), [back]);
        store.assert_sound();
    }
}

pub fn one_that_ended_by_itself_says_so(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.at(NOW, &Request { until: Some(NOW + 10), ..request(1) }).unwrap();
    let expired = store.run(|tx| expire(tx, NOW + 10, &ACTOR, NETWORK, 50, 10)).unwrap();
    assert_eq!(expired[0].reason, Some(Reason::Ended));
    assert_eq!(store.leases(), expired);
}

pub fn expiring_is_bounded_and_of_one_network(new: New) {
    let mut store = new();
    store.ranged(1, range("10.0.0.1", "10.0.0.4"));
    store.ranged(2, range("10.0.1.1", "10.0.1.4"));
    for number in 1..=8 {
        store.at(NOW, &Request { until: Some(NOW + 10), ..request(number) }).unwrap();
    }
    let mut expired = |network, limit| {
        store.run(|tx| expire(tx, NOW + 10, &ACTOR, network, 50, limit)).unwrap().len()
    };
    assert_eq!(expired(NetworkId([9; 16]), 100), 0);
    assert_eq!([expired(NETWORK, 0), expired(NETWORK, 3), expired(NETWORK, 3)], [0, 3, 3]);
    assert_eq!([expired(NETWORK, 3), expired(NETWORK, 3)], [2, 0]);
    store.assert_sound();
}
