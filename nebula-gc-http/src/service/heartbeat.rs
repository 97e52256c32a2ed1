//! When nodes were last heard of: whatever they ask with their tokens counts.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nebula_alloc::Writer;
use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};

use crate::store::node::{self, Node};
use crate::{Error, NodeId};

/// How old what is stored of a node may be, in seconds: written with every poll it would be most of
/// what is written. The shortest time of silence is three times that.
const COARSE: i64 = 60;
/// How many nodes one step is about at most, so that it takes a few milliseconds.
const STEP: usize = 100;

/// The nodes of which is to be stored that they were heard of.
#[derive(Clone, Default)]
pub(super) struct Heartbeats(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    queue: VecDeque<NodeId>,
    /// Those in the queue, and those that are being written.
    under_way: HashSet<NodeId>,
    /// Whether a step is on its way that takes the queue along.
    is_awaited: bool,
}

impl Heartbeats {
    /// A node that is not kept out has asked something.
    pub(super) fn note(&self, node: &Node, now: i64) {
        // What a clock that was ahead has left lies further off than that, too.
        if node.seen_at.is_some_and(|seen| now.abs_diff(seen) < COARSE.unsigned_abs()) {
            return;
        }
        let mut noted = self.lock();
        if noted.under_way.insert(node.id) {
            noted.queue.push_back(node.id);
        }
    }

    /// Has stored who was heard of, behind the answers. One step takes along all who are noted before
    /// its turn comes.
    pub(super) fn store(&self, writer: &Writer) {
        {
            let mut noted = self.lock();
            if noted.queue.is_empty() || noted.is_awaited {
                return;
            }
            noted.is_awaited = true;
        }
        let heartbeats = self.clone();
        let done = move |result: Result<Vec<NodeId>, Error>| match result {
            Ok(stored) => {
                let mut noted = heartbeats.lock();
                for id in stored {
                    noted.under_way.remove(&id);
                }
            }
            Err(error) => heartbeats.forget(&error),
        };
        if let Err(error) = writer.submit(Heartbeat::of(self.clone()), done) {
            // The next time is soon enough for what does not fit into the queue.
            self.forget(&error.into());
        }
    }

    /// At most as many as a step is about.
    fn take(&self) -> Vec<NodeId> {
        let mut noted = self.lock();
        noted.is_awaited = false;
        let count = noted.queue.len().min(STEP);
        noted.queue.drain(..count).collect()
    }

    /// Lets all nodes be noted again that are not stored yet.
    fn forget(&self, error: &Error) {
        tracing::debug!(%error, "heartbeats not stored; retrying at the nodes' next requests");
        *self.lock() = Noted::default();
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Heartbeat {
    heartbeats: Heartbeats,
    /// Whom it is about, once its turn has come.
    taken: Option<Vec<NodeId>>,
}

impl Heartbeat {
    const fn of(heartbeats: Heartbeats) -> Self {
        Self { heartbeats, taken: None }
    }
}

impl Step for Heartbeat {
    type Plan = Vec<NodeId>;
    type Output = Vec<NodeId>;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(b"heartbeats".to_vec())
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<Vec<NodeId>>, Error> {
        let heartbeats = &self.heartbeats;
        let taken = self.taken.get_or_insert_with(|| {
            let mut taken = heartbeats.take();
            // All instances lock rows in one order.
            taken.sort_unstable();
            taken
        });
        Ok(Planned::without_addresses(taken.clone()))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        taken: Vec<NodeId>,
        _: &[Lease],
    ) -> Result<Vec<NodeId>, Error> {
        for id in &taken {
            node::see(tx, *id, now, COARSE)?;
        }
        Ok(taken)
    }
}
