//! Is what was acknowledged there after a loss of power, whatever the disk made of what was not
//! synchronised?
//!
//! A child works on a database above a recorder of its calls. The log is cut, mostly around
//! synchronisations, and for each cut a disk is made as it may be then: `POWER_CUTS` of them, 1,000
//! by default; `POWER_RESUME` names a file from which a longer run goes on after it was killed. A cut
//! that fails leaves its log behind and says how to repeat it.
#![cfg(unix)]

use crate::shared::child::{self, Child};
use crate::shared::power_loss::cuts::lose_power;
use crate::shared::power_loss::library::Recorder;
use crate::shared::power_loss::log::{self, Record};
use crate::shared::power_loss::pieces;
use crate::shared::random::setting;
use crate::support::history::History;
use crate::support::workload::Workload;

/// Another for each piece of a run.
const PIECE: &str = "POWER_PIECE";

/// Not a test of its own. It does enough for SQLite to write its log back, and begin it anew,
/// several times.
#[test]
fn child_works() {
    let Some(path) = child::argument() else { return };
    let seed = setting(PIECE, 0);
    Workload { seed, run: 0, threads: 6, owners: 40, operations: 400 }.run(&path);
}

#[test]
fn every_acknowledged_operation_is_there_after_a_loss_of_power() {
    pieces::cut(1_000, record, &History::after);
}

/// The simulation finds what it is there to find.
#[test]
fn a_store_that_does_not_synchronise_is_found_out() {
    let Some(log) = record(0) else { return };
    let records = log::parse(&log);
    for (file, what, enough) in
        [("", "anything", 40), ("-wal", "its log", 20), (".db", "its pages", 20)]
    {
        let broken = log::without_synchronisations(&records, file);
        let found = lose_power(&broken, 0, 1, 60, &History::after);
        println!("without synchronising {what}: {} of 60 cuts", found.len());
        assert!(found.len() >= enough, "{what}: only {found:?}");
    }
}

/// The log of a child's work.
fn record(piece: u64) -> Option<Vec<u8>> {
    let recorder = Recorder::new()?;
    let mut environment = recorder.environment();
    environment.push((PIECE, piece.to_string().into()));
    Child::start_in("power_loss::child_works", &recorder.database(), &environment).finish();
    let log = std::fs::read(recorder.log()).unwrap();
    let records = log::parse(&log);
    let restarts = beginnings_of_the_log(&records);
    let syncs = records.iter().filter(|record| matches!(record, Record::Sync { .. })).count();
    println!(
        "{} calls with {syncs} synchronisations, {} operations, {restarts} logs",
        records.len(),
        History::of(&log::said(&records)).acknowledged,
    );
    assert!(restarts >= 3, "SQLite began its log {restarts} times");
    Some(log)
}

/// How often SQLite wrote a header of its log, which is at its start.
fn beginnings_of_the_log(records: &[Record]) -> usize {
    let header = |bytes: &[u8]| bytes.len() == 32 && bytes[..3] == [0x37, 0x7f, 0x06];
    let begins = |record: &&Record| matches!(record, Record::Write { bytes, .. } if header(bytes));
    records.iter().filter(begins).count()
}
