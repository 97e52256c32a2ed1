//! What the steps and reads of the service share.

use std::sync::{Arc, OnceLock};

use nebula_alloc::store::Transaction;

use super::authority::Authorities;
use super::context::Context;
use super::heartbeat::Heartbeats;
use super::pace::Pace;
use super::principal::{Action, Principal};
use crate::Error;
use crate::error::Needs;
use crate::secret::ServerSecrets;
use crate::signers::Signers;
use crate::store::identity::StoreIdentity;
use crate::store::node::{Node, NodeState};

/// What steps need inside a transaction.
pub(super) struct Shared {
    pub(super) secrets: ServerSecrets,
    pub(super) authorities: Authorities,
    /// Who holds the CA keys that are not here.
    pub(super) signers: Signers,
    /// Nodes that were heard of.
    pub(super) heartbeats: Heartbeats,
    /// What tells this store from others; from the start on.
    pub(super) store: OnceLock<StoreIdentity>,
    /// This process, among those that share the database.
    pub(super) instance: String,
    /// For reads: a step is told its transaction's time.
    pub(super) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// How fast certificates may follow each other, where that is not the default.
    pub(super) pace: OnceLock<Pace>,
}

impl Shared {
    /// Seconds since the Unix epoch.
    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    pub(super) fn pace(&self) -> Pace {
        self.pace.get().copied().unwrap_or_default()
    }
}

/// The caller's node, if it is one that is not kept out; and notes that it was heard of.
pub(super) fn heard(
    tx: &mut dyn Transaction,
    shared: &Shared,
    context: &Context,
) -> Result<Node, Error> {
    let now = shared.now();
    let principal = Principal::authenticate(tx, &shared.secrets, context, now)?;
    let node = active_node(&principal)?;
    shared.heartbeats.note(node, now);
    Ok(node.clone())
}

/// The caller's node, if it is one that is not kept out.
pub(super) fn active_node(principal: &Principal) -> Result<&Node, Error> {
    principal.permit(Action::BeNode)?;
    let Principal::Node(node) = principal else {
        return Err(Needs::NodeToken.into());
    };
    match node.state {
        NodeState::Active => Ok(node),
        state => Err(Error::NodeKeptOut { state, reason: node.state_reason.clone() }),
    }
}
