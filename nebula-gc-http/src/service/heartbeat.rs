//! When nodes were last heard of: whatever they ask with their tokens counts.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nebula_alloc::Writer;
use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};

use crate::store::node::{self, Node};
use crate::{Error, NodeId};

/// How old what is stored of a node may be, in seconds: written with every poll it would be most of
/// what is written. The shortest time of silence is six times that.
const COARSE: i64 = 600;

/// The nodes of which is to be stored that they were heard of.
#[derive(Clone, Default)]
pub(super) struct Heartbeats(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    /// With their devices' ids.
    queue: Vec<(NodeId, String)>,
    /// Those in the queue, and those that are being written.
    under_way: HashSet<NodeId>,
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
            noted.queue.push((node.id, node.device.clone()));
        }
    }

    /// Has stored who was heard of, behind the answers.
    pub(super) fn store(&self, writer: &Writer) {
        let queue = std::mem::take(&mut self.lock().queue);
        for (id, device) in queue {
            let heartbeats = self.clone();
            let done = move |result: Result<(), Error>| {
                heartbeats.lock().under_way.remove(&id);
                if let Err(error) = result {
                    tracing::debug!(%error, "heartbeat not stored; retrying at the node's next request");
                }
            };
            if let Err(error) = writer.submit(Heartbeat { id, device }, done) {
                // The next time is soon enough for what does not fit into the queue.
                self.lock().under_way.remove(&id);
                tracing::debug!(%error, "heartbeat not stored; retrying at the node's next request");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Heartbeat {
    id: NodeId,
    device: String,
}

impl Step for Heartbeat {
    type Plan = ();
    type Output = ();
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.device.as_str().into())
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::without_addresses(()))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        (): (),
        _: &[Lease],
    ) -> Result<(), Error> {
        node::see(tx, self.id, now, COARSE)
    }
}
