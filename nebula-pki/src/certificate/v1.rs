//! Version 1: protocol buffers (proto3), the schema of Nebula's `cert_v1.proto`.
//!
//! The reference decodes leniently, keeps the fields it knows and judges their canonical
//! re-encoding. So do we. Reading is our own, because prost refuses a known field of the wrong wire
//! type where Go's decoder takes it for unknown; prost writes.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use prost::Message;

use super::{Body, Details, Encoded, Peer, Version};
use crate::protobuf::{Value, bytes_len, next_field, next_varint, push_bytes};
use crate::{Curve, Error};

const INVALID_WIRE: Error = Error::Malformed { reason: "invalid protobuf wire format" };

/// What the two fields' headers and the longest signature take, unless the details are very long.
const HEADERS_AND_SIGNATURE: usize = 96;

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

/// Parses and validates; gives the body and its canonical encoding. In a handshake the public key
/// comes from outside.
pub(super) fn decode(bytes: &[u8], peer: Option<Peer<'_>>) -> Result<(Body, Encoded), Error> {
    if bytes.is_empty() {
        return Err(Error::Malformed { reason: "no bytes" });
    }
    let (details, signature) = read(bytes)?;
    let mut details = details.ok_or(Error::Malformed { reason: "details are missing" })?;
    if let Some(peer) = peer {
        if !details.public_key.is_empty() {
            return Err(Error::UnexpectedPublicKey);
        }
        details.public_key = peer.public_key.to_vec();
    }

    let networks = from_pairs(&mut details.ips)
        .ok_or(Error::Malformed { reason: "odd number of integers in networks" })?;
    let unsafe_networks = from_pairs(&mut details.subnets)
        .ok_or(Error::Malformed { reason: "odd number of integers in unsafe networks" })?;
    let encoded = details.seal();
    let mut body = Body {
        version: Version::V1,
        curve: Curve::from_number(details.curve),
        public_key: details.public_key,
        details: Details {
            name: details.name.into_bytes(),
            networks,
            unsafe_networks,
            groups: details.groups.into_iter().map(String::into_bytes).collect(),
            is_ca: details.is_ca,
            not_before: details.not_before,
            not_after: details.not_after,
            issuer: details.issuer,
        },
    };
    body.validate()?;
    Ok((body, encoded.signed(signature)))
}

/// The canonical form without signature.
pub(super) fn encode(body: &Body) -> Encoded {
    WireDetails::new(&body.details, body.curve, &body.public_key).seal()
}

/// The certificate as a handshake carries it.
pub(super) fn encode_for_handshake(body: &Body, signature: &[u8]) -> Vec<u8> {
    let details = WireDetails::new(&body.details, body.curve, &[]);
    details.seal().signed(signature).bytes().to_vec()
}

/// Reads the details, if there are any, and the signature. What comes twice is merged.
fn read(mut certificate: &[u8]) -> Result<(Option<WireDetails>, &[u8]), Error> {
    let (mut details, mut signature) = (None, &[][..]);
    while !certificate.is_empty() {
        let field = next_field(&mut certificate).map_err(|_| INVALID_WIRE)?;
        match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => {
                details.get_or_insert_with(WireDetails::default).read(bytes)?
            }
            (2, Value::Bytes(bytes)) => signature = bytes,
            _ => {}
        }
    }
    Ok((details, signature))
}

impl WireDetails {
    fn read(&mut self, mut details: &[u8]) -> Result<(), Error> {
        while !details.is_empty() {
            let field = next_field(&mut details).map_err(|_| INVALID_WIRE)?;
            match (field.number, field.value) {
                (1, Value::Bytes(name)) => self.name = text(name)?,
                (2, Value::Varint(number)) => self.ips.push(low(number)),
                (2, Value::Bytes(packed)) => unpack(packed, &mut self.ips)?,
                (3, Value::Varint(number)) => self.subnets.push(low(number)),
                (3, Value::Bytes(packed)) => unpack(packed, &mut self.subnets)?,
                (4, Value::Bytes(group)) => self.groups.push(text(group)?),
                (5, Value::Varint(time)) => self.not_before = time.cast_signed(),
                (6, Value::Varint(time)) => self.not_after = time.cast_signed(),
                (7, Value::Bytes(public_key)) => self.public_key = public_key.to_vec(),
                (8, Value::Varint(is_ca)) => self.is_ca = is_ca != 0,
                (9, Value::Bytes(issuer)) => self.issuer = issuer.to_vec(),
                (100, Value::Varint(curve)) => self.curve = low(curve).cast_signed(),
                _ => {}
            }
        }
        Ok(())
    }

    fn new(details: &Details, curve: Curve, public_key: &[u8]) -> Self {
        // Version 1 names and groups are UTF-8: parsing and issuing take nothing else.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
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
    }

    /// The canonical certificate around them: ascending fields, minimal varints, defaults left out.
    fn seal(&self) -> Encoded {
        let details = self.encode_to_vec();
        let mut bytes = Vec::with_capacity(details.len() + HEADERS_AND_SIGNATURE);
        push_bytes(&mut bytes, 1, &details);
        let header = bytes.len() - details.len();
        Encoded::unsigned(Version::V1, bytes, header)
    }
}

fn text(bytes: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| Error::Malformed { reason: "name or group is not UTF-8" })
}

/// Go's decoder cuts numbers to the size of their field.
fn low(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn unpack(mut packed: &[u8], numbers: &mut Vec<u32>) -> Result<(), Error> {
    while !packed.is_empty() {
        numbers.push(low(next_varint(&mut packed).map_err(|_| INVALID_WIRE)?));
    }
    Ok(())
}

/// How long the certificate is with a signature of this length.
pub(super) fn encoded_len(encoded: &Encoded, signature_len: usize) -> usize {
    encoded.bytes().len() + bytes_len(2, signature_len)
}

/// Appends the signature to the canonical details; none is left out.
pub(super) fn push_signature(bytes: &mut Vec<u8>, signature: &[u8]) {
    if !signature.is_empty() {
        push_bytes(bytes, 2, signature);
    }
}

/// The rules of version 1.
pub(super) fn validate(details: &Details) -> Result<(), Error> {
    if !details.is_ca && details.networks.is_empty() {
        return Err(Error::NoNetworks);
    }
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

fn from_pairs(numbers: &mut [u32]) -> Option<Vec<IpNet>> {
    let (pairs, rest) = numbers.as_chunks_mut::<2>();
    rest.is_empty().then(|| pairs.iter_mut().map(from_pair).collect())
}

/// A netmask with holes reads as prefix length 0, and is replaced by that.
fn from_pair([address, mask]: &mut [u32; 2]) -> IpNet {
    let address = Ipv4Addr::from_bits(*address);
    Ipv4Net::with_netmask(address, Ipv4Addr::from_bits(*mask))
        .unwrap_or_else(|_| {
            *mask = 0;
            Ipv4Net::new_assert(address, 0)
        })
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
