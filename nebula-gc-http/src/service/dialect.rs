//! The requests of clients of the older register endpoint, each in terms of the native operations,
//! which decide. Nothing outside of this room and of the API's own for these clients knows their words.

pub(super) mod add_pool;

use std::net::IpAddr;

use nebula_alloc::store::Transaction;

use super::access::{authorize_device, public};
use super::bundles::NodeBundle;
use super::context::Context;
use super::core::Service;
use super::principal::Action;
use super::shared::Shared;
use crate::error::Kind;
use crate::store::node::{self, Node};
use crate::store::{ca, damaged};
use crate::{DeviceId, Error, NetworkRef};

/// The state of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its first address, IPv4 before IPv6; none for a device that is unknown or released.
    pub address: Option<IpAddr>,
}

impl Service {
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
    /// which network is meant where `network` is left out.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Invalid`] where `network` must be given.
    pub async fn ca_certificates(
        &self,
        context: Option<Context>,
        network: Option<NetworkRef>,
    ) -> Result<String, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let network = public(tx, secrets, context.as_ref(), now, network.as_ref())?;
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
