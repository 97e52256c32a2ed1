//! Version 1: protocol buffers (proto3), the schema of Nebula's `cert_v1.proto`.
//!
//! The reference decodes leniently, keeps the fields it knows and judges their canonical
//! re-encoding. So do we: what is unknown is filtered out first, because prost refuses a known field
//! of the wrong wire type where Go's decoder takes it for unknown.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use prost::Message;
use prost::encoding::{decode_varint, encode_varint};

use super::{Body, Details, Version};
use crate::{Curve, Error};

#[derive(Clone, PartialEq, Message)]
struct WireCertificate {
    #[prost(message, optional, tag = "1")]
    details: Option<WireDetails>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WireDetails {
    #[prost(string, tag = "1")]
    name: String,
    /// Address and netmask in turn, as are the subnets.
    #[prost(uint32, repeated, tag = "2")]
    ips: Vec<u32>,
    #[prost(uint32, repeated, tag = "3")]
    subnets: Vec<u32>,
    #[prost(string, repeated, tag = "4")]
    groups: Vec<String>,
    #[prost(int64, tag = "5")]
    not_before: i64,
    #[prost(int64, tag = "6")]
    not_after: i64,
    #[prost(bytes = "vec", tag = "7")]
    public_key: Vec<u8>,
    #[prost(bool, tag = "8")]
    is_ca: bool,
    #[prost(bytes = "vec", tag = "9")]
    issuer: Vec<u8>,
    #[prost(int32, tag = "100")]
    curve: i32,
}

/// Parses and validates; gives the body, its canonical details and the signature.
pub(super) fn decode(bytes: &[u8]) -> Result<(Body, Vec<u8>, Vec<u8>), Error> {
    if bytes.is_empty() {
        return Err(Error::Malformed { reason: "no bytes" });
    }
    let known = known_fields(bytes)?;
    let wire = WireCertificate::decode(known.as_slice()).map_err(|_| INVALID_WIRE)?;
    let details = wire.details.ok_or(Error::Malformed { reason: "details are missing" })?;

    let body = Body {
        version: Version::V1,
        curve: Curve::from_number(details.curve),
        public_key: details.public_key,
        details: Details {
            name: details.name.into_bytes(),
            networks: from_pairs(&details.ips)
                .ok_or(Error::Malformed { reason: "odd number of integers in networks" })?,
            unsafe_networks: from_pairs(&details.subnets)
                .ok_or(Error::Malformed { reason: "odd number of integers in unsafe networks" })?,
            groups: details.groups.into_iter().map(String::into_bytes).collect(),
            is_ca: details.is_ca,
            not_before: details.not_before,
            not_after: details.not_after,
            issuer: details.issuer,
        },
    };
    body.validate()?;
    let encoded_details = body.encode_details();
    Ok((body, encoded_details, wire.signature))
}

/// The canonical details: ascending fields, minimal varints, defaults left out.
pub(super) fn encode_details(details: &Details, curve: Curve, public_key: &[u8]) -> Vec<u8> {
    // Version 1 names and groups are UTF-8: parsing and issuing take nothing else.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    WireDetails {
        name: text(&details.name),
        ips: to_pairs(&details.networks),
        subnets: to_pairs(&details.unsafe_networks),
        groups: details.groups.iter().map(|group| text(group)).collect(),
        not_before: details.not_before,
        not_after: details.not_after,
        public_key: public_key.to_vec(),
        is_ca: details.is_ca,
        issuer: details.issuer.clone(),
        curve: curve.number(),
    }
    .encode_to_vec()
}

/// The canonical certificate around already encoded details.
pub(super) fn encode(encoded_details: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(encoded_details.len() + signature.len() + 16);
    push_bytes(&mut encoded, 1, encoded_details);
    if !signature.is_empty() {
        push_bytes(&mut encoded, 2, signature);
    }
    encoded
}

/// The rules that only version 1 has.
pub(super) fn validate(details: &Details) -> Result<(), Error> {
    for &network in &details.networks {
        if let IpNet::V6(_) = network {
            return Err(Error::Ipv6InV1 { field: "networks", network });
        }
        if network.addr().is_unspecified() {
            return Err(Error::ZeroAddress { network });
        }
    }
    for &network in &details.unsafe_networks {
        if let IpNet::V6(_) = network {
            return Err(Error::Ipv6InV1 { field: "unsafe_networks", network });
        }
    }
    Ok(())
}

fn from_pairs(numbers: &[u32]) -> Option<Vec<IpNet>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(from_pair).collect())
}

/// A netmask with holes reads as prefix length 0.
fn from_pair(&[address, mask]: &[u32; 2]) -> IpNet {
    let address = Ipv4Addr::from_bits(address);
    Ipv4Net::with_netmask(address, Ipv4Addr::from_bits(mask))
        .unwrap_or_else(|_| Ipv4Net::new_assert(address, 0))
        .into()
}

fn to_pairs(networks: &[IpNet]) -> Vec<u32> {
    networks
        .iter()
        .filter_map(|network| match network {
            IpNet::V4(network) => Some([network.addr().to_bits(), network.netmask().to_bits()]),
            // Refused by `validate` before anything is encoded.
            IpNet::V6(_) => None,
        })
        .flatten()
        .collect()
}

// The wire format, <https://protobuf.dev/programming-guides/encoding/>.

const INVALID_WIRE: Error = Error::Malformed { reason: "invalid protobuf wire format" };

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const GROUP_START: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

/// The largest field number, and the largest that Go's decoder lets pass inside unknown groups.
const MAX_FIELD: u64 = (1 << 29) - 1;
const MAX_FIELD_IN_GROUP: u64 = (1 << 31) - 1;

/// How deep Go's decoder lets unknown groups nest.
const MAX_GROUP_DEPTH: usize = 10_001;

/// One field: its number and wire type, all of its bytes, and the contents of a length-delimited.
struct Field<'a> {
    number: u64,
    wire_type: u64,
    encoded: &'a [u8],
    contents: &'a [u8],
}

/// The certificate with only those fields that the schema knows, with their wire type.
fn known_fields(mut input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut known = Vec::with_capacity(input.len());
    while !input.is_empty() {
        let field = next_field(&mut input)?;
        match (field.number, field.wire_type) {
            (1, BYTES) => push_bytes(&mut known, 1, &known_details(field.contents)?),
            (2, BYTES) => known.extend_from_slice(field.encoded),
            _ => {}
        }
    }
    Ok(known)
}

fn known_details(mut input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut known = Vec::with_capacity(input.len());
    while !input.is_empty() {
        let field = next_field(&mut input)?;
        match (field.number, field.wire_type) {
            (1 | 4, BYTES) if std::str::from_utf8(field.contents).is_err() => {
                return Err(Error::Malformed { reason: "name or group is not UTF-8" });
            }
            (2 | 3, VARINT | BYTES) | (1 | 4 | 7 | 9, BYTES) | (5 | 6 | 8 | 100, VARINT) => {
                known.extend_from_slice(field.encoded);
            }
            _ => {}
        }
    }
    Ok(known)
}

fn next_field<'a>(input: &mut &'a [u8]) -> Result<Field<'a>, Error> {
    let start = *input;
    let (number, wire_type) = next_key(input, MAX_FIELD)?;
    let contents = match wire_type {
        GROUP_START => {
            skip_group(input, number)?;
            &[]
        }
        _ => next_value(input, wire_type)?,
    };
    let encoded = start.get(..start.len() - input.len()).ok_or(INVALID_WIRE)?;
    Ok(Field { number, wire_type, encoded, contents })
}

fn next_key(input: &mut &[u8], max: u64) -> Result<(u64, u64), Error> {
    let key = next_varint(input)?;
    let (number, wire_type) = (key >> 3, key & 7);
    if (1..=max).contains(&number) { Ok((number, wire_type)) } else { Err(INVALID_WIRE) }
}

/// Takes a value that is not a group; gives the contents of a length-delimited one.
fn next_value<'a>(input: &mut &'a [u8], wire_type: u64) -> Result<&'a [u8], Error> {
    let len = match wire_type {
        VARINT => {
            next_varint(input)?;
            return Ok(&[]);
        }
        FIXED64 => 8,
        FIXED32 => 4,
        BYTES => usize::try_from(next_varint(input)?).map_err(|_| INVALID_WIRE)?,
        _ => return Err(INVALID_WIRE),
    };
    let (value, rest) = input.split_at_checked(len).ok_or(INVALID_WIRE)?;
    *input = rest;
    Ok(if wire_type == BYTES { value } else { &[] })
}

/// Takes the rest of an unknown group. The open groups are a list and not the call stack, because
/// their depth is the sender's choice.
fn skip_group(input: &mut &[u8], number: u64) -> Result<(), Error> {
    let mut open = vec![number];
    while let Some(&innermost) = open.last() {
        match next_key(input, MAX_FIELD_IN_GROUP)? {
            (number, GROUP_END) if number == innermost => {
                open.pop();
            }
            (_, GROUP_END) => return Err(INVALID_WIRE),
            (_, GROUP_START) if open.len() == MAX_GROUP_DEPTH => return Err(INVALID_WIRE),
            (number, GROUP_START) => open.push(number),
            (_, wire_type) => {
                next_value(input, wire_type)?;
            }
        }
    }
    Ok(())
}

fn next_varint(input: &mut &[u8]) -> Result<u64, Error> {
    decode_varint(input).map_err(|_| INVALID_WIRE)
}

fn push_bytes(output: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    encode_varint(number << 3 | BYTES, output);
    // A slice is never longer than 2^63 − 1 bytes.
    encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), output);
    output.extend_from_slice(bytes);
}
