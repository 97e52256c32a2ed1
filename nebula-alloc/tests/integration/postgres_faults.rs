//! What is told, and what is there, when the connection or the server is lost?

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::shared::postgres::{self, Cluster};
use crate::support::told::*;
use nebula_alloc::lease::list;
use nebula_alloc::verify::verify;
use nebula_alloc::{Actor, Allocator, Error, Outage, Postgres, Writer, WriterOptions, clock};

fn own() -> Option<Arc<Cluster>> {
    Cluster::own(&std::env::temp_dir()).map(Arc::new)
}

#[test]
fn a_connection_lost_while_idle_is_made_anew_unnoticed() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = format!("{} application_name=idle", cluster.schema());
    let store = with_table(&url);
    let readers = store.readers(2).unwrap();
    let writer = writer(store);
    for _ in 0..3 {
        writer
            .run(Told::new(1, |tx| tx.queue_one(UPDATE, &[1.into(), 1.into()]).map(|()| 0)))
            .unwrap();
        assert_eq!(readers.read(|tx| value(tx, 1)), Ok(1));
        assert!(cluster.terminate("idle") >= 1);
    }
    assert!(writer.is_ready());
}

/// The clock of a process that writes with others, and theirs: neither takes the other along.
#[test]
fn a_clock_that_is_not_the_servers_writes_nothing_until_it_is() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let now = i64::try_from(since.as_secs()).unwrap();
    let off = Arc::new(AtomicI64::new(-30));
    let mut store = with_table(&cluster.schema()).with_clock_tolerance(5);
    // Its events are of another time.
    store.transaction(|tx| clock::confirm(tx, now - 60, &Actor::named("test"))).unwrap();
    let clock = {
        let off = Arc::clone(&off);
        move || now + off.load(Ordering::Relaxed)
    };
    let writer = Writer::start(store, clock, WriterOptions::default()).unwrap();
    let set = |number: i64| {
        writer.run(Told::new(1, move |tx| {
            tx.queue_one(UPDATE, &[1.into(), number.into()]).map(|()| number)
        }))
    };
    let refused = set(1);
    let behind =
        matches!(&refused, Err(Error::Unavailable(Outage::ClockOff { is_ahead: false, .. })));
    assert!(behind, "{refused:?}");
    assert!(!writer.is_ready());
    off.store(86_400, Ordering::Relaxed);
    let refused = set(2);
    let ahead =
        matches!(&refused, Err(Error::Unavailable(Outage::ClockOff { is_ahead: true, .. })));
    assert!(ahead, "{refused:?}");
    off.store(0, Ordering::Relaxed);
    assert_eq!(set(3), Ok(3));
    assert!(writer.is_ready());
}

#[test]
fn a_connection_lost_before_the_commit_leaves_nothing() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let victim = format!("{url} application_name=before");
    let writer = writer(with_table(&victim));
    let mut fail = true;
    let answer = writer.run(Told::new(1, move |tx| {
        tx.execute(INSERT, &[10.into(), 0.into()])?;
        if std::mem::take(&mut fail) {
            assert_eq!(cluster.terminate("before"), 1);
        }
        value(tx, 10)
    }));
    assert!(matches!(answer, Err(Error::Unavailable { .. })), "{answer:?}");
    assert_eq!(rows(&url), 4);
    let again = Told::new(1, |tx| tx.queue(INSERT, &[10.into(), 7.into()]).map(|()| 7));
    assert_eq!(writer.run(again), Ok(7));
    assert_eq!(writer.counters().recoveries, 1);
}

#[test]
fn a_connection_lost_at_the_commit_is_an_unknown_outcome() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = with_table(&url);
    store
        .transaction(|tx| {
            tx.script(
                "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     PERFORM pg_terminate_backend(pg_backend_pid());
                     RETURN NULL;
                 END $$;
                 CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON mine DEFERRABLE INITIALLY DEFERRED
                     FOR EACH ROW EXECUTE FUNCTION leave()",
            )
        })
        .unwrap();
    let writer = writer(store);
    let answers = batch(
        &writer,
        vec![
            Told::new(1, |tx| tx.queue(INSERT, &[10.into(), 0.into()]).map(|()| 0)),
            Told::new(2, |tx| tx.queue_one(UPDATE, &[5.into(), 1.into()]).map(|()| 0)),
        ],
    );
    for answer in answers {
        assert!(matches!(answer, Err(Error::OutcomeUnknown { .. })), "{answer:?}");
    }
    assert_eq!(writer.run(Told::new(1, |tx| value(tx, 1))), Ok(0));
    assert_eq!(rows(&url), 4);
    let counters = writer.counters();
    assert_eq!((counters.failed_commits, counters.recoveries), (1, 1));
}

/// A standby that does not answer keeps the commit, which has taken place here, from being
/// acknowledged; then the connection is cut.
#[test]
fn a_commit_whose_answer_is_lost_is_found_by_asking_again() {
    let Some(cluster) = own() else { return };
    let url = format!("{} application_name=victim", cluster.url("-cjit=off"));
    let allocator = Arc::new(Allocator::new(writer(with_pool(&url)), "test"));
    cluster.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    cluster.sql("SELECT pg_reload_conf()");
    until("the setting is read", || cluster.sql("SHOW synchronous_standby_names") == "nobody");
    let asking = Arc::clone(&allocator);
    let asked = std::thread::spawn(move || asking.allocate(request(1)).wait());
    until("the commit waits for a standby", || {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        cluster.sql(waits) == "1"
    });
    assert_eq!(cluster.terminate("victim"), 1);
    let lost = asked.join().unwrap();
    assert!(matches!(lost, Err(Error::OutcomeUnknown { .. })), "{lost:?}");
    cluster.sql("ALTER SYSTEM RESET synchronous_standby_names");
    cluster.sql("SELECT pg_reload_conf()");

    let mut store = open(&url);
    let stored = store.transaction(|tx| list(tx, NETWORK, None, 10)).unwrap();
    assert_eq!(stored.len(), 1);
    until("the writer recovers", || allocator.writer().is_ready());
    assert_eq!(allocator.allocate(request(1)).wait(), Ok(stored[0]));
    assert_eq!(store.transaction(|tx| list(tx, NETWORK, None, 10)), Ok(stored));
}

#[test]
fn a_killed_server_is_waited_for_and_keeps_what_was_acknowledged() {
    let Some(cluster) = own() else { return };
    let url = cluster.url("-cjit=off");
    let allocator = Allocator::new(writer(with_pool(&url)), "test");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        for number in 0..10 {
            acknowledged.push(allocator.allocate(request(round * 10 + number)).wait().unwrap());
        }
        cluster.kill();
        let refused = allocator.allocate(request(200)).wait();
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert!(!allocator.writer().is_ready());
        cluster.start();
        // By itself: nobody asks it anything.
        until("the writer recovers", || allocator.writer().is_ready());
    }
    let mut store = open(&url);
    let stored = store.transaction(|tx| list(tx, NETWORK, None, 100)).unwrap();
    assert_eq!(stored, acknowledged);
    assert_eq!(store.transaction(|tx| verify(tx)), Ok(vec![]));
}

/// Its processes are there, the kernel accepts connections, and nothing is ever said.
#[test]
fn a_server_that_stands_still_keeps_nobody_waiting_for_long() {
    let Some(cluster) = own() else { return };
    let url = format!("{} connect_timeout=1", cluster.url("-cjit=off"));
    let store = with_pool(&url);
    let readers = store.readers(1).unwrap();
    let allocator = Allocator::new(writer(store), "test");
    let leaving = Allocator::new(writer(open(&url)), "test");
    let first = allocator.allocate(request(1)).wait().unwrap();
    let paused = cluster.pause();
    std::thread::scope(|scope| {
        let bounded = |what: &'static str, refused: &dyn Fn() -> Result<(), Error>| {
            let begun = Instant::now();
            let refused = refused();
            assert!(matches!(refused, Err(Error::Unavailable { .. })), "{what}: {refused:?}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", begun.elapsed());
        };
        scope.spawn(move || {
            bounded("reading", &|| readers.read(|tx| tx.query("SELECT 1", &[])).map(drop));
        });
        scope.spawn(move || {
            bounded("the last request", &|| leaving.allocate(request(3)).wait().map(drop));
            let begun = Instant::now();
            drop(leaving);
            assert!(begun.elapsed() < Duration::from_secs(20), "shutdown");
        });
        scope.spawn(move || bounded("connecting", &|| Postgres::connect(&url).map(drop)));
        bounded("the first request", &|| allocator.allocate(request(2)).wait().map(drop));
        bounded("the next request", &|| allocator.allocate(request(2)).wait().map(drop));
    });
    assert!(!allocator.writer().is_ready());
    drop(paused);
    until("the writer recovers", || allocator.writer().is_ready());
    assert_eq!(allocator.allocate(request(1)).wait(), Ok(first));
    assert!(allocator.allocate(request(2)).wait().is_ok());
}

/// The server ends itself when it can't write its log.
#[test]
fn a_server_whose_disk_is_full_loses_nothing_that_was_acknowledged() {
    let Some((cluster, disk)) = Cluster::on_small_disk(&std::env::temp_dir()) else { return };
    let url = cluster.url("-cjit=off");
    let allocator = Allocator::new(writer(with_pool(&url)), "test");
    let mut acknowledged: Vec<_> =
        (1..=10).map(|number| allocator.allocate(request(number)).wait().unwrap()).collect();
    disk.fill();
    // Through what is left of the segment that it writes.
    let more = || {
        let noise =
            "SELECT CAST(pg_logical_emit_message(true, 'noise', repeat('x', 60000)) AS TEXT)";
        allocator.writer().run(Told::new(0, move |tx| tx.query(noise, &[]).map(|_| 0)))
    };
    let refused = (11..=200).find_map(|number| {
        match more().and_then(|_| allocator.allocate(request(number)).wait()) {
            Ok(lease) => {
                acknowledged.push(lease);
                None
            }
            Err(error) => Some(error),
        }
    });
    let failed = matches!(refused, Some(Error::Unavailable { .. } | Error::OutcomeUnknown { .. }));
    assert!(failed, "{refused:?} after {}", acknowledged.len());
    disk.empty();
    if !cluster.is_running() {
        cluster.start();
    }
    until("the writer recovers", || allocator.writer().is_ready());
    let stored = open(&url).transaction(|tx| list(tx, NETWORK, None, 300)).unwrap();
    for lease in &acknowledged {
        assert!(stored.contains(lease), "{lease:?} of {stored:?}");
    }
    assert!(stored.len() <= acknowledged.len() + 1, "at most one outcome is unknown");
    assert!(allocator.allocate(request(201)).wait().is_ok());
    assert_eq!(open(&url).transaction(|tx| verify(tx)), Ok(vec![]));
}
