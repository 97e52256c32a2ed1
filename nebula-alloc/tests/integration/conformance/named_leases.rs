//! Does a request that names a lease find that one, and no later one of the same owner?

use nebula_alloc::lease::{
    Lease, LeaseState, Request, release, release_one, renew, renew_one, take_over_one, transfer,
    transfer_one,
};
use nebula_alloc::reclaim::{expire, reclaim};
use nebula_alloc::{Error, Family, LeaseId};

use crate::support::*;

fn let_go(store: &mut Store, now: i64, lease: &LeaseId) -> Result<Lease, Error> {
    store.run(|tx| release_one(tx, now, &ACTOR, lease, 50))
}

/// Each way in which owner 1 comes to have 10.0.0.1 anew, after `first`.
fn anew(new: New) -> Vec<(Store, Lease, Lease)> {
    let with_end = Request { until: Some(NOW + 5), ..request(1) };
    let mut all = Vec::new();
    for way in 0..6 {
        let mut store = new();
        store.pool(1, "10.0.0.0/24");
        let first = store.at(NOW, &with_end).unwrap();
        match way {
            // From quarantine, by itself and by name.
            0 | 1 => drop(let_go(&mut store, NOW + 1, &first.id()).unwrap()),
            // After it was free for everyone.
            2 => {
                let_go(&mut store, NOW + 1, &first.id()).unwrap();
                assert_eq!(store.run(|tx| reclaim(tx, NOW + 99, &ACTOR, 9)), Ok(1));
            }
            // After it ended, whether somebody saw that or not.
            3 => drop(store.run(|tx| expire(tx, NOW + 9, &ACTOR, NETWORK, 0, 9)).unwrap()),
            4 => {}
            // Back from another owner.
            _ => {
                for (from, to) in [(1, 2), (2, 1)] {
                    let (from, to) = (owner(from), owner(to));
                    store.run(|tx| transfer(tx, NOW, &ACTOR, NETWORK, from, to)).unwrap();
                }
            }
        }
        let again = if way == 1 { given(1, "10.0.0.1") } else { with_end };
        let second = store.at(NOW + 99, &again).unwrap();
        assert_eq!((second.address, second.owner), (first.address, first.owner));
        assert!(second.number > first.number, "way {way}");
        all.push((store, first, second));
    }
    all
}

pub fn a_late_duplicate_of_a_release_leaves_the_owners_new_lease_alone(new: New) {
    for (mut store, first, second) in anew(new) {
        let before = store.leases();
        let ended = Error::LeaseEnded { lease: first.id() };
        assert_eq!(let_go(&mut store, NOW + 99, &first.id()), Err(ended));
        assert_eq!(store.leases(), before);
        assert_eq!(let_go(&mut store, NOW + 99, &second.id()).unwrap().number, second.number);
        store.assert_sound();
    }
}

pub fn so_does_one_of_a_renewal_or_a_transfer(new: New) {
    for (mut store, first, second) in anew(new) {
        let (before, name) = (store.leases(), first.id());
        let ended = || Err(Error::LeaseEnded { lease: name });
        let renewed = store.run(|tx| renew_one(tx, NOW + 99, &ACTOR, &name, None));
        assert_eq!(renewed, ended());
        let passed = store.run(|tx| transfer_one(tx, NOW + 99, &ACTOR, &name, owner(7)));
        assert_eq!(passed, ended());
        assert_eq!(store.leases(), before);

        let name = second.id();
        let until = Some(NOW + 200);
        let renewed = store.run(|tx| renew_one(tx, NOW + 99, &ACTOR, &name, until)).unwrap();
        assert_eq!(renewed, Lease { until, ..second });
        let passed = store.run(|tx| transfer_one(tx, NOW + 99, &ACTOR, &name, owner(7))).unwrap();
        assert_eq!((passed.owner, passed.passed_on_by), (owner(7), Some(owner(1))));
        assert_eq!(store.leases(), [passed]);
        store.assert_sound();
    }
}

/// As the guide says: this one is about whatever the owner has.
pub fn a_release_without_a_name_takes_what_the_owner_has_by_then(new: New) {
    let (mut store, ..) = anew(new).remove(0);
    store.run(|tx| release(tx, NOW + 99, &ACTOR, NETWORK, owner(1), 50)).unwrap();
    assert_eq!(store.leases()[0].state, LeaseState::Quarantined);
}

pub fn a_lease_keeps_its_name_as_long_as_it_lasts(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let name = store.at(NOW, &request(1)).unwrap().id();
    let again = Request { hold_until: NOW + 70, until: Some(NOW + 9), ..request(1) };
    assert_eq!(store.at(NOW, &again).unwrap().id(), name);
    let renewed = store.run(|tx| renew(tx, NOW, &ACTOR, NETWORK, owner(1), Some(NOW + 60)));
    assert_eq!(renewed.unwrap()[0].id(), name);
    let released = let_go(&mut store, NOW + 1, &name).unwrap();
    assert_eq!((released.id(), released.state), (name, LeaseState::Quarantined));
    assert_eq!(let_go(&mut store, NOW + 5, &name), Ok(released), "asking again is safe");
    assert_eq!(store.leases(), [released]);
    store.assert_sound();
}

pub fn one_family_is_released_and_the_other_stays(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    let v4 = store.at(NOW, &request(1)).unwrap();
    let v6 = store.at(NOW, &Request { family: Family::V6, ..request(1) }).unwrap();
    let released = let_go(&mut store, NOW, &v4.id()).unwrap();
    assert_eq!(store.leases(), [released, v6]);
    store.assert_sound();
}

pub fn one_that_was_passed_on_is_not_its_former_owners_to_release(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let name = store.at(NOW, &request(1)).unwrap().id();
    let pass = |store: &mut Store| store.run(|tx| transfer_one(tx, NOW, &ACTOR, &name, owner(2)));
    let passed = pass(&mut store).unwrap();
    assert_eq!(pass(&mut store), Ok(passed), "asking again is safe");
    assert_eq!(let_go(&mut store, NOW, &name), Err(Error::LeaseEnded { lease: name }));
    assert_eq!(store.leases(), [passed]);
    store.assert_sound();
}

pub fn one_that_was_passed_on_and_released_is_not_passed_on_again(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let name = store.at(NOW, &request(1)).unwrap().id();
    let pass = |store: &mut Store| store.run(|tx| transfer_one(tx, NOW, &ACTOR, &name, owner(2)));
    let passed = pass(&mut store).unwrap();
    let released = let_go(&mut store, NOW, &passed.id()).unwrap();
    assert_eq!(pass(&mut store), Err(Error::LeaseEnded { lease: name }));
    assert_eq!(store.leases(), [released]);
    store.at(NOW, &request(2)).unwrap();
    assert_eq!(pass(&mut store), Err(Error::LeaseEnded { lease: name }));
    store.assert_sound();
}

pub fn one_in_quarantine_is_taken_over_alone(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    let v4 = store.at(NOW, &request(1)).unwrap();
    let v6 = store.at(NOW, &Request { family: Family::V6, ..request(1) }).unwrap();
    let name = v4.id();
    let take = |store: &mut Store| store.run(|tx| take_over_one(tx, NOW, &ACTOR, &name, owner(2)));
    let ended = || Err(Error::LeaseEnded { lease: name });
    assert_eq!(take(&mut store), ended(), "it is active");
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), 50)).unwrap();
    let taken = take(&mut store).unwrap();
    assert_eq!((taken.owner, taken.state), (owner(2), LeaseState::Quarantined));
    assert_eq!(take(&mut store), ended(), "it is another's");
    assert_eq!(store.at(NOW, &request(2)).unwrap().address, v4.address);
    assert_eq!(store.leases()[1].id(), v6.id(), "the other stays");
    store.assert_sound();
}

/// Nobody could tell them apart otherwise: all of it happens within one second.
pub fn an_owner_never_has_an_address_under_one_number_twice(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/30");
    let mut numbers = Vec::new();
    for round in 0..20 {
        let number = store
            .run(|tx| {
                let lease = nebula_alloc::lease::allocate(tx, NOW, &ACTOR, &request(1))?;
                release(tx, NOW, &ACTOR, NETWORK, owner(1), 0)?;
                if round % 2 == 0 {
                    reclaim(tx, NOW, &ACTOR, 9)?;
                }
                Ok(lease.number)
            })
            .unwrap();
        numbers.push(number);
    }
    assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");
    store.assert_sound();
}
