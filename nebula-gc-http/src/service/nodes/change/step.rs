//! The step in which a command is decided and carried out.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use nebula_alloc::NetworkId;
use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_pki::Fingerprint;
use serde_json::json;

use super::command::{Command, Decision, Unissued};
use super::relocation::Relocation;
use crate::error::Unavailable;
use crate::service::audit::{Author, Entry, addresses};
use crate::service::context::Context;
use crate::service::issuance::Ahead;
use crate::service::nodes::details::{NodeDetails, tag};
use crate::service::nodes::{NodeRef, find};
use crate::service::pending::Issuing;
use crate::service::precondition::Expected;
use crate::service::revocation::{Moved, release_node, revoke_certificates};
use crate::service::shared::Shared;
use crate::service::terms::{BACKDATED, Terms};
use crate::service::update::{Changed, Update, Writing};
use crate::store::network::{self, Network, Revision};
use crate::store::node::{self, Node, NodeState};
use crate::{Error, NetworkRef};

/// Who wants what done to which node.
pub(super) struct Requested {
    pub(super) context: Context,
    pub(super) about: (Option<NetworkRef>, NodeRef),
    /// The node's device.
    pub(super) device: String,
    pub(super) expected: Expected,
    pub(super) command: Arc<Command>,
    /// The node's state as it was when this was requested. It runs again after a signer elsewhere has
    /// answered, and what an operator decided meanwhile counts.
    pub(super) begun: OnceLock<NodeState>,
}

pub(super) struct Operating {
    shared: Arc<Shared>,
    requested: Arc<Requested>,
    /// What was signed elsewhere since it ran before.
    signed: Option<Ahead>,
}

pub(super) struct Decided {
    author: Author,
    network: Network,
    /// As it was read.
    former: Node,
    decision: Decision,
    /// The certificates it is most likely to get, signed ahead of the writing.
    signed: Option<Ahead>,
}

pub(super) struct Outcome {
    pub(super) network: NetworkId,
    pub(super) revision: Revision,
    pub(super) node: NodeDetails,
    /// Whether it was otherwise before.
    pub(super) is_changed: bool,
    /// The addresses that it has no longer, where it moved.
    pub(super) left: Vec<IpAddr>,
}

impl Operating {
    pub(super) fn new(
        shared: &Arc<Shared>,
        requested: &Arc<Requested>,
        signed: Option<Ahead>,
    ) -> Self {
        Self { shared: Arc::clone(shared), requested: Arc::clone(requested), signed }
    }
}

impl Step for Operating {
    type Plan = Decided;
    type Output = Issuing<Outcome>;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.requested.device.as_str().into())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Planned<Decided>, Error> {
        let Requested { context, about, expected, command, begun, .. } = &*self.requested;
        let about = (about.0.as_ref(), &about.1);
        let (principal, network, former) =
            find(tx, &self.shared, context, now, command.action(), about)?;
        expected.check(&tag(former.id, former.changes))?;
        let decision = command.decide(tx, &self.shared, (&network, &former), begun, now)?;
        let requests = match decision.certifies() {
            Some((terms, node)) => terms.requests(tx, node)?,
            None => vec![],
        };
        let moves = decision.moves().cloned();
        let requests = match &moves {
            Some(moves) => moves.requests(requests),
            None => requests,
        };
        let hold = moves.map(|_| Relocation::hold(&network));
        let author = context.author(command.actor(&principal));
        let decided = Decided { author, network, former, decision, signed: self.signed.clone() };
        let planned = Planned::with_addresses(decided, requests, |decided| decided.author.actor());
        Ok(match hold {
            Some(hold) => planned.relocating(hold),
            None => planned,
        })
    }

    const COMPUTES: bool = true;

    fn compute(&mut self, _: i64, decided: &mut Decided, leases: &[Lease]) -> Result<(), Error> {
        if decided.signed.is_none()
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
        decided: Decided,
        leases: &[Lease],
    ) -> Result<Issuing<Outcome>, Error> {
        let Decided { author, network, former, decision, signed } = decided;
        let is_changed = !matches!(decision, Decision::Unchanged);
        let mut left = vec![];
        let revision = match decision {
            Decision::Unchanged => network.revision,
            Decision::Update { kind, terms, node, update, moves } => {
                if moves.is_some() {
                    Relocation::settle(tx, now, &author, (&network, &node))?;
                }
                let writing = Writing { author: &author, leases, signed };
                let changed = match update.apply(tx, &terms, &node, writing, &mut None)?.done() {
                    Ok(changed) => changed,
                    Err(ends) => {
                        if let Some(moves) = moves {
                            moves.tell_others(tx, now, &author, (&network, &node))?;
                        }
                        return Ok(ends);
                    }
                };
                let Changed { revision, mut detail, .. } = changed;
                let mut address = None;
                if let (Some(moves), Some(detail)) = (moves, detail.as_object_mut()) {
                    address = leases.first().map(|lease| lease.address);
                    detail.insert("addresses".to_owned(), json!(addresses(leases)));
                    left = moves.left(leases);
                    detail.insert("left".to_owned(), json!(left));
                }
                author.record(tx, now, Entry { detail, address, ..entry(kind, &node) })?;
                revision
            }
            Decision::Unissued(act) => {
                carry_out(tx, now, &author, (&network, &former), act, &mut None)?
            }
        };
        let node = node::by_id(tx, former.id)?.ok_or(Unavailable::Missing { what: "the node" })?;
        let node = NodeDetails::read(tx, &network, now, node)?;
        Ok(Issuing::Done(Outcome { network: network.id, revision, node, is_changed, left }))
    }
}

/// Carries out what issues nothing. Where the revision has to move, it moves once for all that have this
/// `moved`; answers the revision after it.
pub(super) fn carry_out(
    tx: &mut dyn Transaction,
    now: i64,
    author: &Author,
    (network, former): (&Network, &Node),
    act: Unissued,
    moved: &mut Option<Revision>,
) -> Result<Revision, Error> {
    let takes_away = match &act {
        // One that is kept out already has nothing left to block.
        Unissued::KeepOut { .. } => former.state == NodeState::Active,
        Unissued::Release { .. } => true,
        Unissued::Rotate(_) | Unissued::MakeDue => false,
    };
    let part = Moved::once(tx, now, network, takes_away, moved)?;
    let revision = part.revision;
    match act {
        Unissued::KeepOut { kind, node } => {
            let blocked = match takes_away {
                true => revoke_certificates(tx, now, former, revision)?,
                false => vec![],
            };
            node::update(tx, &node)?;
            let detail = json!({
                (part.field()): takes_away.then_some(revision.0),
                "reason": node.state_reason,
                "blocked": blocked.iter().map(Fingerprint::to_string).collect::<Vec<_>>(),
            });
            author.record(tx, now, Entry { detail, ..entry(kind, &node) })?;
        }
        Unissued::Release { reason } => {
            release_node(tx, now, author, network, (former, part), reason)?;
        }
        Unissued::Rotate(token) => {
            node::replace_token(tx, former, &token, now)?;
            author.record(tx, now, entry("node.token_rotated", former))?;
        }
        Unissued::MakeDue => {
            // What is issued from now on begins then.
            let due = Node {
                renew_before: Some(now.saturating_sub(BACKDATED)),
                generation: former.generation.next(),
                ..former.clone()
            };
            node::make_due(tx, &due)?;
            let detail = json!({"generation": due.generation.0});
            author.record(tx, now, Entry { detail, ..entry("node.renewal_asked", former) })?;
        }
    }
    network::note_move(tx, network.id)?;
    Ok(revision)
}

/// Carries out what changes a node that does not move, with its certificates signed here; the revision moves
/// as in [`carry_out`].
pub(super) fn update_node(
    tx: &mut dyn Transaction,
    author: &Author,
    (kind, node, update): (&'static str, &Node, Update),
    terms: &Terms,
    leases: &[Lease],
    moved: &mut Option<Revision>,
) -> Result<(), Error> {
    let writing = Writing { author, leases, signed: None };
    match update.apply(tx, terms, node, writing, moved)? {
        Issuing::Done(Changed { detail, .. }) => {
            author.record(tx, terms.now, Entry { detail, ..entry(kind, node) })
        }
        // A signer elsewhere signs for each node by itself.
        Issuing::Pending(_) | Issuing::About(_) => Err(Error::Overtaken),
    }
}

fn entry<'a>(kind: &'static str, node: &'a Node) -> Entry<'a> {
    Entry { network: Some(node.network), ..Entry::new(kind, node.id.as_bytes()) }
}
