//! Which programs may run on which schema?

use nebula_alloc::Error;
use nebula_alloc::store::migrate::{Component, Migration, migrate};

use crate::support::*;

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
            let mut row = row.columns();
            Ok((row.integer()?, row.integer()?))
        })
        .unwrap()
}

pub fn neighbouring_versions_run_side_by_side(new: New) {
    let mut store = new();
    for (component, expected) in [(V1, (1, 1)), (V2, (2, 1)), (V1, (2, 1)), (V2, (2, 1))] {
        store.run(|tx| migrate(tx, &component)).unwrap();
        assert_eq!(recorded(&mut store), expected);
    }
}

pub fn all_steps_are_taken_at_once_from_nothing(new: New) {
    let mut store = new();
    store.run(|tx| migrate(tx, &V3)).unwrap();
    assert_eq!(recorded(&mut store), (3, 3));
    assert_eq!(store.run(|tx| tx.tables("part_")).unwrap(), ["part_a"]);
}

pub fn a_program_older_than_the_schema_allows_is_refused(new: New) {
    let mut store = new();
    store.run(|tx| migrate(tx, &V3)).unwrap();
    assert_eq!(
        store.run(|tx| migrate(tx, &V2)),
        Err(Error::SchemaTooNew { component: "part".into(), oldest: 3, supported: 2 })
    );
}

pub fn tables_without_a_recorded_version_are_foreign(new: New) {
    let mut store = new();
    store.run(|tx| tx.script("CREATE TABLE part_b (x BIGINT)")).unwrap();
    let refused = store.run(|tx| migrate(tx, &V1));
    assert!(matches!(refused, Err(Error::ForeignSchema { .. })), "{refused:?}");
}

pub fn a_failed_step_leaves_the_schema_as_it_was(new: New) {
    const BAD: Component = Component {
        name: "part",
        migrations: &[
            ONE,
            Migration { version: 2, oldest: 1, sql: "CREATE TABLE part_c (x BIGINT); NONSENSE" },
        ],
    };
    let mut store = new();
    store.run(|tx| migrate(tx, &V1)).unwrap();
    assert!(store.run(|tx| migrate(tx, &BAD)).is_err());
    assert_eq!(recorded(&mut store), (1, 1));
    assert_eq!(store.run(|tx| tx.tables("part_")).unwrap(), ["part_a", "part_b"]);
}
