//! The requests of clients of the older register endpoint, each in terms of the native operations,
//! which decide. Nothing outside of this room and of the API's own for these clients knows their words.

pub(super) mod add_pool;

use std::net::IpAddr;

use nebula_alloc::store::Transaction;
use nebula_bundle::Endpoint;
use nebula_pki::key::PublicKey;

use super::access::{authorize_device, public};
use super::bundles::NodeBundle;
use super::context::Context;
use super::core::Service;
use super::enroll::Enrolled;
use super::enroll::device::DeviceEnrollment;
use super::node_change::Change;
use super::principal::Action;
use super::shared::Shared;
use crate::error::Kind;
use crate::store::node::{self, Node};
use crate::store::{ca, damaged};
use crate::{DeviceId, Error, Groups, NetworkRef, NodeName};

/// What a device registers with.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The network; may be left out where there is only one.
    pub project: Option<NetworkRef>,
    /// The device's own id.
    pub device: DeviceId,
    /// Its name in the network.
    pub name: NodeName,
    /// Its public key, on the network's curve.
    pub public_key: PublicKey,
    /// Its groups; none for a new device that leaves them out.
    pub groups: Change<Groups>,
    /// Where it is reached as a lighthouse, or `None` for one that is no lighthouse (any more).
    pub lighthouse: Change<Option<Endpoint>>,
}

/// The state of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its first address, IPv4 before IPv6; none for a device that is unknown or released.
    pub address: Option<IpAddr>,
}

impl Service {
    /// Registers a device, or answers what it has: asking again is safe.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PoolExhausted`], [`Error::NameTaken`], [`Error::KeyTaken`],
    /// [`Error::KeyMismatch`], [`Error::NodeKeptOut`] for a suspended or revoked
    /// node, and those of access.
    pub async fn register(
        &self,
        context: Context,
        request: Registration,
    ) -> Result<Enrolled, Error> {
        let Registration { project: network, device, name, public_key, groups, lighthouse } =
            request;
        let request = DeviceEnrollment { network, device, name, public_key, groups, lighthouse };
        self.enroll_device(context, request).await
    }

    /// Releases the node of a device. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a device that never had a node, [`Error::Conflict`] for one that is
    /// suspended or revoked, and those of access.
    pub async fn release(
        &self,
        context: Context,
        network: Option<NetworkRef>,
        device: DeviceId,
    ) -> Result<(), Error> {
        self.release_device(context, network, device).await.map(drop)
    }

    /// The bundle of a device's node as it is now. It issues nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a device that is unknown or released, and those of access.
    pub async fn bundle(
        &self,
        context: Context,
        network: Option<NetworkRef>,
        device: DeviceId,
    ) -> Result<NodeBundle, Error> {
        let find = move |tx: &mut dyn Transaction, shared: &Shared| {
            let about = (network.as_ref(), &device);
            device_node(tx, shared, &context, about)?
                .ok_or_else(|| Error::not_found(Kind::Device, device.as_str()))
        };
        self.bundle_of(find).await
    }

    /// The state of a device. One that is unknown or released has nothing.
    ///
    /// # Errors
    /// Those of access.
    pub async fn status(
        &self,
        context: Context,
        network: Option<NetworkRef>,
        device: DeviceId,
    ) -> Result<NodeStatus, Error> {
        self.read(move |tx, shared| {
            let address = match device_node(tx, shared, &context, (network.as_ref(), &device))? {
                Some(node) => node::addresses(tx, node.network, node.id)?.into_iter().next(),
                None => None,
            };
            Ok(NodeStatus { address })
        })
        .await
    }

    /// The certificates of the CAs that a network trusts, as PEM. They are public; `caller` is asked
    /// which network is meant where `project` is left out.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Invalid`] where `project` must be given.
    pub async fn ca_certificates(
        &self,
        context: Option<Context>,
        project: Option<NetworkRef>,
    ) -> Result<String, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let network = public(tx, secrets, context.as_ref(), now, project.as_ref())?;
            let trusted = ca::trusted(tx, network.id)?;
            if trusted.is_empty() {
                return Err(damaged("list of CAs"));
            }
            Ok(trusted.iter().map(nebula_pki::Certificate::to_pem).collect())
        })
        .await
    }
}

/// The node that a device has, where the caller sees it.
fn device_node(
    tx: &mut dyn Transaction,
    shared: &Shared,
    context: &Context,
    (network, device): (Option<&NetworkRef>, &DeviceId),
) -> Result<Option<Node>, Error> {
    let (secrets, now, about) = (&shared.secrets, shared.now(), (network, device));
    let (principal, network) =
        authorize_device(tx, secrets, context, now, Action::ReadNode, about)?;
    let Some(network) = network else { return Ok(None) };
    let found = node::by_device(tx, network.id, device.as_str())?;
    Ok(found.filter(|node| principal.sees_node(node)))
}
