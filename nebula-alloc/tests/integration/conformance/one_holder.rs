//! Is it the database that keeps an address to one holder?

use nebula_alloc::Error;
use nebula_alloc::store::Param;

use crate::support::*;

/// Inserts a lease past all of the crate's logic.
fn insert(store: &mut Store, address: [u8; 4], number: u64, state: i64) -> Result<u64, Error> {
    let owner = owner(number);
    let params: [Param<'_>; 5] = [
        NETWORK.as_bytes().into(),
        (&address).into(),
        (&[1_u8; 16]).into(),
        owner.as_bytes().into(),
        state.into(),
    ];
    store.run(|tx| {
        tx.execute(
            "INSERT INTO alloc_lease (network, address, family, pool, owner, state, hold_until)
             VALUES ($1, $2, 4, $3, $4, $5, 0)",
            &params,
        )
    })
}

pub fn a_second_holder_of_an_address_is_refused(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.allocate(1).unwrap();
    assert_eq!(insert(&mut store, [10, 0, 0, 1], 2, 1), Err(Error::Unique));
    assert_eq!(insert(&mut store, [10, 0, 0, 1], 2, 2), Err(Error::Unique));
}

pub fn a_second_active_lease_of_an_owner_is_refused(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.allocate(1).unwrap();
    assert_eq!(insert(&mut store, [10, 0, 0, 2], 1, 1), Err(Error::Unique));
    assert_eq!(insert(&mut store, [10, 0, 0, 2], 1, 2), Ok(1), "one in quarantine is not active");
}
