//! Do several processes on one PostgreSQL database keep out of each other's way?
//!
//! A process is a connection here, and so is a thread's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use crate::shared::postgres;
use crate::support::told::*;
use nebula_alloc::lease::Request;
use nebula_alloc::store::Subject;
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Error, OwnerId, Postgres, Writer};

#[test]
fn several_processes_may_migrate_at_once() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    for _ in 0..5 {
        let url = cluster.schema();
        thread::scope(|scope| {
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| Postgres::connect(&url))).collect();
            for open in opening {
                open.join().unwrap().unwrap();
            }
        });
        let versions = "SELECT count(*) FROM nebula_schema WHERE component = 'alloc'";
        let count = open(&url).transaction(|tx| tx.query(versions, &[])?[0].columns().integer());
        assert_eq!(count, Ok::<_, Error>(1));
    }
}

#[test]
fn what_the_server_says_to_retry_is_retried() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    for (code, expected) in [("40001", true), ("40P01", true), ("55P03", true), ("22012", false)] {
        let url = cluster.schema();
        let mut store = with_table(&url);
        // A sequence counts on, whatever is rolled back.
        let script = format!(
            "CREATE SEQUENCE attempts;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('attempts') < 3 THEN
                     RAISE EXCEPTION 'refused' USING ERRCODE = '{code}';
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON mine
                 FOR EACH ROW EXECUTE FUNCTION refuse()"
        );
        store.transaction(|tx| tx.script(&script)).unwrap();
        let writer = writer(store);
        let changed =
            writer.run(Told::new(1, |tx| tx.queue_one(UPDATE, &[9.into(), 1.into()]).map(|()| 9)));
        assert_eq!(changed.is_ok(), expected, "{code}: {changed:?}");
        assert_eq!(writer.counters().retries, if expected { 2 } else { 0 }, "{code}");
    }
}

/// One more, read in the plan and written by what was read.
fn count(key: u8) -> Told {
    let read = Arc::new(AtomicI64::new(0));
    let found = Arc::clone(&read);
    let step = Told::new(key, move |tx| {
        let next = found.load(Ordering::Relaxed) + 1;
        tx.queue_one(UPDATE, &[next.into(), i64::from(key).into()]).map(|()| 0)
    });
    step.planning(move |tx| {
        read.store(value(tx, key.into())?, Ordering::Relaxed);
        Ok(0)
    })
}

/// A hundred more of each, in the same way.
fn count_all(writer: &Writer) -> Result<(), Error> {
    writer.transaction(|tx, _| {
        let found = (0..3).map(|id| value(tx, id)).collect::<Result<Vec<_>, Error>>()?;
        for (id, found) in (0..3).zip(found) {
            tx.queue_one(UPDATE, &[(found + 100).into(), id.into()])?;
        }
        Ok(())
    })
}

#[test]
fn steps_of_one_key_and_of_everything_never_run_at_once() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    const ROUNDS: i64 = 40;
    let url = cluster.schema();
    drop(with_table(&url));
    thread::scope(|scope| {
        for _ in 0..2 {
            let writer = writer(open(&url));
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let answers: Vec<_> = (0..3).map(|key| writer.send(count(key))).collect();
                    count_all(&writer).unwrap();
                    answers.into_iter().for_each(|answer| assert_eq!(answer.wait(), Ok(0)));
                }
            });
        }
    });
    let values = open(&url)
        .transaction(|tx| (0..3).map(|id| value(tx, id)).collect::<Result<Vec<_>, Error>>());
    assert_eq!(values, Ok(vec![2 * ROUNDS * 101; 3]));
}

#[test]
fn a_key_that_another_process_keeps_is_contention_and_disturbs_no_other() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = with_table(&url);
    let writer = writer(open(&url));
    let held = store.transaction_about(&[Subject::Key(vec![1])], |_| {
        let answers = batch(&writer, vec![Told::new(1, |_| Ok(1)), Told::new(2, |_| Ok(2))]);
        assert!(matches!(answers[0], Err(Error::Contended { .. })), "{:?}", answers[0]);
        assert_eq!(answers[1], Ok(2));
        let mut other = open(&url);
        let same = other.transaction_about(&[Subject::Key(vec![1])], |_| Ok::<_, Error>(()));
        assert!(matches!(same, Err(Error::Contended { .. })), "{same:?}");
        other.transaction_about(&[Subject::Key(vec![2])], |_| Ok::<_, Error>(()))
    });
    assert_eq!(held, Ok(()));
    assert_eq!(writer.run(Told::new(1, |_| Ok(1))), Ok(1));
    assert!(writer.counters().deferrals > 1);
}

/// Neither a double nor a refusal while there is one left, although each process keeps a run of
/// addresses to itself.
#[test]
fn several_processes_exhaust_a_pool_exactly() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = with_pool(&url);
    let processes = [(); 3].map(|()| Allocator::new(writer(open(&url)), "test"));
    // 24 threads, eight on each, and eleven owners of each thread's.
    let ask = |thread: u8| {
        let allocator = &processes[usize::from(thread) % 3];
        let owner = |number| OwnerId([[thread; 8], [number; 8]].concat().try_into().unwrap());
        let requests = (0..11).map(|number| Request { owner: owner(number), ..request(0) });
        requests.map(|request| allocator.allocate(request).wait()).collect::<Vec<_>>()
    };
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..24).map(|thread| scope.spawn(move || ask(thread))).collect();
        asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let granted: BTreeSet<_> = answers.iter().flatten().map(|lease| lease.address).collect();
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!((granted.len(), refused.len()), (254, 10), "{refused:?}");
    assert!(
        refused.iter().all(|error| matches!(error, Error::PoolExhausted { .. })),
        "{refused:?}"
    );
    assert_eq!(store.transaction(|tx| verify(tx)), Ok(vec![]));
}
