//! Does verifying find what is broken?
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "support/store.rs"]
mod support;

use nebula_alloc::PoolId;
use nebula_alloc::verify::{Violation, verify};
use support::*;

const POOL: PoolId = PoolId([1; 16]);

/// 10.0.0.1 to .9, of which owners have .1 to .3; then the rows are changed behind the crate's back.
fn broken(sql: &str) -> Vec<Violation> {
    let mut store = Store::new();
    store.ranged(1, range("10.0.0.1", "10.0.0.9"));
    for number in 1..=3 {
        store.allocate(number).unwrap();
    }
    store.assert_sound();
    store.run(|tx| tx.script(sql)).unwrap();
    store.run(|tx| verify(tx)).unwrap()
}

#[test]
fn a_deleted_lease_loses_its_address() {
    assert_eq!(
        broken("DELETE FROM alloc_lease WHERE address = x'0a000002'"),
        [
            Violation::Lost { pool: POOL, first: ip("10.0.0.2") },
            Violation::Unexplained { network: NETWORK, address: ip("10.0.0.2") }
        ]
    );
}

#[test]
fn a_deleted_interval_loses_the_rest() {
    assert_eq!(
        broken("DELETE FROM alloc_interval"),
        [Violation::Lost { pool: POOL, first: ip("10.0.0.4") }]
    );
}

#[test]
fn a_leased_address_that_is_free_is_there_twice() {
    assert_eq!(
        broken("UPDATE alloc_interval SET first = x'0a000003'"),
        [Violation::Doubled { pool: POOL, address: ip("10.0.0.3") }]
    );
}

#[test]
fn rows_outside_their_pool_are_strays() {
    let found = broken("UPDATE alloc_interval SET last = x'0a00000b'");
    assert!(found.contains(&Violation::StrayInterval { pool: POOL, first: ip("10.0.0.4") }));
    let found = broken("UPDATE alloc_lease SET address = x'0b000001' WHERE address = x'0a000001'");
    assert!(found.contains(&Violation::StrayLease { network: NETWORK, address: ip("11.0.0.1") }));
}

#[test]
fn an_owner_with_two_active_leases_is_found() {
    let found = broken(
        "DROP INDEX alloc_lease_active;
         UPDATE alloc_lease SET owner = (SELECT min(owner) FROM alloc_lease)",
    );
    assert_eq!(found[0], Violation::ManyActive { network: NETWORK, owner: owner(1) });
}

#[test]
fn pools_that_overlap_are_found() {
    let found = broken(
        "INSERT INTO alloc_pool (id, network, family, position, first, last)
         SELECT x'ff000000000000000000000000000000', network, 4, 9, x'0a000009', x'0a00000a' FROM alloc_pool",
    );
    let mut other = [0; 16];
    other[0] = 255;
    assert!(found.contains(&Violation::OverlappingPools { pool: POOL, other: PoolId(other) }));
}
