//! Whether the current certificates say what the rows of their nodes say.

use std::collections::BTreeSet;

use ipnet::IpNet;
use nebula_alloc::Family;
use nebula_alloc::lease::{self, Lease, LeaseState, Reason};
use nebula_alloc::store::Transaction;
use nebula_pki::{Blocklist, CaPool, Certificate, Version};

use crate::store::ca;
use crate::store::certificate::{self, Checked};
use crate::store::network::Network;
use crate::store::node::{self, Node, NodeState};
use crate::{CertificateId, Error, NodeId};

/// A certificate that contradicts what is stored.
pub(super) struct Inconsistency {
    pub(super) certificate: CertificateId,
    pub(super) node: NodeId,
    /// How.
    pub(super) reason: String,
}

/// What is new among the nodes of a network after the one of this id, at most `limit` of them, and
/// the last one looked at; none where that was the end.
pub(super) fn check(
    tx: &mut dyn Transaction,
    network: &Network,
    after: NodeId,
    limit: i64,
) -> Result<(Vec<Inconsistency>, Option<NodeId>), Error> {
    let nodes = node::after(tx, network.id, after, limit)?;
    let mut trusted = CaPool::new();
    for certificate in ca::trusted(tx, network.id)? {
        // One that can't be added is found by what it signed.
        let _ = trusted.add(certificate);
    }
    let mut inconsistencies = vec![];
    for node in &nodes {
        for entry in certificate::checked(tx, node.id)? {
            if let Some(reason) = contradiction(tx, network, node, &entry, &trusted)? {
                inconsistencies.push(Inconsistency {
                    certificate: entry.id,
                    node: node.id,
                    reason,
                });
            }
        }
    }
    Ok((inconsistencies, nodes.last().map(|node| node.id)))
}

fn contradiction(
    tx: &mut dyn Transaction,
    network: &Network,
    node: &Node,
    entry: &Checked,
    trusted: &CaPool,
) -> Result<Option<String>, Error> {
    let certificate = match Certificate::from_bytes(entry.version, &entry.contents) {
        Ok(certificate) => certificate,
        Err(error) => return Ok(Some(error.to_string())),
    };
    // At its own beginning: that time passes is no contradiction.
    let begin = certificate.unverified_details().not_before();
    if let Err(error) = trusted.verify_strict(&certificate, begin, &Blocklist::default()) {
        return Ok(Some(error.to_string()));
    }
    let details = certificate.unverified_details();
    let issuer = ca::by_id(tx, entry.issuer)?.map(|ca| ca.certificate.fingerprint());
    let networks: BTreeSet<IpNet> = details.networks().iter().copied().collect();
    let groups: BTreeSet<_> = details.groups().map(|group| group.into_owned()).collect();
    let facts = [
        (node.state == NodeState::Active, "its node is not active"),
        (!entry.is_blocked, "it is blocked"),
        (Some(certificate.fingerprint()) == entry.fingerprint, "fingerprint differs"),
        (details.issuer() == issuer, "CA differs"),
        (details.not_before() == entry.not_before, "not_before differs"),
        (details.not_after() == entry.not_after, "not_after differs"),
        (details.name() == node.name, "name differs"),
        (certificate.public_key() == node.public_key, "public key differs"),
        (certificate.curve() == network.curve, "curve differs"),
        (groups.iter().eq(&node.groups.iter().cloned().collect::<BTreeSet<_>>()), "groups differ"),
        (has_addresses(tx, network, node, entry.version, &networks)?, "addresses differ"),
        (details.unsafe_networks().is_empty(), "it has routes"),
    ];
    Ok(facts.iter().find(|(holds, _)| !holds).map(|(_, what)| (*what).to_owned()))
}

/// Whether a certificate names these addresses. Its prefixes are narrower where the network has
/// grown since.
fn are_of(networks: &BTreeSet<IpNet>, leased: &BTreeSet<IpNet>) -> bool {
    networks.len() == leased.len()
        && networks.iter().zip(leased).all(|(one, other)| {
            one.addr() == other.addr() && one.prefix_len() >= other.prefix_len()
        })
}

/// Whether a node's certificate of this version names the addresses that it is to name. One that moved
/// while its signer was away goes on with the address that it has left, until it gets the next one.
fn has_addresses(
    tx: &mut dyn Transaction,
    network: &Network,
    node: &Node,
    version: Version,
    networks: &BTreeSet<IpNet>,
) -> Result<bool, Error> {
    let mut leases = lease::by_owner(tx, network.id, node.id.owner())?;
    leases.retain(|lease| version == Version::V2 || lease.address.is_ipv4());
    let (active, left): (Vec<_>, Vec<_>) =
        leases.into_iter().partition(|lease| lease.state == LeaseState::Active);
    let prefixed = |lease: &Lease| {
        let prefix = network.prefix(Family::of(lease.address))?;
        IpNet::new(lease.address, prefix.prefix_len()).ok()
    };
    let leased: BTreeSet<_> = active.iter().filter_map(prefixed).collect();
    if are_of(networks, &leased) {
        return Ok(true);
    }
    let left: BTreeSet<_> = left
        .iter()
        .filter(|lease| lease.reason == Some(Reason::Replaced))
        .map(|lease| lease.address)
        .collect();
    let is_known = |named: &IpNet| {
        left.contains(&named.addr()) || leased.iter().any(|it| it.addr() == named.addr())
    };
    Ok(networks.len() == leased.len() && networks.iter().all(is_known))
}
