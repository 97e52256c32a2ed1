//! Which programs may run on which schema?
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "support/store.rs"]
mod support;

use nebula_alloc::store::migrate::{Component, Migration, migrate};
use nebula_alloc::{Error, Sqlite};
use support::*;

const ONE: Migration = Migration {
    version: 1,
    oldest: 1,
    sql: "CREATE TABLE part_a (id {blob} NOT NULL PRIMARY KEY) {clustered}; CREATE TABLE part_b (id {identity})",
};
const TWO: Migration =
    Migration { version: 2, oldest: 1, sql: "ALTER TABLE part_a ADD COLUMN note TEXT" };
const THREE: Migration = Migration { version: 3, oldest: 3, sql: "DROP TABLE part_b" };

const V1: Component = Component { name: "part", migrations: &[ONE] };
const V2: Component = Component { name: "part", migrations: &[ONE, TWO] };
const V3: Component = Component { name: "part", migrations: &[ONE, TWO, THREE] };

fn recorded(store: &mut Store) -> (i64, i64) {
    let sql = "SELECT version, oldest FROM nebula_schema WHERE component = 'part'";
    store
        .run(|tx| {
            let row = &tx.query(sql, &[])?[0];
            Ok((row.integer(0)?, row.integer(1)?))
        })
        .unwrap()
}

#[test]
fn neighbouring_versions_run_side_by_side() {
    let mut store = Store::new();
    for (component, expected) in [(V1, (1, 1)), (V2, (2, 1)), (V1, (2, 1)), (V2, (2, 1))] {
        store.run(|tx| migrate(tx, &component)).unwrap();
        assert_eq!(recorded(&mut store), expected);
    }
}

#[test]
fn all_steps_are_taken_at_once_from_nothing() {
    let mut store = Store::new();
    store.run(|tx| migrate(tx, &V3)).unwrap();
    assert_eq!(recorded(&mut store), (3, 3));
    assert_eq!(store.run(|tx| tx.tables("part_")).unwrap(), ["part_a"]);
}

#[test]
fn a_program_older_than_the_schema_allows_is_refused() {
    let mut store = Store::new();
    store.run(|tx| migrate(tx, &V3)).unwrap();
    assert_eq!(
        store.run(|tx| migrate(tx, &V2)),
        Err(Error::SchemaTooNew { component: "part".into(), oldest: 3, supported: 2 })
    );
}

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
fn tables_without_a_recorded_version_are_foreign() {
    let mut store = Store::new();
    store.run(|tx| tx.script("CREATE TABLE part_b (x)")).unwrap();
    let refused = store.run(|tx| migrate(tx, &V1));
    assert!(matches!(refused, Err(Error::ForeignSchema { .. })), "{refused:?}");
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
fn a_failed_step_leaves_the_schema_as_it_was() {
    const BAD: Component = Component {
        name: "part",
        migrations: &[
            ONE,
            Migration { version: 2, oldest: 1, sql: "CREATE TABLE part_c (x); NONSENSE" },
        ],
    };
    let mut store = Store::new();
    store.run(|tx| migrate(tx, &V1)).unwrap();
    assert!(store.run(|tx| migrate(tx, &BAD)).is_err());
    assert_eq!(recorded(&mut store), (1, 1));
    assert_eq!(store.run(|tx| tx.tables("part_")).unwrap(), ["part_a", "part_b"]);
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
    let count = again.transaction(|tx| tx.query("SELECT total_changes()", &[])?[0].integer(0));
    assert_eq!(count, Ok::<_, Error>(0));
    drop(again);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    drop(directory);
}
