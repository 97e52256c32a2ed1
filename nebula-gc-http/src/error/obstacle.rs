//! Why a host's certificates are not taken over.

use std::net::IpAddr;

use ipnet::IpNet;
use nebula_alloc::import::Obstacle as Lease;
use nebula_pki::{Fingerprint, Version};

use super::wording::joined;
use super::{Fault, Field};

/// What is in the way of importing a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// None of its certificates is valid any more.
    #[error("its certificate is expired")]
    Expired,
    /// It has no certificate.
    #[error("it has no certificate")]
    NoCertificate,
    /// A certificate does not verify.
    #[error("its certificate {fingerprint}: {error}")]
    Unverified {
        /// Which.
        fingerprint: Fingerprint,
        /// Why.
        error: nebula_pki::Error,
    },
    /// A certificate is blocked.
    #[error("its certificate {fingerprint} is blocked")]
    Blocked {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// Another host of the list has the same name or key.
    #[error("certificate {other} has the same {}", what(*field))]
    Same {
        /// Its name or its public key.
        field: Field,
        /// The place of its first certificate.
        other: usize,
    },
    /// Another host of the list has the same address.
    #[error("certificate {other} has the same address {address}")]
    SameAddress {
        /// Which.
        address: IpAddr,
        /// The place of its first certificate.
        other: usize,
    },
    /// Its addresses can't be leased.
    #[error("{}", lease(.0))]
    Address(Lease),
    /// It has certificates of other versions than the network's nodes.
    #[error(
        "it has certificates of version {}, and the network's nodes of {}",
        numbers(found),
        numbers(expected)
    )]
    Versions {
        /// Those that it has.
        found: Vec<Version>,
        /// Those of the network's nodes.
        expected: Vec<Version>,
    },
    /// Its certificates contradict each other.
    #[error("its certificates contradict each other")]
    Contradiction,
    /// It routes unsafe networks, which would be lost.
    #[error("it routes unsafe networks, which would be lost")]
    UnsafeNetworks,
    /// Its name or a group is not UTF-8.
    #[error("its name or a group is not UTF-8, and would become another")]
    NotUtf8,
    /// An address is not of the network's prefix.
    #[error("{network} is not of the network's prefix")]
    OutsidePrefix {
        /// Which.
        network: IpNet,
    },
    /// A field of the certificate can't be a node's.
    #[error("{field}: {fault}")]
    Invalid {
        /// Which.
        field: Field,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Former certificates name other addresses.
    #[error(
        "its newest certificate, {newest}, names {}, and former ones name other addresses: block {}",
        joined(addresses),
        formers(former)
    )]
    OtherAddresses {
        /// Its newest certificate.
        newest: Fingerprint,
        /// The addresses that it names.
        addresses: Vec<IpAddr>,
        /// The former ones, with an address of each.
        former: Vec<(Fingerprint, IpAddr)>,
    },
    /// It is a node already, without a former certificate.
    #[error("it is a node already, without its former certificate {fingerprint}: block that")]
    FormerMissing {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// A former certificate, or its key, is another node's.
    #[error("its former certificate {fingerprint} or that one's key is another node's")]
    FormerTaken {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// Another node has its public key.
    #[error("node {node:?} has its public key")]
    KeyTaken {
        /// That node's name.
        node: String,
    },
    /// Another node had its public key before.
    #[error("another node had its public key before")]
    FormerKey,
    /// Its certificate was a node's that is released.
    #[error("its certificate was a node's that is released")]
    Released,
    /// Another node has its name.
    #[error("another node has its name")]
    NameTaken,
    /// Its name is another node's id.
    #[error("its name is another node's id")]
    NameIsId,
    /// Another device is called by its name.
    #[error("another device is called by its name")]
    DeviceTaken,
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
