//! What is answered when the disk fails, and what is there afterwards?
//!
//! A child works above a recorder that also makes calls fail. While they do, every request is
//! answered `Unavailable` (nothing of it is there) or `OutcomeUnknown` (asking again tells); as soon
//! as they do not, the next request is served. What was acknowledged before, between and after is
//! there in a reopened database, and after a loss of power at any moment: what a failed
//! synchronisation was to bring to the disk counts as lost, as on Linux, though programs go on
//! seeing it.
#![cfg(unix)]

use std::path::Path;

use crate::shared::child::{self, Child, say};
use crate::shared::power_loss::cuts::lose_power;
use crate::shared::power_loss::library::{Fault, Recorder, arm};
use crate::shared::power_loss::log::{self, Record};
use crate::shared::random::Random;
use crate::support::history::History;
use crate::support::workload::{POOL, allocate, allocator, make_pool, release};
use crate::support::{DAY, request};
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Error, Sqlite};

/// The environment variables of a child: fault, after, times.
const SCENARIO: [&str; 3] = ["BROKEN_FAULT", "BROKEN_AFTER", "BROKEN_TIMES"];

const FAULTS: [Fault; 4] = [Fault::SyncFails, Fault::DiskFull, Fault::WriteFails, Fault::ReadOnly];

const PROBE: &str = "CREATE TABLE IF NOT EXISTS probe (number BIGINT)";

/// All of what it concerns.
const ALL: i64 = -1;

#[test]
fn a_disk_that_fails_and_recovers() {
    let mut refusals = 0;
    for after in [0, 1, 2, 3, 5, 8] {
        for times in [1, 2, ALL] {
            refusals += run("broken_disk::child_meets_a_fault", Fault::SyncFails, after, times);
            refusals += run("broken_disk::child_meets_a_fault", Fault::WriteFails, after, times);
        }
    }
    assert!(refusals >= 36, "{refusals}");
}

#[test]
fn a_full_disk() {
    for after in [0, 1, 24, 4_000, 4_120, 10_000] {
        let refusals = run("broken_disk::child_meets_a_fault", Fault::DiskFull, after, ALL);
        assert!(refusals > 0, "after {after}");
    }
}

#[test]
fn a_disk_that_becomes_read_only() {
    assert!(run("broken_disk::child_meets_a_fault", Fault::ReadOnly, 0, ALL) > 0);
}

/// Faults come and go while SQLite writes its log back, too.
#[test]
fn a_disk_that_fails_again_and_again() {
    let refusals = run("broken_disk::child_meets_many_faults", Fault::None, 0, 0);
    assert!(refusals > 20, "{refusals}");
}

/// The next process finds in the log what never reached the disk, and must not build on it.
#[test]
fn a_process_that_ends_after_a_failed_synchronisation() {
    for after in [0, 1, 2, 3] {
        run("broken_disk::child_ends_after_a_fault", Fault::SyncFails, after, 1);
    }
}

#[test]
fn a_disk_that_fails_while_the_database_is_opened() {
    for fault in FAULTS {
        run("broken_disk::child_opens", fault, 0, ALL);
    }
}

/// Runs a child, checks what it leaves, and answers how many requests were not served.
fn run(test: &str, fault: Fault, after: u64, times: i64) -> usize {
    let Some(recorder) = Recorder::new() else { return usize::MAX / 64 };
    let mut environment = recorder.environment();
    let words = [(fault as u8).to_string(), after.to_string(), times.to_string()];
    environment.extend(SCENARIO.iter().zip(words).map(|(name, word)| (*name, word.into())));
    let start = || Child::start_in(test, &recorder.database(), &environment).finish();
    let mut lines = start();
    if test == "broken_disk::child_ends_after_a_fault" {
        lines.extend(start());
    }
    let context = format!("{fault:?} after {after}, {times} times");
    assert_eq!(lines.last().map(String::as_str), Some("note done"), "{context}");
    let refusals = lines.iter().filter(|line| is_refusal(line)).count();
    if test == "broken_disk::child_opens" {
        return refusals;
    }

    let history = History::of(&lines);
    let reopened = history.check(&recorder.database());
    assert_eq!(reopened, Ok(()), "{context}, reopened");
    let records = log::parse(&std::fs::read(recorder.log()).unwrap());
    let failed = records.iter().any(|record| matches!(record, Record::FailedSync { .. }));
    assert!(failed || !matches!(fault, Fault::SyncFails), "{context}: nothing failed");
    for fate in 0..if failed { 5 } else { 1 } {
        let found = lose_power(&records, fate, 1, 15, &History::after);
        assert_eq!(found, [], "{context}, power lost, fate {fate}");
    }
    refusals
}

fn is_refusal(line: &str) -> bool {
    line.starts_with("refused") || line.starts_with("unknown")
}

fn scenario() -> (Fault, u64, i64) {
    let [fault, after, times] = SCENARIO.map(|name| std::env::var(name).unwrap());
    let number: u8 = fault.parse().unwrap();
    let fault = FAULTS.into_iter().find(|fault| *fault as u8 == number).unwrap_or(Fault::None);
    (fault, after.parse().unwrap(), times.parse().unwrap())
}

/// Not a test of its own, as the other children.
#[test]
fn child_meets_a_fault() {
    let Some(path) = child::argument() else { return };
    let (fault, after, times) = scenario();
    let allocator = healthy(&path);
    arm(fault, after, times);
    let answers = work(&allocator, 100);
    if times == ALL {
        // No commit without a synchronisation, and none on a disk without room: nothing is
        // acknowledged after the first failure.
        let served = answers.iter().take_while(|served| **served).count();
        assert!(!answers[served..].contains(&true), "{answers:?}");
    }
    healed(&allocator, 100);
}

#[test]
fn child_meets_many_faults() {
    let Some(path) = child::argument() else { return };
    let allocator = healthy(&path);
    let mut random = Random(7);
    for round in 1..60 {
        let fault = FAULTS[random.below(FAULTS.len())];
        let after = if matches!(fault, Fault::DiskFull) { 10_000 } else { 20 };
        let times = i64::try_from(1 + random.below(3)).unwrap();
        arm(fault, u64::try_from(random.below(after)).unwrap(), times);
        work(&allocator, round * 100);
        healed(&allocator, round * 100);
    }
}

#[test]
fn child_ends_after_a_fault() {
    let Some(path) = child::argument() else { return };
    let (fault, after, times) = scenario();
    if path.exists() {
        let allocator = allocator(&path);
        for number in 200..220 {
            allocate(&allocator, number, request(number)).unwrap();
        }
    } else {
        let allocator = healthy(&path);
        arm(fault, after, times);
        for number in 100..120 {
            if allocate(&allocator, number, request(number)).is_err() {
                // Without closing anything.
                std::process::exit(0);
            }
        }
        panic!("nothing failed");
    }
    say("note done");
}

#[test]
fn child_opens() {
    let Some(path) = child::argument() else { return };
    let (fault, ..) = scenario();
    let mut failures = 0;
    for after in 0..40 {
        for times in [1, ALL] {
            let path = path.with_extension(format!("{after}.{times}"));
            // A new file, then one that is there.
            for _ in 0..2 {
                let bytes = if matches!(fault, Fault::DiskFull) { 2_000 } else { 1 };
                arm(fault, after * bytes, times);
                let opened = Sqlite::open(&path);
                arm(Fault::None, 0, 0);
                match opened {
                    // It is not for reading only.
                    Ok(mut store) => store.transaction(|tx| tx.script(PROBE)).unwrap(),
                    Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. }) => failures += 1,
                    Err(error) => panic!("{fault:?} after {after}, {times} times: {error:?}"),
                }
                let mut store = Sqlite::open(&path).unwrap();
                assert_eq!(store.transaction(|tx| verify(tx)).unwrap(), []);
            }
        }
    }
    assert!(failures >= 4, "{failures}");
    say("note done");
}

fn healthy(path: &Path) -> Allocator {
    let allocator = allocator(path);
    make_pool(&allocator, 1, POOL);
    for number in 0..20 {
        allocate(&allocator, number, request(number)).unwrap();
    }
    allocator
}

/// On a disk that may fail. Answers which requests were served.
fn work(allocator: &Allocator, first: u64) -> Vec<bool> {
    let mut served = Vec::new();
    for number in first..first + 20 {
        served.push(is_served(&allocate(allocator, number, request(number))));
        if served.last() == Some(&true) && number % 3 == 0 {
            served.push(is_served(&release(allocator, number, DAY)));
        }
    }
    served
}

/// The fault is gone: who was not served is served now, from the first request on.
fn healed(allocator: &Allocator, first: u64) {
    arm(Fault::None, 0, 0);
    for number in (first..first + 20).filter(|number| number % 3 != 0) {
        allocate(allocator, number, request(number)).unwrap();
        assert!(allocator.writer().is_ready());
    }
    let violations = allocator.writer().transaction(|tx, _| verify(tx)).unwrap();
    assert_eq!(violations, []);
    say("note done");
}

fn is_served(answer: &Result<(), Error>) -> bool {
    match answer {
        Ok(()) => true,
        Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}
