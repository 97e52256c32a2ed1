//! What is in the way of a host that is to be taken over.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use nebula_alloc::Family;
use nebula_alloc::import::{Assignment, Obstacle as Lease, conflicts};
use nebula_alloc::store::Transaction;
use nebula_pki::{Blocklist, CaPool, Certificate, Fingerprint, VerifiedCertificate, Version};

use super::{Host, Newcomer};
use crate::error::{Fault, Field, Obstacle};
use crate::names::folded;
use crate::service::enroll::key::check_canonical;
use crate::service::node_change::check_no_id;
use crate::store::network::Network;
use crate::store::node::{self, Applied, Generation, Node, NodeState};
use crate::store::{blocklist, certificate, former_key};
use crate::{DeviceId, Error, Groups, NodeId, NodeName};

pub(super) enum Verdict {
    /// It is a node already, with these certificates.
    Present,
    Ready(Box<Newcomer>),
    /// What is in the way.
    Conflict(Obstacle),
}

/// Puts the certificates of each host together, and verifies them: those of one name that have an
/// address or the key in common. One that has ended is nobody's any more.
pub(super) fn hosts(certificates: &[Certificate], trusted: &CaPool, now: i64) -> Vec<Host> {
    let mut hosts: Vec<Host> = vec![];
    let mut by_key: HashMap<(String, &[u8]), usize> = HashMap::new();
    let mut by_address: HashMap<(String, IpAddr), usize> = HashMap::new();
    for (index, certificate) in certificates.iter().enumerate() {
        let details = certificate.unverified_details();
        let (name, key) = (details.name().into_owned(), certificate.public_key());
        let addresses: Vec<_> = details.networks().iter().map(IpNet::addr).collect();
        let at = addresses.iter().find_map(|at| by_address.get(&(name.clone(), *at)));
        let known = by_key.get(&(name.clone(), key)).or(at).copied();
        let place = known.unwrap_or(hosts.len());
        by_key.entry((name.clone(), key)).or_insert(place);
        for address in addresses {
            by_address.entry((name.clone(), address)).or_insert(place);
        }
        if known.is_none() {
            hosts.push(Host { index, name, certificates: vec![], failure: None });
        }
        let Some(host) = hosts.get_mut(place) else { continue };
        match trusted.verify_strict(certificate, now, &Blocklist::default()) {
            Ok(verified) => host.certificates.push(verified),
            Err(nebula_pki::Error::Expired { .. }) => {}
            Err(error) => {
                let fingerprint = certificate.fingerprint();
                host.failure = Some(Obstacle::Unverified { fingerprint, error });
            }
        }
    }
    hosts
}

/// What a host has now, the older version first, and what it had before: its newest certificate
/// tells its key.
fn sorted(host: &Host) -> (Vec<VerifiedCertificate>, Vec<VerifiedCertificate>) {
    let mut newest_first: Vec<_> = host.certificates.clone();
    newest_first.reverse();
    let age = |one: &VerifiedCertificate| {
        std::cmp::Reverse((one.details().not_before(), one.details().not_after()))
    };
    newest_first.sort_by_key(age);
    let key = newest_first.first().map(|one| one.certificate().public_key().to_vec());
    let (mut current, mut former): (Vec<VerifiedCertificate>, Vec<_>) = (vec![], vec![]);
    for one in newest_first {
        let (version, own) = (one.certificate().version(), one.certificate().public_key());
        let has = current.iter().any(|other| other.certificate().version() == version);
        if has || key.as_deref() != Some(own) {
            former.push(one);
        } else {
            current.push(one);
        }
    }
    current.sort_by_key(|one| one.certificate().version());
    (current, former)
}

/// What would become of each host, in their order.
pub(super) fn judge(
    tx: &mut dyn Transaction,
    now: i64,
    network: &Network,
    hosts: &[Host],
    listed: &BTreeSet<Fingerprint>,
) -> Result<Vec<Verdict>, Error> {
    let mut names = HashMap::new();
    let mut keys = HashMap::new();
    let mut verdicts = vec![];
    for host in hosts {
        let mut verdict = judge_alone(tx, now, network, host, listed)?;
        if let Verdict::Ready(newcomer) = &verdict {
            let name = names.insert(folded(&newcomer.node.name), host.index);
            let mut key = None;
            for one in newcomer.certificates.iter().chain(&newcomer.former) {
                let other = keys.insert(one.certificate().public_key().to_vec(), host.index);
                key = key.or(other.filter(|other| *other != host.index));
            }
            let twice = name
                .map(|other| (Field::Name, other))
                .or(key.map(|other| (Field::PublicKey, other)));
            if let Some((field, other)) = twice {
                verdict = Verdict::Conflict(Obstacle::Same { field, other });
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
        let obstacle = match conflict.obstacle {
            Lease::SameAddress(other) => {
                let other = places.get(other).and_then(|place| hosts.get(*place));
                Obstacle::SameAddress { address, other: other.map_or(0, |host| host.index) }
            }
            obstacle => Obstacle::Address { obstacle },
        };
        let place = places.get(conflict.index).copied().unwrap_or_default();
        if let Some(verdict) = verdicts.get_mut(place) {
            *verdict = Verdict::Conflict(obstacle);
        }
    }
    Ok(())
}

fn judge_alone(
    tx: &mut dyn Transaction,
    now: i64,
    network: &Network,
    host: &Host,
    listed: &BTreeSet<Fingerprint>,
) -> Result<Verdict, Error> {
    if let Some(failure) = &host.failure {
        return Ok(Verdict::Conflict(failure.clone()));
    }
    if host.certificates.is_empty() {
        return Ok(Verdict::Conflict(Obstacle::Expired));
    }
    let (certificates, mut former) = sorted(host);
    let mut node = match new_node(network, now, &certificates) {
        Ok(node) => node,
        Err(obstacle) => return Ok(Verdict::Conflict(obstacle)),
    };
    let mut known = vec![];
    for one in &certificates {
        if is_blocked(tx, network, one.certificate(), listed)? {
            let fingerprint = one.certificate().fingerprint();
            return Ok(Verdict::Conflict(Obstacle::Blocked { fingerprint }));
        }
        known.push(certificate::is_known(tx, &one.certificate().fingerprint())?);
    }
    // One that is blocked is of no use to it.
    let mut usable = vec![];
    for one in former {
        if !is_blocked(tx, network, one.certificate(), listed)? {
            usable.push(one);
        }
    }
    former = usable;
    if let Err(obstacle) = check_former(network, &certificates, &former) {
        return Ok(Verdict::Conflict(obstacle));
    }
    let mut unknown = None;
    for one in &former {
        let fingerprint = one.certificate().fingerprint();
        if !certificate::is_known(tx, &fingerprint)? {
            unknown = Some(fingerprint);
        }
    }
    let holder = node::with_public_key(tx, network.id, &node.public_key)?;
    if let Some(holder) = holder {
        let same = holder.name == node.name && known.iter().all(|known| *known);
        return Ok(match (same, unknown) {
            (true, None) => Verdict::Present,
            (true, Some(fingerprint)) => Verdict::Conflict(Obstacle::FormerMissing { fingerprint }),
            (false, _) => Verdict::Conflict(Obstacle::KeyTaken { node: holder.name }),
        });
    }
    for one in &former {
        let key = one.certificate().public_key();
        let is_taken = node::with_public_key(tx, network.id, key)?.is_some()
            || former_key::is_of_another(tx, network.id, key, node.id)?;
        let fingerprint = one.certificate().fingerprint();
        if is_taken || certificate::is_known(tx, &fingerprint)? {
            return Ok(Verdict::Conflict(Obstacle::FormerTaken { fingerprint }));
        }
    }
    if former_key::is_of_another(tx, network.id, &node.public_key, node.id)? {
        return Ok(Verdict::Conflict(Obstacle::FormerKey));
    }
    if known.iter().any(|known| *known) {
        return Ok(Verdict::Conflict(Obstacle::Released));
    }
    if node::by_name(tx, network.id, &node.name)?.is_some() {
        return Ok(Verdict::Conflict(Obstacle::NameTaken));
    }
    match check_no_id(tx, &node) {
        Err(Error::NameIsId { .. }) => {
            return Ok(Verdict::Conflict(Obstacle::NameIsId));
        }
        checked => checked?,
    }
    // Under its name it is found again by clients that call a device so; where that can't be, it is
    // as a native node that gives none.
    match DeviceId::new(&*node.name) {
        Ok(device) if node::by_device(tx, network.id, device.as_str())?.is_some() => {
            return Ok(Verdict::Conflict(Obstacle::DeviceTaken));
        }
        Ok(device) => node.device = device.into(),
        Err(_) => {}
    }
    let addresses = certificates.last().map(|newest| newest.details().networks().to_vec());
    let all = certificates.iter().chain(&former);
    let end = all.map(|one| one.details().not_after()).max().unwrap_or(now);
    let assign = |net: IpNet| Assignment {
        pool: None,
        owner: node.id.owner(),
        address: net.addr(),
        hold_until: end.saturating_add(1),
        until: None,
    };
    let assignments = addresses.unwrap_or_default().into_iter().map(assign).collect();
    Ok(Verdict::Ready(Box::new(Newcomer { node, assignments, certificates, former })))
}

/// Whether a certificate is in the blocklist, or in the one that comes along, in either form of its
/// signature.
fn is_blocked(
    tx: &mut dyn Transaction,
    network: &Network,
    certificate: &Certificate,
    listed: &BTreeSet<Fingerprint>,
) -> Result<bool, Error> {
    let forms = [Some(certificate.fingerprint()), certificate.alternate_fingerprint()];
    for form in forms.into_iter().flatten() {
        if listed.contains(&form) || blocklist::is_blocked(tx, network.id, &form)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a host had before may say less or other groups, but name no other address than its newest:
/// all that do are told.
fn check_former(
    network: &Network,
    certificates: &[VerifiedCertificate],
    former: &[VerifiedCertificate],
) -> Result<(), Obstacle> {
    let newest = certificates.last().ok_or(Obstacle::NoCertificate)?;
    let addresses: Vec<_> = newest.details().networks().iter().map(IpNet::addr).collect();
    let mut others = vec![];
    for one in former {
        let of = one.details().networks().iter().map(IpNet::addr);
        if let Some(other) = of.into_iter().find(|address| !addresses.contains(address)) {
            others.push((one.certificate().fingerprint(), other));
        }
    }
    if !others.is_empty() {
        return Err(Obstacle::OtherAddresses {
            newest: newest.certificate().fingerprint(),
            addresses,
            former: others,
        });
    }
    former
        .iter()
        .flat_map(|one| one.details().networks())
        .try_for_each(|net| check_prefix(network, net))
}

fn check_prefix(network: &Network, net: &IpNet) -> Result<(), Obstacle> {
    let prefix = network.prefix(Family::of(net.addr()));
    if prefix.is_none_or(|prefix| prefix != net.trunc()) {
        return Err(Obstacle::OutsidePrefix { network: *net });
    }
    Ok(())
}

/// The node that a host becomes, or why its certificates, the older first, are none of a node's.
fn new_node(
    network: &Network,
    now: i64,
    certificates: &[VerifiedCertificate],
) -> Result<Node, Obstacle> {
    let versions: Vec<Version> =
        certificates.iter().map(|one| one.certificate().version()).collect();
    if versions != network.versions.as_slice() {
        let expected = network.versions.as_slice().to_vec();
        return Err(Obstacle::Versions { found: versions, expected });
    }
    let newest = certificates.last().ok_or(Obstacle::NoCertificate)?;
    let details = newest.details();
    for one in certificates {
        let other = one.details();
        let within = other.networks().iter().all(|net| details.networks().contains(net));
        if other.groups_bytes() != details.groups_bytes() || !within {
            return Err(Obstacle::Contradiction);
        }
        if !other.unsafe_networks().is_empty() {
            return Err(Obstacle::UnsafeNetworks);
        }
    }
    for net in details.networks() {
        check_prefix(network, net)?;
    }
    let texts = details.groups_bytes().iter().map(Vec::as_slice).chain([details.name_bytes()]);
    if texts.into_iter().any(|text| str::from_utf8(text).is_err()) {
        return Err(Obstacle::NotUtf8);
    }
    let name = NodeName::check(details.name()).map_err(invalid(Field::Name))?;
    let groups = details.groups().map(|group| group.into_owned()).collect();
    let groups = Groups::check(groups).map_err(invalid(Field::Groups))?;
    let certificate = newest.certificate();
    nebula_pki::key::PublicKey::from_raw(network.curve, certificate.public_key())
        .map_err(Fault::from)
        .and_then(|key| check_canonical(&key))
        .map_err(invalid(Field::PublicKey))?;
    let id = NodeId::new();
    Ok(Node {
        id,
        network: network.id,
        device: id.to_string(),
        name: name.into(),
        // Whoever takes it over.
        user: String::new(),
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
        renew_before: None,
        ephemeral_seconds: None,
        generation: Generation::FIRST,
        applied: Applied::default(),
        seen_at: None,
        changes: 1,
        created_at: now,
    })
}

fn invalid(field: Field) -> impl Fn(Fault) -> Obstacle {
    move |fault| Obstacle::Invalid { field, fault }
}
