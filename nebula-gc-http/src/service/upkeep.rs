//! What time brings about: one instance does it for all, in small steps beside the other work.
//!
//! What is to be done is looked up beside the writer; each step decides again where it writes.

mod deleted;
mod history;
mod networks;
mod wrong_time;

use std::sync::Arc;

use nebula_alloc::reclaim::reclaim;
use nebula_alloc::store::Transaction;

use super::audit::Author;
use super::context::Context;
use super::core::Service;
use super::exclusive_step::Exclusive;
use super::pending::PendingOutcome;
use super::revocation::block_replaced;
use crate::Error;
use crate::store::{certificate, duty, idempotency, node, pending_join};

#[cfg(feature = "server")]
pub(crate) use self::wrong_time::repair;

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Addresses whose quarantine had ended, and which are free now.
    pub freed: u64,
    /// Leases that had ended by themselves, and whose quarantine begins.
    pub ended: u64,
    /// Certificates that had ended by themselves.
    pub expired: u64,
    /// Nodes whose replaced certificates are blocked now.
    pub blocked: u64,
    /// Certificates that had ended or were no longer blocked by a clock that was ahead, and that are
    /// again what they were.
    pub undone: u64,
    /// Networks whose blocklist lost expired entries.
    pub pruned: u64,
    /// Nodes that were released because they were silent.
    pub silent: u64,
    /// Nodes that never report, and were released because their last certificate had ended.
    pub given_back: u64,
    /// Ephemeral nodes that were released because they were silent.
    pub ephemeral: u64,
    /// Released nodes whose quarantines end earlier, because everyone has applied that their
    /// certificates are blocked.
    pub shortened: u64,
    /// Certificates that were found to contradict their nodes' rows.
    pub unsound: u64,
    /// Requests whose repeats are not recognised any more.
    pub forgotten: u64,
    /// Devices that nobody approved in time, and that were approved or refused and did not come again.
    pub pending_joins: u64,
    /// Events that were forgotten because of their age.
    pub forgotten_events: u64,
    /// Certificates, join tokens and released nodes that were.
    pub forgotten_rows: u64,
    /// Deleted networks whose last rows were removed.
    pub removed: u64,
    /// Pending certificates whose deadline had passed.
    pub pending: PendingOutcome,
}

/// Who does it, in the audit log.
pub(super) const NAME: &str = "upkeep";
/// How long an instance has the duty from its last step on, in seconds: when it dies, another goes
/// on after that.
const TERM: i64 = 60;
/// How much one step takes on, so that it takes a few milliseconds.
const STEP: u8 = 32;

impl Service {
    /// Does what is to be done by now, unless another instance is at it: then nothing is answered.
    /// Doing it again at once does nothing more.
    ///
    /// # Errors
    /// What the database answers; what was done until then stays done.
    pub async fn upkeep(&self) -> Result<Option<Upkeep>, Error> {
        let mut done = Upkeep::default();
        if let Err(Stop::Failed(error)) = self.drop_what_is_gone().await {
            return Err(error);
        }
        match self.keep_up(&mut done).await {
            Ok(()) => Ok(Some(done)),
            Err(Stop::Elsewhere) => Ok(None),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn keep_up(&self, done: &mut Upkeep) -> Result<(), Stop> {
        self.undo_wrong_time(done).await?;
        self.remove_deleted(done).await?;
        loop {
            let freed = self
                .chore(|tx, now, author| Ok(reclaim(tx, now, &author.actor(), usize::from(STEP))?))
                .await?;
            done.freed += freed;
            if freed < u64::from(STEP) {
                break;
            }
        }
        loop {
            let expired =
                self.chore(|tx, now, _| certificate::expire(tx, now, i64::from(STEP))).await?;
            done.expired += expired;
            if expired < u64::from(STEP) {
                break;
            }
        }
        loop {
            let forgotten =
                self.chore(|tx, now, _| idempotency::forget(tx, now, i64::from(STEP))).await?;
            done.forgotten += forgotten;
            if forgotten < u64::from(STEP) {
                break;
            }
        }
        loop {
            let over =
                self.chore(|tx, now, _| pending_join::forget(tx, now, i64::from(STEP))).await?;
            done.pending_joins += over;
            if over < u64::from(STEP) {
                break;
            }
        }
        self.tell_of_cas().await?;
        self.block_after_an_hour(done).await?;
        let networks = self.keep_up_networks(done).await;
        if let Err(Stop::Elsewhere) = networks {
            return networks;
        }
        self.forget(done).await?;
        // Last, because it waits for signers elsewhere.
        done.pending = self.settle_pending().await?;
        networks
    }

    async fn block_after_an_hour(&self, done: &mut Upkeep) -> Result<(), Stop> {
        loop {
            let due = self
                .read(|tx, shared| certificate::due_for_blocking(tx, shared.now(), i64::from(STEP)))
                .await?;
            let is_last = due.len() < usize::from(STEP);
            for id in due {
                let moved = self
                    .chore(move |tx, now, author| match node::by_id(tx, id)? {
                        Some(node) => block_replaced(tx, now, author, &node),
                        None => Ok(None),
                    })
                    .await?;
                done.blocked += u64::from(moved.is_some());
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// One small step, where this instance has the duty.
    async fn chore<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut dyn Transaction, i64, &Author) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Stop> {
        let shared = Arc::clone(&self.shared);
        let author = Context::local().author(NAME);
        let step = Exclusive::new(move |tx, now| {
            let is_here = duty::take(tx, NAME, &shared.instance, now, now.saturating_add(TERM))?;
            if is_here { work(tx, now, &author).map(Some) } else { Ok(None) }
        });
        self.write(step).await?.ok_or(Stop::Elsewhere)
    }
}

/// Why a pass ends before its end.
enum Stop {
    /// Another instance has the duty.
    Elsewhere,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
