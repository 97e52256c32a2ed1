//! Is what was acknowledged there after `kill -9`? `KILL_ROUNDS` times, 60 by default, at a random
//! moment each, of the child's work or of its whole life.
#![cfg(unix)]

use std::time::Duration;

use crate::shared::child::{self, Child};
use crate::shared::random::{Random, setting};
use crate::support::history::History;
use crate::support::workload::Workload;

const ROUND: &str = "KILL_ROUND";

/// The latest moment, in microseconds after the child's start or its first lease.
const LATEST: usize = 60_000;

/// Not a test of its own: works without end.
#[test]
fn child_works_until_it_is_killed() {
    let Some(path) = child::argument() else { return };
    let run = setting(ROUND, 0);
    Workload { seed: 0, run, threads: 6, owners: 8, operations: u64::MAX }.run(&path);
}

#[test]
fn every_acknowledged_operation_is_there_after_a_kill_at_any_moment() {
    let rounds = setting("KILL_ROUNDS", 60);
    let mut random = Random(setting("KILL_SEED", 1));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let mut history = History::default();
    let (mut acknowledged, mut at_work) = (0, 0);
    for round in 0..rounds {
        let round_number = [(ROUND, round.to_string().into())];
        let mut child =
            Child::start_in("kill::child_works_until_it_is_killed", &path, &round_number);
        // One in four may die before it has the database open; a slow machine must not let all.
        while round % 4 != 0
            && let Some(line) = child.line()
        {
            history.note(&line);
            if line.starts_with("held") {
                break;
            }
        }
        let moment = Duration::from_micros(random.below(LATEST).try_into().unwrap());
        for line in child.kill_after(moment) {
            history.note(&line);
        }
        if let Err(wrong) = history.check(&path) {
            panic!("round {round}, killed after {moment:?}: {wrong}");
        }
        acknowledged += history.acknowledged;
        at_work += u64::from(history.acknowledged > 0);
        history.acknowledged = 0;
        history.settle(&path);
    }
    println!("{rounds} kills, {at_work} of them at work, {acknowledged} operations");
    assert!(at_work * 2 >= rounds, "only {at_work} of {rounds} kills came while it worked");
}
