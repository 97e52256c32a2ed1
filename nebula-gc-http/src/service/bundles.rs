//! Rendering bundles, and telling where a node stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_bundle::{Bundle, Certificates, Digest, Lighthouse, Relay, Renderer, Tun};
use nebula_pki::{Blocklist, CaPool, Certificate, VerifiedCertificate};
use tokio::task::spawn_blocking;

use super::access::{Action, authorize};
use super::context::Context;
use super::self_service::heard;
use super::{Desired, Service, Shared};
use crate::error::{Kind, Unavailable};
use crate::store::network::{self, Network, Revision};
use crate::store::node::{self, Node};
use crate::store::{blocklist, ca, certificate, damaged};
use crate::{Error, NetworkRef, NodeId};

/// How often a node is read together with a view that others share, before it gets its own.
const ATTEMPTS: usize = 4;

/// A node's bundle at one revision and generation, to be rendered where it is needed.
pub struct NodeBundle {
    desired: Desired,
    node: Node,
    certificates: Vec<Certificate>,
    view: Arc<View>,
    digests: Arc<Digests>,
}

impl NodeBundle {
    /// Of what it is.
    #[must_use]
    pub fn desired(&self) -> Desired {
        self.desired
    }

    /// Its digest, where it was rendered before.
    #[must_use]
    pub fn known_digest(&self) -> Option<Digest> {
        self.digests.find(self.node.id, self.desired)
    }

    /// Renders it, and gives it a form, off the threads that serve requests.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the database holds what can't be rendered.
    pub async fn render<T: Send + 'static>(
        self,
        form: impl FnOnce(&Bundle) -> Result<T, nebula_bundle::Error> + Send + 'static,
    ) -> Result<(Digest, T), Error> {
        let render = move || {
            let bundle = self.view.render(self.view.verify(&self.certificates)?, &self.node)?;
            let digest = bundle.digest();
            self.digests.insert(self.node.id, self.desired, digest);
            Ok((digest, form(&bundle).map_err(Unavailable::from)?))
        };
        spawn_blocking(render).await.map_err(|_| Unavailable::Panicked { task: "rendering" })?
    }
}

/// The digests of bundles that were rendered, so that nodes which have theirs need no other
/// rendering. A node's bundle is the same for the same revision and generation.
#[derive(Default)]
pub(super) struct Digests(Mutex<HashMap<NodeId, (Desired, Digest)>>);

/// How many digests are kept, of some 100 bytes each.
const DIGESTS: usize = 200_000;

impl Digests {
    fn find(&self, node: NodeId, desired: Desired) -> Option<Digest> {
        let digests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        digests.get(&node).filter(|(of, _)| *of == desired).map(|(_, digest)| *digest)
    }

    fn insert(&self, node: NodeId, desired: Desired, digest: Digest) {
        let mut digests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.len() >= DIGESTS {
            digests.clear();
        }
        digests.insert(node, (desired, digest));
    }
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
    digests: Arc<Digests>,
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
            let overlay = node::addresses(tx, network.id, node.id)?;
            lighthouses.push(Lighthouse { overlay, endpoint });
        }
        let mut relays = vec![];
        for node in node::relays(tx, network.id)? {
            relays.push(Relay { overlay: node::addresses(tx, network.id, node.id)? });
        }
        let blocklist = blocklist::fingerprints(tx, network)?;
        let shared = nebula_bundle::Network {
            rendering: network.rendering,
            cas,
            lighthouses,
            relays,
            blocklist,
            tun: Tun { mtu: network.mtu, ..Tun::default() },
            initiating_version: network.begins_with(),
        };
        let renderer = Renderer::new(shared).map_err(Unavailable::from)?;
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
            certificates: Certificates::new(certificates).map_err(Unavailable::from)?,
            lighthouse: node.lighthouse.clone(),
            relay: node.relay,
            mtu: node.mtu,
        };
        self.renderer.render(&node).map_err(|error| Unavailable::from(error).into())
    }

    /// Proves certificates of the ledger against the network's CAs, at their own beginning: a
    /// bundle depends on its inputs, not on when it is rendered.
    pub(super) fn verify(
        &self,
        certificates: &[Certificate],
    ) -> Result<Vec<VerifiedCertificate>, Error> {
        let verify = |certificate: &Certificate| {
            let at = certificate.unverified_details().not_before();
            self.trusted
                .verify(certificate, at, &Blocklist::default())
                .map_err(|error| Unavailable::from(error).into())
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

    /// The bundle of a node as it is now, for who may read the node.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a node that is unknown, released or without certificates, and those
    /// of access.
    pub async fn node_bundle(
        &self,
        context: Context,
        network: Option<NetworkRef>,
        node: NodeId,
    ) -> Result<NodeBundle, Error> {
        let find = move |tx: &mut dyn Transaction, shared: &Shared| {
            let (named, now) = (network.as_ref(), shared.now());
            let (principal, network) =
                authorize(tx, &shared.secrets, &context, now, Action::ReadNode, named)?;
            node::by_id(tx, node)?
                .filter(|node| node.network == network.id && principal.sees_node(node))
                .ok_or_else(|| Error::not_found(Kind::Node, node))
        };
        self.bundle_of(find).await
    }

    /// The bundle of the caller's own node as it is now.
    ///
    /// # Errors
    /// [`Error::NodeKeptOut`] and those of access.
    pub async fn own_bundle(&self, context: Context) -> Result<NodeBundle, Error> {
        let find = move |tx: &mut dyn Transaction, shared: &Shared| heard(tx, shared, &context);
        self.bundle_of(find).await
    }

    /// The bundle of whom `find` finds, at one revision and generation.
    pub(super) async fn bundle_of(
        &self,
        find: impl Fn(&mut dyn Transaction, &Shared) -> Result<Node, Error> + Send + Sync + 'static,
    ) -> Result<NodeBundle, Error> {
        let find = Arc::new(find);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (find, is_last) = (Arc::clone(&find), attempt == ATTEMPTS);
            let (network, node, certificates, view) = self
                .read(move |tx, shared| {
                    let node = find(tx, shared)?;
                    let network =
                        network::by_id(tx, node.network)?.ok_or_else(|| damaged("network"))?;
                    let certificates = certificate::current(tx, node.id)?;
                    if certificates.is_empty() {
                        return Err(Error::NotFound { kind: Kind::Certificate, name: None });
                    }
                    let view = is_last.then(|| View::read(tx, &network)).transpose()?;
                    Ok((network, node, certificates, view.map(Arc::new)))
                })
                .await?;
            let view = match view {
                Some(view) => view,
                None => self.view(network.id, network.revision).await?,
            };
            // A later one may have come meanwhile; then the node is read again.
            if view.revision == network.revision {
                let desired = Desired { revision: view.revision.0, generation: node.generation.0 };
                let digests = Arc::clone(&self.views.digests);
                return Ok(NodeBundle { desired, node, certificates, view, digests });
            }
        }
    }
}

impl Views {
    fn newest(&self, network: NetworkId, revision: Revision) -> Option<Arc<View>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        newest.get(&network).filter(|view| view.revision >= revision).map(Arc::clone)
    }
}
