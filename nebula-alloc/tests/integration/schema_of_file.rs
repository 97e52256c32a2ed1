//! Which files may a program open?

use crate::support::*;
use nebula_alloc::{Error, Sqlite};

#[test]
fn this_crates_own_schema_too() {
    let mut store = Store::new();
    store
        .run(|tx| {
            tx.execute(
                "UPDATE nebula_schema SET version = 9, oldest = 9 WHERE component = 'alloc'",
                &[],
            )
        })
        .unwrap();
    let path = store.path();
    let (_, _directory) = {
        let (writer, directory) = store.writer(nebula_alloc::WriterOptions::default());
        (writer.shutdown(), directory)
    };
    let refused = Sqlite::open(path).map(drop);
    assert!(matches!(refused, Err(Error::SchemaTooNew { oldest: 9, .. })), "{refused:?}");
}

#[test]
fn a_version_table_of_somebody_else_is_foreign() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("theirs.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE nebula_schema (v INTEGER)")
        .unwrap();
    let refused = Sqlite::open(path).map(drop);
    assert!(matches!(refused, Err(Error::ForeignSchema { .. })), "{refused:?}");
}

#[test]
fn opening_again_changes_nothing() {
    let mut store = Store::new();
    store.pool(1, "10.0.0.0/24");
    store.allocate(1).unwrap();
    let path = store.path();
    let (writer, directory) = store.writer(nebula_alloc::WriterOptions::default());
    writer.shutdown();
    let before = std::fs::read(&path).unwrap();
    let mut again = Sqlite::open(&path).unwrap();
    let count =
        again.transaction(|tx| tx.query("SELECT total_changes()", &[])?[0].columns().integer());
    assert_eq!(count, Ok::<_, Error>(0));
    drop(again);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    drop(directory);
}
