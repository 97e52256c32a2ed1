//! Which of several broken rules is reported? The one that the reference reports.

use nebula_pki::{Certificate, Error, NetworkList, Version};

use crate::support::assemble::element;

const V4: &[u8] = &[10, 0, 0, 1, 8];
const OTHER_V4: &[u8] = &[10, 0, 0, 2, 8];
const ZERO: &[u8] = &[0, 0, 0, 0, 8];
const TOO_LONG: &[u8] = &[10, 0, 0, 0, 33];
const V6: &[u8] = &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 64];

#[test]
fn a_host_without_networks_is_reported_before_an_invalid_unsafe_network() {
    assert_eq!(parse(&[], &[TOO_LONG]), Err(Error::NoNetworks));
}

#[test]
fn the_first_bad_network_of_the_certificate_is_reported() {
    let zero = Error::ZeroAddress { network: "0.0.0.0/8".parse().unwrap() };
    let invalid = Error::InvalidPrefix { field: NetworkList::Networks, prefix_len: 33 };
    assert_eq!(parse(&[V4, ZERO, TOO_LONG], &[]), Err(zero));
    assert_eq!(parse(&[V4, TOO_LONG, ZERO], &[]), Err(invalid.clone()));
    assert_eq!(parse(&[TOO_LONG], &[]), Err(invalid));
}

#[test]
fn duplicates_are_reported_after_all_else_of_their_list() {
    let invalid = |field| Error::InvalidPrefix { field, prefix_len: 33 };
    let duplicate =
        |field| Error::DuplicateNetwork { field, network: "10.0.0.1/8".parse().unwrap() };
    let family = Error::UnsafeNetworkFamily { network: "fd00::1/64".parse().unwrap() };
    assert_eq!(parse(&[V4, V4, TOO_LONG], &[]), Err(invalid(NetworkList::Networks)));
    assert_eq!(parse(&[V4, V4], &[TOO_LONG]), Err(duplicate(NetworkList::Networks)));
    assert_eq!(parse(&[OTHER_V4], &[V4, V4, V6]), Err(family));
    assert_eq!(parse(&[OTHER_V4], &[V4, V4, TOO_LONG]), Err(invalid(NetworkList::UnsafeNetworks)));
    assert_eq!(
        parse(&[OTHER_V4], &[V4, OTHER_V4, V4]),
        Err(duplicate(NetworkList::UnsafeNetworks))
    );
}

/// The verdict on a host of version 2 with these networks and unsafe networks.
fn parse(networks: &[&[u8]], unsafe_networks: &[&[u8]]) -> Result<(), Error> {
    let list = |tag, networks: &[&[u8]]| {
        let items: Vec<_> = networks.iter().map(|network| element(0x04, network)).collect();
        element(tag, &items.concat())
    };
    let times = [element(0x85, &[1]), element(0x86, &[2])].concat();
    let (networks, unsafe_networks) = (list(0xa1, networks), list(0xa2, unsafe_networks));
    let details = [element(0x80, b"host"), networks, unsafe_networks, times].concat();
    let parts = [element(0xa0, &details), element(0x82, &[7; 32]), element(0x83, &[1])];
    Certificate::from_bytes(Version::V2, &element(0x30, &parts.concat())).map(drop)
}
