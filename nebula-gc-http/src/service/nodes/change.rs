//! What operators do to a node, each in one step.

mod batch;
mod command;
mod relocation;
mod step;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

pub use self::batch::{BatchAction, BatchEntry, BatchOutcome};
use self::command::{Command, Decision};
pub use self::relocation::Destination;
use self::relocation::Relocation;
pub(in crate::service) use self::relocation::named;
use self::step::{Operating, Outcome, Requested};
use super::details::{NodeDetails, tag};
use super::{NodeRef, find};
use crate::secret::Bearer;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::node_change::NodeChange;
use crate::service::precondition::Expected;
use crate::store::node::NodeState;
use crate::{DeviceId, Error, NetworkRef, NodeId, StateReason};

/// A node that was moved, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedNode {
    /// The node.
    pub node: NodeDetails,
    /// Whether it is, or would be, somewhere else than before.
    pub is_moved: bool,
    /// The addresses that it left, or would leave.
    pub left: Vec<IpAddr>,
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
        context: Context,
        about: (NetworkRef, NodeId),
        expected: Expected,
        change: NodeChange,
    ) -> Result<NodeDetails, Error> {
        self.operate(context, about, expected, Command::Change(change)).await
    }

    /// Keeps a node out for a while: its certificates are blocked, its addresses stay its own. One that is
    /// suspended has this reason then.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a revoked or released one, and as [`change_node`](Self::change_node).
    pub async fn suspend_node(
        &self,
        context: Context,
        about: (NetworkRef, NodeId),
        expected: Expected,
        reason: StateReason,
    ) -> Result<NodeDetails, Error> {
        let command = Command::KeepOut(NodeState::Suspended, reason.into());
        self.operate(context, about, expected, command).await
    }

    /// Keeps a node and its public key out: its certificates are blocked, its addresses stay its
    /// own.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a released one, and as [`change_node`](Self::change_node).
    pub async fn revoke_node(
        &self,
        context: Context,
        about: (NetworkRef, NodeId),
        expected: Expected,
        reason: StateReason,
    ) -> Result<NodeDetails, Error> {
        let command = Command::KeepOut(NodeState::Revoked, reason.into());
        self.operate(context, about, expected, command).await
    }

    /// Lets a suspended or revoked node in again, with new certificates for the key that it has.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a released one, and as [`change_node`](Self::change_node).
    pub async fn reinstate_node(
        &self,
        context: Context,
        about: (NetworkRef, NodeId),
        expected: Expected,
    ) -> Result<NodeDetails, Error> {
        self.operate(context, about, expected, Command::Reinstate).await
    }

    /// Lets a node go: its certificates are blocked, its addresses go into quarantine. Doing it
    /// again changes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a suspended or revoked one, whose device could register anew then,
    /// and as [`change_node`](Self::change_node).
    pub async fn release_node(
        &self,
        context: Context,
        about: (NetworkRef, NodeId),
        expected: Expected,
    ) -> Result<NodeDetails, Error> {
        let command = Command::Release { silent_since: None };
        self.operate(context, about, expected, command).await
    }

    /// As [`release_node`](Self::release_node), for the node of a device, whose network may be left
    /// out where only one has the device.
    pub(in crate::service) async fn release_device(
        &self,
        context: Context,
        network: Option<NetworkRef>,
        device: DeviceId,
    ) -> Result<NodeDetails, Error> {
        let about = (network, NodeRef::Device(device));
        self.operate(context, about, Expected::Anything, Command::Release { silent_since: None })
            .await
    }

    /// Gives a node another token. The old one fails from the commit on.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a released one, and as [`change_node`](Self::change_node).
    pub async fn rotate_node_token(
        &self,
        context: Context,
        about: (NetworkRef, NodeId),
        expected: Expected,
    ) -> Result<Rotated, Error> {
        let token = Bearer::new_node_token()?;
        let command = Command::Rotate(token.clone());
        let node = self.operate(context, about, expected, command).await?;
        Ok(Rotated { node, token })
    }

    /// Makes a node's certificates due: it gets others when it asks, which it does as soon as it is told.
    ///
    /// # Errors
    /// [`Error::Conflict`] for one that is kept out or released, or has no node token and so can't renew by
    /// itself, and as [`change_node`](Self::change_node).
    pub async fn make_node_due(
        &self,
        context: Context,
        about: (NetworkRef, NodeId),
        expected: Expected,
    ) -> Result<NodeDetails, Error> {
        self.operate(context, about, expected, Command::MakeDue).await
    }

    /// Moves a node to another address: it gets other certificates, those that it had are blocked at
    /// once, and the address that it had goes into quarantine. With `is_dry_run` nothing is done, and
    /// what is in the way, as far as that can be foreseen, is answered. One that is there already is
    /// not moved.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a pool of another network, [`Error::PoolExhausted`], [`Error::Conflict`]
    /// for an address that it can't have and for a node that is not active, and as
    /// [`change_node`](Self::change_node).
    pub async fn move_node(
        &self,
        context: Context,
        (network, node): (NetworkRef, NodeId),
        expected: Expected,
        destination: Destination,
        is_dry_run: bool,
    ) -> Result<MovedNode, Error> {
        let command = Command::Move(destination);
        if !is_dry_run {
            let about = (Some(network), NodeRef::Id(node));
            let done = self.operate_on(context, about, expected, Arc::new(command)).await?;
            return Ok(MovedNode { node: done.node, is_moved: done.is_changed, left: done.left });
        }
        self.read(move |tx, shared| {
            let (now, about) = (shared.now(), (Some(&network), &NodeRef::Id(node)));
            let (_, network, former) = find(tx, shared, &context, now, command.action(), about)?;
            expected.check(&tag(former.id, former.changes))?;
            let about = (&network, &former);
            let decision = command.decide(tx, shared, about, &OnceLock::new(), now)?;
            decision.check_room(tx, now)?;
            let left = decision.moves().map(Relocation::leaves).unwrap_or_default();
            let is_moved = !matches!(decision, Decision::Unchanged);
            Ok(MovedNode { node: NodeDetails::read(tx, &network, now, former)?, is_moved, left })
        })
        .await
    }

    /// Releases a node that has not reported since then, where it still has not.
    pub(in crate::service) async fn release_silent(
        &self,
        node: NodeId,
        since: i64,
    ) -> Result<bool, Error> {
        let command = Command::Release { silent_since: Some(since) };
        let released = self
            .operate(Context::local(), (None::<NetworkRef>, node), Expected::Anything, command)
            .await?;
        Ok(released.state == NodeState::Released)
    }

    /// Releases a node that never reports, where its last certificate had ended by then, and it has no
    /// other since.
    pub(in crate::service) async fn give_back(
        &self,
        node: NodeId,
        ended_since: i64,
    ) -> Result<bool, Error> {
        let about = (None::<NetworkRef>, node);
        let command = Command::GiveBack { ended_since };
        let released = self.operate(Context::local(), about, Expected::Anything, command).await?;
        Ok(released.state == NodeState::Released)
    }

    /// Releases an ephemeral node that was not heard of for its time of silence, where there was somebody to
    /// hear it since then.
    pub(in crate::service) async fn end_ephemeral(
        &self,
        node: NodeId,
        up_since: i64,
    ) -> Result<bool, Error> {
        let about = (None::<NetworkRef>, node);
        let command = Command::EndEphemeral { up_since };
        let released = self.operate(Context::local(), about, Expected::Anything, command).await?;
        Ok(released.state == NodeState::Released)
    }

    async fn operate(
        &self,
        context: Context,
        (network, node): (impl Into<Option<NetworkRef>>, impl Into<NodeRef>),
        expected: Expected,
        command: Command,
    ) -> Result<NodeDetails, Error> {
        let about = (network.into(), node.into());
        Ok(self.operate_on(context, about, expected, Arc::new(command)).await?.node)
    }

    async fn operate_on(
        &self,
        context: Context,
        about: (Option<NetworkRef>, NodeRef),
        expected: Expected,
        command: Arc<Command>,
    ) -> Result<Outcome, Error> {
        let device = match &about.1 {
            NodeRef::Device(device) => {
                self.admit(&context).await?;
                device.to_string()
            }
            NodeRef::Id(_) => {
                let (context, about, action) = (context.clone(), about.clone(), command.action());
                // Steps about one device are told apart by its id, which never changes.
                self.read(move |tx, shared| {
                    let about = (about.0.as_ref(), &about.1);
                    let (.., node) = find(tx, shared, &context, shared.now(), action, about)?;
                    Ok(node.device)
                })
                .await?
            }
        };
        let begun = OnceLock::new();
        let requested = Arc::new(Requested { context, about, device, expected, command, begun });
        let outcome =
            self.issue(|signed, _| Operating::new(&self.shared, &requested, signed)).await?;
        // Bundles that this instance hands out after the answer have what is blocked now. The change
        // is committed even if this fails; asking again changes nothing.
        self.view(outcome.network, outcome.revision).await?;
        Ok(outcome)
    }
}
