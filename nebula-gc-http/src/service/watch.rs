//! Waiting for a change of a node's bundle: nodes ask with a long poll.
//!
//! Nothing is queried for a node that waits. One thread looks at the networks in which somebody
//! waits, with one query, and at the nodes of those that moved, with one each. It looks when this
//! instance has committed something, and from time to time where others share the database. So no
//! change can be forgotten: what a step has to do is to move `revision` or `moves`, as other
//! instances need it anyway.

mod look;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use tokio::sync::oneshot;

use self::look::{Look, Seen};
use super::context::Context;
use super::self_service::heard;
use super::{Service, Shared};
use crate::error::{Limit, Unavailable};
use crate::store::database::Reading;
use crate::store::network::{self, Marks};
use crate::store::node::{Generation, Node};
use crate::{Error, NodeId};

/// Of what a node's bundle is: its network's revision and its own generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desired {
    /// The network's counter.
    pub revision: i64,
    /// The node's own.
    pub generation: i64,
}

/// Polls that one node may have at a time; one is what an agent needs.
const POLLS_PER_NODE: usize = 4;
/// When a node with too many polls may ask again, in seconds.
const RETRY_SECONDS: i64 = 5;

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

/// The nodes that wait, by network.
#[derive(Default)]
pub(super) struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    networks: HashMap<NetworkId, Watched>,
    polls: u64,
    /// A look is due.
    due: bool,
    stopped: bool,
}

struct Watched {
    /// What the last look saw, or the first poll.
    marks: Marks,
    /// Its nodes are to be looked at, even if the marks are still the same.
    doubtful: bool,
    nodes: HashMap<NodeId, Vec<Poll>>,
}

struct Poll {
    number: u64,
    seen: Desired,
    token: [u8; 32],
    tell: oneshot::Sender<News>,
}

/// What a poll is told.
enum News {
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

    /// Tells a node's polls where it stands now, after a change of its own, which moves no mark.
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
    fn enter(self: &Arc<Self>, own: &Standing, seen: Desired) -> Result<Ticket, Error> {
        let (tell, news) = oneshot::channel();
        let mut state = self.lock();
        state.polls += 1;
        let number = state.polls;
        let is_new = !state.networks.contains_key(&own.network);
        let watched = state.networks.entry(own.network).or_insert_with(|| Watched {
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

    fn leave(&self, (network, node, number): (NetworkId, NodeId, u64)) {
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_if_empty(&mut self, network: NetworkId) {
        if self.networks.get(&network).is_some_and(|watched| watched.nodes.is_empty()) {
            self.networks.remove(&network);
        }
    }

    /// Tells those in a network what a look has seen of it.
    fn tell(&mut self, network: NetworkId, seen: Seen) {
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

impl Watched {
    /// Tells a node's polls the news that there is for them; the others go on waiting.
    fn tell(
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
struct Ticket {
    waiting: Arc<Waiting>,
    place: (NetworkId, NodeId, u64),
    news: oneshot::Receiver<News>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.leave(self.place);
    }
}

/// Where a node stands, as a poll reads it.
struct Standing {
    node: NodeId,
    network: NetworkId,
    token: [u8; 32],
    marks: Marks,
    desired: Desired,
}

impl Standing {
    fn read(tx: &mut dyn Transaction, shared: &Shared, context: &Context) -> Result<Self, Error> {
        let Node { id, network, token, generation, .. } = heard(tx, shared, context)?;
        let marks = network::marks(tx, &[network])?.into_iter().next().flatten();
        let marks = marks.ok_or(Unavailable::Missing { what: "the node's network" })?;
        Ok(Self {
            node: id,
            network,
            token: token.as_ref().map_or([0; 32], |token| token.hash),
            marks,
            desired: Desired { revision: marks.revision.0, generation: generation.0 },
        })
    }
}

impl Service {
    /// Waits until the caller's node is to have another bundle than the one it has `seen`, and
    /// answers of what that is; nothing when that did not happen for so long.
    ///
    /// # Errors
    /// [`Error::NodeKeptOut`] and those of access, also as soon as they begin to apply, and
    /// [`Error::RateLimited`] for a node that polls too often at a time.
    pub async fn watch(
        &self,
        context: Context,
        seen: Desired,
        longest: Duration,
    ) -> Result<Option<Desired>, Error> {
        let standing = self.standing(&context).await?;
        if standing.desired != seen {
            return Ok(Some(standing.desired));
        }
        let mut ticket = self.watch.waiting().enter(&standing, seen)?;
        match tokio::time::timeout(longest, &mut ticket.news).await {
            Err(_) => Ok(None),
            Ok(Ok(News::Moved(now))) => Ok(Some(now)),
            // The sender is gone only when the service is.
            Ok(Ok(News::Doubted) | Err(_)) => {
                let now = self.standing(&context).await?.desired;
                Ok((now != seen).then_some(now))
            }
        }
    }

    /// How many polls wait now.
    #[must_use]
    pub fn waiting_polls(&self) -> usize {
        let state = self.watch.waiting().lock();
        let nodes = state.networks.values().flat_map(|watched| watched.nodes.values());
        nodes.map(Vec::len).sum()
    }

    async fn standing(&self, context: &Context) -> Result<Standing, Error> {
        let context = context.clone();
        self.read(move |tx, shared| Standing::read(tx, shared, &context)).await
    }
}
