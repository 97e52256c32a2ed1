//! What does the seam refuse, so that one text can serve two engines?
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "support/store.rs"]
mod support;

use nebula_alloc::Error;
use nebula_alloc::store::{Row, Value};
use support::*;

#[test]
fn parameters_are_numbered_as_they_appear() {
    let mut store = Store::new();
    for (sql, params) in [
        ("SELECT $2, $1", 2),
        ("SELECT $1, $3", 2),
        ("SELECT ?, ?", 2),
        ("SELECT $1", 2),
        ("SELECT $1, $2", 1),
        ("SELECT :name", 1),
    ] {
        let params = vec![1.into(); params];
        let result = store.run(|tx| tx.query(sql, &params));
        assert!(matches!(result, Err(Error::Statement { .. })), "{sql}: {result:?}");
    }
    let rows = store.run(|tx| tx.query("SELECT $1, $2, $1", &[1.into(), 2.into()])).unwrap();
    let expected = [1, 2, 1].map(Value::Integer).to_vec();
    assert_eq!(rows, [Row::new(expected)]);
}

#[test]
fn execute_refuses_returning_before_it_changes_a_row() {
    let mut store = Store::new();
    store.pool(1, "10.0.0.0/24");
    store.allocate(1).unwrap();
    let refused = store.run(|tx| {
        let result = tx.execute("DELETE FROM alloc_lease RETURNING address", &[]);
        assert!(matches!(result, Err(Error::Statement { .. })), "{result:?}");
        Ok(())
    });
    assert_eq!(refused, Ok(()));
    assert_eq!(store.leases().len(), 1);
}

#[test]
fn a_column_of_another_type_is_an_error_that_names_it() {
    let mut store = Store::new();
    let rows = store.run(|tx| tx.query("SELECT 1, 'two', NULL", &[])).unwrap();
    let row = &rows[0];
    assert_eq!((row.integer(0), row.text(1), row.optional_blob(2)), (Ok(1), Ok("two"), Ok(None)));
    let error = |index, expected, found| Error::Column { index, expected, found };
    assert_eq!(row.text(0), Err(error(0, "a text", "an integer")));
    assert_eq!(row.integer(2), Err(error(2, "an integer", "null")));
    assert_eq!(row.optional_integer(1), Err(error(1, "an integer", "a text")));
    assert_eq!(row.blob(3), Err(error(3, "a blob", "absent")));
    let real = store.run(|tx| tx.query("SELECT 1.5", &[]));
    assert!(matches!(real, Err(Error::Column { index: 0, .. })));
    let blob = store.run(|tx| tx.query("SELECT $1", &[(&[1_u8, 2, 3]).into()])).unwrap();
    assert!(matches!(blob[0].address(0), Err(Error::Column { .. })));
    assert!(matches!(blob[0].array::<16>(0), Err(Error::Column { .. })));
    assert_eq!(blob[0].array(0), Ok([1, 2, 3]));
}

#[test]
fn query_each_answers_each_set_in_order() {
    let mut store = Store::new();
    let sets = vec![vec![1.into()], vec![2.into()]];
    let rows = store.run(|tx| tx.query_each("SELECT $1 WHERE $1 > 1", &sets)).unwrap();
    assert_eq!(rows, [vec![], vec![Row::new(vec![Value::Integer(2)])]]);
}

#[test]
fn readers_see_one_snapshot_and_cannot_write() {
    let mut store = Store::new();
    store.pool(1, "10.0.0.0/24");
    let readers = store.sqlite.readers(1).unwrap();
    let count = "SELECT count(*) FROM alloc_lease";
    readers
        .read(|tx| {
            assert_eq!(tx.query(count, &[])?[0].integer(0)?, 0);
            store.allocate(1)?;
            assert_eq!(tx.query(count, &[])?[0].integer(0)?, 0, "the snapshot does not move");
            let refused = tx.execute("DELETE FROM alloc_lease", &[]);
            assert!(refused.is_err());
            Ok::<_, Error>(())
        })
        .unwrap();
    let now = readers.read(|tx| tx.query(count, &[])?[0].integer(0)).unwrap();
    assert_eq!(now, 1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        readers.read(|_| -> Result<(), Error> { panic!("in a reader") })
    }));
    assert!(panicked.is_err());
    assert_eq!(readers.read(|tx| tx.query(count, &[])?[0].integer(0)), Ok(1), "it came back");
}
