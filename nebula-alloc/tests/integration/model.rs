//! Does any sequence of operations, crashes and reopenings do what a plain model does, on both
//! engines?
//!
//! `MODEL_OPERATIONS` is how many operations there are in all, 100,000 by default: a tenth of
//! them on PostgreSQL, whose server is asked over a socket. `MODEL_SEED` is where the choices begin. What is shown of a failure is the
//! shortest sequence that was found for it.

mod database;
mod leases;
mod operation;
mod spaces;
mod state;
mod step;

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::shared::postgres;
use crate::shared::random::setting;
use database::{Database, Files, Whole};
use nebula_alloc::{Error, Family};
use operation::{Answer, Seen};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use state::Model;
use step::{Operation, Step, step};

/// Long before the clock of PostgreSQL's server: a process that keeps runs of free addresses to
/// itself, and was seen by that clock, keeps them.
const NOW: i64 = 1_000_000_000;

/// The longest sequence; on average it is half of that.
const LONGEST: usize = 240;

#[test]
fn sqlite_does_what_the_model_does() {
    run(setting("MODEL_OPERATIONS", 100_000) / 10 * 9, || {
        Checked::new(Database::Sqlite(Box::new(Files::new())), true)
    });
}

#[cfg(feature = "postgres")]
#[test]
fn postgresql_does_what_the_model_does() {
    use database::Server;
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    run(setting("MODEL_OPERATIONS", 100_000) / 10, || {
        Checked::new(Database::Postgres(Box::new(Server::new(cluster))), false)
    });
}

/// Sequences of steps, each on a database of its own, until there were so many operations.
fn run(operations: u64, database: impl Fn() -> Checked) {
    let seed = setting("MODEL_SEED", 1);
    let config = ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let sequence = prop::collection::vec(step(), 1..LONGEST);
    let (done, answers) = (Cell::new(0), Answers::default());
    while done.get() < operations {
        let steps = sequence.new_tree(&mut runner).unwrap();
        let outcome = runner.run_one(steps, |steps| {
            let mut checked = database();
            for step in &steps {
                checked.take(step);
            }
            checked.finish();
            done.set(done.get() + checked.operations);
            answers.add(checked.answers);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("with MODEL_SEED={seed}, after {} operations: {error}", done.get());
        }
    }
    let answers = answers.0.take();
    println!("{} operations: {answers:?}", done.get());
    // A model that refuses everything would agree with a library that does.
    for word in [
        "served",
        "taken",
        "quarantined",
        "exhausted",
        "reserved",
        "leases stand",
        "refused and committed",
    ] {
        assert!(operations < 10_000 || answers.get(word).is_some_and(|count| *count > 5), "{word}");
    }
}

#[derive(Default)]
struct Answers(Cell<BTreeMap<&'static str, u64>>);

impl Answers {
    fn add(&self, more: BTreeMap<&'static str, u64>) {
        let mut all = self.0.take();
        for (word, count) in more {
            *all.entry(word).or_default() += count;
        }
        self.0.set(all);
    }
}

/// A database and its model.
struct Checked {
    database: Database,
    model: Model,
    now: i64,
    operations: u64,
    answers: BTreeMap<&'static str, u64>,
}

impl Checked {
    fn new(database: Database, exact: bool) -> Self {
        let model = Model { exact, ..Model::default() };
        let mut new = Self { database, model, now: NOW, operations: 0, answers: BTreeMap::new() };
        // What each sequence would have to begin with.
        for (network, id, family, part) in [
            (1, 1, Family::V4, (2, 7)),
            (1, 2, Family::V4, (12, 4)),
            (1, 3, Family::V6, (1, 5)),
            (2, 4, Family::V4, (2, 5)),
        ] {
            let position = i64::from(id == 1);
            new.operate(&Operation::CreatePool { network, id, family, part, position }, false);
        }
        new
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Do { operation, goes_on } => self.operate(operation, *goes_on),
            Step::Clock(seconds) => self.now += seconds,
            Step::Reopen => {
                self.database.reopen();
                self.compare();
            }
            Step::Crash(work, end) => {
                let (model, now) = (&self.model, self.now);
                self.database.crash(*end, &mut |tx| {
                    work.iter().try_for_each(|operation| operation.run(tx, now, model).map(drop))
                });
                self.compare();
                self.database.assert_sound();
            }
        }
    }

    fn operate(&mut self, operation: &Operation, goes_on: bool) {
        let (model, now) = (&self.model, self.now);
        // A round trip has its price.
        let look = model.exact
            || self.operations.is_multiple_of(4)
            || matches!(operation, Operation::Reclaim(_));
        let mut after = None;
        let goes_on = |error: &Error| goes_on && operation.is_one() && error.is_refusal();
        let mut committed = false;
        let answer = self.database.transaction(&mut |tx| {
            let answer = operation.run(tx, now, model);
            let answer = match answer {
                Err(error) if !goes_on(&error) => return Err(error),
                answer => answer,
            };
            if look {
                after = Some(database::leases(tx)?);
            }
            committed = answer.is_err();
            Ok(answer)
        });
        let answer = answer.and_then(|answer| answer);
        let mut next = model.clone();
        let seen = Seen { answer: &answer, leases: after.as_ref().unwrap_or(&model.leases) };
        let expected = operation.expected(&mut next, now, &seen);
        assert_eq!(answer, expected, "{operation:?} at {now}");
        if answer.is_ok() {
            self.model = next;
        }
        if let Some(leases) = after {
            assert_eq!(leases, self.model.leases, "after {operation:?}");
        }
        self.count(&answer);
        if committed {
            *self.answers.entry("refused and committed").or_default() += 1;
        }
        self.operations += 1;
        if self.operations.is_multiple_of(8) {
            self.compare();
        }
        if self.operations.is_multiple_of(64) {
            self.database.assert_sound();
        }
    }

    fn count(&mut self, answer: &Result<Answer, Error>) {
        let each: Vec<Result<(), &Error>> = match answer {
            Ok(Answer::Each(answers)) => {
                answers.iter().map(|answer| answer.as_ref().map(drop)).collect()
            }
            other => vec![other.as_ref().map(drop)],
        };
        for answer in each {
            *self.answers.entry(word(answer)).or_default() += 1;
        }
    }

    fn compare(&mut self) {
        let stored = self.database.transaction(&mut |tx| Whole::stored(tx)).unwrap();
        assert_eq!(stored, Whole::expected(&self.model));
    }

    fn finish(&mut self) {
        self.compare();
        self.database.assert_sound();
    }
}

fn word(answer: Result<(), &Error>) -> &'static str {
    match answer {
        Ok(()) => "served",
        Err(Error::AddressTaken { .. }) => "taken",
        Err(Error::AddressQuarantined { .. }) => "quarantined",
        Err(Error::AddressReserved { .. }) => "reserved",
        Err(Error::AddressOutsidePools { .. }) => "outside",
        Err(Error::PoolExhausted { .. }) => "exhausted",
        Err(Error::LeasesStand { .. }) => "leases stand",
        Err(Error::BlockStands { .. }) => "a block stands",
        Err(Error::OwnerHasAnother { .. } | Error::OwnerHoldsElsewhere { .. }) => "has another",
        Err(Error::NoLease { .. } | Error::LeaseEnded { .. }) => "no lease",
        Err(Error::Unique) => "not unique",
        Err(Error::NoSuchPool { .. } | Error::NoPool { .. }) => "no pool",
        Err(Error::NoSuchReservation { .. }) => "no reservation",
        Err(Error::Overlap { .. } | Error::ReservationOverlaps { .. }) => "overlaps",
        Err(Error::AddressInAnotherPool { .. }) => "another pool",
        Err(Error::PinnedAlready { .. }) => "pinned already",
        Err(Error::WrongFamily { .. } | Error::RangeForOwner { .. }) => "wrong",
        Err(_) => "otherwise",
    }
}
