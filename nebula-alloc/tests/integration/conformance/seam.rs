//! What does the seam refuse, so that one text can serve two engines?

use nebula_alloc::event::{self, Event};
use nebula_alloc::store::{Row, Transaction, Value};
use nebula_alloc::{Error, PoolId, lease, pool};

use crate::support::*;

/// SQLite and PostgreSQL differ in what else they take; see the tests of SQLite's engine.
pub fn as_many_parameters_are_given_as_the_text_has(new: New) {
    let mut store = new();
    let two = "SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($1 AS BIGINT)";
    for params in [0, 1, 3] {
        let params = vec![1.into(); params];
        let result = store.run(|tx| tx.query(two, &params));
        assert!(matches!(result, Err(Error::Statement { .. })), "{result:?}");
    }
    let rows = store.run(|tx| tx.query(two, &[1.into(), 2.into()])).unwrap();
    let expected = [1, 2, 1].map(Value::Integer).to_vec();
    assert_eq!(rows, [Row::new(expected)]);
}

pub fn execute_refuses_returning_before_it_changes_a_row(new: New) {
    let mut store = new();
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

pub fn a_column_of_another_type_is_an_error_that_names_it(new: New) {
    let mut store = new();
    let rows = store.run(|tx| tx.query("SELECT 1, 'two', NULL", &[])).unwrap();
    let mut row = rows[0].columns();
    let values = (row.integer(), row.text(), row.optional_blob());
    assert_eq!(values, (Ok(1), Ok("two"), Ok(None)));
    let error = |index, expected, found| Error::Column { index, expected, found };
    assert_eq!(row.blob(), Err(error(3, "a blob", "absent")));
    let mut row = rows[0].columns();
    assert_eq!(row.text(), Err(error(0, "a text", "an integer")));
    assert_eq!(row.optional_integer(), Err(error(1, "an integer", "a text")));
    assert_eq!(row.integer(), Err(error(2, "an integer", "null")));
    let real = store.run(|tx| tx.query("SELECT 1.5", &[]));
    assert!(matches!(real, Err(Error::Column { index: 0, .. })));
    let blob = store
        .run(|tx| {
            let subject = Some(vec![1, 2, 3]);
            event::append(tx, &Event { subject, ..Event::new(NOW, "test", "test") })?;
            tx.query("SELECT subject FROM alloc_event", &[])
        })
        .unwrap();
    let column = || blob[0].columns();
    assert!(matches!(column().address(), Err(Error::Column { .. })));
    assert!(matches!(column().array::<16>(), Err(Error::Column { .. })));
    assert!(matches!(column().optional_address(), Err(Error::Column { .. })));
    assert!(matches!(column().optional_array::<16>(), Err(Error::Column { .. })));
    assert_eq!(column().array(), Ok([1, 2, 3]));
    assert_eq!(column().optional_array(), Ok(Some([1, 2, 3])));
}

pub fn a_change_of_no_row_was_overtaken_and_may_be_tried_again(new: New) {
    let mut store = new();
    let none = "UPDATE alloc_pool SET position = $1 WHERE id = $2";
    let result = store.run(|tx| {
        tx.queue_one(none, &[1.into(), (&[9; 16]).into()])?;
        tx.flush()
    });
    assert_eq!(result, Err(Error::Overtaken { verb: "UPDATE".into(), changed: 0 }));
    assert!(result.is_err_and(|error| error.is_retryable()));
}

pub fn query_each_answers_each_set_in_order(new: New) {
    let mut store = new();
    store.pool(2, "10.0.0.0/24");
    let sets = vec![vec![2.into()], vec![1.into()]];
    let rows = store
        .run(|tx| tx.query_each("SELECT position FROM alloc_pool WHERE position > $1", &sets))
        .unwrap();
    assert_eq!(rows, [vec![], vec![Row::new(vec![Value::Integer(2)])]]);
}

pub fn readers_see_one_snapshot_and_cannot_write(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let readers = store.reader();
    let count = "SELECT count(*) FROM alloc_lease";
    readers
        .read(|tx| {
            assert_eq!(tx.query(count, &[])?[0].columns().integer()?, 0);
            store.allocate(1)?;
            assert_eq!(
                tx.query(count, &[])?[0].columns().integer()?,
                0,
                "the snapshot does not move"
            );
            Ok::<_, Error>(())
        })
        .unwrap();
    let delete = "DELETE FROM alloc_lease";
    type Write = dyn Fn(&mut dyn Transaction) -> Result<(), Error>;
    let writes: [&Write; 5] = [
        &|tx| tx.execute(delete, &[]).map(drop),
        &|tx| tx.queue(delete, &[]),
        &|tx| tx.script(delete),
        &|tx| lease::release(tx, NOW, &ACTOR, NETWORK, owner(1), 0).map(drop),
        &|tx| pool::set_position(tx, NOW, &ACTOR, PoolId([1; 16]), 9).map(drop),
    ];
    for write in writes {
        let refused = readers.read(write);
        assert!(matches!(refused, Err(Error::Statement { .. })), "{refused:?}");
    }
    let now = readers.read(|tx| tx.query(count, &[])?[0].columns().integer()).unwrap();
    assert_eq!(now, 1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        readers.read(|_| -> Result<(), Error> { panic!("in a reader") })
    }));
    assert!(panicked.is_err());
    assert_eq!(
        readers.read(|tx| tx.query(count, &[])?[0].columns().integer()),
        Ok(1),
        "it came back"
    );
}
