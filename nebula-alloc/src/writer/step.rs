//! What the writer is asked to do.

use crate::Error;
use crate::event::Actor;
use crate::lease::{Hold, Lease, Request};
use crate::store::{Query, Subject, Transaction};

/// A request to the writer.
///
/// It goes through its phases in order: [`plan`](Self::plan) reads and decides,
/// [`compute`](Self::compute) does what needs no database, [`write`](Self::write) writes. All of them
/// may run again, after a rollback, from a new plan: what is to be done outside the transaction
/// belongs into [`Output`](Self::Output), to be done after the answer. They run between the writer's
/// other work, so nothing slow belongs there either, and they must not wait for answers:
/// [`Error::WaitsInside`].
pub trait Step: Send + 'static {
    /// What [`plan`](Self::plan) decides, for the phases after it.
    type Plan: Send + 'static;
    /// What it answers.
    type Output: Send + 'static;
    /// Why it refuses.
    type Error: From<Error> + Send + 'static;

    /// What it is about; asked once.
    fn subject(&self) -> Subject;

    /// The reads that [`plan`](Self::plan) and [`write`](Self::write) are going to make, as far as
    /// they are known in advance. What several steps of a batch declare alike is read once, at its
    /// beginning; on PostgreSQL everything declared is, in one round trip for each text. A later
    /// [`query`](Transaction::query) with an equal text and parameters is answered from there, once.
    /// A declared read that is never made costs one query.
    ///
    /// So a prefetched read does not see what other steps of the batch have written. The step's own
    /// first write, and the first address that it is granted, discard it. A decision based on it must
    /// be checked again while writing, or concern only the step's subject; this crate checks what it
    /// writes about leases. An error of a prefetched read is the step's.
    fn prefetch(&self) -> Vec<Query> {
        Vec::new()
    }

    /// Reads and decides, and says which addresses it wants. Writing is refused, by a query too (but
    /// for functions that write, on PostgreSQL). `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Why the request is refused; nothing is written then.
    fn plan(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
    ) -> Result<Planned<Self::Plan>, Self::Error>;

    /// Whether [`compute`](Self::compute) has enough to do to be given to other threads.
    const COMPUTES: bool = false;

    /// Computes what needs the leases but not the database, before anything is written: a
    /// signature, say. It may run on another thread, beside the same of other steps.
    ///
    /// # Errors
    ///
    /// Why the request is refused; nothing is written then.
    fn compute(
        &mut self,
        now: i64,
        plan: &mut Self::Plan,
        leases: &[Lease],
    ) -> Result<(), Self::Error> {
        let _ = (now, plan, leases);
        Ok(())
    }

    /// Writes what was planned, given the leases asked for, in the order asked.
    ///
    /// # Errors
    ///
    /// Why the request is refused; nothing that it wrote remains.
    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        plan: Self::Plan,
        leases: &[Lease],
    ) -> Result<Self::Output, Self::Error>;
}

/// What [`Step::plan`] answers: the plan, and the addresses it needs, if any.
#[derive(Debug)]
#[must_use = "nothing is planned unless it is answered"]
pub struct Planned<P> {
    pub(super) plan: P,
    pub(super) asks: Option<Asks<P>>,
}

/// The addresses that a plan needs.
#[derive(Debug)]
pub(super) struct Asks<P> {
    pub(super) requests: Vec<Request>,
    pub(super) actor: fn(&P) -> Actor<'_>,
    /// Where the owners move.
    pub(super) moves: Option<Hold>,
}

impl<P> Planned<P> {
    /// A plan that needs no addresses.
    pub fn without_addresses(plan: P) -> Self {
        Self { plan, asks: None }
    }

    /// A plan that needs these addresses; more than
    /// [`limits::ADDRESS_REQUESTS`](crate::limits::ADDRESS_REQUESTS) are refused with
    /// [`Error::TooMany`]. Their events name the actor, which is read from the plan.
    pub fn with_addresses(
        plan: P,
        requests: Vec<Request>,
        actor: for<'a> fn(&'a P) -> Actor<'a>,
    ) -> Self {
        Self { plan, asks: Some(Asks { requests, actor, moves: None }) }
    }

    /// With the addresses it asks for the owners move, as
    /// [`relocate`](crate::lease::relocate): what they have otherwise is released in the same
    /// transaction, into a quarantine of at least this length.
    pub fn relocating(mut self, hold: impl Into<Hold>) -> Self {
        if let Some(asks) = &mut self.asks {
            asks.moves = Some(hold.into());
        }
        self
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
    type Plan = ();
    type Output = T;
    type Error = E;

    fn subject(&self) -> Subject {
        Subject::Everything
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, E> {
        Ok(Planned::without_addresses(()))
    }

    fn write(&mut self, tx: &mut dyn Transaction, now: i64, (): (), _: &[Lease]) -> Result<T, E> {
        (self.0)(tx, now)
    }
}
