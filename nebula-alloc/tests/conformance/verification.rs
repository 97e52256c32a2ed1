//! Does verifying find what is broken?

use nebula_alloc::PoolId;
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
