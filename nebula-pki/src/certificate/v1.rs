//! Version 1: protocol buffers (proto3), the schema of Nebula's `cert_v1.proto`.
//!
//! The reference decodes leniently, keeps the fields it knows and judges their canonical
//! re-encoding. So do we: what is unknown is filtered out first, because prost refuses a known field
//! of the wrong wire type where Go's decoder takes it for unknown.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use prost::Message;

use super::{Body, Details, Peer, Version};
use crate::protobuf::{Value, next_field, push_bytes};
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

/// Parses and validates; gives the body, its canonical details and the signature. In a handshake the
/// public key comes from outside.
pub(super) fn decode(
    bytes: &[u8],
    peer: Option<Peer<'_>>,
) -> Result<(Body, Vec<u8>, Vec<u8>), Error> {
    if bytes.is_empty() {
        return Err(Error::Malformed { reason: "no bytes" });
    }
    let known = known_fields(bytes)?;
    let wire = WireCertificate::decode(known.as_slice()).map_err(|_| INVALID_WIRE)?;
    let mut details = wire.details.ok_or(Error::Malformed { reason: "details are missing" })?;
    if let Some(peer) = peer {
        if !details.public_key.is_empty() {
            return Err(Error::UnexpectedPublicKey);
        }
        details.public_key = peer.public_key.to_vec();
    }

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

const INVALID_WIRE: Error = Error::Malformed { reason: "invalid protobuf wire format" };

/// The certificate with only those fields that the schema knows, with their wire type.
fn known_fields(mut input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut known = Vec::with_capacity(input.len());
    while !input.is_empty() {
        let field = next_field(&mut input).map_err(|_| INVALID_WIRE)?;
        match (field.number, field.value) {
            (1, Value::Bytes(details)) => push_bytes(&mut known, 1, &known_details(details)?),
            (2, Value::Bytes(_)) => known.extend_from_slice(field.encoded),
            _ => {}
        }
    }
    Ok(known)
}

fn known_details(mut input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut known = Vec::with_capacity(input.len());
    while !input.is_empty() {
        let field = next_field(&mut input).map_err(|_| INVALID_WIRE)?;
        match (field.number, field.value) {
            (1 | 4, Value::Bytes(text)) if std::str::from_utf8(text).is_err() => {
                return Err(Error::Malformed { reason: "name or group is not UTF-8" });
            }
            (1..=4 | 7 | 9, Value::Bytes(_)) | (2 | 3 | 5 | 6 | 8 | 100, Value::Varint(_)) => {
                known.extend_from_slice(field.encoded);
            }
            _ => {}
        }
    }
    Ok(known)
}
