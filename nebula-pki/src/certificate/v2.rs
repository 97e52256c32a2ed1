//! Version 2: DER with context tags, the schema of Nebula's `cert_v2.asn1`.
//!
//! The signed bytes are kept as they came. The reader is our own: it takes the fixed tags in their
//! order and stops where the schema allows extensions, which no general DER decoder does.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::details::{Body, Details, MAX_ENCODED_LEN, MAX_NAME_LEN, Peer};
use super::encoded::Encoded;
use super::version::Version;
use crate::der::{Reader, element_len, minimal, push};
use crate::error::{CertificateDefect as Defect, NetworkList};
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

/// The longest signature of the known curves, for which room is left.
const SIGNATURE_LEN: usize = 72;

/// Parses and validates; gives the body and its encoding. In a handshake the public key comes from
/// outside, and so does the curve.
pub(super) fn decode(bytes: &[u8], peer: Option<Peer<'_>>) -> Result<(Body, Encoded), Error> {
    if bytes.len() > MAX_ENCODED_LEN {
        return Err(malformed(Defect::TooLong));
    }
    // What follows the sequence, and what follows the signature inside it, is ignored.
    let mut input = Reader::new(Reader::new(bytes).required(SEQUENCE, Defect::Certificate)?);
    let encoded_details = input.element(DETAILS).ok_or(malformed(Defect::Details))?;
    let curve = match input.optional(CURVE, Defect::Curve)? {
        None => peer.map_or(Curve::Curve25519, |peer| peer.curve),
        Some(&[number]) => Curve::from_number(number.into()),
        Some(_) => return Err(malformed(Defect::Curve)),
    };
    let public_key = match peer {
        Some(_) if input.next_is(PUBLIC_KEY) => return Err(Error::UnexpectedPublicKey),
        Some(peer) => peer.public_key,
        None => non_empty(input.required(PUBLIC_KEY, Defect::PublicKey)?, Defect::PublicKey)?,
    };
    let signature = non_empty(input.required(SIGNATURE, Defect::Signature)?, Defect::Signature)?;
    let body = decode_body(encoded_details, curve, public_key)?;
    let encoded = seal(encoded_details, &body);
    Ok((body, encoded.signed(signature)))
}

/// Parses and validates what is signed: the details, one byte for the curve, the public key.
pub(super) fn decode_to_be_signed(bytes: &[u8]) -> Result<Body, Error> {
    if bytes.len() > MAX_ENCODED_LEN {
        return Err(malformed(Defect::TooLong));
    }
    let encoded_details = Reader::new(bytes).element(DETAILS).ok_or(malformed(Defect::Details))?;
    let rest = bytes.get(encoded_details.len()..).unwrap_or_default();
    let (&curve, public_key) = rest.split_first().ok_or(malformed(Defect::Curve))?;
    let public_key = non_empty(public_key, Defect::PublicKey)?;
    decode_body(encoded_details, Curve::from_number(curve.into()), public_key)
}

fn decode_body(encoded_details: &[u8], curve: Curve, public_key: &[u8]) -> Result<Body, Error> {
    let raw = decode_details(Reader::new(encoded_details).required(DETAILS, Defect::Details)?)?;
    let mut body =
        Body { version: Version::V2, curve, public_key: public_key.to_vec(), details: raw.details };
    let mut invalid = InvalidPrefixes::default();
    let details = &mut body.details;
    (details.networks, invalid.networks) = networks(raw.networks)?;
    (details.unsafe_networks, invalid.unsafe_networks) = networks(raw.unsafe_networks)?;
    // There is a public key already.
    validate(details, invalid)?;
    Ok(body)
}

/// What is signed.
pub(super) fn encode(body: &Body) -> Encoded {
    seal(&encode_details(&body.details), body)
}

fn seal(encoded_details: &[u8], body: &Body) -> Encoded {
    let Body { curve, public_key, .. } = body;
    let len = encoded_details.len() + 1 + public_key.len();
    let mut bytes = Vec::with_capacity(len + SIGNATURE_LEN);
    bytes.extend_from_slice(encoded_details);
    bytes.push(curve_byte(*curve));
    bytes.extend_from_slice(public_key);
    Encoded::unsigned(Version::V2, bytes, 0)
}

/// The details element with tag and length.
fn encode_details(details: &Details) -> Vec<u8> {
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

/// The certificate.
pub(super) fn to_bytes(body: &Body, encoded: &Encoded) -> Vec<u8> {
    let mut content = Vec::with_capacity(encoded.bytes().len() + 16);
    content.extend_from_slice(details_of(body, encoded));
    if body.curve != Curve::Curve25519 {
        push(&mut content, CURVE, &[curve_byte(body.curve)]);
    }
    push(&mut content, PUBLIC_KEY, &body.public_key);
    push(&mut content, SIGNATURE, encoded.signature());
    sequence(&content)
}

/// How long the certificate is with a signature of this length.
pub(super) fn encoded_len(body: &Body, encoded: &Encoded, signature_len: usize) -> usize {
    let curve = if body.curve == Curve::Curve25519 { 0 } else { element_len(1) };
    let details = details_of(body, encoded).len();
    element_len(details + curve + element_len(body.public_key.len()) + element_len(signature_len))
}

/// The certificate as a handshake carries it.
pub(super) fn encode_for_handshake(body: &Body, encoded: &Encoded) -> Vec<u8> {
    let mut content = details_of(body, encoded).to_vec();
    push(&mut content, SIGNATURE, encoded.signature());
    sequence(&content)
}

/// The details as they were signed, with tag and length.
fn details_of<'a>(body: &Body, encoded: &'a Encoded) -> &'a [u8] {
    let signed = encoded.to_be_signed();
    let len = signed.len().saturating_sub(1 + body.public_key.len());
    signed.get(..len).unwrap_or_default()
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(element_len(content.len()));
    push(&mut encoded, SEQUENCE, content);
    encoded
}

/// The curve as it is signed: one byte, present even for the default curve.
fn curve_byte(curve: Curve) -> u8 {
    // Curves of version 2 certificates come from one byte.
    u8::try_from(curve.number()).unwrap_or(u8::MAX)
}

/// The first prefix length in each list that is longer than an address, or belongs to none. The
/// networks from there on are left out: that is an error, if those before it have none.
#[derive(Clone, Copy, Default)]
pub(super) struct InvalidPrefixes {
    networks: Option<u8>,
    unsafe_networks: Option<u8>,
}

/// The rules of version 2. The networks come in the order of the certificate, in which all but
/// duplicates are found, and are sorted.
pub(super) fn validate(details: &mut Details, invalid: InvalidPrefixes) -> Result<(), Error> {
    if !details.is_ca && details.networks.is_empty() && invalid.networks.is_none() {
        return Err(Error::NoNetworks);
    }
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
    }
    finish(NetworkList::Networks, &mut details.networks, invalid.networks)?;
    for &network in &details.unsafe_networks {
        let has_family = match network {
            IpNet::V4(_) => has_v4,
            IpNet::V6(_) => has_v6,
        };
        if !details.is_ca && !has_family {
            return Err(Error::UnsafeNetworkFamily { network });
        }
    }
    finish(NetworkList::UnsafeNetworks, &mut details.unsafe_networks, invalid.unsafe_networks)
}

/// The last two rules of either list.
fn finish(
    field: NetworkList,
    networks: &mut [IpNet],
    invalid_prefix: Option<u8>,
) -> Result<(), Error> {
    if let Some(prefix_len) = invalid_prefix {
        return Err(Error::InvalidPrefix { field, prefix_len });
    }
    sort(networks);
    match networks.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(&[network, ..]) => Err(Error::DuplicateNetwork { field, network }),
        _ => Ok(()),
    }
}

/// The order of the parsed view and of what is issued: IPv4 first, then address, then length.
fn sort(networks: &mut [IpNet]) {
    networks.sort_by_key(|network| (network.addr(), network.prefix_len()));
}

/// Details whose networks are still bytes, because a bad prefix length is reported after everything
/// that is wrong with the encoding.
struct RawDetails<'a> {
    details: Details,
    networks: List<'a>,
    unsafe_networks: List<'a>,
}

fn decode_details(content: &[u8]) -> Result<RawDetails<'_>, Error> {
    let mut input = Reader::new(content);
    let name = non_empty(input.required(NAME, Defect::Name)?, Defect::Name)?;
    if name.len() > MAX_NAME_LEN {
        return Err(malformed(Defect::Name));
    }
    let networks = list(&mut input, NETWORKS, OCTET_STRING, Defect::Networks)?;
    let unsafe_networks = list(&mut input, UNSAFE_NETWORKS, OCTET_STRING, Defect::UnsafeNetworks)?;
    if networks.chain(unsafe_networks).any(|network| !matches!(network.len(), 1 | 5 | 17)) {
        return Err(malformed(Defect::Network));
    }
    let groups = list(&mut input, GROUPS, UTF8_STRING, Defect::Groups)?;
    let is_ca = match input.optional(IS_CA, Defect::CaFlag)? {
        None => false,
        Some(&[flag]) => flag != 0,
        Some(_) => return Err(malformed(Defect::CaFlag)),
    };
    let not_before = integer(input.required(NOT_BEFORE, Defect::NotBefore)?)?;
    let not_after = integer(input.required(NOT_AFTER, Defect::NotAfter)?)?;
    // Another element here is a future extension, to be signed but not read.
    let issuer = input.optional(ISSUER, Defect::Issuer)?.unwrap_or_default();

    let details = Details {
        name: name.to_vec(),
        networks: Vec::new(),
        unsafe_networks: Vec::new(),
        groups: groups.map(<[u8]>::to_vec).collect(),
        is_ca,
        not_before,
        not_after,
        issuer: issuer.to_vec(),
    };
    Ok(RawDetails { details, networks, unsafe_networks })
}

/// The networks before the first with an invalid prefix length, and that length.
fn networks(encoded: List<'_>) -> Result<(Vec<IpNet>, Option<u8>), Error> {
    let mut networks = Vec::with_capacity(encoded.count());
    for bytes in encoded {
        let (&prefix_len, address) = bytes.split_last().ok_or(malformed(Defect::Network))?;
        match network(address, prefix_len) {
            Some(network) => networks.push(network),
            None => return Ok((networks, Some(prefix_len))),
        }
    }
    Ok((networks, None))
}

fn network(address: &[u8], prefix_len: u8) -> Option<IpNet> {
    if let Ok(v4) = <[u8; 4]>::try_from(address) {
        Ipv4Net::new(Ipv4Addr::from(v4), prefix_len).map(IpNet::V4).ok()
    } else if let Ok(v6) = <[u8; 16]>::try_from(address) {
        Ipv6Net::new(Ipv6Addr::from(v6), prefix_len).map(IpNet::V6).ok()
    } else {
        None
    }
}

fn encode_network(network: &IpNet) -> Vec<u8> {
    match network {
        IpNet::V4(network) => [&network.addr().octets()[..], &[network.prefix_len()]].concat(),
        IpNet::V6(network) => [&network.addr().octets()[..], &[network.prefix_len()]].concat(),
    }
}

/// The elements, all of one tag, of a list that was read once without an error.
#[derive(Clone, Copy)]
struct List<'a> {
    rest: Reader<'a>,
    item: u8,
}

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.rest.read(self.item)
    }
}

/// The non-empty elements of an optional list.
fn list<'a>(input: &mut Reader<'a>, tag: u8, item: u8, what: Defect) -> Result<List<'a>, Error> {
    let list = Reader::new(input.optional(tag, what)?.unwrap_or_default());
    let mut rest = list;
    while !rest.is_empty() {
        non_empty(rest.required(item, what)?, what)?;
    }
    Ok(List { rest: list, item })
}

fn non_empty(content: &[u8], what: Defect) -> Result<&[u8], Error> {
    if content.is_empty() { Err(malformed(what)) } else { Ok(content) }
}

/// A signed integer of at most eight bytes, minimally encoded.
fn integer(content: &[u8]) -> Result<i64, Error> {
    if content.is_empty() || content.len() > 8 || minimal(content).len() != content.len() {
        return Err(malformed(Defect::Time));
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

fn malformed(what: Defect) -> Error {
    Error::Malformed { defect: what }
}
