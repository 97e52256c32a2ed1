//! Is it safe to ask again?

use nebula_alloc::Error;
use nebula_alloc::lease::{Lease, Request, allocate_many};
use nebula_alloc::reclaim::expire;

use crate::support::*;

pub fn the_same_owner_gets_the_same_lease(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let first = store.at(NOW, &request(1)).unwrap();
    let again = store.at(NOW + 5, &request(1)).unwrap();
    assert_eq!(first, again);
    assert_eq!(store.at(NOW, &given(1, "10.0.0.1")), Ok(first));
    assert_eq!(store.leases(), [first]);
    store.assert_sound();
}

pub fn hold_until_and_until_move_forward_only(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let ask = |hold_until, until| Request { hold_until, until, ..request(1) };
    let end = |seconds| Some(NOW + seconds);
    store.at(NOW, &ask(500, end(900))).unwrap();
    for (asked, hold_until, until) in [
        (ask(400, end(800)), 500, end(900)),
        (ask(600, None), 600, end(900)),
        (ask(0, end(1000)), 600, end(1000)),
    ] {
        let lease = store.at(NOW, &asked).unwrap();
        assert_eq!((lease.hold_until, lease.until), (hold_until, until));
        assert_eq!(store.leases(), [lease], "what is answered is what is stored");
    }
}

pub fn a_lease_without_end_keeps_none(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.allocate(1).unwrap();
    let lease = store.at(NOW, &Request { until: Some(900), ..request(1) }).unwrap();
    assert_eq!(lease.until, None);
}

pub fn a_lease_that_has_ended_begins_anew_whether_it_was_expired_or_not(new: New) {
    let ask = |hold_until, until| Request { hold_until, until, ..request(1) };
    for (later, until) in [(600, Some(NOW + 700)), (601, None), (9_999, Some(NOW + 10_000))] {
        for expired in [true, false] {
            let mut store = new();
            store.pool(1, "10.0.0.0/24");
            let first = store.at(NOW, &ask(NOW + 900, Some(NOW + 600))).unwrap();
            let now = NOW + later;
            if expired {
                let ended = store.run(|tx| expire(tx, now, &ACTOR, NETWORK, 0, 9)).unwrap();
                assert_eq!(ended.len(), 1);
            }
            let again = store.at(now, &ask(NOW, until)).unwrap();
            let hold_until = match expired {
                true => first.hold_until.max(now),
                false => first.hold_until,
            };
            assert_eq!(again, Lease { until, hold_until, ..first });
            assert_eq!(store.leases(), [again], "what is answered is what is stored");
            store.assert_sound();
        }
    }
}

pub fn equal_owners_in_a_batch_are_one(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let batch = [request(1), request(2), request(1), given(1, "10.0.0.9"), request(2)];
    let answers = store.run(|tx| allocate_many(tx, NOW, &asked(&batch))).unwrap();
    let held = answers[0].clone().unwrap().address;
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[1], answers[4]);
    assert_eq!(
        answers[3],
        Err(Error::OwnerHasAnother {
            network: NETWORK,
            owner: owner(1),
            held,
            asked: ip("10.0.0.9")
        })
    );
    assert_eq!(store.leases().len(), 2);
    store.assert_sound();
}
