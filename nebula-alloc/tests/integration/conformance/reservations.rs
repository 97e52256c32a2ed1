//! Who gets an address that is reserved?

use nebula_alloc::lease::{Request, release};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reclaim::reclaim;
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::{AddressRange, Error, Family, Keeper, NetworkId};

use crate::support::*;

fn reserve(store: &mut Store, range: AddressRange, purpose: Purpose) -> Result<(), Error> {
    let reservation = Reservation { range, purpose, note: Some("why".into()) };
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &reservation))
}

fn lift(store: &mut Store, range: AddressRange) -> Result<Reservation, Error> {
    let lifted = store.run(|tx| reservation::remove(tx, NOW, &ACTOR, NETWORK, range))?;
    assert_eq!(lifted.rest, None);
    Ok(lifted.reservation)
}

/// 10.0.0.first to 10.0.0.last.
fn part(first: u8, last: u8) -> AddressRange {
    range(&format!("10.0.0.{first}"), &format!("10.0.0.{last}"))
}

fn let_go(store: &mut Store, number: u64, hold_seconds: i64) {
    store
        .run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(number), hold_seconds).map(drop))
        .unwrap();
}

fn reserved(address: &str, by: Keeper) -> Error {
    Error::AddressReserved { network: NETWORK, address: ip(address), by }
}

pub fn what_is_for_asking_is_had_by_name_alone(new: New) {
    let mut store = new();
    let pool = store.ranged(1, part(1, 6));
    reserve(&mut store, part(1, 3), Purpose::Asking).unwrap();
    assert_eq!(store.free(pool), 3);
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.4")));
    let asked = store.at(NOW, &given(2, "10.0.0.2")).unwrap();
    assert_eq!((asked.address, asked.pool), (ip("10.0.0.2"), pool));
    store.assert_sound();

    // Given back it is reserved still, and not free.
    let_go(&mut store, 2, 0);
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 10)), Ok(1));
    assert_eq!(store.free(pool), 2);
    assert_eq!(store.allocate(3), Ok(ip("10.0.0.5")));
    assert_eq!(store.at(NOW, &given(4, "10.0.0.2")).unwrap().owner, owner(4));
    store.assert_sound();
}

pub fn what_is_for_nobody_is_given_to_nobody(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 5));
    reserve(&mut store, part(2, 4), Purpose::Nobody).unwrap();
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.1")));
    assert_eq!(store.allocate(2), Ok(ip("10.0.0.5")));
    assert!(matches!(store.allocate(3), Err(Error::PoolExhausted { .. })));
    for address in ["10.0.0.2", "10.0.0.3", "10.0.0.4"] {
        let refused = reserved(address, Keeper::Exclusion);
        assert_eq!(store.at(NOW, &given(3, address)), Err(refused));
    }
    store.assert_sound();
}

pub fn a_pinned_address_is_its_owners_whenever_it_asks(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    reserve(&mut store, part(1, 1), Purpose::Owner(owner(1))).unwrap();
    assert_eq!(store.allocate(2), Ok(ip("10.0.0.2")));
    assert_eq!(
        store.at(NOW, &given(3, "10.0.0.1")),
        Err(reserved("10.0.0.1", Keeper::Pin)),
        "nobody else's by name"
    );
    for _ in 0..2 {
        assert_eq!(store.allocate(1), Ok(ip("10.0.0.1")));
        store.assert_sound();
        let_go(&mut store, 1, 0);
        assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 10)), Ok(1));
    }
    assert_eq!(store.allocate(4), Ok(ip("10.0.0.3")));
    // It may have another if it says so.
    assert_eq!(store.at(NOW, &given(1, "10.0.0.9")).unwrap().address, ip("10.0.0.9"));
    store.assert_sound();
}

pub fn the_pinned_address_comes_before_the_old_one(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    store.allocate(1).unwrap();
    let_go(&mut store, 1, DAY);
    reserve(&mut store, part(7, 7), Purpose::Owner(owner(1))).unwrap();
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.7")));
    store.assert_sound();
}

pub fn a_pool_made_later_respects_it(new: New) {
    let mut store = new();
    reserve(&mut store, part(1, 1), Purpose::Nobody).unwrap();
    reserve(&mut store, part(3, 3), Purpose::Owner(owner(7))).unwrap();
    reserve(&mut store, part(5, 200), Purpose::Asking).unwrap();
    let pool = store.ranged(1, part(1, 6));
    assert_eq!(store.free(pool), 2);
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.2")));
    assert_eq!(store.allocate(2), Ok(ip("10.0.0.4")));
    assert!(matches!(store.allocate(3), Err(Error::PoolExhausted { .. })));
    assert_eq!(store.allocate(7), Ok(ip("10.0.0.3")));
    assert_eq!(store.at(NOW, &given(3, "10.0.0.6")).unwrap().pool, pool);
    store.assert_sound();
}

/// More of them than are read at a time.
pub fn hundreds_of_them_are_respected(new: New) {
    let mut store = new();
    let pinned: Vec<_> = (0..300_u64)
        .map(|number| {
            let address = ip(&format!("10.0.{}.{}", number / 100, 2 * (number % 100)));
            let range = AddressRange::new(address, address).unwrap();
            Reservation { range, purpose: Purpose::Owner(owner(number)), note: None }
        })
        .collect();
    store
        .run(|tx| {
            pinned.iter().try_for_each(|one| reservation::make(tx, NOW, &ACTOR, NETWORK, one))
        })
        .unwrap();
    let pool = store.ranged(1, range("10.0.0.0", "10.0.255.255"));
    assert_eq!(store.free(pool), 65_536 - 300);
    store.assert_sound();
    assert_eq!(store.allocate(1000), Ok(ip("10.0.0.1")));
    assert_eq!(store.allocate(299), Ok(ip("10.0.2.198")));
    store.assert_sound();
}

pub fn one_over_several_pools_holds_in_each(new: New) {
    let mut store = new();
    let lower = store.ranged(1, part(1, 4));
    let upper = store.ranged(2, part(5, 8));
    reserve(&mut store, part(3, 6), Purpose::Nobody).unwrap();
    let got: Vec<_> = (0..4).map(|n| store.allocate(n).unwrap().to_string()).collect();
    assert_eq!(got, ["10.0.0.1", "10.0.0.2", "10.0.0.7", "10.0.0.8"]);
    assert!(matches!(store.allocate(9), Err(Error::PoolExhausted { .. })));
    store.assert_sound();
    lift(&mut store, part(3, 6)).unwrap();
    assert_eq!((store.free(lower), store.free(upper)), (2, 2));
    store.assert_sound();
}

pub fn a_pool_grows_and_shrinks_over_it(new: New) {
    let mut store = new();
    let pool = store.ranged(1, part(1, 4));
    reserve(&mut store, part(6, 7), Purpose::Nobody).unwrap();
    let mut resize =
        |range| store.run(|tx| pool::resize(tx, NOW, &ACTOR, pool, range).map(drop)).unwrap();
    resize(part(1, 9));
    resize(part(2, 6));
    resize(part(2, 5));
    resize(part(7, 9));
    resize(part(1, 9));
    assert_eq!(store.free(pool), 7);
    store.assert_sound();
    let got: Vec<_> = (0..7).map(|n| store.allocate(n).unwrap()).collect();
    assert_eq!((got[4], got[5], got[6]), (ip("10.0.0.5"), ip("10.0.0.8"), ip("10.0.0.9")));
    assert!(matches!(store.allocate(9), Err(Error::PoolExhausted { .. })));
    store.assert_sound();
}

pub fn lifting_one_frees_what_is_not_leased_there(new: New) {
    let mut store = new();
    let pool = store.ranged(1, part(1, 6));
    reserve(&mut store, part(1, 4), Purpose::Asking).unwrap();
    let inside = store.at(NOW, &given(1, "10.0.0.2")).unwrap();
    store.at(NOW, &given(2, "10.0.0.3")).unwrap();
    let_go(&mut store, 2, DAY);

    for wrong in [part(1, 3), part(2, 4), part(1, 5), part(5, 6)] {
        let refused = Error::NoSuchReservation { network: NETWORK, range: wrong };
        assert_eq!(lift(&mut store, wrong), Err(refused));
    }
    let lifted = lift(&mut store, part(1, 4)).unwrap();
    assert_eq!((lifted.range, lifted.purpose), (part(1, 4), Purpose::Asking));
    assert_eq!(lifted.note.as_deref(), Some("why"));
    assert_eq!(store.free(pool), 4);
    assert_eq!(store.leases()[0], inside);
    store.assert_sound();
    assert_eq!(store.at(NOW, &request(1)), Ok(inside));
    assert_eq!(store.allocate(3), Ok(ip("10.0.0.1")));
    store.assert_sound();
}

pub fn two_do_not_overlap(new: New) {
    let mut store = new();
    reserve(&mut store, part(10, 20), Purpose::Asking).unwrap();
    for other in [part(20, 30), part(0, 10), part(12, 13), part(0, 255), part(10, 20)] {
        assert_eq!(
            reserve(&mut store, other, Purpose::Nobody),
            Err(Error::ReservationOverlaps { network: NETWORK, range: other, other: part(10, 20) })
        );
    }
    reserve(&mut store, part(21, 30), Purpose::Nobody).unwrap();
    reserve(&mut store, part(0, 9), Purpose::Nobody).unwrap();
    let elsewhere = Reservation { range: part(0, 255), purpose: Purpose::Nobody, note: None };
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NetworkId([9; 16]), &elsewhere)).unwrap();
}

pub fn leases_of_others_stand_in_its_way(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    for number in 1..=3 {
        store.allocate(number).unwrap();
    }
    let standing = |addresses: &[&str]| Error::LeasesStand {
        network: NETWORK,
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        more: false,
    };
    let refused = reserve(&mut store, part(2, 5), Purpose::Nobody);
    assert_eq!(refused, Err(standing(&["10.0.0.2", "10.0.0.3"])));
    let refused = reserve(&mut store, part(2, 2), Purpose::Owner(owner(9)));
    assert_eq!(refused, Err(standing(&["10.0.0.2"])));
    // Its present holder may keep it for good, and whoever asks for one does not mind.
    reserve(&mut store, part(2, 2), Purpose::Owner(owner(2))).unwrap();
    reserve(&mut store, part(3, 5), Purpose::Asking).unwrap();
    assert_eq!(store.allocate(2), Ok(ip("10.0.0.2")));
    assert_eq!(store.leases().len(), 3);
    store.assert_sound();
    let_go(&mut store, 3, 0);
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 10)), Ok(1));
    assert_eq!(store.allocate(4), Ok(ip("10.0.0.6")));
    store.assert_sound();
}

pub fn what_is_in_quarantine_there_is_not_given_to_anyone_else_afterwards(new: New) {
    let mut store = new();
    let pool = store.ranged(1, part(1, 3));
    store.allocate(1).unwrap();
    let_go(&mut store, 1, 50);
    reserve(&mut store, part(1, 2), Purpose::Nobody).unwrap();
    store.assert_sound();
    // Not even its last owner gets it back; it gets another.
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.3")));
    assert_eq!(store.run(|tx| reclaim(tx, NOW + 50, &ACTOR, 10)), Ok(1));
    assert_eq!(store.free(pool), 0);
    let refused = store.at(NOW + 50, &request(2));
    assert!(matches!(refused, Err(Error::PoolExhausted { .. })), "{refused:?}");
    store.assert_sound();
}

pub fn a_pinned_address_in_quarantine_of_another_is_waited_for(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    store.allocate(2).unwrap();
    let_go(&mut store, 2, 50);
    reserve(&mut store, part(1, 1), Purpose::Owner(owner(1))).unwrap();
    let address = ip("10.0.0.1");
    assert_eq!(
        store.at(NOW + 49, &request(1)),
        Err(Error::AddressQuarantined { network: NETWORK, address, until: NOW + 50 })
    );
    assert_eq!(store.at(NOW + 49, &request(2)).unwrap().address, ip("10.0.0.2"));
    assert_eq!(store.at(NOW + 50, &request(1)).unwrap().address, address);
    store.assert_sound();
}

pub fn an_owner_has_one_pinned_address_of_a_family(new: New) {
    let mut store = new();
    let owner = owner(1);
    let purpose = Purpose::Owner(owner);
    reserve(&mut store, part(5, 5), purpose).unwrap();
    let refused = reserve(&mut store, part(6, 6), purpose);
    assert_eq!(refused, Err(Error::PinnedAlready { network: NETWORK, owner }));
    let refused = reserve(&mut store, part(7, 8), purpose);
    assert_eq!(refused, Err(Error::RangeForOwner { range: part(7, 8) }));
    reserve(&mut store, range("fd00::5", "fd00::5"), purpose).unwrap();
    let mut pinned =
        |family| store.run(|tx| reservation::pinned(tx, NETWORK, owner, family)).unwrap();
    assert_eq!(pinned(Family::V4), Some(ip("10.0.0.5")));
    assert_eq!(pinned(Family::V6), Some(ip("fd00::5")));
    lift(&mut store, part(5, 5)).unwrap();
    reserve(&mut store, part(6, 6), purpose).unwrap();
}

pub fn a_pin_that_no_pool_has_keeps_nobody_from_an_address(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 4));
    reserve(&mut store, part(200, 200), Purpose::Owner(owner(1))).unwrap();
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.1")));
    store.assert_sound();
}

pub fn a_pin_counts_in_its_own_network(new: New) {
    let mut store = new();
    let other = NetworkId([9; 16]);
    store.ranged(1, part(1, 9));
    let pool = Pool { network: other, ..pool_of(2, part(1, 9)) };
    store.run(|tx| pool::create(tx, NOW, &ACTOR, &pool)).unwrap();
    reserve(&mut store, part(5, 5), Purpose::Owner(owner(1))).unwrap();
    let there = store.at(NOW, &Request { network: other, ..request(1) }).unwrap();
    assert_eq!(there.address, ip("10.0.0.1"));
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.5")));
}

pub fn they_are_listed_in_address_order_and_found_by_address(new: New) {
    let mut store = new();
    for first in [30, 10, 20] {
        reserve(&mut store, part(first, first + 4), Purpose::Asking).unwrap();
    }
    reserve(&mut store, range("fd00::1", "fd00::ff"), Purpose::Nobody).unwrap();
    let mut firsts = |from: &str, limit| {
        let listed = store.run(|tx| reservation::list(tx, NETWORK, ip(from), limit)).unwrap();
        listed.iter().map(|kept| kept.range.first().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(firsts("0.0.0.0", 10), ["10.0.0.10", "10.0.0.20", "10.0.0.30"]);
    assert_eq!(firsts("10.0.0.14", 1), ["10.0.0.10"]);
    assert_eq!(firsts("10.0.0.15", 1), ["10.0.0.20"]);
    assert_eq!(firsts("::", 10), ["fd00::1"]);
    let mut covering =
        |address: &str| store.run(|tx| reservation::covering(tx, NETWORK, ip(address))).unwrap();
    assert_eq!(covering("10.0.0.24").unwrap().range, part(20, 24));
    assert_eq!(covering("10.0.0.25"), None);
    assert_eq!(covering("fd00::80").unwrap().purpose, Purpose::Nobody);
}
