//! Enrolling nodes: an address, certificates and a bundle in one durable step.

pub(super) mod address;
pub(super) mod approval;
pub(super) mod command;
mod decision;
pub(super) mod device;
mod join;
pub(super) mod key;
pub(super) mod renewal;
pub(super) mod request;
pub(super) mod step;
mod succession;

use std::sync::Arc;

use ipnet::IpNet;
use nebula_bundle::Bundle;
use nebula_pki::Certificate;

use self::command::Command;
use self::device::DeviceEnrollment;
use self::key::check_canonical;
use self::request::Enrollment;
use self::step::{Ended, Enrolling, Outcome};
use super::context::Context;
use super::core::Service;
use super::shared::Shared;
use super::update::Certified;
use super::views::View;
use crate::error::{Field, Unavailable};
use crate::{Error, NodeId};

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
    /// What proves later that it was given it.
    pub receipt: String,
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
    /// [`Error::KeyMismatch`], [`Error::JoinTokenRefused`], [`Error::AwaitsApproval`] until an operator
    /// approves it where its join token needs that, [`Error::JoinRefused`],
    /// [`Error::NodeKeptOut`] for a suspended or revoked node, whose reason only the node itself is
    /// told, and those of access.
    pub async fn enroll(&self, context: Context, request: Enrollment) -> Result<Enrolled, Error> {
        self.enroll_by(context, Command::Native(request)).await
    }

    /// Enrols a device that has no node token, or changes its node, or answers what it has: asking
    /// again is safe.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PoolExhausted`], [`Error::NameTaken`], [`Error::KeyTaken`],
    /// [`Error::KeyMismatch`], [`Error::NodeKeptOut`] for a suspended or revoked node, and those of
    /// access.
    pub async fn enroll_device(
        &self,
        context: Context,
        request: DeviceEnrollment,
    ) -> Result<Enrolled, Error> {
        self.enroll_by(context, Command::Device(request)).await
    }

    async fn enroll_by(&self, context: Context, command: Command) -> Result<Enrolled, Error> {
        let outcome = self.carry_out(context, command).await?.node()?;
        let view = self.view(outcome.network, outcome.revision).await?;
        outcome.render(&self.shared, &view)
    }

    /// Decides and writes an enrolment or a renewal.
    pub(super) async fn carry_out(
        &self,
        context: Context,
        command: Command,
    ) -> Result<Ended, Error> {
        self.admit(&context).await?;
        let canonical = command.public_key().map_or(Ok(()), check_canonical);
        canonical.map_err(|fault| fault.of(Field::PublicKey))?;
        self.issue(|signed, device| {
            let (shared, who) = (Arc::clone(&self.shared), context.clone());
            Enrolling::new(shared, who, command.clone(), signed, device)
        })
        .await
    }
}

impl Outcome {
    fn render(self, shared: &Shared, view: &View) -> Result<Enrolled, Error> {
        let verified = match self.certificates {
            Certified::New(verified) => verified,
            Certified::Known(certificates) => view.verify(&certificates)?,
        };
        let newest =
            verified.last().ok_or(Unavailable::Missing { what: "the node's certificate" })?;
        let mut networks = newest.details().networks().to_vec();
        networks.sort_by_key(|net| net.addr());
        let certificates: Vec<_> =
            verified.iter().map(|verified| verified.certificate().clone()).collect();
        let fingerprints = certificates.iter().map(Certificate::fingerprint).collect();
        let receipt = shared.receipt(view, &self.node, fingerprints)?;
        let bundle = view.render(verified, &self.node)?;
        Ok(Enrolled {
            network: self.network_name,
            node: self.node.id,
            device: self.node.device,
            name: self.node.name,
            networks,
            certificates,
            bundle,
            receipt,
            desired: (view.revision().0, self.node.generation.0),
            is_new: self.is_new,
        })
    }
}
