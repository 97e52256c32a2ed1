//! What does PostgreSQL need, refuse and tell that SQLite does not know?

mod connecting;
mod encrypting;
mod following;

use crate::shared::postgres;
use crate::support::told::*;
use nebula_alloc::lease::allocate_many;
use nebula_alloc::store::{Row, Transaction, Value};
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Error, Postgres};

#[test]
fn addresses_are_given_out_and_the_rest_stays_sound() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let allocator = Allocator::new(writer(with_pool(&url)), "test");
    for number in 1..=100 {
        let lease = allocator.allocate(request(number)).wait().unwrap();
        assert_eq!(lease.address.to_string(), format!("10.0.0.{number}"));
        assert_eq!(allocator.allocate(request(number)).wait(), Ok(lease));
    }
    let mut store = open(&url);
    assert_eq!(store.transaction(|tx| verify(tx)), Ok(vec![]));
    let readers = store.readers(1).unwrap();
    let count = readers.read(|tx| tx.query("SELECT count(*) FROM alloc_lease", &[]));
    assert_eq!(count, Ok::<_, Error>(vec![Row::new(vec![Value::Integer(100)])]));
}

#[test]
fn settings_that_endanger_what_was_acknowledged_are_refused() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.url("-csynchronous_commit=off");
    let expected =
        Error::Setting { name: "synchronous_commit", expected: "on", found: "off".into() };
    assert_eq!(Postgres::connect(&url).map(drop), Err(expected));
    let nowhere = Postgres::connect(&cluster.url("-csearch_path=nowhere")).map(drop);
    assert!(matches!(nowhere, Err(Error::Setting { name: "search_path", .. })), "{nowhere:?}");
}

#[test]
fn no_step_changes_where_leases_are_written_or_how_durable_they_are_for_others() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let (url, other) = (cluster.schema(), cluster.schema());
    drop(with_pool(&other));
    let other = open(&other)
        .transaction(|tx| tx.query("SELECT CAST(current_schema() AS TEXT)", &[]))
        .and_then(|rows| rows[0].columns().text().map(str::to_owned))
        .unwrap();
    let allocator = Allocator::new(writer(with_pool(&url)), "test");
    type Run = fn(&mut dyn Transaction, &str) -> Result<(), Error>;
    let ways: [Run; 4] = [
        |tx, sql| tx.script(sql),
        |tx, sql| tx.query(sql, &[]).map(drop),
        |tx, sql| tx.query_each(sql, &[vec![], vec![]]).map(drop),
        |tx, sql| tx.queue(sql, &[]),
    ];
    for (number, sql) in [
        format!("SET search_path = {other}"),
        format!("SET LOCAL search_path = {other}"),
        format!("SELECT CAST(set_config('search_path', '{other}', false) AS TEXT)"),
        format!("DO $$ BEGIN SET search_path = {other}; END $$"),
        "SET synchronous_commit = off".into(),
        "RESET ALL".into(),
    ]
    .into_iter()
    .enumerate()
    {
        for run in ways {
            let step = sql.clone();
            let refused = allocator.transaction(move |tx, _, _| run(tx, &step)).wait();
            assert!(matches!(refused, Err(Error::Statement { .. })), "{sql}: {refused:?}");
        }
        let owner = u8::try_from(number).unwrap() + 1;
        let lease = allocator.allocate(request(owner)).wait().unwrap();
        let held = open(&url)
            .transaction(|tx| nebula_alloc::lease::by_owner(tx, lease.network, lease.owner));
        assert_eq!(held, Ok::<_, Error>(vec![lease]), "{sql}");
    }
    let own = |tx: &mut dyn Transaction| tx.script("SET LOCAL enable_seqscan = on; SET my.own = 1");
    assert_eq!(allocator.transaction(move |tx, _, _| own(tx)).wait(), Ok(()));
    assert_eq!(open(&url).readers(1).unwrap().read(|tx| verify(tx)), Ok(vec![]));
}

#[test]
fn no_error_holds_the_password() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    for url in [
        "postgresql://user:pass word@host:port/",
        "host=x password=its secret",
        "host=/nowhere user=me password=secret",
        "host=x password=secret port=seven",
        "secret",
    ] {
        let refused = format!("{:?}", Postgres::connect(url).map(drop).unwrap_err());
        assert!(!refused.contains("secret") && !refused.contains("pass word"), "{refused}");
    }
    let store = format!("{:?}", open(&cluster.schema()));
    assert!(!store.contains("secret"), "{store}");
}

#[test]
fn numbers_of_each_width_are_numbers() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let mut store = open(&cluster.schema());
    let widths = "SELECT CAST(1 AS SMALLINT), 2, CAST(3 AS BIGINT), 1 < 2, NULL, 'text',
         count(*), length('four') FROM (SELECT 1) AS one";
    let row = store.transaction(|tx| tx.query(widths, &[])).unwrap().remove(0);
    let mut row = row.columns();
    let mut numbers = [0; 6];
    numbers[..4].fill_with(|| row.integer().unwrap());
    assert_eq!((row.optional_integer(), row.text()), (Ok(None), Ok("text")));
    numbers[4..].fill_with(|| row.integer().unwrap());
    assert_eq!(numbers, [1, 2, 3, 1, 1, 4]);

    // The server takes `$1` for a number of 32 bits here.
    let next = "SELECT $1 + 1";
    let given = |number: i64| vec![number.into()];
    let answer = store.transaction(|tx| tx.query(next, &given(41))?[0].columns().integer());
    assert_eq!(answer, Ok::<_, Error>(42));
    let wide = store.transaction(|tx| tx.query(next, &given(1 << 40)).map(drop));
    assert!(matches!(wide, Err(Error::Database { .. })), "{wide:?}");
    let text = store.transaction(|tx| tx.query(next, &["x".into()]).map(drop));
    assert!(matches!(text, Err(Error::Database { .. })), "{text:?}");
    for (sql, params) in [("SELECT 1.5", 0), ("SELECT sum(CAST(1 AS BIGINT))", 0)] {
        let refused = store.transaction(|tx| tx.query(sql, &given(0)[..params]).map(drop));
        assert!(matches!(refused, Err(Error::Column { index: 0, .. })), "{sql}: {refused:?}");
    }
    let many = store.transaction(|tx| {
        let many = tx.query("SELECT CAST($1 AS BIGINT)", &[1.into(), 2.into()]);
        assert!(matches!(many, Err(Error::Statement { .. })), "{many:?}");
        // A misuse leaves the transaction as it was.
        tx.query("SELECT 1", &[])?[0].columns().integer()
    });
    assert_eq!(many, Ok::<_, Error>(1));
}

#[test]
fn queued_statements_run_in_order_and_inserts_share_statements() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let mut store = with_table(&cluster.schema());
    let (count, shared) = store
        .transaction(|tx| {
            for id in 10..110 {
                tx.queue(INSERT, &[id.into(), id.into()])?;
            }
            tx.queue("UPDATE mine SET value = value + $1", &[1000.into()])?;
            tx.queue(INSERT, &[110.into(), 7.into()])?;
            let count = "SELECT count(*) FROM mine WHERE value >= $1";
            let count = tx.query(count, &[1000.into()])?[0].columns().integer()?;
            let shared = tx.query(
                "SELECT generic_plans + custom_plans FROM pg_prepared_statements
                 WHERE starts_with(statement, $1) AND statement LIKE '%unnest%'",
                &["INSERT INTO mine".into()],
            )?;
            assert_eq!(value(tx, 110)?, 7);
            let runs: Vec<_> = shared.iter().map(|row| row.columns().integer().unwrap()).collect();
            Ok::<_, Error>((count, runs))
        })
        .unwrap();
    assert_eq!(count, 104, "100 and the 4 that were there");
    assert_eq!(shared, [2], "one run for the four, one for the hundred");

    let short = store.transaction(|tx| {
        tx.queue(INSERT, &[200.into(), 1.into()])?;
        tx.queue(INSERT, &[201.into()])?;
        tx.flush()
    });
    assert!(matches!(short, Err(Error::Statement { .. })), "{short:?}");
}

#[test]
fn a_queued_change_of_no_row_was_overtaken() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = with_table(&url);
    let changed = store.transaction(|tx| {
        tx.queue(INSERT, &[50.into(), 0.into()])?;
        tx.queue_one(UPDATE, &[1.into(), 999.into()])?;
        tx.queue(INSERT, &[51.into(), 0.into()])
    });
    let overtaken = Error::Overtaken { verb: "UPDATE".into(), changed: 0 };
    assert_eq!(changed, Err(overtaken));
    assert_eq!(rows(&url), 4);
}

/// The server takes the commit of an aborted transaction for a rollback, without an error.
#[test]
fn an_error_that_is_ignored_does_not_pass_for_success() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = with_table(&url);
    let ignored = store.transaction(|tx| {
        tx.execute(INSERT, &[60.into(), 0.into()])?;
        assert_eq!(tx.execute(INSERT, &[60.into(), 0.into()]), Err(Error::Unique));
        let after = tx.execute(INSERT, &[61.into(), 0.into()]);
        assert_eq!(after, Err(Error::Aborted(Box::new(Error::Unique))));
        Ok(())
    });
    assert_eq!(ignored, Err(Error::Unique));
    let writer = writer(store);
    let ignored = writer.run(Told::new(1, |tx| {
        let _ = tx.execute(INSERT, &[0.into(), 0.into()]);
        Ok(0)
    }));
    assert_eq!(ignored, Err(Error::Unique));
    assert_eq!(rows(&url), 4);
}

#[test]
fn a_failing_request_has_its_error_and_its_neighbours_their_commit() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let writer = writer(with_table(&url));
    let insert = |id: i64| {
        move |tx: &mut dyn Transaction| tx.queue(INSERT, &[id.into(), 0.into()]).map(|()| id)
    };
    let wrong = |tx: &mut dyn Transaction| tx.query("SELECT nonsense", &[]).map(|_| 0);
    let answers = batch(
        &writer,
        vec![
            Told::new(1, insert(70)),
            // Found out only when it is sent.
            Told::new(2, insert(0)),
            Told::new(3, insert(71)),
            // Its error ends the transaction that the others plan in.
            Told::new(4, insert(72)).planning(wrong),
            Told::new(5, insert(73)),
            Told::new(6, insert(74)).planning(move |tx| wrong(tx).or(Ok(0))),
            Told::new(7, |_| panic!("in write")),
        ],
    );
    assert_eq!(answers[1], Err(Error::Unique));
    let refused = answers[3].clone().unwrap_err();
    assert!(matches!(&refused, Error::Database(fault) if fault.code.as_deref() == Some("42703")));
    assert_eq!(answers[5], Err(Error::Aborted(Box::new(refused))));
    assert!(matches!(&answers[6], Err(Error::Panicked { .. })), "{:?}", answers[6]);
    assert_eq!([&answers[0], &answers[2], &answers[4]], [&Ok(70), &Ok(71), &Ok(73)]);
    assert_eq!(rows(&url), 7);
    let counters = writer.counters();
    assert_eq!((counters.panics, counters.answered, counters.queued), (1, 8, 0));
    assert!(counters.splits > 0 && counters.largest_batch == 7, "{counters:?}");
}

#[test]
fn readers_see_one_snapshot_cannot_write_and_come_back() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let mut store = with_table(&cluster.schema());
    let readers = store.readers(1).unwrap();
    readers
        .read(|tx| {
            assert_eq!(value(tx, 1)?, 0);
            store.transaction(|tx| tx.execute(UPDATE, &[5.into(), 1.into()]))?;
            assert_eq!(value(tx, 1)?, 0, "the snapshot does not move");
            assert!(tx.execute(UPDATE, &[6.into(), 1.into()]).is_err());
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(readers.read(|tx| value(tx, 1)), Ok(5));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        readers.read(|_| -> Result<(), Error> { panic!("in a reader") })
    }));
    assert!(panicked.is_err());
    assert_eq!(readers.read(|tx| value(tx, 1)), Ok(5));
}

#[test]
fn it_works_inside_another_runtime() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let value = runtime.block_on(async {
        let mut store = with_table(&url);
        store.transaction(|tx| value(tx, 1)).unwrap();
        writer(store).send(Told::new(1, |tx| value(tx, 1))).await
    });
    assert_eq!(value, Ok(0));
}

/// Over a network each of them is half a millisecond or more.
#[test]
fn many_requests_cost_the_round_trips_of_few() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let mut store = with_pool(&cluster.schema());
    let mut trips = |count: u8| {
        let from = count;
        let mut run = |first: u8| {
            let before = store.round_trips();
            let requests: Vec<_> =
                (first..first + from).map(|number| (ACTOR, request(number))).collect();
            let answers = store.transaction(|tx| allocate_many(tx, NOW, &requests)).unwrap();
            assert!(answers.iter().all(Result::is_ok));
            store.round_trips() - before
        };
        // The first time it prepares its statements, too.
        run(count);
        run(count * 2)
    };
    let (few, many) = (trips(4), trips(64));
    assert_eq!(few, many);
    assert!(many <= 8, "{many} round trips");
}

/// One statement looks all owners up; each by an index, however the planner takes the table.
#[test]
fn many_owners_are_looked_up_one_by_one() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let mut store = with_pool(&cluster.schema());
    let requests: Vec<_> = (1..9).map(|number| (ACTOR, request(number))).collect();
    let plan = store
        .transaction(|tx| {
            allocate_many(tx, NOW, &requests)?;
            tx.script("SET LOCAL plan_cache_mode = force_generic_plan")?;
            tx.script("SET LOCAL enable_seqscan = off")?;
            let lookup = tx.query(
                "SELECT name FROM pg_prepared_statements WHERE strpos(statement, $1) > 0",
                &["CROSS JOIN LATERAL".into()],
            )?;
            assert_eq!(lookup.len(), 1, "one statement for all of them");
            let name = lookup[0].columns().text()?;
            tx.query(&format!("EXPLAIN (COSTS OFF) EXECUTE {name}(NULL, NULL, NULL)"), &[])
        })
        .unwrap();
    let plan: Vec<_> = plan.iter().map(|row| row.columns().text().unwrap()).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("Nested Loop") && plan.contains("alloc_lease_active"), "{plan}");
    assert!(!plan.contains("Seq Scan on alloc_") && !plan.contains("Hash Join"), "{plan}");
}
