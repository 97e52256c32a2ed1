//! What the writer needs of a database.

use super::Transaction;
use crate::{Error, NetworkId, OwnerId};

/// What a step is about. Two steps with an equal key never share a batch: the later waits for the
/// next one, so that its plan sees what the earlier wrote. Subjects take turns, one step each turn:
/// many steps about one subject do not delay those about others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One thing, named by bytes of the caller's choice: a network's and a device's id, say. Whatever
    /// else a plan relies on must not be changed by steps of other keys, or be checked again while
    /// writing, or be guarded by a unique key.
    Key(Vec<u8>),
    /// Anything: the step has a batch of its own.
    Everything,
}

impl Subject {
    /// What an owner has in a network: what the [`Allocator`](crate::Allocator)'s operations of one
    /// owner are about, and what other steps that change its leases should be about.
    #[must_use]
    pub fn owner(network: NetworkId, owner: OwnerId) -> Self {
        Self::Key([network.0, owner.0].concat())
    }
}

/// A database that a [`Writer`](crate::Writer) can write to: `Sqlite` or `Postgres`, as far as
/// their features are on. Others cannot be added from outside.
pub trait Engine: Begin {}

impl<T: Begin> Engine for T {}

/// The part of an engine that only the writer uses.
pub trait Begin: Send + 'static {
    /// Its transactions.
    type Open<'a>: Open
    where
        Self: 'a;

    /// Opens a transaction for writing about these subjects. `now` is the clock's time.
    fn begin(&mut self, now: i64, subjects: &[&Subject]) -> Result<Begun<Self::Open<'_>>, Error>;

    /// Reconnects and checks the database: settings, integrity, schema. `now` is the clock's time.
    fn recover(&mut self, now: i64) -> Result<(), Error>;

    /// How often it has waited for a server since it connected.
    fn round_trips(&self) -> u64 {
        0
    }

    /// Leaves the database in its final state, and closes it.
    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether it has to recover before it can do anything.
    fn is_lost(&self) -> bool {
        false
    }
}

/// A transaction that was begun.
#[derive(Debug)]
pub struct Begun<T> {
    pub open: T,
    /// When the last event happened; no transaction's time is before it.
    pub last_event: Option<i64>,
    /// Indices of the subjects that another process is at work on.
    pub elsewhere: Vec<usize>,
}

/// A transaction that the writer made; dropping it rolls it back.
pub trait Open: Transaction {
    /// Whether a read costs a round trip, which many could share.
    const PREFETCHES: bool = false;

    /// From now on, or no longer, refuses queries that may write with [`Error::Statement`], before
    /// they are run.
    fn only_read(&mut self, yes: bool);

    /// The error that aborted it, if one did.
    fn aborted_by(&self) -> Option<Error>;

    /// Commits. [`Error::Contended`] says that it certainly did not take place; after any other
    /// error it may have.
    fn commit(self) -> Result<(), Error>;
}

pub(crate) const LAST_EVENT: &str = "SELECT at FROM alloc_event ORDER BY id DESC LIMIT 1";
