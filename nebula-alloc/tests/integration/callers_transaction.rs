//! Can allocation be part of a caller's own transaction?

use crate::support::*;
use nebula_alloc::lease::{allocate, list};
use nebula_alloc::pool;
use nebula_alloc::rusqlite::{Connection, Savepoint, TransactionBehavior};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::migrate::migrate;
use nebula_alloc::store::sqlite::SqliteTransaction;
use nebula_alloc::verify::verify;
use nebula_alloc::{COMPONENT, Error};

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA user_version = 77; CREATE TABLE mine (name TEXT)",
        )
        .unwrap();
    let transaction = connection.transaction().unwrap();
    let mut tx = SqliteTransaction::new(&transaction);
    migrate(&mut tx, &COMPONENT).unwrap();
    pool::create(&mut tx, NOW, &ACTOR, &pool_of(1, range("10.0.0.1", "10.0.0.9"))).unwrap();
    transaction.commit().unwrap();
    connection
}

fn counts(connection: &Connection) -> (i64, i64) {
    let count = |table: &str| {
        connection
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap()
    };
    (count("mine"), count("alloc_lease"))
}

#[test]
fn the_callers_row_and_the_lease_are_committed_together() {
    let mut connection = database();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    transaction.execute("INSERT INTO mine VALUES ('a')", []).unwrap();
    allocate(&mut SqliteTransaction::new(&transaction), NOW, &ACTOR, &request(1)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(counts(&connection), (1, 1));
}

#[test]
fn a_rollback_leaves_neither() {
    let mut connection = database();
    for commit in [false, true] {
        let transaction = connection.transaction().unwrap();
        transaction.execute("INSERT INTO mine VALUES ('a')", []).unwrap();
        let mut tx = SqliteTransaction::new(&transaction);
        let lease = allocate(&mut tx, NOW, &ACTOR, &request(1)).unwrap();
        assert_eq!(lease.address, ip("10.0.0.1"), "the rollback before gave it back");
        if commit {
            transaction.commit().unwrap();
        } else {
            transaction.rollback().unwrap();
            assert_eq!(counts(&connection), (0, 0));
        }
    }
    assert_eq!(counts(&connection), (1, 1));
    let transaction = connection.transaction().unwrap();
    let mut tx = SqliteTransaction::new(&transaction);
    assert_eq!(verify(&mut tx).unwrap(), []);
    assert_eq!(list(&mut tx, NETWORK, None, 10).unwrap().len(), 1);
}

#[test]
fn a_refusal_leaves_the_transaction_usable() {
    let mut connection = database();
    let transaction = connection.transaction().unwrap();
    let mut tx = SqliteTransaction::new(&transaction);
    assert!(matches!(
        allocate(&mut tx, NOW, &ACTOR, &given(1, "10.0.0.200")),
        Err(Error::AddressOutsidePools { .. })
    ));
    allocate(&mut tx, NOW, &ACTOR, &request(1)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(counts(&connection), (0, 1));
}

#[test]
fn the_callers_user_version_stays() {
    let connection = database();
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 77);
}

#[test]
fn a_transaction_that_ended_stores_nothing_more() {
    let mut connection = database();
    let transaction = connection.transaction().unwrap();
    let mut tx = SqliteTransaction::new(&transaction);
    tx.execute("INSERT INTO mine VALUES ($1)", &["a".into()]).unwrap();
    // `ON CONFLICT ROLLBACK` ends the transaction as a full disk would.
    transaction.execute_batch("CREATE UNIQUE INDEX one ON mine (name)").unwrap();
    let ended = tx.execute("INSERT OR ROLLBACK INTO mine VALUES ($1)", &["a".into()]);
    assert!(matches!(ended, Err(Error::Unavailable { .. })), "{ended:?}");
    let after = tx.execute("INSERT INTO mine VALUES ($1)", &["b".into()]);
    assert!(matches!(after, Err(Error::Unavailable { .. })), "{after:?}");
    drop(transaction);
    assert_eq!(counts(&connection), (0, 0));
}

#[test]
fn what_a_savepoint_rolls_back_is_given_to_the_next() {
    let mut connection = database();
    let mut transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let allocate = |savepoint: &Savepoint<'_>, owner| {
        let mut tx = SqliteTransaction::in_savepoint(savepoint);
        allocate(&mut tx, NOW, &ACTOR, &request(owner)).unwrap().address
    };
    let undone = transaction.savepoint().unwrap();
    assert_eq!(allocate(&undone, 1), ip("10.0.0.1"));
    drop(undone);
    let kept = transaction.savepoint().unwrap();
    assert_eq!(allocate(&kept, 2), ip("10.0.0.1"));
    kept.commit().unwrap();
    transaction.commit().unwrap();
    assert_eq!(counts(&connection), (0, 1));
}
