//! What may an owner get that asks for a certain address?

use nebula_alloc::lease::{Request, allocate_many, release};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::{Error, Family};

use crate::support::*;

pub fn any_free_address_of_a_pool(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/28");
    // Lowest, highest, middle, beside one taken from both sides, until nothing is left.
    for (number, last) in [1, 14, 7, 8, 6, 3, 2, 4, 5, 12, 13, 10, 9, 11].into_iter().enumerate() {
        let address = format!("10.0.0.{last}");
        let lease = store.at(NOW, &given(number as u64, &address)).unwrap();
        assert_eq!(lease.address, ip(&address));
        store.assert_sound();
    }
    assert_eq!(store.free(pool), 0);
    assert_eq!(store.count("SELECT count(*) FROM alloc_interval"), 0);
}

pub fn none_that_another_holds(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.allocate(1).unwrap();
    let before = store.leases();
    assert_eq!(
        store.at(NOW, &given(2, "10.0.0.1")),
        Err(Error::AddressTaken { network: NETWORK, address: ip("10.0.0.1") })
    );
    assert_eq!(store.leases(), before);
}

pub fn none_outside_the_pools_not_even_the_networks_own(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    for address in ["10.0.1.1", "10.0.0.0", "10.0.0.255", "0.0.0.0", "fd00::1"] {
        assert_eq!(
            store.at(NOW, &given(1, address)),
            Err(Error::AddressOutsidePools { network: NETWORK, address: ip(address) })
        );
    }
}

pub fn none_of_another_family(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let request = Request { family: Family::V6, ..given(1, "10.0.0.1") };
    assert_eq!(
        store.at(NOW, &request),
        Err(Error::WrongFamily { address: ip("10.0.0.1"), family: Family::V6 })
    );
}

pub fn no_second_one(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.allocate(1).unwrap();
    assert_eq!(
        store.at(NOW, &given(1, "10.0.0.2")),
        Err(Error::OwnerHasAnother {
            network: NETWORK,
            owner: owner(1),
            held: ip("10.0.0.1"),
            asked: ip("10.0.0.2")
        })
    );
}

pub fn in_a_batch_before_others_are_served(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let batch = [request(1), given(2, "10.0.0.1"), given(3, "10.0.0.1"), request(4)];
    let answers = store.run(|tx| allocate_many(tx, NOW, &asked(&batch))).unwrap();
    let addresses: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().map(|lease| lease.address)).collect();
    assert_eq!(addresses[0], Ok(ip("10.0.0.2")));
    assert_eq!(addresses[1], Ok(ip("10.0.0.1")));
    assert!(matches!(answers[2], Err(Error::AddressTaken { .. })));
    assert_eq!(addresses[3], Ok(ip("10.0.0.3")));
    store.assert_sound();
}

/// Whatever a run is parted into, it is parted together.
pub fn many_in_a_batch_out_of_one_run(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/28");
    // Beside each other, at both ends, alone; then a run of one; then all the others.
    for (round, lasts) in [vec![7_u64, 1, 14, 8, 3, 6], vec![13], vec![4, 2, 12, 11, 9, 5, 10]]
        .into_iter()
        .enumerate()
    {
        let requests: Vec<_> = lasts
            .iter()
            .map(|last| given(100 * round as u64 + last, &format!("10.0.0.{last}")))
            .collect();
        let answers = store.run(|tx| allocate_many(tx, NOW, &asked(&requests))).unwrap();
        for (request, answer) in requests.iter().zip(answers) {
            assert_eq!(Some(answer.unwrap().address), request.address);
        }
        store.assert_sound();
    }
    assert_eq!((store.free(pool), store.count("SELECT count(*) FROM alloc_interval")), (0, 0));
}

pub fn what_an_owner_had_comes_before_what_others_name(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    for (number, address) in [(1, "10.0.0.1"), (1, "10.0.0.2"), (2, "10.0.0.3")] {
        store.at(NOW, &given(number, address)).unwrap();
        store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(number), 0)).unwrap();
    }
    // The better of the two that owner 1 had.
    let reservation =
        Reservation { range: range("10.0.0.2", "10.0.0.2"), purpose: Purpose::Nobody, note: None };
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &reservation)).unwrap();
    let batch = [given(4, "10.0.0.1"), given(5, "10.0.0.3"), request(1), request(2), request(3)];
    let answers = store.run(|tx| allocate_many(tx, NOW, &asked(&batch))).unwrap();
    assert!(matches!(answers[0], Err(Error::AddressTaken { .. })), "{answers:?}");
    assert!(matches!(answers[1], Err(Error::AddressTaken { .. })), "{answers:?}");
    let addresses: Vec<_> =
        answers[2..].iter().map(|answer| answer.as_ref().map(|lease| lease.address)).collect();
    assert_eq!(addresses, [Ok(ip("10.0.0.1")), Ok(ip("10.0.0.3")), Ok(ip("10.0.0.4"))]);
    store.assert_sound();
}

pub fn none_that_is_lost(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.run(|tx| tx.execute("DELETE FROM alloc_interval", &[])).unwrap();
    assert_eq!(
        store.at(NOW, &given(1, "10.0.0.7")),
        Err(Error::Inconsistent { pool: nebula_alloc::PoolId([1; 16]), address: ip("10.0.0.7") })
    );
}
