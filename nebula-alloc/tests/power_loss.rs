//! Is what was acknowledged there after a loss of power, whatever the disk made of what was not
//! synchronised?
//!
//! A child works on a database above a recorder of its calls. The log is cut, mostly around
//! synchronisations, and for each cut a disk is made as it may be then: `POWER_CUTS` of them, 1,000
//! by default. A cut that fails leaves its log behind and says how to repeat it.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![cfg(unix)]

#[path = "support/child.rs"]
mod child;
#[path = "power-loss/cuts.rs"]
mod cuts;
#[path = "power-loss/disk.rs"]
mod disk;
#[path = "support/history.rs"]
mod history;
#[path = "power-loss/library.rs"]
mod library;
#[path = "power-loss/log.rs"]
mod log;
#[path = "support/random.rs"]
mod random;
#[path = "support/store.rs"]
mod support;
#[path = "support/workload.rs"]
mod workload;

use std::path::PathBuf;

use child::Child;
use cuts::lose_power;
use history::History;
use library::Recorder;
use log::Record;
use random::setting;
use workload::Workload;

/// Enough for SQLite to write its log back, and begin it anew, several times.
const WORKLOAD: Workload = Workload { run: 0, threads: 6, owners: 40, operations: 400 };

/// Not a test of its own.
#[test]
fn child_works() {
    let Some(path) = child::argument() else { return };
    WORKLOAD.run(&path);
}

#[test]
fn every_acknowledged_operation_is_there_after_a_loss_of_power() {
    let log = match std::env::var_os("POWER_LOG") {
        Some(path) => std::fs::read(path).unwrap(),
        None => match record() {
            Some(log) => log,
            None => return,
        },
    };
    let records = log::parse(&log);
    let restarts = beginnings_of_the_log(&records);
    assert!(restarts >= 3, "SQLite began its log {restarts} times");
    let (seed, cuts) = (setting("POWER_SEED", 1), setting("POWER_CUTS", 1_000));
    let found = lose_power(&records, 0, seed, cuts);
    let syncs = records.iter().filter(|record| matches!(record, Record::Sync { .. })).count();
    println!(
        "{cuts} cuts of {} calls with {syncs} synchronisations, {} operations, {restarts} logs",
        records.len(),
        History::of(&log::said(&records)).acknowledged,
    );
    if let Some((seed, wrong)) = found.first() {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("power-{seed}.log"));
        std::fs::write(&kept, &log).unwrap();
        panic!(
            "{} of {cuts} cuts: {wrong}\nrepeat it with POWER_LOG={} POWER_SEED={seed} POWER_CUTS=1",
            found.len(),
            kept.display()
        );
    }
}

/// The simulation finds what it is there to find.
#[test]
fn a_store_that_does_not_synchronise_is_found_out() {
    let Some(log) = record() else { return };
    let records = log::parse(&log);
    for (file, what, enough) in
        [("", "anything", 40), ("-wal", "its log", 20), (".db", "its pages", 20)]
    {
        let broken = without_synchronisations(&records, file);
        let found = lose_power(&broken, 0, 1, 60);
        println!("without synchronising {what}: {} of 60 cuts", found.len());
        assert!(found.len() >= enough, "{what}: only {found:?}");
    }
}

/// The log of a child's work.
fn record() -> Option<Vec<u8>> {
    let recorder = Recorder::new()?;
    Child::start_in("child_works", &recorder.database(), &recorder.environment()).finish();
    Some(std::fs::read(recorder.log()).unwrap())
}

/// The log as of a store that does not synchronise the files whose names end so; "" is all.
fn without_synchronisations(records: &[Record], suffix: &str) -> Vec<Record> {
    let mut open = std::collections::HashMap::new();
    let mut kept = records.to_vec();
    kept.retain(|record| match record {
        Record::Open { fd, name, .. } => {
            open.insert(*fd, name.clone());
            true
        }
        // Names are synchronised: a file that is not there at all is too easy to find.
        Record::Sync { fd } => open[fd].is_empty() || !open[fd].ends_with(suffix),
        _ => true,
    });
    kept
}

/// How often SQLite wrote a header of its log, which is at its start.
fn beginnings_of_the_log(records: &[Record]) -> usize {
    let header = |bytes: &[u8]| bytes.len() == 32 && bytes[..3] == [0x37, 0x7f, 0x06];
    let begins = |record: &&Record| matches!(record, Record::Write { bytes, .. } if header(bytes));
    records.iter().filter(begins).count()
}
