//! Nodes as operators see them.

mod change;
mod condition;
mod details;

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;

pub(in crate::service) use self::change::named;
pub use self::change::{BatchAction, BatchEntry, BatchOutcome, Destination, MovedNode, Rotated};
pub use self::condition::Condition;
pub use self::details::{LastReport, NodeDetails};
use super::access::{authorize, authorize_device, find_network, network_that_released, not_found};
use super::context::Context;
use super::core::Service;
use super::principal::{Action, Principal};
use super::shared::Shared;
use crate::error::{Kind, Needs};
use crate::store::blocklist::{self, Blocked};
use crate::store::certificate::{self, LedgerEntry};
use crate::store::network::{self, Network};
use crate::store::node::{self, Node, NodeFilter};
use crate::{CertificateId, DeviceId, Error, NetworkRef, NodeId};

/// How far a revision has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unapplied {
    /// The network.
    pub network: NetworkId,
    /// The revision asked about.
    pub revision: i64,
    /// The network's revision now.
    pub current: i64,
    /// How many active nodes have not reported it, or a later one. Nodes that never report count.
    pub count: i64,
    /// How many of these have reported before.
    pub reporting_count: i64,
    /// How many active nodes report at all.
    pub reporting: i64,
    /// A page of those that have not reported it.
    pub nodes: NodePage,
}

/// What remains to be done after a change of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// The network's revision now.
    pub revision: i64,
    /// How many active nodes report and have not reported this revision.
    pub unapplied: i64,
}

/// A page of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePage {
    /// The nodes.
    pub nodes: Vec<NodeDetails>,
    /// After which node to go on, where looking ended before the nodes did and before there were as many
    /// as were asked for.
    pub go_on: Option<NodeId>,
}

impl NodePage {
    fn read(
        tx: &mut dyn Transaction,
        network: &Network,
        now: i64,
        node::Listed { nodes, go_on }: node::Listed,
    ) -> Result<Self, Error> {
        Ok(Self { nodes: NodeDetails::read_all(tx, network, now, nodes)?, go_on })
    }
}

impl Service {
    /// The nodes of a network after the one of this id, at most `limit`.
    ///
    /// # Errors
    /// Those of access.
    pub async fn nodes(
        &self,
        context: Context,
        network: NetworkRef,
        filter: NodeFilter,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<NodePage, Error> {
        self.look(context, network, move |tx, network, now| {
            let after = after.unwrap_or([0; 16].into());
            let listed = node::list(tx, network.id, &filter, after, limit)?;
            NodePage::read(tx, network, now, listed)
        })
        .await
    }

    /// The active nodes of a network whose last certificate ends within so many seconds, or has ended;
    /// after the one of this id, at most `limit`.
    ///
    /// # Errors
    /// Those of access.
    pub async fn expiring_nodes(
        &self,
        context: Context,
        network: NetworkRef,
        within: i64,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<NodePage, Error> {
        self.look(context, network, move |tx, network, now| {
            let ends_by = Some(now.saturating_add(within));
            let filter = NodeFilter { ends_by, ..NodeFilter::default() };
            let after = after.unwrap_or([0; 16].into());
            let listed = node::list(tx, network.id, &filter, after, limit)?;
            NodePage::read(tx, network, now, listed)
        })
        .await
    }

    /// One node, in whatever state.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn node(
        &self,
        context: Context,
        network: NetworkRef,
        id: NodeId,
    ) -> Result<NodeDetails, Error> {
        self.read(move |tx, shared| {
            let now = shared.now();
            let (_, network, node) =
                find(tx, shared, &context, now, Action::ReadNode, (Some(&network), &id.into()))?;
            NodeDetails::read(tx, &network, now, node)
        })
        .await
    }

    /// Every certificate that a node ever got, oldest first, after the row of this id, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn node_certificates(
        &self,
        context: Context,
        network: NetworkRef,
        id: NodeId,
        after: Option<CertificateId>,
        limit: i64,
    ) -> Result<Vec<LedgerEntry>, Error> {
        self.read(move |tx, shared| {
            let (_, _, node) = find(
                tx,
                shared,
                &context,
                shared.now(),
                Action::ReadNode,
                (Some(&network), &id.into()),
            )?;
            certificate::ledger(tx, node.id, after.unwrap_or([0; 16].into()), limit)
        })
        .await
    }

    /// What a network's bundles block, in the order of the fingerprints' bytes, after this one, at
    /// most `limit`.
    ///
    /// # Errors
    /// Those of access.
    pub async fn blocklist(
        &self,
        context: Context,
        network: NetworkRef,
        after: Option<[u8; 32]>,
        limit: i64,
    ) -> Result<Vec<Blocked>, Error> {
        self.read(move |tx, shared| {
            let network = network_for(tx, shared, &context, Action::ReadNetwork, &network)?;
            let after = after.as_ref().map_or(&[][..], |fingerprint| fingerprint);
            blocklist::after(tx, network.id, after, limit)
        })
        .await
    }

    /// Who has not yet applied a revision of a network: how many, and those after the node of this
    /// id, at most `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a revision that is not there yet, and those of access.
    pub async fn unapplied(
        &self,
        context: Context,
        network: NetworkRef,
        revision: i64,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Unapplied, Error> {
        self.look(context, network, move |tx, network, now| {
            if !(1..=network.revision.0).contains(&revision) {
                return Err(Error::not_found(Kind::Revision, revision));
            }
            let filter = NodeFilter { not_applied: Some(revision), ..NodeFilter::default() };
            let after = after.unwrap_or([0; 16].into());
            let listed = node::list(tx, network.id, &filter, after, limit)?;
            let (reporting, reporting_count) = node::count_reporting(tx, network.id, revision)?;
            Ok(Unapplied {
                network: network.id,
                revision,
                current: network.revision.0,
                count: node::count_unapplied(tx, network.id, revision)?,
                reporting_count,
                reporting,
                nodes: NodePage::read(tx, network, now, listed)?,
            })
        })
        .await
    }

    /// How far a network's present revision has come.
    ///
    /// # Errors
    /// Those of access.
    pub async fn remaining(
        &self,
        context: Context,
        network: NetworkRef,
    ) -> Result<Remaining, Error> {
        self.look(context, network, move |tx, network, _| {
            let revision = network.revision.0;
            let (_, unapplied) = node::count_reporting(tx, network.id, revision)?;
            Ok(Remaining { revision, unapplied })
        })
        .await
    }

    /// Reads about all nodes of a network.
    async fn look<T: Send + 'static>(
        &self,
        context: Context,
        network: NetworkRef,
        read: impl FnOnce(&mut dyn Transaction, &Network, i64) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.read(move |tx, shared| {
            let network = network_for(tx, shared, &context, Action::ReadNode, &network)?;
            read(tx, &network, shared.now())
        })
        .await
    }
}

/// A network for who may see all of it.
fn network_for(
    tx: &mut dyn Transaction,
    shared: &Shared,
    context: &Context,
    action: Action,
    network: &NetworkRef,
) -> Result<Network, Error> {
    let now = shared.now();
    let (principal, network) = authorize(tx, &shared.secrets, context, now, action, Some(network))?;
    if !principal.is_operator() {
        return Err(Needs::OperatorKey.into());
    }
    Ok(network)
}

/// A node, as a request names it.
#[derive(Debug, Clone)]
enum NodeRef {
    Id(NodeId),
    /// By the device's own id: the node that it has, else the last one that it had.
    Device(DeviceId),
}

impl From<NodeId> for NodeRef {
    fn from(id: NodeId) -> Self {
        Self::Id(id)
    }
}

/// A node that the caller sees and may do this to, with its network, which may be left out.
fn find(
    tx: &mut dyn Transaction,
    shared: &Shared,
    context: &Context,
    now: i64,
    action: Action,
    (network, node): (Option<&NetworkRef>, &NodeRef),
) -> Result<(Principal, Network, Node), Error> {
    let id = match node {
        NodeRef::Id(id) => *id,
        NodeRef::Device(device) => {
            let about = (network, device);
            return find_device(tx, shared, context, now, action, about);
        }
    };
    let principal = Principal::authenticate(tx, &shared.secrets, context, now)?;
    let node = node::by_id(tx, id)?;
    let network = match (network, &node) {
        (Some(_), _) => find_network(tx, &principal, network)?,
        (None, Some(node)) => {
            network::by_id(tx, node.network)?.filter(|network| principal.sees(network))
        }
        (None, None) => None,
    }
    .ok_or_else(|| not_found(network))?;
    principal.permit(action)?;
    let node = node
        .filter(|node| node.network == network.id && principal.sees_node(node))
        .ok_or_else(|| Error::not_found(Kind::Node, id))?;
    Ok((principal, network, node))
}

fn find_device(
    tx: &mut dyn Transaction,
    shared: &Shared,
    context: &Context,
    now: i64,
    action: Action,
    (network, device): (Option<&NetworkRef>, &DeviceId),
) -> Result<(Principal, Network, Node), Error> {
    let unknown = || Error::not_found(Kind::Device, device.as_str());
    let (secrets, about) = (&shared.secrets, (network, device));
    let (principal, network) = authorize_device(tx, secrets, context, now, action, about)?;
    let network = match network {
        Some(network) => Some(network),
        None => network_that_released(tx, &principal, device)?,
    };
    let network = network.ok_or_else(unknown)?;
    let node = match node::by_device(tx, network.id, device.as_str())? {
        Some(node) => Some(node),
        None => node::released_of(tx, network.id, device.as_str(), 1)?.pop(),
    };
    let node = node.filter(|node| principal.sees_node(node)).ok_or_else(unknown)?;
    Ok((principal, network, node))
}
