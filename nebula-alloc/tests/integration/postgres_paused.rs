//! Does a process that stands still inside its transaction stop the others?

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::shared::child::{self, Child};
use crate::shared::postgres;
use crate::support::told::*;
use nebula_alloc::store::Subject;
use nebula_alloc::{Error, Writer};

/// Not a test of its own: a process at work on key 9.
#[test]
fn the_process_that_stands_still() {
    let Some(url) = child::argument() else { return };
    let worked = open(url.to_str().unwrap()).transaction_about(&[Subject::Key(vec![9])], |tx| {
        tx.execute(INSERT, &[9.into(), 9.into()])?;
        child::say("inside");
        child::wait();
        Ok::<_, Error>(())
    });
    child::say(if worked.is_ok() { "committed" } else { "refused" });
}

fn at_work(url: &str) -> Child {
    let mut child = Child::start("postgres_paused::the_process_that_stands_still", Path::new(url));
    assert_eq!(child.line().as_deref(), Some("inside"));
    child
}

/// Steps about keys, one after the other, until told to stop. Answers how many, and the longest.
fn work(writer: &Writer, key: u8, stop: &AtomicBool) -> (usize, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        assert_eq!(writer.run(Told::new(key, |tx| value(tx, 1))), Ok(0));
        longest = longest.max(begun.elapsed());
        count += 1;
    }
    (count, longest)
}

#[test]
fn a_step_about_everything_waits_for_it_and_those_about_keys_go_on() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    drop(with_table(&url));
    let (same, other) = (writer(open(&url)), writer(open(&url)));
    let child = at_work(&url);
    child.pause();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        let working = [(&same, 1), (&other, 2)]
            .map(|(writer, key)| scope.spawn(move || work(writer, key, stop)));
        let begun = Instant::now();
        let alone = same.transaction(|tx, _| value(tx, 1));
        let took = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(alone, Ok(0), "after {took:?}");
        // The server ends the transaction of the one that stands still.
        assert!(took > Duration::from_secs(5) && took < Duration::from_secs(20), "{took:?}");
        for working in working {
            let (count, longest) = working.join().unwrap();
            // A tenth of the time they queue behind who wants to be alone.
            assert!(longest < Duration::from_secs(1) && count > 500, "{count}, {longest:?}");
        }
    });
    assert_eq!(rows(&url), 4, "what it had done is gone");
}

/// Of a transaction that is not over when its time is there is nothing, whatever its process does.
#[test]
fn a_process_that_stood_still_for_too_long_commits_nothing() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    drop(with_table(&url));
    let mut child = at_work(&url);
    child.pause();
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    assert_ne!(cluster.sql(idle), "0");
    // While the other waits it is alone.
    assert_eq!(open(&url).transaction(|tx| value(tx, 1)), Ok(0));
    child.resume();
    assert_eq!(child.finish(), ["refused"]);
    assert_eq!(rows(&url), 4);
}

/// There is never a moment in which no other process is at work.
#[test]
fn a_step_about_everything_gets_in_under_load() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    drop(with_table(&url));
    let busy =
        || Told::new(1, |tx| tx.query("SELECT CAST(pg_sleep(0.02) AS TEXT)", &[]).map(|_| 0));
    let stop = AtomicBool::new(false);
    let (stopped, url) = (&stop, &url);
    thread::scope(|scope| {
        for key in 0..4 {
            scope.spawn(move || {
                let writer = writer(open(url));
                while !stopped.load(Ordering::Relaxed) {
                    let asked = [key, key + 10].map(|key| writer.send(busy().about(key)));
                    asked.into_iter().for_each(|answer| assert_eq!(answer.wait(), Ok(0)));
                }
            });
        }
        let alone = writer(open(url));
        let begun = Instant::now();
        for _ in 0..10 {
            assert_eq!(alone.transaction(|tx, _| value(tx, 1)), Ok(0));
        }
        let took = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}
