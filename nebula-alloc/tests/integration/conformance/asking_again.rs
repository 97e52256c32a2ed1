//! Is it safe to ask again?

use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::{Lease, Request, allocate_many, release, transfer};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reclaim::{expire, reclaim};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Error, Family, PoolId};

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
            let number = again.number;
            assert!(number > first.number, "it is another lease");
            assert_eq!(again, Lease { until, hold_until, number, ..first });
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

/// Carries the same out twice, as after an answer that was lost: it is answered the same, and the
/// second time nothing is written.
fn twice<T: PartialEq + std::fmt::Debug>(
    store: &mut Store,
    work: impl Fn(&mut dyn Transaction) -> Result<T, Error>,
) -> T {
    let events = |store: &mut Store| store.count("SELECT count(*) FROM alloc_event");
    let first = store.run(|tx| work(tx)).unwrap();
    let (leases, written) = (store.leases(), events(store));
    assert_eq!(store.run(|tx| work(tx)).as_ref(), Ok(&first));
    assert_eq!((store.leases(), events(store)), (leases, written), "the second time");
    store.assert_sound();
    first
}

pub fn a_pool_that_is_there_already_is_created_again(new: New) {
    let mut store = new();
    let pool = pool_of(1, range("10.0.0.1", "10.0.0.9"));
    twice(&mut store, |tx| pool::create(tx, NOW, &ACTOR, &pool));
    store.allocate(1).unwrap();
    twice(&mut store, |tx| pool::create(tx, NOW, &ACTOR, &pool));
    for other in [
        Pool { position: 2, ..pool },
        Pool { range: range("10.0.0.1", "10.0.0.8"), ..pool },
        Pool { network: nebula_alloc::NetworkId([9; 16]), ..pool },
    ] {
        assert_eq!(store.run(|tx| pool::create(tx, NOW, &ACTOR, &other)), Err(Error::Unique));
    }
}

pub fn a_block_that_is_there_already_is_created_again(new: New) {
    let mut store = new();
    let pool = store.ranged(1, range("10.0.0.1", "10.0.0.9"));
    let (id, name) = (PoolId([2; 16]), "printers".to_owned());
    let block = Block { id, network: NETWORK, pool, name, range: range("10.0.0.3", "10.0.0.5") };
    twice(&mut store, |tx| block::create(tx, NOW, &ACTOR, &block));
    store.at(NOW, &Request { pool: Some(id), ..request(1) }).unwrap();
    twice(&mut store, |tx| block::create(tx, NOW, &ACTOR, &block));
    let other = Block { name: "screens".into(), ..block };
    let refused = store.run(|tx| block::create(tx, NOW, &ACTOR, &other));
    assert!(matches!(refused, Err(Error::BlockStands { .. })));
}

pub fn a_reservation_that_is_there_already_is_made_again(new: New) {
    let mut store = new();
    store.ranged(1, range("10.0.0.1", "10.0.0.9"));
    let one = range("10.0.0.4", "10.0.0.4");
    for (range, purpose, note) in [
        (range("10.0.0.1", "10.0.0.2"), Purpose::Asking, None),
        (range("10.0.0.3", "10.0.0.3"), Purpose::Nobody, Some("the router")),
        (one, Purpose::Owner(owner(1)), None),
    ] {
        let kept = Reservation { range, purpose, note: note.map(str::to_owned) };
        twice(&mut store, |tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &kept));
    }
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.4")));
    for (purpose, note) in [
        (Purpose::Nobody, None),
        (Purpose::Owner(owner(2)), None),
        (Purpose::Owner(owner(1)), Some("x")),
    ] {
        let other = Reservation { range: one, purpose, note: note.map(str::to_owned) };
        let refused = store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &other));
        assert_eq!(
            refused,
            Err(Error::ReservationOverlaps { network: NETWORK, range: one, other: one })
        );
    }
}

pub fn a_range_that_a_pool_has_already_is_no_change(new: New) {
    let mut store = new();
    let pool = store.ranged(1, range("10.0.0.1", "10.0.0.9"));
    let wider = range("10.0.0.1", "10.0.0.20");
    let resized = twice(&mut store, |tx| pool::resize(tx, NOW, &ACTOR, pool, wider));
    assert_eq!(resized.range, wider);
}

pub fn a_transfer_that_was_made_already_answers_the_same(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    store.at(NOW, &given(1, "10.0.0.9")).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), DAY)).unwrap();
    store.at(NOW, &given(1, "10.0.0.2")).unwrap();
    store.at(NOW, &Request { family: Family::V6, ..request(1) }).unwrap();
    // What the receiver has already is not among what it received.
    store.at(NOW, &given(2, "10.0.0.1")).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(2), DAY)).unwrap();
    let passed = twice(&mut store, |tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(1), owner(2)));
    assert_eq!(passed.len(), 3);
    let never = store.run(|tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(3), owner(2)));
    assert_eq!(never, Err(Error::NoLease { network: NETWORK, owner: owner(3) }));
}

pub fn a_release_that_was_made_already_answers_the_same(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    store.allocate(1).unwrap();
    store.at(NOW, &Request { family: Family::V6, ..request(1) }).unwrap();
    let released = twice(&mut store, |tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), 50));
    assert_eq!(released.len(), 2);
    // Once their quarantine is over nothing tells of them any more.
    store.run(|tx| reclaim(tx, NOW + 50, &ACTOR, 9)).unwrap();
    assert_eq!(store.run(|tx| release(tx, NOW + 50, &ACTOR, NETWORK, owner(1), 50)), Ok(vec![]));
}
