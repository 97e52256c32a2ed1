//! What only the engine can see of its number.

use super::super::Postgres;
use crate::store::Transaction as _;
use crate::store::{Begin as _, Begun};

#[path = "../../../../tests/shared/postgres.rs"]
mod server;

fn seen(store: &mut Postgres) -> Vec<(i64, i64)> {
    let rows = store
        .transaction(|tx| tx.query("SELECT id, seen_at FROM alloc_instance ORDER BY id", &[]))
        .unwrap();
    rows.iter()
        .map(|row| {
            let mut row = row.columns();
            (row.integer().unwrap(), row.integer().unwrap())
        })
        .collect()
}

fn begin(store: &mut Postgres, now: i64) -> i64 {
    let Begun { open, .. } = store.begin(now, &[]).unwrap();
    open.instance().unwrap()
}

#[test]
fn a_process_has_one_number_whose_row_is_kept_fresh() {
    let Some(cluster) = server::cluster_in_memory() else { return };
    let url = cluster.schema();
    let (mut first, mut second) =
        (Postgres::connect(&url).unwrap(), Postgres::connect(&url).unwrap());
    let (one, two) = (begin(&mut first, 100), begin(&mut second, 200));
    assert_ne!(one, two);
    assert_eq!(begin(&mut first, 150), one);
    assert_eq!(seen(&mut second), [(one, 100), (two, 200)], "it is not due yet");
    first.heartbeat.shown = None;
    assert_eq!(begin(&mut first, 150), one);
    assert_eq!(seen(&mut second), [(one, 150), (two, 200)]);
    first.recover(1).unwrap();
    assert_eq!(begin(&mut first, 160), one, "another connection is no other process");
}

#[test]
fn a_process_taken_for_gone_gets_another_number() {
    let Some(cluster) = server::cluster_in_memory() else { return };
    let mut store = Postgres::connect(&cluster.schema()).unwrap();
    let gone = begin(&mut store, 100);
    store.transaction(|tx| tx.execute("DELETE FROM alloc_instance", &[])).unwrap();
    store.heartbeat.shown = None;
    let number = begin(&mut store, 300);
    assert_ne!(number, gone);
    assert_eq!(seen(&mut store), [(number, 300)]);
}

/// A pooler in transaction mode whose other connections were busy when this one was made.
#[test]
fn a_transaction_in_another_process_of_the_server_is_refused() {
    let Some(cluster) = server::cluster_in_memory() else { return };
    let mut store = Postgres::connect(&cluster.schema()).unwrap();
    begin(&mut store, 100);
    store.pid += 1;
    let refused = store.begin(100, &[]).map(drop);
    assert!(matches!(refused, Err(crate::Error::Setting { name: "pool_mode", .. })), "{refused:?}");
    store.recover(100).unwrap();
    begin(&mut store, 100);
}

#[test]
fn a_number_given_before_a_promotion_is_not_used_after_it() {
    let Some(cluster) = server::cluster_in_memory() else { return };
    let mut store = Postgres::connect(&cluster.schema()).unwrap();
    let before = begin(&mut store, 100);
    store.heartbeat.reconnected(Some(u32::MAX));
    assert_ne!(begin(&mut store, 100), before);
}
