//! What the bundles of a network share at one revision, kept for the next node that asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_bundle::{Bundle, Certificates, Digest, Lighthouse, Relay, Renderer, Tun};
use nebula_pki::{Blocklist, CaPool, Certificate, VerifiedCertificate};

use crate::error::Unavailable;
use crate::receipt::digest_of;
use crate::store::network::{Network, Revision};
use crate::store::node::{self, Node};
use crate::store::{blocklist, ca, damaged};
use crate::{Error, NodeId};

/// Of what a node's bundle is: its network's revision and its own generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desired {
    /// The network's counter.
    pub revision: i64,
    /// The node's own.
    pub generation: i64,
}

/// The digests of bundles that were rendered, so that nodes which have theirs need no other
/// rendering. A node's bundle is the same for the same revision and generation.
#[derive(Default)]
pub(super) struct Digests(Mutex<HashMap<NodeId, (Desired, Digest)>>);

/// How many digests are kept, of some 100 bytes each.
const DIGESTS: usize = 200_000;

impl Digests {
    pub(super) fn find(&self, node: NodeId, desired: Desired) -> Option<Digest> {
        let digests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        digests.get(&node).filter(|(of, _)| *of == desired).map(|(_, digest)| *digest)
    }

    pub(super) fn insert(&self, node: NodeId, desired: Desired, digest: Digest) {
        let mut digests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.len() >= DIGESTS {
            digests.clear();
        }
        digests.insert(node, (desired, digest));
    }
}

/// What all of a network's bundles share at one revision.
pub(super) struct View {
    pub(super) revision: Revision,
    pub(super) renderer: Renderer,
    pub(super) trusted: CaPool,
    /// What receipts say of the trusted CAs.
    pub(super) cas: [u8; 32],
    /// What they say of the blocklist.
    pub(super) blocklist: [u8; 32],
}

/// The newest view of each network that was asked for.
#[derive(Default)]
pub(super) struct Views {
    pub(super) newest: RwLock<HashMap<NetworkId, Arc<View>>>,
    /// Held by the one task that makes a view; the others wait for it instead of doing the same.
    pub(super) making: tokio::sync::Mutex<()>,
    pub(super) digests: Arc<Digests>,
}

impl View {
    pub(super) fn read(tx: &mut dyn Transaction, network: &Network) -> Result<Self, Error> {
        let cas = ca::trusted(tx, network.id)?;
        let mut trusted = CaPool::new();
        for ca in &cas {
            trusted.add(ca.clone()).map_err(|_| damaged("CA certificate"))?;
        }
        let mut lighthouses = vec![];
        for node in node::lighthouses(tx, network.id)? {
            let Some(endpoints) = node.lighthouse else { continue };
            let overlay = node::addresses(tx, network.id, node.id)?;
            lighthouses.push(Lighthouse { overlay, endpoints });
        }
        let mut relays = vec![];
        for node in node::relays(tx, network.id)? {
            relays.push(Relay { overlay: node::addresses(tx, network.id, node.id)? });
        }
        let blocklist = blocklist::fingerprints(tx, network)?;
        let ca_fingerprints: Vec<_> = cas.iter().map(Certificate::fingerprint).collect();
        let digests = (digest_of(&ca_fingerprints), digest_of(&blocklist));
        let shared = nebula_bundle::Network {
            rendering: network.rendering,
            cas,
            lighthouses,
            relays,
            blocklist,
            tun: Tun { dev: Tun::device_of(network.id.as_bytes()), mtu: network.mtu },
            initiating_version: network.begins_with(),
        };
        let renderer = Renderer::new(shared).map_err(Unavailable::from)?;
        let (cas, blocklist) = digests;
        Ok(Self { revision: network.revision, renderer, trusted, cas, blocklist })
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

impl Views {
    /// The networks that have a view.
    pub(super) fn networks(&self) -> Vec<NetworkId> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    pub(super) fn forget(&self, network: NetworkId) {
        self.newest.write().unwrap_or_else(PoisonError::into_inner).remove(&network);
    }

    pub(super) fn newest(&self, network: NetworkId, revision: Revision) -> Option<Arc<View>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        newest.get(&network).filter(|view| view.revision >= revision).map(Arc::clone)
    }
}
