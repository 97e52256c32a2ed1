//! Does verifying find what is broken?

use nebula_alloc::PoolId;
use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::{Request, release};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::Param;
use nebula_alloc::verify::{Violation, verify};

use crate::support::*;

const POOL: PoolId = PoolId([1; 16]);

/// The stored form of 10.0.0.*.
const fn octets(last: u8) -> [u8; 4] {
    [10, 0, 0, last]
}

/// 10.0.0.1 to .9, of which owners have .1 to .3; then the rows are changed behind the crate's back.
fn broken(new: New, sql: &str, params: &[Param<'_>]) -> Vec<Violation> {
    let mut store = new();
    store.ranged(1, range("10.0.0.1", "10.0.0.9"));
    for number in 1..=3 {
        store.allocate(number).unwrap();
    }
    store.assert_sound();
    store.run(|tx| tx.execute(sql, params)).unwrap();
    store.run(|tx| verify(tx)).unwrap()
}

pub fn a_deleted_lease_loses_its_address(new: New) {
    assert_eq!(
        broken(new, "DELETE FROM alloc_lease WHERE address = $1", &[(&octets(2)).into()]),
        [
            Violation::Lost { pool: POOL, first: ip("10.0.0.2") },
            Violation::Unexplained { network: NETWORK, address: ip("10.0.0.2") }
        ]
    );
}

pub fn a_deleted_interval_loses_the_rest(new: New) {
    assert_eq!(
        broken(new, "DELETE FROM alloc_interval", &[]),
        [Violation::Lost { pool: POOL, first: ip("10.0.0.4") }]
    );
}

pub fn a_leased_address_that_is_free_is_there_twice(new: New) {
    assert_eq!(
        broken(new, "UPDATE alloc_interval SET first = $1", &[(&octets(3)).into()]),
        [Violation::Doubled { pool: POOL, address: ip("10.0.0.3") }]
    );
}

pub fn rows_outside_their_pool_are_strays(new: New) {
    let found = broken(new, "UPDATE alloc_interval SET last = $1", &[(&octets(11)).into()]);
    assert!(found.contains(&Violation::StrayInterval { pool: POOL, first: ip("10.0.0.4") }));
    let found = broken(
        new,
        "UPDATE alloc_lease SET address = $1 WHERE address = $2",
        &[(&[11, 0, 0, 1]).into(), (&octets(1)).into()],
    );
    assert!(found.contains(&Violation::StrayLease { network: NETWORK, address: ip("11.0.0.1") }));
}

pub fn an_owner_with_two_active_leases_is_found(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.allocate(1).unwrap();
    store.allocate(2).unwrap();
    store.run(|tx| tx.script("DROP INDEX alloc_lease_active")).unwrap();
    let all = "UPDATE alloc_lease SET owner = $1";
    store.run(|tx| tx.execute(all, &[owner(1).as_bytes().into()])).unwrap();
    let found = store.run(|tx| verify(tx)).unwrap();
    assert_eq!(found[0], Violation::ManyActive { network: NETWORK, owner: owner(1) });
}

pub fn pools_that_overlap_are_found(new: New) {
    let other = PoolId([255; 16]);
    let found = broken(
        new,
        "INSERT INTO alloc_pool (id, network, family, position, first, last)
         VALUES ($1, $2, 4, 9, $3, $4)",
        &[
            other.as_bytes().into(),
            NETWORK.as_bytes().into(),
            (&octets(9)).into(),
            (&octets(10)).into(),
        ],
    );
    assert!(found.contains(&Violation::OverlappingPools { pool: POOL, other }));
}

const BLOCK: PoolId = PoolId([50; 16]);

/// 10.0.0.1 to .20: owners have .1, .2 (in quarantine) and, in the block .11 to .14, .11. Reserved
/// are .5 and .6, where .6 is leased, and .14 in the block. Then it is changed.
fn broken_inside(new: New, sql: &str, params: &[Param<'_>]) -> Vec<Violation> {
    let mut store = new();
    store.ranged(1, range("10.0.0.1", "10.0.0.20"));
    let block = Block {
        id: BLOCK,
        network: NETWORK,
        pool: POOL,
        name: "block".into(),
        range: range("10.0.0.11", "10.0.0.14"),
    };
    store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
    for (first, last) in [("10.0.0.5", "10.0.0.6"), ("10.0.0.14", "10.0.0.14")] {
        let range = range(first, last);
        let reservation = Reservation { range, purpose: Purpose::Asking, note: None };
        store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &reservation)).unwrap();
    }
    store.allocate(1).unwrap();
    store.allocate(2).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(2), DAY).map(drop)).unwrap();
    store.at(NOW, &given(6, "10.0.0.6")).unwrap();
    store.at(NOW, &Request { pool: Some(BLOCK), ..request(11) }).unwrap();
    store.assert_sound();
    assert!(store.run(|tx| tx.execute(sql, params)).unwrap() > 0, "it changes something");
    store.run(|tx| verify(tx)).unwrap()
}

fn lost(pool: PoolId, last: u8) -> Violation {
    Violation::Lost { pool, first: octets(last).into() }
}

fn doubled(pool: PoolId, last: u8) -> Violation {
    Violation::Doubled { pool, address: octets(last).into() }
}

fn unexplained(last: u8) -> Violation {
    Violation::Unexplained { network: NETWORK, address: octets(last).into() }
}

pub fn a_reservation_that_is_gone_loses_what_is_not_leased_of_it(new: New) {
    let delete = "DELETE FROM alloc_reservation WHERE last = $1";
    assert_eq!(broken_inside(new, delete, &[(&octets(6)).into()]), [lost(POOL, 5)]);
    assert_eq!(broken_inside(new, delete, &[(&octets(14)).into()]), [lost(BLOCK, 14)]);
}

pub fn what_is_reserved_and_free_is_there_twice(new: New) {
    let widen = "UPDATE alloc_reservation SET first = $1 WHERE last = $2";
    let found = broken_inside(new, widen, &[(&octets(4)).into(), (&octets(6)).into()]);
    assert_eq!(found, [doubled(POOL, 4)]);
}

pub fn reservations_that_overlap_are_there_twice(new: New) {
    let found = broken_inside(
        new,
        "INSERT INTO alloc_reservation (network, family, last, first, kind)
         VALUES ($1, 4, $2, $3, 3)",
        &[NETWORK.as_bytes().into(), (&octets(5)).into(), (&octets(5)).into()],
    );
    let overlap = Violation::OverlappingReservations { network: NETWORK, first: ip("10.0.0.5") };
    assert_eq!(found, [doubled(POOL, 5), overlap]);
}

pub fn a_block_without_its_addresses_loses_them(new: New) {
    let empty = "DELETE FROM alloc_interval WHERE pool = $1";
    assert_eq!(broken_inside(new, empty, &[BLOCK.as_bytes().into()]), [lost(BLOCK, 12)]);
}

pub fn what_is_in_a_block_and_free_in_its_pool_is_there_twice(new: New) {
    let found = broken_inside(
        new,
        "UPDATE alloc_interval SET first = $1 WHERE pool = $2 AND last = $3",
        &[(&octets(14)).into(), POOL.as_bytes().into(), (&octets(20)).into()],
    );
    assert_eq!(found, [doubled(POOL, 14)]);
}

pub fn a_block_that_is_smaller_than_it_was_loses_the_rest(new: New) {
    let found = broken_inside(
        new,
        "UPDATE alloc_pool SET first = $1 WHERE id = $2",
        &[(&octets(12)).into(), BLOCK.as_bytes().into()],
    );
    assert!(found.contains(&lost(POOL, 11)), "{found:?}");
    let stray = Violation::StrayLease { network: NETWORK, address: ip("10.0.0.11") };
    assert!(found.contains(&stray), "{found:?}");
}

pub fn blocks_that_overlap_are_there_twice(new: New) {
    let other = PoolId([51; 16]);
    let found = broken_inside(
        new,
        "INSERT INTO alloc_pool (id, network, family, position, first, last, parent)
         VALUES ($1, $2, 4, 0, $3, $4, $5)",
        &[
            other.as_bytes().into(),
            NETWORK.as_bytes().into(),
            (&octets(14)).into(),
            (&octets(14)).into(),
            POOL.as_bytes().into(),
        ],
    );
    assert_eq!(found, [doubled(POOL, 14)]);
}

pub fn a_deleted_lease_of_a_block_loses_its_address(new: New) {
    let delete = "DELETE FROM alloc_lease WHERE address = $1";
    let found = broken_inside(new, delete, &[(&octets(11)).into()]);
    assert_eq!(found, [lost(BLOCK, 11), unexplained(11)]);
    // A reservation keeps its address; that the lease is gone is told all the same.
    assert_eq!(broken_inside(new, delete, &[(&octets(6)).into()]), [unexplained(6)]);
}

pub fn a_lease_that_the_events_tell_otherwise_is_unexplained(new: New) {
    let other = owner(99);
    let set = "UPDATE alloc_lease SET owner = $1 WHERE address = $2";
    let found = broken_inside(new, set, &[other.as_bytes().into(), (&octets(1)).into()]);
    assert_eq!(found, [unexplained(1)]);
    let set = "UPDATE alloc_lease SET state = 1, released_at = NULL WHERE address = $1";
    assert_eq!(broken_inside(new, set, &[(&octets(2)).into()]), [unexplained(2)]);
    let forget = "DELETE FROM alloc_event WHERE kind = 'lease.allocated' AND address = $1";
    assert_eq!(broken_inside(new, forget, &[(&octets(1)).into()]), [unexplained(1)]);
}

pub fn an_event_that_cannot_follow_is_impossible(new: New) {
    let append = "INSERT INTO alloc_event (at, network, kind, actor, subject, address)
         SELECT 0, $1, $2, 'nobody', $3, $4";
    let (first, second) = (owner(1), owner(2));
    for (kind, subject, last, explained) in [
        // Of an active lease.
        ("lease.allocated", second, 1, false),
        ("lease.returned", first, 1, true),
        ("lease.freed", first, 1, false),
        ("lease.renewed", second, 1, true),
        ("lease.held", second, 1, true),
        // Of one in quarantine.
        ("lease.released", second, 2, true),
        ("lease.expired", second, 2, true),
        ("lease.renewed", second, 2, true),
        ("lease.returned", first, 2, false),
        ("lease.recorded", second, 2, true),
        ("lease.unheard_of", second, 2, true),
        // Of an address that nobody has.
        ("lease.freed", first, 3, true),
        ("lease.transferred", first, 3, true),
        ("lease.held", first, 3, true),
    ] {
        let found = broken_inside(
            new,
            append,
            &[
                NETWORK.as_bytes().into(),
                kind.into(),
                subject.as_bytes().into(),
                (&octets(last)).into(),
            ],
        );
        let impossible = |one: &Violation| matches!(one, Violation::ImpossibleEvent { address, .. } if *address == ip(&format!("10.0.0.{last}")));
        assert!(found.iter().any(impossible), "{kind} of {last}: {found:?}");
        let told_otherwise = found.contains(&unexplained(last));
        assert!(explained || told_otherwise, "{kind} of {last}: {found:?}");
    }
}

pub fn a_violation_names_the_address(new: New) {
    let delete = "DELETE FROM alloc_lease WHERE address = $1";
    let found = broken_inside(new, delete, &[(&octets(11)).into()]);
    let said: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            format!("10.0.0.11 of pool {BLOCK} is lost"),
            format!("events do not explain the state of 10.0.0.11 in network {NETWORK}"),
        ]
    );
}
