//! A step on its way through the writer: its stage, and whom to answer.

use std::mem::replace;
use std::time::{Duration, Instant};

use super::counters::Meters;
use super::guard::{discard, guard, run_step};
use super::step::{Planned, Step};
use crate::lease::{Lease, Request, Wanted};
use crate::store::{Query, Subject, Transaction};
use crate::{Error, limits};

/// How a phase of a job went. Unless it went well, the job holds its answer.
pub(super) enum Phase<T> {
    Done(T),
    Refused,
    Panicked,
}

/// A step with its answer, whatever its types.
pub(super) trait Job: Send {
    fn subject(&self) -> &Subject;
    /// The reads it declares, or how finding out panicked.
    fn prefetch(&self) -> Result<Vec<Query>, Error>;
    /// Answers how many addresses it asks for.
    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Phase<usize>;
    /// The addresses that the plan asks for, and who does; or how finding out panicked.
    fn requests(&self) -> Result<Vec<Wanted<'_>>, Error>;
    fn computes(&self) -> bool;
    fn compute(&mut self, now: i64, leases: &[Lease]) -> Phase<()>;
    fn write(&mut self, tx: &mut dyn Transaction, now: i64, leases: &[Lease]) -> Phase<()>;
    /// Puts it off. Answers for how long it has been.
    fn put_off(&mut self) -> Duration;
    /// Replaces the answer.
    fn fail(&mut self, error: Error);
    fn answer(self: Box<Self>);
}

pub(super) type Jobs = Vec<Box<dyn Job>>;

pub(super) struct Task<S: Step, A> {
    step: S,
    subject: Subject,
    answer: A,
    /// Since when.
    put_off: Option<Instant>,
    stage: Stage<S>,
}

/// How far a step has come.
enum Stage<S: Step> {
    /// It has no plan, or none that still holds.
    Queued,
    Planned(Planned<S::Plan>),
    Settled(Result<S::Output, S::Error>),
}

impl<S: Step, A> Task<S, A> {
    pub(super) fn new(step: S, answer: A) -> Self {
        Self { subject: step.subject(), step, answer, put_off: None, stage: Stage::Queued }
    }

    fn settle<T>(&mut self, result: Result<Result<T, S::Error>, Error>) -> Phase<T> {
        match result {
            Ok(Ok(value)) => Phase::Done(value),
            Ok(Err(error)) => {
                self.set(Stage::Settled(Err(error)));
                Phase::Refused
            }
            Err(panicked) => {
                self.fail_with(panicked);
                Phase::Panicked
            }
        }
    }

    fn fail_with(&mut self, error: Error) {
        self.set(Stage::Queued);
        if let Ok(error) = guard(|| error.into()) {
            self.stage = Stage::Settled(Err(error));
        }
    }

    fn set(&mut self, stage: Stage<S>) {
        discard(replace(&mut self.stage, stage));
    }
}

impl<S, A> Job for Task<S, A>
where
    S: Step,
    A: FnOnce(Result<S::Output, S::Error>) + Send,
{
    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn prefetch(&self) -> Result<Vec<Query>, Error> {
        guard(|| run_step(|| self.step.prefetch()))
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Phase<usize> {
        self.set(Stage::Queued);
        let result = guard(|| run_step(|| self.step.plan(tx, now)));
        let planned = match self.settle(result) {
            Phase::Done(planned) => planned,
            Phase::Refused => return Phase::Refused,
            Phase::Panicked => return Phase::Panicked,
        };
        let count = planned.asks.as_ref().map_or(0, |asks| asks.requests.len());
        self.set(Stage::Planned(planned));
        if count > limits::ADDRESS_REQUESTS {
            let (what, limit) = ("addresses that a step asks for", limits::ADDRESS_REQUESTS);
            self.fail_with(Error::TooMany { what, limit });
            return Phase::Refused;
        }
        Phase::Done(count)
    }

    fn requests(&self) -> Result<Vec<Wanted<'_>>, Error> {
        let Stage::Planned(Planned { plan, asks: Some(asks) }) = &self.stage else {
            return Ok(vec![]);
        };
        let actor = guard(|| run_step(|| (asks.actor)(plan)))?;
        let moves = asks.moves;
        let wanted = |request: &Request| Wanted { actor, request: *request, moves };
        Ok(asks.requests.iter().map(wanted).collect())
    }

    fn computes(&self) -> bool {
        S::COMPUTES
    }

    fn compute(&mut self, now: i64, leases: &[Lease]) -> Phase<()> {
        let Stage::Planned(Planned { plan, .. }) = &mut self.stage else { return Phase::Refused };
        let step = &mut self.step;
        let result = guard(|| run_step(|| step.compute(now, plan, leases)));
        self.settle(result)
    }

    fn write(&mut self, tx: &mut dyn Transaction, now: i64, leases: &[Lease]) -> Phase<()> {
        let plan = match replace(&mut self.stage, Stage::Queued) {
            Stage::Planned(Planned { plan, .. }) => plan,
            // Whoever refused it has said why.
            stage => {
                self.stage = stage;
                return Phase::Refused;
            }
        };
        let result = guard(|| run_step(|| self.step.write(tx, now, plan, leases)));
        match self.settle(result) {
            Phase::Done(output) => {
                self.stage = Stage::Settled(Ok(output));
                Phase::Done(())
            }
            Phase::Refused => Phase::Refused,
            Phase::Panicked => Phase::Panicked,
        }
    }

    fn put_off(&mut self) -> Duration {
        match self.put_off {
            Some(since) => since.elapsed(),
            None => {
                self.put_off = Some(Instant::now());
                Duration::ZERO
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.fail_with(error);
    }

    fn answer(self: Box<Self>) {
        let Self { step, answer, stage, .. } = *self;
        // One by one: a panic while another unwinds would end the process.
        match stage {
            Stage::Settled(outcome) => discard(guard(|| answer(outcome))),
            stage => {
                discard(answer);
                discard(stage);
            }
        }
        discard(step);
    }
}

pub(super) fn answer(job: Box<dyn Job>, meters: &Meters) {
    // Before answering, so that it is counted by then.
    meters.answered.count();
    job.answer();
}
