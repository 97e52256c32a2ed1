//! What a node is told about itself, and tells.

pub(super) mod renew;
pub(in crate::service) mod report;
mod token;

use std::net::IpAddr;

use nebula_bundle::Endpoints;
use nebula_pki::{Certificate, Fingerprint, Version};
use sha2::{Digest, Sha256};

use super::context::Context;
use super::core::Service;
use super::shared::heard;
use super::views::Desired;
use crate::store::network::Network;
use crate::store::node::{self, Applied, Node, NodeState};
use crate::store::{certificate, damaged, network};
use crate::{Error, NodeId};

/// A node, as it is told about itself.
#[derive(Debug, Clone)]
pub struct OwnNode {
    /// Its id.
    pub id: NodeId,
    /// Its network, by name.
    pub network: String,
    /// Its name in the network.
    pub name: String,
    /// Where it stands; who asks is active.
    pub state: NodeState,
    /// Its addresses on the overlay, IPv4 before IPv6.
    pub addresses: Vec<IpAddr>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Where it is reached, as a lighthouse.
    pub lighthouse: Option<Endpoints>,
    /// Whether it is a relay.
    pub relay: bool,
    /// The MTU of its tun interface, in bytes, where it is not the network's.
    pub mtu: Option<u32>,
    /// The certificates it has now, the older version first.
    pub certificates: Vec<OwnCertificate>,
    /// When it should renew, in seconds since the Unix epoch; not later than now where it has
    /// none, or all are due, or what it has is not valid yet because the clock was wrong.
    pub renew_at: Option<i64>,
    /// Of what its bundle is.
    pub desired: Desired,
    /// What it reported last; nothing of a node that never did.
    pub applied: Option<Desired>,
}

/// A certificate of a node.
#[derive(Debug, Clone, Copy)]
pub struct OwnCertificate {
    /// Its version.
    pub version: Version,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// From when it is valid, in seconds since the Unix epoch.
    pub not_before: i64,
    /// Until when it is valid.
    pub not_after: i64,
}

impl Service {
    /// What the caller's node is.
    ///
    /// # Errors
    /// [`Error::NodeKeptOut`] and those of access.
    pub async fn own_node(&self, context: Context) -> Result<OwnNode, Error> {
        self.read(move |tx, shared| {
            let node = heard(tx, shared, &context)?;
            let network = network::by_id(tx, node.network)?.ok_or_else(|| damaged("network"))?;
            let certificates = certificate::current(tx, node.id)?;
            let renew_at = renewal_of(&network, shared.now(), &node, &certificates);
            Ok(OwnNode {
                id: node.id,
                network: network.name,
                name: node.name.clone(),
                state: node.state,
                addresses: node::addresses(tx, network.id, node.id)?,
                groups: node.groups.clone(),
                lighthouse: node.lighthouse.clone(),
                relay: node.relay,
                mtu: node.mtu,
                certificates: certificates.iter().map(OwnCertificate::of).collect(),
                renew_at: Some(renew_at),
                desired: Desired { revision: network.revision.0, generation: node.generation.0 },
                applied: reported(&node.applied),
            })
        })
        .await
    }
}

impl OwnCertificate {
    pub(super) fn of(certificate: &Certificate) -> Self {
        let details = certificate.unverified_details();
        Self {
            version: certificate.version(),
            fingerprint: certificate.fingerprint(),
            not_before: details.not_before(),
            not_after: details.not_after(),
        }
    }
}

/// When an active node should renew the certificates that it has, as it and its operators are told.
pub(super) fn renewal_of(
    network: &Network,
    now: i64,
    node: &Node,
    certificates: &[Certificate],
) -> i64 {
    let begin = certificates.iter().map(|it| OwnCertificate::of(it).not_before).max();
    match (begin, renew_at(node.id, certificates)) {
        // From when it has the last ones on.
        (Some(begin), _)
            if begin <= now && network.has_left(node.renew_before, certificates, now) =>
        {
            begin
        }
        (Some(begin), Some(at)) if begin <= now => at,
        // It has none, or none that is valid yet.
        _ => now,
    }
}

/// When a node should renew its certificates: the earliest of [`renewal`].
pub(super) fn renew_at(node: NodeId, certificates: &[Certificate]) -> Option<i64> {
    let of = |certificate: &Certificate| {
        let details = certificate.unverified_details();
        let validity = (details.not_before(), details.not_after());
        renewal(node, &certificate.fingerprint(), validity)
    };
    certificates.iter().map(of).min()
}

/// When a node should renew a certificate: after two thirds of its lifetime, and up to a tenth of it
/// later, so that nodes that enrolled together don't all come at once. The same for the same
/// certificate.
fn renewal(node: NodeId, fingerprint: &Fingerprint, (not_before, not_after): (i64, i64)) -> i64 {
    let lifetime = not_after.saturating_sub(not_before);
    let mut hash = Sha256::new();
    hash.update(node.as_bytes());
    hash.update(fingerprint.as_bytes());
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    let drawn = i64::from(u32::from_be_bytes([a, b, c, d]));
    // At most 2³² × a tenth of the lifetime, which for 2⁶³ seconds would not fit.
    let jitter = (lifetime / 10).saturating_mul(drawn) >> 32;
    not_before.saturating_add(lifetime - lifetime / 3).saturating_add(jitter)
}

fn reported(applied: &Applied) -> Option<Desired> {
    applied.at.map(|_| Desired { revision: applied.revision, generation: applied.generation })
}

#[cfg(test)]
mod tests {
    use nebula_pki::key::{AgreementKey, SigningKey};
    use nebula_pki::{
        CaParameters, Curve, HostParameters, Issuer, SystemRandom, Validity, Version,
    };

    use super::*;

    #[test]
    fn nodes_renew_between_two_thirds_and_a_tenth_later_each_at_a_time_of_its_own() {
        let validity = Validity { not_before: 1_000_000, not_after: 1_000_000 + 14 * 86_400 };
        let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
        let ca = CaParameters::new("ca", validity);
        let issuer = Issuer::self_signed(Version::V1, ca, key).unwrap();
        let key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
        let networks = vec!["10.1.0.1/16".parse().unwrap()];
        let host = HostParameters::new("node", networks, key.public_key(), validity);
        let certificate = issuer.issue(Version::V1, &host).unwrap().certificate().clone();
        let times: Vec<i64> = (0..200)
            .map(|_| {
                let node = NodeId::new();
                let at = renew_at(node, std::slice::from_ref(&certificate)).unwrap();
                assert_eq!(renew_at(node, std::slice::from_ref(&certificate)), Some(at));
                at - 1_000_000
            })
            .collect();
        let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
        let (earliest, tenth) = (14 * 86_400 * 2 / 3, 14 * 86_400 / 10);
        assert!(earliest <= first && last <= earliest + tenth, "{first} {last}");
        // 200 draws leave out a tenth of the range at either end with a chance below 10⁻⁸.
        assert!(first < earliest + tenth / 10 && last > earliest + tenth * 9 / 10);
        assert_eq!(renew_at(NodeId::new(), &[]), None);
    }
}
