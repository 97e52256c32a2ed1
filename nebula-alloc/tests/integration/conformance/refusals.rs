//! Does an operation that refuses leave nothing behind, although the transaction goes on and is
//! committed?

use nebula_alloc::block::{self, Block};
use nebula_alloc::import::{Assignment, take_over};
use nebula_alloc::lease::transfer;
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::{Row, Transaction};
use nebula_alloc::{Error, NetworkId, PoolId, pool};

use crate::support::*;

const POOL: PoolId = PoolId([1; 16]);

/// 10.0.0.1 to .9; .4 and .9 are leased.
fn leased(new: New) -> Store {
    let mut store = new();
    store.ranged(1, range("10.0.0.1", "10.0.0.9"));
    store.at(NOW, &given(4, "10.0.0.4")).unwrap();
    store.at(NOW, &given(9, "10.0.0.9")).unwrap();
    store
}

fn everything(tx: &mut dyn Transaction) -> Result<Vec<Vec<Row>>, Error> {
    ["pool", "interval", "lease", "reservation", "event"]
        .iter()
        .map(|table| tx.query(&format!("SELECT * FROM alloc_{table} ORDER BY 1, 2, 3"), &[]))
        .collect()
}

/// The refusal, committed.
fn refused<T: std::fmt::Debug>(
    store: &mut Store,
    work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
) -> Error {
    let before = store.run(everything).unwrap();
    let error = store.run(|tx| Ok(work(tx).unwrap_err())).unwrap();
    assert!(error.is_refusal(), "{error}");
    assert_eq!(store.run(everything).unwrap(), before, "after {error}");
    store.assert_sound();
    error
}

pub fn shrinking_at_one_end_does_not_begin_before_the_other_is_judged(new: New) {
    let mut store = leased(new);
    let error = refused(&mut store, |tx| {
        pool::resize(tx, NOW, &ACTOR, POOL, range("10.0.0.2", "10.0.0.8"))
    });
    assert!(matches!(error, Error::LeasesStand { .. }), "{error}");
}

pub fn none_is_taken_over_before_all_are_judged(new: New) {
    let mut store = leased(new);
    let assigned = |number, address| Assignment {
        pool: None,
        owner: owner(number),
        address: ip(address),
        hold_until: NOW,
        until: None,
    };
    let mut refusal = |last: Assignment| {
        let list = [assigned(1, "10.0.0.1"), assigned(1, "10.0.0.1"), last];
        refused(&mut store, |tx| take_over(tx, NOW, &ACTOR, NETWORK, &list))
    };
    let taken = |address| Error::AddressTaken { network: NETWORK, address: ip(address) };
    let another = |number, held, asked| Error::OwnerHasAnother {
        network: NETWORK,
        owner: owner(number),
        held: ip(held),
        asked: ip(asked),
    };
    assert_eq!(refusal(assigned(2, "10.0.0.9")), taken("10.0.0.9"));
    assert_eq!(refusal(assigned(2, "10.0.0.1")), taken("10.0.0.1"));
    assert_eq!(refusal(assigned(1, "10.0.0.2")), another(1, "10.0.0.1", "10.0.0.2"));
    assert_eq!(refusal(assigned(4, "10.0.0.2")), another(4, "10.0.0.4", "10.0.0.2"));
}

pub fn what_stands_in_the_way_is_found_before_anything_is_written(new: New) {
    let mut store = leased(new);
    let block = |network, first, last| Block {
        id: PoolId([50; 16]),
        network,
        pool: POOL,
        name: "block".into(),
        range: range(first, last),
    };
    refused(&mut store, |tx| pool::delete(tx, NOW, &ACTOR, POOL));
    for block in [
        block(NETWORK, "10.0.0.3", "10.0.0.5"),
        block(NETWORK, "10.0.0.9", "10.0.0.10"),
        block(NetworkId([9; 16]), "10.0.0.1", "10.0.0.2"),
    ] {
        refused(&mut store, |tx| block::create(tx, NOW, &ACTOR, &block));
    }
    for (first, last, purpose) in [
        ("10.0.0.1", "10.0.0.9", Purpose::Nobody),
        ("10.0.0.1", "10.0.0.2", Purpose::Owner(owner(1))),
        ("10.0.0.4", "10.0.0.4", Purpose::Owner(owner(1))),
    ] {
        let kept = Reservation { range: range(first, last), purpose, note: None };
        refused(&mut store, |tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &kept));
    }
    refused(&mut store, |tx| transfer(tx, NOW, &ACTOR, NETWORK, owner(4), owner(9)));
}
