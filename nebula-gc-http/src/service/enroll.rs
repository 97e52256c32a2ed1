//! Enrolling nodes: an address, certificates and a bundle in one durable step.

pub(super) mod device;
mod join;
pub(super) mod key;
pub(super) mod renewal;
pub(super) mod request;
mod step;
mod succession;

use std::sync::Arc;

use ipnet::IpNet;
use nebula_alloc::NetworkId;
use nebula_bundle::Bundle;
use nebula_pki::Certificate;
use nebula_pki::key::PublicKey;

use self::device::DeviceEnrollment;
use self::key::check_canonical;
use self::renewal::Renewal;
use self::request::Enrollment;
use self::step::Enrolling;
use self::succession::Succession;
use super::context::Context;
use super::core::Service;
use super::update::{Certified, Update};
use super::views::View;
use crate::error::{Field, Unavailable};
use crate::store::network::Revision;
use crate::store::node::Node;
use crate::{Error, JoinTokenId, NetworkRef, NodeId};

/// What a node gets.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Its network, by name.
    pub network: String,
    /// Its id.
    pub node: NodeId,
    /// The device's own id.
    pub device: String,
    /// Its name in the network.
    pub name: String,
    /// Its addresses with the prefix length of the network, IPv4 first.
    pub networks: Vec<IpNet>,
    /// Its certificates, the older version first.
    pub certificates: Vec<Certificate>,
    /// What it needs to start.
    pub bundle: Bundle,
    /// The network's revision and the node's generation that the bundle is of.
    pub desired: (i64, i64),
    /// Whether it is new, rather than known before.
    pub is_new: bool,
}

impl Service {
    /// Enrols a node, or answers what it has to who brings the same public key and node token.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PoolExhausted`], [`Error::NameTaken`], [`Error::KeyTaken`],
    /// [`Error::KeyMismatch`], [`Error::JoinTokenRefused`],
    /// [`Error::NodeKeptOut`] for a suspended or revoked node, whose reason only the node itself is
    /// told, and those of access.
    pub async fn enroll(&self, context: Context, request: Enrollment) -> Result<Enrolled, Error> {
        self.settle(context, Wish::Native(request)).await
    }

    /// Enrols a device that has no node token, or changes its node, or answers what it has: asking
    /// again is safe.
    ///
    /// # Errors
    /// As [`enroll`](Self::enroll).
    pub(super) async fn enroll_device(
        &self,
        context: Context,
        request: DeviceEnrollment,
    ) -> Result<Enrolled, Error> {
        self.settle(context, Wish::Device(request)).await
    }

    async fn settle(&self, context: Context, wish: Wish) -> Result<Enrolled, Error> {
        let settled = self.carry_out(context, wish).await?;
        let view = self.view(settled.network, settled.revision).await?;
        settled.render(&view)
    }

    async fn carry_out(&self, context: Context, wish: Wish) -> Result<Settled, Error> {
        self.admit(&context).await?;
        let canonical = wish.public_key().map_or(Ok(()), check_canonical);
        canonical.map_err(|fault| fault.of(Field::PublicKey))?;
        self.issue(|signed, device| {
            let (shared, who) = (Arc::clone(&self.shared), context.clone());
            Enrolling::new(shared, who, wish.clone(), signed, device)
        })
        .await
    }
}

/// Who asks for what.
#[derive(Clone)]
enum Wish {
    Device(DeviceEnrollment),
    Native(Enrollment),
    Renewal(Renewal),
}

impl Wish {
    /// The network it names.
    fn network(&self) -> Option<&NetworkRef> {
        match self {
            Self::Device(request) => request.network.as_ref(),
            Self::Native(request) => request.network.as_ref(),
            Self::Renewal(_) => None,
        }
    }

    /// The key it brings.
    fn public_key(&self) -> Option<&PublicKey> {
        match self {
            Self::Device(request) => Some(&request.public_key),
            Self::Native(request) => Some(&request.public_key),
            Self::Renewal(request) => request.public_key.as_ref(),
        }
    }
}

/// What the transaction settled.
struct Settled {
    network: NetworkId,
    network_name: String,
    revision: Revision,
    node: Node,
    certificates: Certified,
    is_new: bool,
}

impl Settled {
    fn render(self, view: &View) -> Result<Enrolled, Error> {
        let verified = match self.certificates {
            Certified::New(verified) => verified,
            Certified::Known(certificates) => view.verify(&certificates)?,
        };
        let newest =
            verified.last().ok_or(Unavailable::Missing { what: "the node's certificate" })?;
        let mut networks = newest.details().networks().to_vec();
        networks.sort_by_key(|net| net.addr());
        let certificates = verified.iter().map(|verified| verified.certificate().clone()).collect();
        let bundle = view.render(verified, &self.node)?;
        Ok(Enrolled {
            network: self.network_name,
            node: self.node.id,
            device: self.node.device,
            name: self.node.name,
            networks,
            certificates,
            bundle,
            desired: (view.revision().0, self.node.generation.0),
            is_new: self.is_new,
        })
    }
}

/// What is to be done.
enum Decision {
    /// What it has still serves.
    Unchanged { node: Node, certificates: Vec<Certificate> },
    /// A device that never had a node.
    New { node: Node, spends: Option<JoinTokenId> },
    /// One that gets back what a released node had.
    Returned { node: Node, succession: Succession, spends: Option<JoinTokenId> },
    /// A node whose first certificates are not signed yet.
    Waiting { node: Node },
    /// A node that changes.
    Changed { node: Node, update: Update },
    /// It is about this device's node, which others may be at work on.
    Elsewhere { device: String },
}

impl Decision {
    /// The node that gets certificates for the leases it asked for.
    fn certifies(&self) -> Option<&Node> {
        match self {
            Self::New { node, .. }
            | Self::Waiting { node }
            | Self::Changed { node, update: Update { keeps: None, .. } } => Some(node),
            // It keeps what it has, or asks once it has taken over what its predecessor had.
            Self::Unchanged { .. }
            | Self::Changed { .. }
            | Self::Returned { .. }
            | Self::Elsewhere { .. } => None,
        }
    }

    /// The node that was there before.
    fn known(&self) -> Option<&Node> {
        match self {
            Self::Unchanged { node, .. } | Self::Waiting { node } | Self::Changed { node, .. } => {
                Some(node)
            }
            Self::New { .. } | Self::Returned { .. } | Self::Elsewhere { .. } => None,
        }
    }
}
