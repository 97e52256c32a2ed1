//! The polls that wait for another bundle of their node, and what they are told.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nebula_alloc::NetworkId;
use tokio::sync::oneshot;

use super::views::Desired;
use crate::error::Limit;
use crate::store::network::Marks;
use crate::store::node::Generation;
use crate::{Error, NodeId};

/// Polls that one node may have at a time; one is what an agent needs.
const POLLS_PER_NODE: usize = 4;
/// When a node with too many polls may ask again, in seconds.
const RETRY_SECONDS: i64 = 5;

/// The nodes that wait, by network.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) networks: HashMap<NetworkId, WatchedNetwork>,
    pub(super) polls: u64,
    /// A look is due.
    pub(super) due: bool,
    pub(super) stopped: bool,
}

pub(super) struct WatchedNetwork {
    /// What the last look saw, or the first poll.
    pub(super) marks: Marks,
    /// Its nodes are to be looked at, even if the marks are still the same.
    pub(super) doubtful: bool,
    pub(super) nodes: HashMap<NodeId, Vec<Poll>>,
}

pub(super) struct Poll {
    pub(super) number: u64,
    pub(super) seen: Desired,
    pub(super) token: [u8; 32],
    pub(super) tell: oneshot::Sender<News>,
}

/// What a poll is told.
pub(super) enum News {
    /// It has changed.
    Moved(Desired),
    /// Whoever polls has to show again who it is.
    Doubted,
}

impl Waiting {
    /// Something was committed: looks soon, if anybody waits.
    pub(super) fn look_soon(&self) {
        let mut state = self.lock();
        if !state.networks.is_empty() && !state.due {
            state.due = true;
            self.changed.notify_all();
        }
    }

    /// Tells a node's polls at this instance where it stands now, after a change of its own, which
    /// moves no mark. Its polls at other instances hear of it when they are asked again.
    pub(super) fn tell(&self, network: NetworkId, node: NodeId, generation: Generation) {
        let mut state = self.lock();
        let Some(watched) = state.networks.get_mut(&network) else { return };
        let Some(polls) = watched.nodes.remove(&node) else { return };
        watched.tell(node, polls, |poll| {
            let now = Desired { generation: generation.0, ..poll.seen };
            (now.generation > poll.seen.generation).then_some(News::Moved(now))
        });
        state.forget_if_empty(network);
    }

    /// Lets a poll wait that has just read where its node stands.
    pub(super) fn enter(self: &Arc<Self>, own: &Standing, seen: Desired) -> Result<Ticket, Error> {
        let (tell, news) = oneshot::channel();
        let mut state = self.lock();
        state.polls += 1;
        let number = state.polls;
        let is_new = !state.networks.contains_key(&own.network);
        let watched = state.networks.entry(own.network).or_insert_with(|| WatchedNetwork {
            marks: own.marks,
            doubtful: false,
            nodes: HashMap::new(),
        });
        // A look may have come between the reading and now.
        watched.doubtful |= watched.marks != own.marks;
        // Or there was none, because nobody waited.
        let look = is_new || watched.doubtful;
        let polls = watched.nodes.entry(own.node).or_default();
        if polls.len() >= POLLS_PER_NODE {
            let limit = Limit::Polls { most: POLLS_PER_NODE };
            return Err(Error::RateLimited { limit, retry_after: RETRY_SECONDS });
        }
        polls.push(Poll { number, seen, token: own.token, tell });
        if look && !state.due {
            state.due = true;
            self.changed.notify_all();
        }
        drop(state);
        let place = (own.network, own.node, number);
        Ok(Ticket { waiting: Arc::clone(self), place, news })
    }

    pub(super) fn leave(&self, (network, node, number): (NetworkId, NodeId, u64)) {
        let mut state = self.lock();
        let Some(watched) = state.networks.get_mut(&network) else { return };
        if let Some(polls) = watched.nodes.get_mut(&node) {
            polls.retain(|poll| poll.number != number);
            if polls.is_empty() {
                watched.nodes.remove(&node);
            }
        }
        state.forget_if_empty(network);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn forget_if_empty(&mut self, network: NetworkId) {
        if self.networks.get(&network).is_some_and(|watched| watched.nodes.is_empty()) {
            self.networks.remove(&network);
        }
    }

    /// Tells those in a network what a look has seen of it.
    pub(super) fn tell(&mut self, network: NetworkId, seen: Seen) {
        let Some(watched) = self.networks.get_mut(&network) else { return };
        watched.marks = seen.marks;
        let revision = seen.marks.revision.0;
        let mut newer = false;
        for (node, polls) in std::mem::take(&mut watched.nodes) {
            let now = seen.nodes.get(&node);
            watched.tell(node, polls, |poll| match now {
                _ if poll.number > seen.last_poll => {
                    newer = true;
                    None
                }
                Some((generation, token)) if *token == poll.token => {
                    let now = Desired { revision, generation: generation.0 };
                    (now != poll.seen).then_some(News::Moved(now))
                }
                // Suspended, revoked or released, or the token is another.
                _ => Some(News::Doubted),
            });
        }
        if newer {
            // They may have read less than this look has seen, or more.
            watched.doubtful = true;
            self.due = true;
        }
        self.forget_if_empty(network);
    }
}

impl WatchedNetwork {
    /// Tells a node's polls the news that there is for them; the others go on waiting.
    pub(super) fn tell(
        &mut self,
        node: NodeId,
        polls: Vec<Poll>,
        mut news: impl FnMut(&Poll) -> Option<News>,
    ) {
        let mut left = vec![];
        for poll in polls {
            match news(&poll) {
                // One that is gone needs no news.
                Some(news) => drop(poll.tell.send(news)),
                None => left.push(poll),
            }
        }
        if !left.is_empty() {
            self.nodes.insert(node, left);
        }
    }
}

/// A poll's place among those that wait; dropping it gives the place up.
pub(super) struct Ticket {
    pub(super) waiting: Arc<Waiting>,
    pub(super) place: (NetworkId, NodeId, u64),
    pub(super) news: oneshot::Receiver<News>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.leave(self.place);
    }
}

/// Where a node stands, as a poll reads it.
pub(super) struct Standing {
    pub(super) node: NodeId,
    pub(super) network: NetworkId,
    pub(super) token: [u8; 32],
    pub(super) marks: Marks,
    pub(super) desired: Desired,
}

/// What a look has seen of a network.
pub(super) struct Seen {
    pub(super) marks: Marks,
    /// Its active nodes with their generations and the hashes of their tokens.
    pub(super) nodes: HashMap<NodeId, (Generation, [u8; 32])>,
    /// The last poll that was waiting when the look began. Later ones may have read more.
    pub(super) last_poll: u64,
}
