//! The step in which a command is decided and carried out.

use std::sync::{Arc, OnceLock};

use nebula_alloc::NetworkId;
use nebula_alloc::lease::Lease;
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_pki::Fingerprint;
use serde_json::json;

use super::command::{Command, Decision};
use crate::error::Unavailable;
use crate::service::audit::{Author, Entry};
use crate::service::context::Context;
use crate::service::issuance::Ahead;
use crate::service::nodes::details::{NodeDetails, tag};
use crate::service::nodes::{NodeRef, find};
use crate::service::pending::Issuing;
use crate::service::precondition::Expected;
use crate::service::revision::move_revision;
use crate::service::revocation::{release_node, revoke_certificates};
use crate::service::shared::Shared;
use crate::service::update::{Changed, Writing};
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
    pub(super) command: Command,
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
        let author = context.author(command.actor(&principal));
        let decided = Decided { author, network, former, decision, signed: self.signed.clone() };
        Ok(Planned::with_addresses(decided, requests, |decided| decided.author.actor()))
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
            Decision::Release { reason } => {
                release_node(tx, now, &author, &network, &former, reason)?
            }
            Decision::Rotate(token) => {
                node::replace_token(tx, &former, &token, now)?;
                network::note_move(tx, network.id)?;
                author.record(tx, now, entry("node.token_rotated", &former))?;
                network.revision
            }
        };
        let node = node::by_id(tx, former.id)?.ok_or(Unavailable::Missing { what: "the node" })?;
        let node = NodeDetails::read(tx, &network, now, node)?;
        Ok(Issuing::Done(Outcome { network: network.id, revision, node }))
    }
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
        revision = move_revision(tx, network.id, now)?;
        moved = Some(revision.0);
        blocked = revoke_certificates(tx, now, former, revision)?;
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
