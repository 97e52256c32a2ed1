//! Looking for what has changed, on behalf of all who wait.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nebula_alloc::NetworkId;

use super::waiting::{Seen, State, Waiting};
use crate::Error;
use crate::error::Unavailable;
use crate::store::database::Reading;
use crate::store::network::{self, Marks};
use crate::store::node::{self};

/// Changes within this time wake nodes once.
const COALESCED: Duration = Duration::from_millis(50);
/// How often to look for what other instances have changed.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long to leave a database alone that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Who waits, and the thread that looks for them.
pub(super) struct Watch {
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(reading: Arc<Reading>) -> Result<Self, Error> {
        let waiting = Arc::new(Waiting::default());
        let look = Look { waiting: Arc::clone(&waiting), reading };
        let thread = std::thread::Builder::new()
            .name("nebula-gc-watch".to_owned())
            .spawn(move || look.run())
            .map_err(|error| Unavailable::system("starting a thread", error))?;
        Ok(Self { waiting, thread: Some(thread) })
    }

    pub(super) fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }
}

impl Watch {
    /// Looks no more.
    pub(super) fn stop(&self) {
        self.waiting.lock().stopped = true;
        self.waiting.changed.notify_all();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // It logs what it panics with; there is nothing else to do about that here.
            let _ = thread.join();
        }
    }
}

/// The thread that looks.
struct Look {
    waiting: Arc<Waiting>,
    reading: Arc<Reading>,
}

/// A network that has to be looked at.
struct Requested {
    network: NetworkId,
    marks: Marks,
    doubtful: bool,
    last_poll: u64,
}

impl Look {
    fn run(&self) {
        while let Some(asked) = self.next() {
            match self.look(&asked) {
                Ok(seen) => {
                    let mut state = self.waiting.lock();
                    for (network, seen) in seen {
                        state.tell(network, seen);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "looking for changes failed; retrying in 1 s");
                    self.retry(&asked);
                }
            }
        }
    }

    /// Waits until a look is due, and answers at which networks; nothing at the end.
    fn next(&self) -> Option<Vec<Requested>> {
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
        let asked = state.networks.iter_mut().map(|(network, watched)| Requested {
            network: *network,
            marks: watched.marks,
            doubtful: std::mem::take(&mut watched.doubtful),
            last_poll,
        });
        Some(asked.collect())
    }

    fn look(&self, asked: &[Requested]) -> Result<Vec<(NetworkId, Seen)>, Error> {
        self.reading.read(|tx| {
            let networks: Vec<NetworkId> = asked.iter().map(|asked| asked.network).collect();
            let marks = network::marks(tx, &networks)?;
            let mut seen = vec![];
            for (asked, marks) in asked.iter().zip(marks) {
                let (marks, nodes) = match marks {
                    Some(marks) if marks == asked.marks && !asked.doubtful => continue,
                    Some(marks) => (marks, node::with_tokens(tx, asked.network)?),
                    // A network that is gone has no nodes either: each has to show who it is.
                    None => (asked.marks, HashMap::new()),
                };
                seen.push((asked.network, Seen { marks, nodes, last_poll: asked.last_poll }));
            }
            Ok(seen)
        })
    }

    /// After a look that failed: what was to be looked at is still due.
    fn retry(&self, asked: &[Requested]) {
        let mut state = self.waiting.lock();
        for Requested { network, doubtful, .. } in asked {
            if let Some(watched) = state.networks.get_mut(network) {
                watched.doubtful |= doubtful;
            }
        }
        state.due = true;
        let waited = self.waiting.changed.wait_timeout_while(state, PAUSE, |state| !state.stopped);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
