//! What operators do to a node, each in one step.

use std::sync::{Arc, OnceLock};

use nebula_alloc::NetworkId;
use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};
use nebula_bundle::Endpoint;
use nebula_pki::Fingerprint;
use serde_json::json;

use super::details::{NodeDetails, tag};
use super::find;
use crate::secret::Bearer;
use crate::service::access::{Action, Caller};
use crate::service::audit::{Author, Entry, Origin};
use crate::service::enroll::check_unique;
use crate::service::enroll::device::Change;
use crate::service::pending::Issuing;
use crate::service::precondition::Expected;
use crate::service::release::{release_node, revoke_certificates};
use crate::service::terms::{Ahead, Terms};
use crate::service::update::{Changed, Renewal, Update, Writing, same_groups};
use crate::service::{Service, Shared, upkeep};
use crate::store::certificate::{self, Reason};
use crate::store::network::{self, Network, Revision};
use crate::store::node::{self, Node, NodeState};
use crate::{Error, Groups, NodeId, NodeName, ProjectId, StateReason};

/// What to change of a node.
#[derive(Debug, Clone, Default)]
pub struct NodeChange {
    /// Its name in the network.
    pub name: Change<NodeName>,
    /// Its groups.
    pub groups: Change<Groups>,
    /// Where it is reached as a lighthouse, or `None` for one that is no lighthouse (any more).
    pub lighthouse: Change<Option<Endpoint>>,
    /// Whether it is a relay.
    pub relay: Change<bool>,
    /// The MTU of its device in bytes, or `None` for the network's.
    pub mtu: Change<Option<u32>>,
}

/// A node with its new token, which nobody is told again.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The node.
    pub node: NodeDetails,
    /// Its token.
    pub token: Bearer,
}

impl Service {
    /// Changes a node. It gets another certificate where its name or groups change, and where
    /// something is taken away the former one is blocked at once.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::Conflict`] where the node is revoked or released,
    /// [`Error::Precondition`], [`Error::NotFound`], and those of access.
    pub async fn change_node(
        &self,
        caller: Caller,
        origin: Origin,
        about: (ProjectId, NodeId),
        expected: Expected,
        change: NodeChange,
    ) -> Result<NodeDetails, Error> {
        self.operate(caller, origin, (Some(about.0), about.1), expected, Wish::Change(change)).await
    }

    /// Keeps a node out for a while: its certificates are blocked, its addresses stay its own.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a revoked or released one, and as [`change_node`](Self::change_node).
    pub async fn suspend_node(
        &self,
        caller: Caller,
        origin: Origin,
        about: (ProjectId, NodeId),
        expected: Expected,
        reason: StateReason,
    ) -> Result<NodeDetails, Error> {
        let wish = Wish::KeepOut(NodeState::Suspended, reason.into());
        self.operate(caller, origin, (Some(about.0), about.1), expected, wish).await
    }

    /// Keeps a node and its public key out: its certificates are blocked, its addresses stay its
    /// own.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a released one, and as [`change_node`](Self::change_node).
    pub async fn revoke_node(
        &self,
        caller: Caller,
        origin: Origin,
        about: (ProjectId, NodeId),
        expected: Expected,
        reason: StateReason,
    ) -> Result<NodeDetails, Error> {
        let wish = Wish::KeepOut(NodeState::Revoked, reason.into());
        self.operate(caller, origin, (Some(about.0), about.1), expected, wish).await
    }

    /// Lets a suspended or revoked node in again, with new certificates for the key that it has.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a released one, and as [`change_node`](Self::change_node).
    pub async fn reinstate_node(
        &self,
        caller: Caller,
        origin: Origin,
        about: (ProjectId, NodeId),
        expected: Expected,
    ) -> Result<NodeDetails, Error> {
        self.operate(caller, origin, (Some(about.0), about.1), expected, Wish::Reinstate).await
    }

    /// Lets a node go: its certificates are blocked, its addresses go into quarantine. Doing it
    /// again changes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a suspended or revoked one, whose device could register anew then,
    /// and as [`change_node`](Self::change_node).
    pub async fn release_node(
        &self,
        caller: Caller,
        origin: Origin,
        about: (ProjectId, NodeId),
        expected: Expected,
    ) -> Result<NodeDetails, Error> {
        self.operate(
            caller,
            origin,
            (Some(about.0), about.1),
            expected,
            Wish::Release { silent_since: None },
        )
        .await
    }

    /// Gives a node another token. The old one fails from the commit on.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a released one and for a device of the dialect, which has no token,
    /// and as [`change_node`](Self::change_node).
    pub async fn rotate_node_token(
        &self,
        caller: Caller,
        origin: Origin,
        about: (ProjectId, NodeId),
        expected: Expected,
    ) -> Result<Rotated, Error> {
        let token = Bearer::new_node_token()?;
        let wish = Wish::Rotate(token.clone());
        let node = self.operate(caller, origin, (Some(about.0), about.1), expected, wish).await?;
        Ok(Rotated { node, token })
    }

    /// Releases a node that has not reported since then, where it still has not.
    pub(in crate::service) async fn release_silent(
        &self,
        node: NodeId,
        since: i64,
    ) -> Result<bool, Error> {
        let wish = Wish::Release { silent_since: Some(since) };
        let (caller, origin) = (Caller::Local, Origin::local());
        let released = self.operate(caller, origin, (None, node), Expected::Anything, wish).await?;
        Ok(released.state == NodeState::Released)
    }

    async fn operate(
        &self,
        caller: Caller,
        origin: Origin,
        about: (Option<ProjectId>, NodeId),
        expected: Expected,
        wish: Wish,
    ) -> Result<NodeDetails, Error> {
        let (asked, action) = (caller.clone(), wish.action());
        let subject = about.clone();
        // Steps about one device are told apart by its id, which never changes.
        let device = self
            .read(move |tx, shared| {
                let about = (subject.0.as_ref(), subject.1);
                let (.., node) = find(tx, shared, &asked, shared.now(), action, about)?;
                Ok(node.device)
            })
            .await?;
        let begun = Arc::new(OnceLock::new());
        let Settled { network, revision, node } = self
            .issue(|signed, _| Operating {
                shared: Arc::clone(&self.shared),
                caller: caller.clone(),
                origin,
                about: about.clone(),
                device: device.clone(),
                expected: expected.clone(),
                wish: wish.clone(),
                begun: Arc::clone(&begun),
                signed,
                decided: None,
            })
            .await?;
        // Once this is answered, no bundle without what is blocked now is handed out.
        self.view(network, revision).await?;
        Ok(node)
    }
}

#[derive(Clone)]
enum Wish {
    Change(NodeChange),
    KeepOut(NodeState, String),
    Reinstate,
    Release {
        /// Only where it has not reported since, in seconds since the Unix epoch.
        silent_since: Option<i64>,
    },
    Rotate(Bearer),
}

impl Wish {
    fn action(&self) -> Action {
        match self {
            Self::Release { .. } => Action::Release,
            _ => Action::ChangeNode,
        }
    }
}

struct Operating {
    shared: Arc<Shared>,
    caller: Caller,
    origin: Origin,
    about: (Option<ProjectId>, NodeId),
    device: String,
    expected: Expected,
    wish: Wish,
    /// The node's state as it was when this was asked. It runs again after a signer elsewhere has
    /// answered, and what an operator decided meanwhile counts.
    begun: Arc<OnceLock<NodeState>>,
    /// What was signed elsewhere since it ran before.
    signed: Option<Ahead>,
    decided: Option<Decided>,
}

struct Decided {
    author: Author,
    network: Network,
    /// As it was read.
    former: Node,
    decision: Decision,
    /// The certificates it is most likely to get, signed ahead of the writing.
    signed: Option<Ahead>,
}

enum Decision {
    /// It is so already.
    Unchanged,
    /// It changes, with what that means for its certificates.
    Update {
        kind: &'static str,
        terms: Box<Terms>,
        node: Node,
        update: Update,
    },
    /// It is kept out.
    KeepOut {
        kind: &'static str,
        node: Node,
    },
    Release,
    Rotate,
}

impl Decision {
    fn certifies(&self) -> Option<(&Terms, &Node)> {
        match self {
            Self::Update { terms, node, update: Update { keeps: None, .. }, .. } => {
                Some((terms, node))
            }
            _ => None,
        }
    }
}

struct Settled {
    network: NetworkId,
    revision: Revision,
    node: NodeDetails,
}

impl Step for Operating {
    type Output = Issuing<Settled>;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.device.as_str().into())
    }

    fn actor(&self) -> Actor<'_> {
        self.decided.as_ref().map_or(Actor::named(""), |decided| decided.author.actor())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Vec<lease::Request>, Error> {
        self.decided = None;
        let about = (self.about.0.as_ref(), self.about.1);
        let action = self.wish.action();
        let (principal, network, former) =
            find(tx, &self.shared, &self.caller, now, action, about)?;
        self.expected.check(&tag(former.id, former.changes))?;
        let decision = self.decide(tx, &network, &former, now)?;
        let wishes = match decision.certifies() {
            Some((terms, node)) => terms.wishes(tx, node)?,
            None => vec![],
        };
        let author = self.origin.author(match &self.wish {
            Wish::Release { silent_since: Some(_) } => upkeep::NAME.to_owned(),
            _ => principal.actor(),
        });
        self.decided =
            Some(Decided { author, network, former, decision, signed: self.signed.clone() });
        Ok(wishes)
    }

    const COMPUTES: bool = true;

    fn compute(&mut self, _: i64, leases: &[Lease]) -> Result<(), Error> {
        if let Some(decided) = &mut self.decided
            && decided.signed.is_none()
            && let Some((terms, node)) = decided.decision.certifies()
        {
            decided.signed = terms.sign(node, leases)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        leases: &[Lease],
    ) -> Result<Issuing<Settled>, Error> {
        let Decided { author, network, former, decision, signed } =
            self.decided.take().ok_or_else(|| Error::unavailable("written before planned"))?;
        let revision = match decision {
            Decision::Unchanged => network.revision,
            Decision::Update { kind, terms, node, update } => {
                let writing = Writing { author: &author, leases, signed };
                let changed = match update.apply(tx, &terms, &node, writing)?.done() {
                    Ok(changed) => changed,
                    Err(ends) => return Ok(ends),
                };
                let Changed { revision, detail, .. } = changed;
                author.record(tx, now, Entry { detail, ..entry(kind, &node) })?;
                revision
            }
            Decision::KeepOut { kind, node } => {
                keep_out(tx, now, &author, &network, (&former, &node, kind))?
            }
            Decision::Release => {
                let reason = match self.wish {
                    Wish::Release { silent_since: Some(_) } => Some("silent"),
                    _ => None,
                };
                release_node(tx, now, &author, &network, &former, reason)?
            }
            Decision::Rotate => {
                let Wish::Rotate(token) = &self.wish else {
                    return Err(Error::unavailable("another wish than planned"));
                };
                node::replace_token(tx, &former, &self.shared.secrets.hash(token)?)?;
                network::note_move(tx, network.id)?;
                author.record(tx, now, entry("node.token_rotated", &former))?;
                network.revision
            }
        };
        let node = node::by_id(tx, former.id)?
            .ok_or_else(|| Error::unavailable("a node is gone within a transaction"))?;
        let node = NodeDetails::read(tx, node)?;
        Ok(Issuing::Done(Settled { network: network.id, revision, node }))
    }
}

impl Operating {
    fn decide(
        &self,
        tx: &mut dyn Transaction,
        network: &Network,
        former: &Node,
        now: i64,
    ) -> Result<Decision, Error> {
        use NodeState as S;
        let refuse = |reason: &str| Err(Error::conflict(reason));
        match (&self.wish, former.state) {
            (Wish::Release { .. }, S::Released) => Ok(Decision::Unchanged),
            (_, S::Released) => refuse("this node is released; its device may enrol anew"),
            (Wish::Release { silent_since: Some(since) }, _)
                if former.state != S::Active
                    || former.applied.at.is_none_or(|reported| reported >= *since) =>
            {
                Ok(Decision::Unchanged)
            }
            (Wish::Release { .. }, S::Active) => Ok(Decision::Release),
            (Wish::Release { .. }, S::Suspended | S::Revoked) => refuse(
                "this node is kept out, and released its device could enrol anew; reinstate it first",
            ),
            (Wish::Rotate(_), _) if !former.is_native() => {
                refuse("this device came without a node token, and has none")
            }
            (Wish::Rotate(_), _) => Ok(Decision::Rotate),
            (Wish::KeepOut(state, _), current) if *state == current => Ok(Decision::Unchanged),
            (Wish::KeepOut(S::Suspended, _), S::Revoked) => {
                refuse("this node is revoked; reinstate it first")
            }
            (Wish::KeepOut(state, reason), _) => Ok(Decision::KeepOut {
                kind: if *state == S::Revoked { "node.revoked" } else { "node.suspended" },
                node: Node { state: *state, state_reason: Some(reason.clone()), ..former.clone() },
            }),
            (Wish::Reinstate, S::Active) => Ok(Decision::Unchanged),
            (Wish::Reinstate, current) if *self.begun.get_or_init(|| current) != current => {
                refuse("this node was kept out once more meanwhile; ask again to let it in")
            }
            (Wish::Reinstate, _) => self.reinstate(tx, network, former, now),
            (Wish::Change(_), S::Revoked) => refuse("this node is revoked; reinstate it first"),
            (Wish::Change(change), _) => self.change(tx, network, former, change, now),
        }
    }

    fn reinstate(
        &self,
        tx: &mut dyn Transaction,
        network: &Network,
        former: &Node,
        now: i64,
    ) -> Result<Decision, Error> {
        let node = Node {
            state: NodeState::Active,
            state_reason: None,
            generation: former.generation.next(),
            ..former.clone()
        };
        let update = Update {
            keeps: None,
            reason: Reason::Reinstated,
            blocks_former: false,
            blocks_former_later: false,
            moves_revision: node.lighthouse.is_some() || node.relay,
            changed: vec!["state"],
        };
        let terms = Terms::new(tx, &self.shared, network.clone(), node.is_native(), now)?;
        Ok(Decision::Update { kind: "node.reinstated", terms: Box::new(terms), node, update })
    }

    fn change(
        &self,
        tx: &mut dyn Transaction,
        network: &Network,
        former: &Node,
        change: &NodeChange,
        now: i64,
    ) -> Result<Decision, Error> {
        let node = changed(former, change);
        check_unique(tx, &node, Some(former))?;
        let current = certificate::current(tx, node.id)?;
        let terms = Terms::new(tx, &self.shared, network.clone(), node.is_native(), now)?;
        let Ok(mut update) = Update::between(former, &node, current, &terms, Renewal::Left) else {
            return Ok(Decision::Unchanged);
        };
        if node.state != NodeState::Active {
            // It has no certificates, and no bundle names it.
            let keeps = Some(vec![]);
            update = Update { keeps, blocks_former: false, moves_revision: false, ..update };
        }
        Ok(Decision::Update { kind: "node.changed", terms: Box::new(terms), node, update })
    }
}

fn changed(former: &Node, change: &NodeChange) -> Node {
    let mut node = Node { generation: former.generation.next(), ..former.clone() };
    if let Change::Set(name) = &change.name {
        node.name = name.clone().into();
    }
    if let Change::Set(groups) = &change.groups
        && !same_groups(groups.as_slice(), &former.groups)
    {
        node.groups = groups.as_slice().to_vec();
    }
    if let Change::Set(lighthouse) = &change.lighthouse {
        node.lighthouse.clone_from(lighthouse);
    }
    if let Change::Set(relay) = &change.relay {
        node.relay = *relay;
    }
    if let Change::Set(mtu) = &change.mtu {
        node.mtu = *mtu;
    }
    node
}

/// Writes a node that is kept out now. One that was already has nothing left to block.
fn keep_out(
    tx: &mut dyn Transaction,
    now: i64,
    author: &Author,
    network: &Network,
    (former, node, kind): (&Node, &Node, &'static str),
) -> Result<Revision, Error> {
    let (mut revision, mut moved, mut blocked) = (network.revision, None, vec![]);
    if former.state == NodeState::Active {
        revision = network::move_revision(tx, network.id, now)?;
        moved = Some(revision.0);
        blocked = revoke_certificates(tx, network, former, revision)?;
    }
    node::update(tx, node)?;
    network::note_move(tx, network.id)?;
    let detail = json!({
        "revision": moved,
        "reason": node.state_reason,
        "blocked": blocked.iter().map(Fingerprint::to_string).collect::<Vec<_>>(),
    });
    author.record(tx, now, Entry { detail, ..entry(kind, node) })?;
    Ok(revision)
}

fn entry<'a>(kind: &'static str, node: &'a Node) -> Entry<'a> {
    Entry { network: Some(node.network), ..Entry::new(kind, node.id.as_bytes()) }
}
