//! Rendering bundles, and telling where a node stands.

use std::sync::{Arc, PoisonError};

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_bundle::{Bundle, Digest};
use nebula_pki::Certificate;
use tokio::task::spawn_blocking;

use super::access::authorize;
use super::context::Context;
use super::core::Service;
use super::principal::Action;
use super::shared::Shared;
use super::shared::heard;
use super::views::{Desired, Digests, View};
use crate::error::{Kind, Unavailable};
use crate::store::network::{self, Revision};
use crate::store::node::{self, Node};
use crate::store::{certificate, damaged};
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
    shared: Arc<Shared>,
    receipt: Option<String>,
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

    /// What proves to this store later that the node was given it, for the node to keep.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without a key to prove it with.
    pub fn receipt(&self) -> Result<String, Error> {
        let certificates = self.certificates.iter().map(Certificate::fingerprint).collect();
        self.shared.receipt(&self.view, &self.node, certificates)
    }

    /// With a receipt, which archives then hold.
    #[must_use]
    pub fn with_receipt(self, receipt: String) -> Self {
        Self { receipt: Some(receipt), ..self }
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
            let bundle = match self.receipt {
                Some(receipt) => bundle.with_receipt(receipt),
                None => bundle,
            };
            let digest = bundle.digest();
            self.digests.insert(self.node.id, self.desired, digest);
            Ok((digest, form(&bundle).map_err(Unavailable::from)?))
        };
        spawn_blocking(render).await.map_err(|_| Unavailable::Panicked { task: "rendering" })?
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
                // It may have been deleted just now.
                let network = network::by_id(tx, network)?
                    .ok_or(Error::NotFound { kind: Kind::Network, name: None })?;
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
                let shared = Arc::clone(&self.shared);
                return Ok(NodeBundle {
                    desired,
                    node,
                    certificates,
                    view,
                    digests,
                    shared,
                    receipt: None,
                });
            }
        }
    }
}
