//! Enrolling nodes: an address, certificates and a bundle in one durable step.

pub(super) mod join;
pub(super) mod key;
pub(super) mod renewal;
pub(super) mod request;
mod step;
pub(super) mod succession;

use std::sync::Arc;

use ipnet::IpNet;
use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_bundle::Bundle;
use nebula_pki::Certificate;
use nebula_pki::key::PublicKey;

use self::key::check_canonical;
use self::renewal::Renewal;
use self::request::Enrollment;
use self::step::Enrolling;
use self::succession::Succession;
use super::Service;
use super::bundles::View;
use super::context::Context;
use super::dialect::register::Registration;
use super::update::{Certified, Update};
use crate::error::{Field, Kind, Unavailable};
use crate::names::{check_seen, hidden_id};
use crate::store::former_key;
use crate::store::network::Revision;
use crate::store::node::{self, Node};
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
    /// Registers a device of the dialect, or answers what it has: asking again is safe.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PoolExhausted`], [`Error::NameTaken`],
    /// [`Error::KeyTaken`], [`Error::KeyMismatch`], [`Error::Forbidden`] for a suspended or revoked
    /// node, and those of access.
    pub async fn register(
        &self,
        context: Context,
        request: Registration,
    ) -> Result<Enrolled, Error> {
        self.settle(context, Wish::Device(request)).await
    }

    /// Enrols a node, or answers what it has to who brings the same public key and node token.
    ///
    /// # Errors
    /// As [`register`](Self::register), but [`Error::NodeKeptOut`] for a suspended or revoked node,
    /// whose reason only the node itself is told; and [`Error::JoinTokenRefused`].
    pub async fn enroll(&self, context: Context, request: Enrollment) -> Result<Enrolled, Error> {
        self.settle(context, Wish::Native(request)).await
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
    Device(Registration),
    Native(Enrollment),
    Renewal(Renewal),
}

impl Wish {
    /// The network it names.
    fn network(&self) -> Option<&NetworkRef> {
        match self {
            Self::Device(request) => request.project.as_ref(),
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
pub(super) enum Decision {
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

/// Refuses a name that is another node's id.
pub(super) fn check_no_id(tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
    match hidden_id(&node.name).map(NodeId::from) {
        Some(id) if id != node.id && node::by_id(tx, id)?.is_some() => {
            Err(Error::NameIsId { name: node.name.clone(), kind: Kind::Node })
        }
        _ => Ok(()),
    }
}

/// Refuses a name or a key that another node of the network has, and a key that it had: who is
/// kept out must not come back with a former one.
pub(super) fn check_unique(
    tx: &mut dyn Transaction,
    node: &Node,
    former: Option<&Node>,
) -> Result<(), Error> {
    if former.is_none_or(|former| former.name != node.name)
        && let Some(holder) = node::by_name(tx, node.network, &node.name)?
        && holder != node.id
    {
        // Its own may differ in case.
        let name = node::by_id(tx, holder)?.map_or_else(|| node.name.clone(), |it| it.name);
        return Err(Error::NameTaken { kind: Kind::Node, name });
    }
    if former.is_none_or(|former| former.name != node.name) {
        check_seen(Field::Name, &node.name)?;
        check_no_id(tx, node)?;
    }
    if former.is_none_or(|former| former.public_key != node.public_key)
        && former_key::is_of_another(tx, node.network, &node.public_key, node.id)?
    {
        return Err(Error::KeyTaken);
    }
    Ok(())
}
