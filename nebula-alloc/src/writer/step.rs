//! What the writer is asked to do.

use std::time::{Duration, Instant};

use super::guard::{discard, guard};
use super::inside;
use crate::Error;
use crate::event::Actor;
use crate::lease::{Lease, Request};
use crate::store::{Query, Subject, Transaction};

/// A request to the writer.
///
/// Its methods may run again, after a rollback: what they do outside the transaction belongs into
/// [`Output`](Self::Output), to be done after the answer. They run between the writer's other
/// work, so nothing slow belongs there either, and they must not wait for answers:
/// [`Error::WaitsInside`].
pub trait Step: Send + 'static {
    /// What it answers.
    type Output: Send + 'static;
    /// Why it refuses.
    type Error: From<Error> + Send + 'static;

    /// What it is about; asked once.
    fn subject(&self) -> Subject;

    /// The reads that [`plan`](Self::plan) and [`write`](Self::write) are going to make, as far as
    /// they are known before. Those that several steps of a batch tell alike are made once, as it
    /// begins; on PostgreSQL all of them are, in one round trip for each text. A later
    /// [`query`](Transaction::query) with an equal text and parameters is answered from there, once.
    /// What is told here and not asked then costs a read.
    ///
    /// So a foreseen read does not see what other steps of the batch have written. It sees what the
    /// step itself has: with its first write, and the first address that it is granted, it is
    /// forgotten. What is decided by it must be checked again while writing, or belong to the step's
    /// subject alone; what this crate writes about leases is. An error of a foreseen read is the
    /// step's.
    fn foreseen(&self) -> Vec<Query> {
        Vec::new()
    }

    /// Who asks for the addresses, for their events; asked after each plan.
    fn actor(&self) -> Actor<'_>;

    /// Reads and decides; writing is refused, by a query too (but for functions that write, on
    /// PostgreSQL). Answers the addresses it wants, at most [`limits::WISHES`](crate::limits::WISHES):
    /// more are refused with [`Error::TooMany`]. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Why the request is refused; nothing is written then.
    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Vec<Request>, Self::Error>;

    /// Whether [`compute`](Self::compute) has enough to do to be given to other threads.
    const COMPUTES: bool = false;

    /// Computes what needs the leases but not the database, before anything is written: a
    /// signature, say. It may run on another thread, beside the same of other steps.
    ///
    /// # Errors
    ///
    /// Why the request is refused; nothing is written then.
    fn compute(&mut self, now: i64, leases: &[Lease]) -> Result<(), Self::Error> {
        let _ = (now, leases);
        Ok(())
    }

    /// Writes, given the leases asked for, in the order asked.
    ///
    /// # Errors
    ///
    /// Why the request is refused; nothing that it wrote remains.
    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        leases: &[Lease],
    ) -> Result<Self::Output, Self::Error>;
}

/// How a phase of a job went. Unless it went well, the job holds its answer.
pub(super) enum Phase<T> {
    Done(T),
    Refused,
    Panicked,
}

/// A step with its answer, whatever its types.
pub(super) trait Job: Send {
    fn subject(&self) -> &Subject;
    /// The reads it foresees, or how finding out panicked.
    fn foreseen(&self) -> Result<Vec<Query>, Error>;
    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Phase<Vec<Request>>;
    /// Who asks, or how finding out panicked.
    fn actor(&self) -> Result<Actor<'_>, Error>;
    fn computes(&self) -> bool;
    fn compute(&mut self, now: i64, leases: &[Lease]) -> Phase<()>;
    fn write(&mut self, tx: &mut dyn Transaction, now: i64, leases: &[Lease]) -> Phase<()>;
    /// Puts it off. Answers for how long it has been.
    fn put_off(&mut self) -> Duration;
    /// Replaces the answer.
    fn fail(&mut self, error: Error);
    fn answer(self: Box<Self>);
}

pub(super) struct Task<S: Step, A> {
    step: S,
    subject: Subject,
    answer: A,
    /// Since when.
    put_off: Option<Instant>,
    outcome: Option<Result<S::Output, S::Error>>,
}

impl<S: Step, A> Task<S, A> {
    pub(super) fn new(step: S, answer: A) -> Self {
        Self { subject: step.subject(), step, answer, put_off: None, outcome: None }
    }

    fn settle<T>(&mut self, result: Result<Result<T, S::Error>, Error>) -> Phase<T> {
        match result {
            Ok(Ok(value)) => Phase::Done(value),
            Ok(Err(error)) => {
                self.replace(Some(Err(error)));
                Phase::Refused
            }
            Err(panicked) => {
                self.fail_with(panicked);
                Phase::Panicked
            }
        }
    }

    fn fail_with(&mut self, error: Error) {
        self.replace(None);
        self.outcome = guard(|| error.into()).ok().map(Err);
    }

    fn replace(&mut self, outcome: Option<Result<S::Output, S::Error>>) {
        discard(std::mem::replace(&mut self.outcome, outcome));
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

    fn foreseen(&self) -> Result<Vec<Query>, Error> {
        guard(|| inside::step(|| self.step.foreseen()))
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Phase<Vec<Request>> {
        let result = guard(|| inside::step(|| self.step.plan(tx, now)));
        self.settle(result)
    }

    fn actor(&self) -> Result<Actor<'_>, Error> {
        guard(|| inside::step(|| self.step.actor()))
    }

    fn computes(&self) -> bool {
        S::COMPUTES
    }

    fn compute(&mut self, now: i64, leases: &[Lease]) -> Phase<()> {
        let result = guard(|| inside::step(|| self.step.compute(now, leases)));
        self.settle(result)
    }

    fn write(&mut self, tx: &mut dyn Transaction, now: i64, leases: &[Lease]) -> Phase<()> {
        let result = guard(|| inside::step(|| self.step.write(tx, now, leases)));
        match self.settle(result) {
            Phase::Done(output) => {
                self.replace(Some(Ok(output)));
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
        let Self { step, answer, outcome, .. } = *self;
        // One by one: a panic while another unwinds would end the process.
        match outcome {
            Some(outcome) => discard(guard(|| answer(outcome))),
            None => discard(answer),
        }
        discard(step);
    }
}

/// One-off work without a plan.
pub(crate) struct Once<F>(pub(crate) F);

impl<F, T, E> Step for Once<F>
where
    F: FnMut(&mut dyn Transaction, i64) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    type Output = T;
    type Error = E;

    fn subject(&self) -> Subject {
        Subject::Everything
    }

    fn actor(&self) -> Actor<'_> {
        Actor::named("")
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Vec<Request>, E> {
        Ok(Vec::new())
    }

    fn write(&mut self, tx: &mut dyn Transaction, now: i64, _: &[Lease]) -> Result<T, E> {
        (self.0)(tx, now)
    }
}
