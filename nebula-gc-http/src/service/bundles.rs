//! Rendering bundles, and telling where a node stands.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use nebula_alloc::NetworkId;
use nebula_alloc::lease::{self, LeaseState};
use nebula_alloc::store::Transaction;
use nebula_bundle::{Bundle, Certificates, Lighthouse, Relay, Renderer, Tun};
use nebula_pki::{Blocklist, CaPool, Certificate, VerifiedCertificate, Version};

use super::Service;
use super::access::{Action, Caller, authorize};
use crate::store::network::{self, Network, Revision};
use crate::store::node::{self, Node};
use crate::store::{blocklist, ca, certificate, damaged};
use crate::{DeviceId, Error, NodeId, ProjectId};

/// A node's bundle.
#[derive(Debug, Clone)]
pub struct NodeBundle {
    /// The device's own id.
    pub device: String,
    /// What it needs to start.
    pub bundle: Bundle,
}

/// Where a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its first address, IPv4 before IPv6; none for a device that is unknown or released.
    pub address: Option<IpAddr>,
}

/// What all of a network's bundles share at one revision.
pub(super) struct View {
    revision: Revision,
    renderer: Renderer,
    trusted: CaPool,
}

/// The newest view of each network that was asked for.
#[derive(Default)]
pub(super) struct Views {
    newest: RwLock<HashMap<NetworkId, Arc<View>>>,
    /// Held by the one task that makes a view; the others wait for it instead of doing the same.
    making: tokio::sync::Mutex<()>,
}

impl View {
    fn read(tx: &mut dyn Transaction, network: &Network) -> Result<Self, Error> {
        let cas = ca::trusted(tx, network.id)?;
        let mut trusted = CaPool::new();
        for ca in &cas {
            trusted.add(ca.clone()).map_err(|_| damaged("CA certificate"))?;
        }
        let mut lighthouses = vec![];
        for node in node::lighthouses(tx, network.id)? {
            let Some(endpoint) = node.lighthouse else { continue };
            let overlay = addresses(tx, network.id, node.id)?;
            lighthouses.push(Lighthouse { overlay, endpoint });
        }
        let mut relays = vec![];
        for node in node::relays(tx, network.id)? {
            relays.push(Relay { overlay: addresses(tx, network.id, node.id)? });
        }
        let blocklist = blocklist::fingerprints(tx, network.id)?;
        let shared = nebula_bundle::Network {
            rendering: network.rendering,
            cas,
            lighthouses,
            relays,
            blocklist,
            tun: Tun { mtu: network.mtu, ..Tun::default() },
            // A network has both while some of its nodes read version 1 only.
            initiating_version: Version::V1,
        };
        let renderer = Renderer::new(shared).map_err(Error::unavailable)?;
        Ok(Self { revision: network.revision, renderer, trusted })
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn render(
        &self,
        certificates: Vec<VerifiedCertificate>,
        node: &Node,
    ) -> Result<Bundle, Error> {
        let node = nebula_bundle::Node {
            certificates: Certificates::new(certificates).map_err(Error::unavailable)?,
            lighthouse: node.lighthouse.clone(),
            relay: node.relay,
            mtu: node.mtu,
        };
        self.renderer.render(&node).map_err(Error::unavailable)
    }

    /// Proves certificates of the ledger against the network's CAs, at their own beginning: a
    /// bundle depends on its inputs, not on when it is rendered.
    pub(super) fn verify(
        &self,
        certificates: &[Certificate],
    ) -> Result<Vec<VerifiedCertificate>, Error> {
        let verify = |certificate: &Certificate| {
            let at = certificate.unverified_details().not_before();
            self.trusted.verify(certificate, at, &Blocklist::default()).map_err(Error::unavailable)
        };
        certificates.iter().map(verify).collect()
    }
}

impl Service {
    /// A network's view, of this revision or a later one.
    pub(super) async fn view(
        &self,
        network: NetworkId,
        revision: Revision,
    ) -> Result<Arc<View>, Error> {
        if let Some(view) = self.views.newest(network, revision) {
            return Ok(view);
        }
        let _making = self.views.making.lock().await;
        if let Some(view) = self.views.newest(network, revision) {
            return Ok(view);
        }
        let view = self
            .read(move |tx, _| {
                let network = network::by_id(tx, network)?.ok_or_else(|| damaged("network"))?;
                View::read(tx, &network)
            })
            .await?;
        let view = Arc::new(view);
        // Views are made one after the other, so this one is the newest.
        let mut newest = self.views.newest.write().unwrap_or_else(PoisonError::into_inner);
        newest.insert(network, Arc::clone(&view));
        drop(newest);
        Ok(view)
    }

    /// A node's bundle as rendered now. It issues nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a device that is unknown or released, and those of access.
    pub async fn bundle(
        &self,
        caller: Caller,
        project: Option<ProjectId>,
        device: DeviceId,
    ) -> Result<NodeBundle, Error> {
        let (network, node, certificates) = self
            .read(move |tx, shared| {
                let (principal, network) = authorize(
                    tx,
                    &shared.secrets,
                    &caller,
                    shared.now(),
                    Action::ReadNode,
                    project.as_ref(),
                )?;
                let node = node::by_device(tx, network.id, device.as_str())?
                    .filter(|node| principal.sees_node(node))
                    .ok_or_else(|| Error::NotFound {
                        what: format!("device {:?}", device.as_str()),
                    })?;
                let certificates = certificate::current(tx, node.id)?;
                if certificates.is_empty() {
                    return Err(Error::NotFound {
                        what: "a certificate of this device".to_owned(),
                    });
                }
                Ok((network, node, certificates))
            })
            .await?;
        let view = self.view(network.id, network.revision).await?;
        let bundle = view.render(view.verify(&certificates)?, &node)?;
        Ok(NodeBundle { device: node.device, bundle })
    }

    /// Where a device stands. One that is unknown or released has nothing.
    ///
    /// # Errors
    /// Those of access.
    pub async fn status(
        &self,
        caller: Caller,
        project: Option<ProjectId>,
        device: DeviceId,
    ) -> Result<NodeStatus, Error> {
        self.read(move |tx, shared| {
            let (principal, network) = authorize(
                tx,
                &shared.secrets,
                &caller,
                shared.now(),
                Action::ReadNode,
                project.as_ref(),
            )?;
            let found = node::by_device(tx, network.id, device.as_str())?;
            let address = match found.filter(|node| principal.sees_node(node)) {
                Some(node) => addresses(tx, network.id, node.id)?.into_iter().next(),
                None => None,
            };
            Ok(NodeStatus { address })
        })
        .await
    }
}

impl Views {
    fn newest(&self, network: NetworkId, revision: Revision) -> Option<Arc<View>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        newest.get(&network).filter(|view| view.revision >= revision).map(Arc::clone)
    }
}

/// A node's addresses, IPv4 before IPv6.
fn addresses(
    tx: &mut dyn Transaction,
    network: NetworkId,
    node: NodeId,
) -> Result<Vec<IpAddr>, Error> {
    let leases = lease::by_owner(tx, network, node.owner())?;
    let active = leases.iter().filter(|lease| lease.state == LeaseState::Active);
    let mut addresses: Vec<IpAddr> = active.map(|lease| lease.address).collect();
    addresses.sort();
    Ok(addresses)
}
