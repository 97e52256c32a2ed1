//! Looking for what has changed, on behalf of all who wait.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use nebula_alloc::NetworkId;

use super::{State, Waiting};
use crate::store::database::Reading;
use crate::store::network::{self, Marks};
use crate::store::node::{self, Generation};
use crate::{Error, NodeId};

/// Changes within this time wake nodes once.
const COALESCED: Duration = Duration::from_millis(50);
/// How often to look for what other instances have changed.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long to leave a database alone that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The thread that looks.
pub(super) struct Look {
    pub(super) waiting: Arc<Waiting>,
    pub(super) reading: Arc<Reading>,
}

/// A network that has to be looked at.
struct Asked {
    network: NetworkId,
    marks: Marks,
    doubtful: bool,
    last_poll: u64,
}

/// What a look has seen of a network.
pub(super) struct Seen {
    pub(super) marks: Marks,
    /// Its active nodes with their generations and the hashes of their tokens.
    pub(super) nodes: HashMap<NodeId, (Generation, [u8; 32])>,
    /// The last poll that was waiting when the look began. Later ones may have read more.
    pub(super) last_poll: u64,
}

impl Look {
    pub(super) fn run(&self) {
        while let Some(asked) = self.next() {
            match self.look(&asked) {
                Ok(seen) => {
                    let mut state = self.waiting.lock();
                    for (network, seen) in seen {
                        state.tell(network, seen);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "looking for changes; trying again in a second");
                    self.retry(&asked);
                }
            }
        }
    }

    /// Waits until a look is due, and answers at which networks; nothing at the end.
    fn next(&self) -> Option<Vec<Asked>> {
        let waiting = &*self.waiting;
        let mut state = waiting.lock();
        loop {
            let idle = |state: &mut State| !state.due && !state.stopped;
            // A network's first poll makes a look due.
            state = if self.reading.is_shared() && !state.networks.is_empty() {
                let waited = waiting.changed.wait_timeout_while(state, INTERVAL, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let waited = waiting.changed.wait_while(state, idle);
                waited.unwrap_or_else(PoisonError::into_inner)
            };
            if state.due {
                let waited =
                    waiting.changed.wait_timeout_while(state, COALESCED, |state| !state.stopped);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.stopped {
                return None;
            }
            state.due = false;
            if !state.networks.is_empty() {
                break;
            }
        }
        let last_poll = state.polls;
        let asked = state.networks.iter_mut().map(|(network, watched)| Asked {
            network: *network,
            marks: watched.marks,
            doubtful: std::mem::take(&mut watched.doubtful),
            last_poll,
        });
        Some(asked.collect())
    }

    fn look(&self, asked: &[Asked]) -> Result<Vec<(NetworkId, Seen)>, Error> {
        self.reading.read(|tx| {
            let networks: Vec<NetworkId> = asked.iter().map(|asked| asked.network).collect();
            let marks = network::marks(tx, &networks)?;
            let mut seen = vec![];
            for (asked, marks) in asked.iter().zip(marks) {
                // A network that is gone has no nodes either.
                let marks = match marks {
                    Some(marks) if marks == asked.marks && !asked.doubtful => continue,
                    Some(marks) => marks,
                    None => asked.marks,
                };
                let nodes = node::with_tokens(tx, asked.network)?;
                seen.push((asked.network, Seen { marks, nodes, last_poll: asked.last_poll }));
            }
            Ok(seen)
        })
    }

    /// After a look that failed: what was to be looked at is still due.
    fn retry(&self, asked: &[Asked]) {
        let mut state = self.waiting.lock();
        for Asked { network, doubtful, .. } in asked {
            if let Some(watched) = state.networks.get_mut(network) {
                watched.doubtful |= doubtful;
            }
        }
        state.due = true;
        let waited = self.waiting.changed.wait_timeout_while(state, PAUSE, |state| !state.stopped);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
