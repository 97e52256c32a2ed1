//! Why a host's certificates are not taken over.

use std::net::IpAddr;

use ipnet::IpNet;
use nebula_alloc::import::Obstacle as Lease;
use nebula_pki::{Fingerprint, Version};

use super::format::joined;
use super::messages::messages;
use super::{Fault, Field};

messages! {
    /// What is in the way of importing a host.
    enum Obstacle {
        ["its certificate is expired"]
        Expired,
        ["it has no certificate"]
        NoCertificate,
        ["its certificate {fingerprint}: {error}"]
        Unverified { fingerprint: Fingerprint, error: nebula_pki::Error },
        ["its certificate {fingerprint} is blocked"]
        Blocked { fingerprint: Fingerprint },
        ["certificate {other} has the same {}", what(*field)]
        Same { field: Field, other: usize },
        ["certificate {other} has the same address {address}"]
        SameAddress { address: IpAddr, other: usize },
        ["{}", lease(obstacle)]
        Address { obstacle: Lease },
        ["it has certificates of version {}, and the network's nodes of {}",
         numbers(found), numbers(expected)]
        Versions { found: Vec<Version>, expected: Vec<Version> },
        ["its certificates contradict each other"]
        Contradiction,
        ["it routes unsafe networks, which would be lost"]
        UnsafeNetworks,
        ["its name or a group is not UTF-8, and would become another"]
        NotUtf8,
        ["{network} is not of the network's prefix"]
        OutsidePrefix { network: IpNet },
        ["{field}: {fault}"]
        Invalid { field: Field, fault: Fault },
        ["its newest certificate, {newest}, names {}, and former ones name other addresses: \
         block {}", joined(addresses), formers(former)]
        OtherAddresses {
            newest: Fingerprint,
            addresses: Vec<IpAddr>,
            former: Vec<(Fingerprint, IpAddr)>
        },
        ["it is a node already, without its former certificate {fingerprint}: block that"]
        FormerMissing { fingerprint: Fingerprint },
        ["its former certificate {fingerprint} or that one's key is another node's"]
        FormerTaken { fingerprint: Fingerprint },
        ["node {node:?} has its public key"]
        KeyTaken { node: String },
        ["another node had its public key before"]
        FormerKey,
        ["its certificate was a node's that is released"]
        Released,
        ["another node has its name"]
        NameTaken,
        ["its name is another node's id"]
        NameIsId,
        ["another device is called by its name"]
        DeviceTaken,
    }
}

fn what(field: Field) -> &'static str {
    if field == Field::PublicKey { "public key" } else { field.word() }
}

fn lease(obstacle: &Lease) -> String {
    match obstacle {
        Lease::Refused(error) => error.to_string(),
        _ => "it has two addresses of one family".to_owned(),
    }
}

fn numbers(versions: &[Version]) -> String {
    joined(&versions.iter().map(|version| version.number()).collect::<Vec<_>>())
}

fn formers(former: &[(Fingerprint, IpAddr)]) -> String {
    let named: Vec<_> =
        former.iter().map(|(fingerprint, address)| format!("{fingerprint} ({address})")).collect();
    joined(&named)
}
