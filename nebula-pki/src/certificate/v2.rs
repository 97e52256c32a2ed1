//! Version 2: DER with context tags, the schema of Nebula's `cert_v2.asn1`.
//!
//! The signed bytes are kept as they came. The reader is our own: it takes the fixed tags in their
//! order and stops where the schema allows extensions, which no general DER decoder does.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Body, Details, MAX_ENCODED_LEN, MAX_NAME_LEN, Peer, Version};
use crate::der::{Reader, minimal, push};
use crate::{Curve, Error};

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;

const DETAILS: u8 = 0xa0;
const CURVE: u8 = 0x81;
const PUBLIC_KEY: u8 = 0x82;
const SIGNATURE: u8 = 0x83;

const NAME: u8 = 0x80;
const NETWORKS: u8 = 0xa1;
const UNSAFE_NETWORKS: u8 = 0xa2;
const GROUPS: u8 = 0xa3;
const IS_CA: u8 = 0x84;
const NOT_BEFORE: u8 = 0x85;
const NOT_AFTER: u8 = 0x86;
const ISSUER: u8 = 0x87;

/// Parses and validates; gives the body, its details as signed, and the signature. In a handshake
/// the public key comes from outside, and so does the curve.
pub(super) fn decode(
    bytes: &[u8],
    peer: Option<Peer<'_>>,
) -> Result<(Body, Vec<u8>, Vec<u8>), Error> {
    if bytes.len() > MAX_ENCODED_LEN {
        return Err(Error::Malformed { reason: "longer than 65536 bytes" });
    }
    // What follows the sequence, and what follows the signature inside it, is ignored.
    let mut input = Reader::new(Reader::new(bytes).required(SEQUENCE, "certificate")?);
    let encoded_details = input.element(DETAILS).ok_or(malformed("details"))?;
    let curve = match input.optional(CURVE, "curve")? {
        None => peer.map_or(Curve::Curve25519, |peer| peer.curve),
        Some(&[number]) => Curve::from_number(number.into()),
        Some(_) => return Err(malformed("curve")),
    };
    let public_key = match peer {
        Some(_) if input.next_is(PUBLIC_KEY) => return Err(Error::UnexpectedPublicKey),
        Some(peer) => peer.public_key,
        None => non_empty(input.required(PUBLIC_KEY, "public key")?, "public key")?,
    };
    let signature = non_empty(input.required(SIGNATURE, "signature")?, "signature")?;
    let raw = decode_details(Reader::new(encoded_details).required(DETAILS, "details")?)?;

    let body = Body {
        version: Version::V2,
        curve,
        public_key: public_key.to_vec(),
        details: Details {
            networks: networks(&raw.networks, "networks")?,
            unsafe_networks: networks(&raw.unsafe_networks, "unsafe_networks")?,
            ..raw.details
        },
    };
    body.validate()?;
    Ok((body, encoded_details.to_vec(), signature.to_vec()))
}

/// The details element with tag and length.
pub(super) fn encode_details(details: &Details) -> Vec<u8> {
    let mut content = Vec::new();
    push(&mut content, NAME, &details.name);
    push_list(&mut content, NETWORKS, OCTET_STRING, details.networks.iter().map(encode_network));
    let unsafe_networks = details.unsafe_networks.iter().map(encode_network);
    push_list(&mut content, UNSAFE_NETWORKS, OCTET_STRING, unsafe_networks);
    push_list(&mut content, GROUPS, UTF8_STRING, details.groups.iter());
    if details.is_ca {
        push(&mut content, IS_CA, &[0xff]);
    }
    push(&mut content, NOT_BEFORE, minimal(&details.not_before.to_be_bytes()));
    push(&mut content, NOT_AFTER, minimal(&details.not_after.to_be_bytes()));
    if !details.issuer.is_empty() {
        push(&mut content, ISSUER, &details.issuer);
    }
    let mut element = Vec::with_capacity(content.len() + 5);
    push(&mut element, DETAILS, &content);
    element
}

/// The certificate around already encoded details.
pub(super) fn encode(
    encoded_details: &[u8],
    curve: Curve,
    public_key: &[u8],
    signature: &[u8],
) -> Vec<u8> {
    let mut content = encoded_details.to_vec();
    if curve != Curve::Curve25519 {
        push(&mut content, CURVE, &[curve_byte(curve)]);
    }
    push(&mut content, PUBLIC_KEY, public_key);
    push(&mut content, SIGNATURE, signature);
    let mut encoded = Vec::with_capacity(content.len() + 5);
    push(&mut encoded, SEQUENCE, &content);
    encoded
}

/// The certificate as a handshake carries it.
pub(super) fn encode_for_handshake(encoded_details: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut content = encoded_details.to_vec();
    push(&mut content, SIGNATURE, signature);
    let mut encoded = Vec::with_capacity(content.len() + 5);
    push(&mut encoded, SEQUENCE, &content);
    encoded
}

/// The curve as it is signed: one byte, present even for the default curve.
pub(super) fn curve_byte(curve: Curve) -> u8 {
    // Curves of version 2 certificates come from one byte.
    u8::try_from(curve.number()).unwrap_or(u8::MAX)
}

/// The rules that only version 2 has. Networks are sorted, so equal ones are neighbours.
pub(super) fn validate(details: &Details) -> Result<(), Error> {
    let mut previous = None;
    let (mut has_v4, mut has_v6) = (false, false);
    for &network in &details.networks {
        if network.addr().is_unspecified() {
            return Err(Error::ZeroAddress { network });
        }
        match network {
            IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
                return Err(Error::MappedNetwork { network });
            }
            IpNet::V6(_) => has_v6 = true,
            IpNet::V4(_) => has_v4 = true,
        }
        if previous.replace(network) == Some(network) {
            return Err(Error::DuplicateNetwork { field: "networks", network });
        }
    }
    let mut previous = None;
    for &network in &details.unsafe_networks {
        let has_family = match network {
            IpNet::V4(_) => has_v4,
            IpNet::V6(_) => has_v6,
        };
        if !details.is_ca && !has_family {
            return Err(Error::UnsafeNetworkFamily { network });
        }
        if previous.replace(network) == Some(network) {
            return Err(Error::DuplicateNetwork { field: "unsafe_networks", network });
        }
    }
    Ok(())
}

/// The order of the parsed view and of what is issued: IPv4 first, then address, then length.
pub(crate) fn sort(networks: &mut [IpNet]) {
    networks.sort_by_key(|network| (network.addr(), network.prefix_len()));
}

/// Details whose networks are still bytes, because a bad prefix length is reported after everything
/// that is wrong with the encoding.
struct RawDetails<'a> {
    details: Details,
    networks: Vec<&'a [u8]>,
    unsafe_networks: Vec<&'a [u8]>,
}

fn decode_details(content: &[u8]) -> Result<RawDetails<'_>, Error> {
    let mut input = Reader::new(content);
    let name = non_empty(input.required(NAME, "name")?, "name")?;
    if name.len() > MAX_NAME_LEN {
        return Err(malformed("name"));
    }
    let networks = list(&mut input, NETWORKS, OCTET_STRING, "networks")?;
    let unsafe_networks = list(&mut input, UNSAFE_NETWORKS, OCTET_STRING, "unsafe networks")?;
    if networks.iter().chain(&unsafe_networks).any(|network| !matches!(network.len(), 1 | 5 | 17)) {
        return Err(malformed("network"));
    }
    let groups = list(&mut input, GROUPS, UTF8_STRING, "groups")?;
    let is_ca = match input.optional(IS_CA, "CA flag")? {
        None => false,
        Some(&[flag]) => flag != 0,
        Some(_) => return Err(malformed("CA flag")),
    };
    let not_before = integer(input.required(NOT_BEFORE, "not before")?)?;
    let not_after = integer(input.required(NOT_AFTER, "not after")?)?;
    // Another element here is a future extension, to be signed but not read.
    let issuer = input.optional(ISSUER, "issuer")?.unwrap_or_default();

    let details = Details {
        name: name.to_vec(),
        networks: Vec::new(),
        unsafe_networks: Vec::new(),
        groups: groups.into_iter().map(<[u8]>::to_vec).collect(),
        is_ca,
        not_before,
        not_after,
        issuer: issuer.to_vec(),
    };
    Ok(RawDetails { details, networks, unsafe_networks })
}

fn networks(encoded: &[&[u8]], field: &'static str) -> Result<Vec<IpNet>, Error> {
    let mut networks =
        encoded.iter().map(|bytes| decode_network(bytes, field)).collect::<Result<Vec<_>, _>>()?;
    sort(&mut networks);
    Ok(networks)
}

fn decode_network(bytes: &[u8], field: &'static str) -> Result<IpNet, Error> {
    let Some((&prefix_len, address)) = bytes.split_last() else {
        return Err(malformed("network"));
    };
    let network = if let Ok(v4) = <[u8; 4]>::try_from(address) {
        Ipv4Net::new(Ipv4Addr::from(v4), prefix_len).map(IpNet::V4).ok()
    } else if let Ok(v6) = <[u8; 16]>::try_from(address) {
        Ipv6Net::new(Ipv6Addr::from(v6), prefix_len).map(IpNet::V6).ok()
    } else {
        None
    };
    network.ok_or(Error::InvalidPrefix { field, prefix_len })
}

fn encode_network(network: &IpNet) -> Vec<u8> {
    match network {
        IpNet::V4(network) => [&network.addr().octets()[..], &[network.prefix_len()]].concat(),
        IpNet::V6(network) => [&network.addr().octets()[..], &[network.prefix_len()]].concat(),
    }
}

/// The non-empty elements, all of one tag, of an optional list.
fn list<'a>(
    input: &mut Reader<'a>,
    tag: u8,
    item: u8,
    what: &'static str,
) -> Result<Vec<&'a [u8]>, Error> {
    let mut list = Reader::new(input.optional(tag, what)?.unwrap_or_default());
    let mut items = Vec::new();
    while !list.is_empty() {
        items.push(non_empty(list.required(item, what)?, what)?);
    }
    Ok(items)
}

fn non_empty<'a>(content: &'a [u8], what: &'static str) -> Result<&'a [u8], Error> {
    if content.is_empty() { Err(malformed(what)) } else { Ok(content) }
}

/// A signed integer of at most eight bytes, minimally encoded.
fn integer(content: &[u8]) -> Result<i64, Error> {
    if content.is_empty() || content.len() > 8 || minimal(content).len() != content.len() {
        return Err(malformed("time"));
    }
    let negative = content.first().is_some_and(|first| first & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    Ok(content.iter().fold(start, |value: i64, byte| value << 8 | i64::from(*byte)))
}

fn push_list<I: AsRef<[u8]>>(
    output: &mut Vec<u8>,
    tag: u8,
    item: u8,
    items: impl Iterator<Item = I>,
) {
    let mut content = Vec::new();
    for bytes in items {
        push(&mut content, item, bytes.as_ref());
    }
    if !content.is_empty() {
        push(output, tag, &content);
    }
}

fn malformed(what: &'static str) -> Error {
    Error::Malformed { reason: what }
}
