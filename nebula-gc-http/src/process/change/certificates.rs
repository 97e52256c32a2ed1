use std::collections::BTreeSet;

use ipnet::IpNet;
use nebula_pki::{Certificate, Curve, Version};

use super::{Release, RestartReason};

/// Why the change from one set of own certificates to another needs a restart, if it does. A changed
/// firewall is rebuilt with the new certificate.
pub(super) fn reason(
    old: &[Certificate],
    new: &[Certificate],
    release: Release,
    has_new_firewall: bool,
) -> Option<RestartReason> {
    let (old, new) = (read(old, release), read(new, release));
    if curves(old) != curves(new) {
        return Some(RestartReason::Curve);
    }
    if addresses(old) != addresses(new) || !are_alike_where_both(old, new) {
        return Some(RestartReason::Addresses);
    }
    let release_tells_peers = release >= Release::new(1, 9, 0);
    if !release_tells_peers
        && (names(old) != names(new) || unsafe_networks(old) != unsafe_networks(new))
    {
        return Some(RestartReason::Peers);
    }
    let release_looks_itself = release >= Release::new(1, 11, 0);
    if !release_looks_itself && !has_new_firewall && unsafe_networks(old) != unsafe_networks(new) {
        return Some(RestartReason::UnsafeNetworks);
    }
    None
}

/// Those that the release reads.
fn read(certificates: &[Certificate], release: Release) -> &[Certificate] {
    let count = if release.knows_version_2() { certificates.len() } else { 1 };
    certificates.get(..count).unwrap_or_default()
}

fn curves(certificates: &[Certificate]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = certificates.iter().map(Certificate::curve).collect();
    curves.dedup();
    curves
}

/// What the tun device has.
fn addresses(certificates: &[Certificate]) -> BTreeSet<IpNet> {
    certificates.iter().flat_map(networks).copied().collect()
}

/// Whether certificates of the same version have the same addresses in the same order: the first one
/// is what others know the node by.
fn are_alike_where_both(old: &[Certificate], new: &[Certificate]) -> bool {
    [Version::V1, Version::V2].into_iter().all(|version| {
        let of = |all: &[Certificate]| {
            all.iter().find(|one| one.version() == version).map(|one| networks(one).to_vec())
        };
        match (of(old), of(new)) {
            (Some(old), Some(new)) => old == new,
            _ => true,
        }
    })
}

fn networks(certificate: &Certificate) -> &[IpNet] {
    certificate.unverified_details().networks()
}

/// Name and groups.
fn names(certificates: &[Certificate]) -> Vec<(&[u8], BTreeSet<&[u8]>)> {
    let details = certificates.iter().map(Certificate::unverified_details);
    details
        .map(|details| {
            let groups = details.groups_bytes().iter().map(Vec::as_slice);
            (details.name_bytes(), groups.collect())
        })
        .collect()
}

fn unsafe_networks(certificates: &[Certificate]) -> BTreeSet<IpNet> {
    let details = certificates.iter().map(Certificate::unverified_details);
    details.flat_map(|details| details.unsafe_networks()).copied().collect()
}
