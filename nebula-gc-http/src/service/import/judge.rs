//! What is in the way of a host that is to be taken over.

use std::collections::HashMap;

use ipnet::IpNet;
use nebula_alloc::Family;
use nebula_alloc::import::{Assignment, Obstacle, conflicts};
use nebula_alloc::store::Transaction;
use nebula_pki::{Blocklist, CaPool, Certificate, VerifiedCertificate, Version};

use super::{Host, Newcomer};
use crate::service::enroll::check_no_id;
use crate::service::enroll::key::check_canonical;
use crate::store::network::Network;
use crate::store::node::{self, Applied, Generation, Node, NodeState};
use crate::store::{blocklist, certificate, former_key};
use crate::{DeviceId, Error, Groups, NodeId, NodeName};

pub(super) enum Verdict {
    /// It is a node already, with these certificates.
    Present,
    Ready(Box<Newcomer>),
    /// What is in the way.
    Conflict(String),
}

/// Puts the certificates of each host together, and verifies them.
pub(super) fn hosts(certificates: &[Certificate], trusted: &CaPool, now: i64) -> Vec<Host> {
    let mut hosts: Vec<Host> = vec![];
    let mut last_key: &[u8] = &[];
    for (index, certificate) in certificates.iter().enumerate() {
        let verified = trusted
            .verify_strict(certificate, now, &Blocklist::default())
            .map_err(|error| error.to_string());
        let name = certificate.unverified_details().name().into_owned();
        let same = hosts.last_mut().filter(|host| {
            host.name == name && last_key == certificate.public_key() && host.lacks(certificate)
        });
        match (same, verified) {
            (Some(host), Ok(verified)) => {
                if let Ok(certificates) = &mut host.certificates {
                    certificates.push(verified);
                }
            }
            (Some(host), Err(reason)) => host.certificates = Err(reason),
            (None, verified) => {
                hosts.push(Host { index, name, certificates: verified.map(|one| vec![one]) })
            }
        }
        last_key = certificate.public_key();
    }
    hosts
}

impl Host {
    /// Whether it has no certificate of this one's version.
    fn lacks(&self, other: &Certificate) -> bool {
        let version = |one: &VerifiedCertificate| one.certificate().version();
        self.certificates
            .as_ref()
            .is_ok_and(|own| own.iter().all(|one| version(one) != other.version()))
    }
}

/// What would become of each host, in their order.
pub(super) fn judge(
    tx: &mut dyn Transaction,
    now: i64,
    network: &Network,
    hosts: &[Host],
) -> Result<Vec<Verdict>, Error> {
    let mut names = HashMap::new();
    let mut keys = HashMap::new();
    let mut verdicts = vec![];
    for host in hosts {
        let mut verdict = judge_alone(tx, now, network, host)?;
        if let Verdict::Ready(newcomer) = &verdict {
            let name = names.insert(newcomer.node.name.clone(), host.index);
            let key = keys.insert(newcomer.node.public_key.clone(), host.index);
            let twice =
                name.map(|other| ("name", other)).or(key.map(|other| ("public key", other)));
            if let Some((what, other)) = twice {
                verdict = Verdict::Conflict(format!("certificate {other} has the same {what}"));
            }
        }
        verdicts.push(verdict);
    }
    judge_addresses(tx, now, network, hosts, &mut verdicts)?;
    Ok(verdicts)
}

/// Refuses whose addresses are taken, reserved, outside of the pools, or another's in the same list.
fn judge_addresses(
    tx: &mut dyn Transaction,
    now: i64,
    network: &Network,
    hosts: &[Host],
    verdicts: &mut [Verdict],
) -> Result<(), Error> {
    let mut places = vec![];
    let mut assignments = vec![];
    for (place, verdict) in verdicts.iter().enumerate() {
        if let Verdict::Ready(newcomer) = verdict {
            places.extend(newcomer.assignments.iter().map(|_| place));
            assignments.extend(newcomer.assignments.iter().copied());
        }
    }
    for conflict in conflicts(tx, now, network.id, &assignments)? {
        let address = conflict.assignment.address;
        let reason = match conflict.obstacle {
            Obstacle::SameAddress(other) => {
                let other = places.get(other).and_then(|place| hosts.get(*place));
                let other = other.map_or(0, |host| host.index);
                format!("certificate {other} has the same address {address}")
            }
            Obstacle::SameOwner(_) => "it has two addresses of one family".to_owned(),
            Obstacle::Refused(error) => error.to_string(),
            other => format!("{other:?}"),
        };
        let place = places.get(conflict.index).copied().unwrap_or_default();
        if let Some(verdict) = verdicts.get_mut(place) {
            *verdict = Verdict::Conflict(reason);
        }
    }
    Ok(())
}

fn judge_alone(
    tx: &mut dyn Transaction,
    now: i64,
    network: &Network,
    host: &Host,
) -> Result<Verdict, Error> {
    let certificates = match &host.certificates {
        Ok(certificates) => certificates,
        Err(reason) => return Ok(Verdict::Conflict(reason.clone())),
    };
    let mut certificates = certificates.clone();
    certificates.sort_by_key(|one| one.certificate().version());
    let mut node = match new_node(network, now, &certificates) {
        Ok(node) => node,
        Err(reason) => return Ok(Verdict::Conflict(reason)),
    };
    let mut known = vec![];
    for one in &certificates {
        let fingerprint = one.certificate().fingerprint();
        if blocklist::is_blocked(tx, network.id, &fingerprint)? {
            return Ok(Verdict::Conflict("its certificate is blocked".to_owned()));
        }
        known.push(certificate::is_known(tx, &fingerprint)?);
    }
    let holder = node::with_public_key(tx, network.id, &node.public_key)?;
    if let Some(holder) = holder {
        let same = holder.name == node.name && known.iter().all(|known| *known);
        return Ok(match same {
            true => Verdict::Present,
            false => Verdict::Conflict(format!("node {:?} has its public key", holder.name)),
        });
    }
    if former_key::is_of_another(tx, network.id, &node.public_key, node.id)? {
        return Ok(Verdict::Conflict("another node had its public key before".to_owned()));
    }
    if known.iter().any(|known| *known) {
        return Ok(Verdict::Conflict("its certificate was a node's that is released".to_owned()));
    }
    if node::by_name(tx, network.id, &node.name)?.is_some() {
        return Ok(Verdict::Conflict("another node has its name".to_owned()));
    }
    match check_no_id(tx, &node) {
        Err(Error::NameIsId { .. }) => {
            return Ok(Verdict::Conflict("its name is another node's id".to_owned()));
        }
        checked => checked?,
    }
    // Under its name it is found again by clients that call a device so; where that can't be, it is
    // as a native node that gives none.
    match DeviceId::new(&*node.name) {
        Ok(device) if node::by_device(tx, network.id, device.as_str())?.is_some() => {
            return Ok(Verdict::Conflict("another device is called by its name".to_owned()));
        }
        Ok(device) => node.device = device.into(),
        Err(_) => {}
    }
    let addresses = certificates.last().map(|newest| newest.details().networks().to_vec());
    let end = certificates.iter().map(|one| one.details().not_after()).max().unwrap_or(now);
    let assign = |net: IpNet| Assignment {
        pool: None,
        owner: node.id.owner(),
        address: net.addr(),
        hold_until: end.saturating_add(1),
        until: None,
    };
    let assignments = addresses.unwrap_or_default().into_iter().map(assign).collect();
    Ok(Verdict::Ready(Box::new(Newcomer { node, assignments, certificates })))
}

/// The node that a host becomes, or why its certificates, the older first, are none of a node's.
fn new_node(
    network: &Network,
    now: i64,
    certificates: &[VerifiedCertificate],
) -> Result<Node, String> {
    let versions: Vec<Version> =
        certificates.iter().map(|one| one.certificate().version()).collect();
    if versions != network.versions.as_slice() {
        return Err(format!(
            "it has certificates of version {}, and the network's nodes of {}",
            numbers(&versions),
            numbers(network.versions.as_slice())
        ));
    }
    let newest = certificates.last().ok_or("it has no certificate")?;
    let details = newest.details();
    for one in certificates {
        let other = one.details();
        let within = other.networks().iter().all(|net| details.networks().contains(net));
        if other.groups_bytes() != details.groups_bytes() || !within {
            return Err("its certificates contradict each other".to_owned());
        }
        if !other.unsafe_networks().is_empty() {
            return Err("it routes unsafe networks, which would be lost".to_owned());
        }
    }
    for net in details.networks() {
        let prefix = network.prefix(Family::of(net.addr()));
        if prefix.is_none_or(|prefix| prefix != net.trunc()) {
            return Err(format!("{net} is not of the network's prefix"));
        }
    }
    let reason = |error: Error| match error {
        Error::InvalidRequest { reason, .. } => reason,
        other => other.to_string(),
    };
    let name = NodeName::new(details.name()).map_err(|error| format!("name: {}", reason(error)))?;
    let groups = details.groups().map(|group| group.into_owned()).collect();
    let groups = Groups::new(groups).map_err(|error| format!("groups: {}", reason(error)))?;
    let certificate = newest.certificate();
    let key = nebula_pki::key::PublicKey::from_raw(network.curve, certificate.public_key())
        .map_err(|error| error.to_string())?;
    check_canonical(&key).map_err(|error| error.to_string())?;
    let id = NodeId::new();
    Ok(Node {
        id,
        network: network.id,
        device: id.to_string(),
        name: name.into(),
        public_key: certificate.public_key().to_vec(),
        state: NodeState::Active,
        state_reason: None,
        groups: groups.as_slice().to_vec(),
        lighthouse: None,
        relay: false,
        mtu: None,
        pool: None,
        token: None,
        join_token: None,
        key_until: None,
        generation: Generation::FIRST,
        applied: Applied::default(),
        seen_at: None,
        changes: 1,
        created_at: now,
    })
}

fn numbers(versions: &[Version]) -> String {
    let numbers: Vec<_> = versions.iter().map(|version| version.number().to_string()).collect();
    numbers.join(" and ")
}
