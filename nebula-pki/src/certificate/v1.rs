//! Version 1: protocol buffers (proto3), the schema of Nebula's `cert_v1.proto`.
//!
//! The reference decodes leniently, keeps the fields it knows and judges their canonical
//! re-encoding. So do we. Prost would refuse a known field of the wrong wire type where Go's decoder
//! takes it for unknown, and copies what it writes; it judges our encoding in the tests.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::details::{Body, Details, Peer};
use super::encoded::Encoded;
use super::version::Version;
use crate::error::{CertificateDefect as Defect, NetworkList};
use crate::protobuf::{
    Value, bytes_len, low, next_field, next_varint, push_bytes, push_header, push_packed,
    push_varint,
};
use crate::{Curve, Error};

const INVALID_WIRE: Error = malformed(Defect::WireFormat);

/// Room for most certificates, with their signature.
const USUAL_LEN: usize = 256;

/// Parses and validates; gives the body and its canonical encoding. In a handshake the public key
/// comes from outside.
pub(super) fn decode(bytes: &[u8], peer: Option<Peer<'_>>) -> Result<(Body, Encoded), Error> {
    if bytes.is_empty() {
        return Err(malformed(Defect::Empty));
    }
    let (details, signature) = read(bytes)?;
    let mut body = details.ok_or(malformed(Defect::NoDetails))?.finish()?;
    if let Some(peer) = peer {
        if !body.public_key.is_empty() {
            return Err(Error::UnexpectedPublicKey);
        }
        body.public_key = peer.public_key.to_vec();
    }
    validate(&body)?;
    let encoded = encode(&body).signed(signature);
    Ok((body, encoded))
}

/// Parses and validates what is signed: the details alone.
pub(super) fn decode_to_be_signed(bytes: &[u8]) -> Result<Body, Error> {
    let mut details = Fields::default();
    details.read(bytes)?;
    let body = details.finish()?;
    validate(&body)?;
    Ok(body)
}

/// The canonical form without signature.
pub(super) fn encode(body: &Body) -> Encoded {
    seal(encode_details(&body.details, body.curve, &body.public_key))
}

/// The certificate as a handshake carries it.
pub(super) fn encode_for_handshake(body: &Body, signature: &[u8]) -> Vec<u8> {
    seal(encode_details(&body.details, body.curve, &[])).signed(signature).bytes().to_vec()
}

/// How long the certificate is with a signature of this length.
pub(super) fn encoded_len(encoded: &Encoded, signature_len: usize) -> usize {
    encoded.bytes().len() + bytes_len(2, signature_len)
}

/// The rules of version 1.
pub(super) fn validate(body: &Body) -> Result<(), Error> {
    let Body { details, public_key, .. } = body;
    if public_key.is_empty() {
        return Err(Error::NoPublicKey);
    }
    if !details.is_ca && details.networks.is_empty() {
        return Err(Error::NoNetworks);
    }
    for &network in &details.networks {
        if let IpNet::V6(_) = network {
            return Err(Error::Ipv6InV1 { field: NetworkList::Networks, network });
        }
        if network.addr().is_unspecified() {
            return Err(Error::ZeroAddress { network });
        }
    }
    for &network in &details.unsafe_networks {
        if let IpNet::V6(_) = network {
            return Err(Error::Ipv6InV1 { field: NetworkList::UnsafeNetworks, network });
        }
    }
    Ok(())
}

/// Puts the header, which has the details' length, before the details.
fn seal(mut bytes: Vec<u8>) -> Encoded {
    let details = bytes.len();
    push_header(&mut bytes, 1, details);
    let header = bytes.len() - details;
    bytes.rotate_right(header);
    Encoded::unsigned(Version::V1, bytes, header)
}

/// The canonical details: ascending fields, minimal varints, no defaults.
fn encode_details(details: &Details, curve: Curve, public_key: &[u8]) -> Vec<u8> {
    let Details { name, networks, unsafe_networks, groups, not_before, not_after, is_ca, issuer } =
        details;
    let mut encoded = Vec::with_capacity(USUAL_LEN);
    if !name.is_empty() {
        push_bytes(&mut encoded, 1, name);
    }
    for (number, networks) in [(2, networks), (3, unsafe_networks)] {
        if !networks.is_empty() {
            push_packed(&mut encoded, number, networks.iter().flat_map(to_pair));
        }
    }
    for group in groups {
        push_bytes(&mut encoded, 4, group);
    }
    for (number, value) in [(5, *not_before), (6, *not_after)] {
        if value != 0 {
            push_varint(&mut encoded, number, value.cast_unsigned());
        }
    }
    if !public_key.is_empty() {
        push_bytes(&mut encoded, 7, public_key);
    }
    if *is_ca {
        push_varint(&mut encoded, 8, 1);
    }
    if !issuer.is_empty() {
        push_bytes(&mut encoded, 9, issuer);
    }
    if curve.number() != 0 {
        // A negative number of 32 bits is written as one of 64.
        push_varint(&mut encoded, 100, i64::from(curve.number()).cast_unsigned());
    }
    encoded
}

/// Reads the details, if there are any, and the signature. Details that come twice are merged.
fn read(mut certificate: &[u8]) -> Result<(Option<Fields>, &[u8]), Error> {
    let (mut details, mut signature) = (None, &[][..]);
    while !certificate.is_empty() {
        let field = next_field(&mut certificate).map_err(|_| INVALID_WIRE)?;
        match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => details.get_or_insert_with(Fields::default).read(bytes)?,
            (2, Value::Bytes(bytes)) => signature = bytes,
            _ => {}
        }
    }
    Ok((details, signature))
}

/// The details as far as they were read.
#[derive(Default)]
struct Fields {
    name: Vec<u8>,
    networks: Networks,
    unsafe_networks: Networks,
    groups: Vec<Vec<u8>>,
    not_before: i64,
    not_after: i64,
    public_key: Vec<u8>,
    is_ca: bool,
    issuer: Vec<u8>,
    curve: i32,
}

impl Fields {
    fn read(&mut self, mut details: &[u8]) -> Result<(), Error> {
        while !details.is_empty() {
            let field = next_field(&mut details).map_err(|_| INVALID_WIRE)?;
            match (field.number, field.value) {
                (1, Value::Bytes(name)) => self.name = text(name)?,
                (2, Value::Varint(number)) => self.networks.push(number),
                (2, Value::Bytes(packed)) => self.networks.unpack(packed)?,
                (3, Value::Varint(number)) => self.unsafe_networks.push(number),
                (3, Value::Bytes(packed)) => self.unsafe_networks.unpack(packed)?,
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

    fn finish(self) -> Result<Body, Error> {
        let details = Details {
            name: self.name,
            networks: self.networks.finish(Defect::OddNetworks)?,
            unsafe_networks: self.unsafe_networks.finish(Defect::OddUnsafeNetworks)?,
            groups: self.groups,
            is_ca: self.is_ca,
            not_before: self.not_before,
            not_after: self.not_after,
            issuer: self.issuer,
        };
        let curve = Curve::from_number(self.curve);
        Ok(Body { version: Version::V1, curve, public_key: self.public_key, details })
    }
}

/// A list of networks, whose numbers are address and netmask in turn.
#[derive(Default)]
struct Networks {
    complete: Vec<IpNet>,
    address: Option<u32>,
}

impl Networks {
    fn push(&mut self, number: u64) {
        let number = low(number);
        match self.address.take() {
            None => self.address = Some(number),
            Some(address) => self.complete.push(from_pair(address, number)),
        }
    }

    fn unpack(&mut self, mut packed: &[u8]) -> Result<(), Error> {
        while !packed.is_empty() {
            self.push(next_varint(&mut packed).map_err(|_| INVALID_WIRE)?);
        }
        Ok(())
    }

    fn finish(self, odd: Defect) -> Result<Vec<IpNet>, Error> {
        if self.address.is_none() { Ok(self.complete) } else { Err(malformed(odd)) }
    }
}

const fn malformed(defect: Defect) -> Error {
    Error::Malformed { defect }
}

fn text(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
        Ok(bytes.to_vec())
    } else {
        Err(malformed(Defect::NotUtf8))
    }
}

/// A netmask with holes reads as prefix length 0.
fn from_pair(address: u32, mask: u32) -> IpNet {
    let address = Ipv4Addr::from_bits(address);
    Ipv4Net::with_netmask(address, Ipv4Addr::from_bits(mask))
        .unwrap_or_else(|_| Ipv4Net::new_assert(address, 0))
        .into()
}

fn to_pair(network: &IpNet) -> [u64; 2] {
    match network {
        IpNet::V4(network) => [network.addr(), network.netmask()].map(|part| part.to_bits().into()),
        // Refused by `validate` before anything is encoded.
        IpNet::V6(_) => [0, 0],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    /// The schema as prost knows it.
    #[derive(Clone, PartialEq, Message)]
    struct WireDetails {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(uint32, repeated, tag = "2")]
        networks: Vec<u32>,
        #[prost(uint32, repeated, tag = "3")]
        unsafe_networks: Vec<u32>,
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

    prop_compose! {
        fn networks()(pairs in prop::collection::vec((any::<u32>(), 0u8..=32), 0..4)) -> Vec<u32> {
            let mask = |len: u8| u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            pairs.into_iter().flat_map(|(address, len)| [address, mask(len)]).collect()
        }
    }

    prop_compose! {
        fn details()(
            name in ".{0,9}",
            networks in networks(),
            unsafe_networks in networks(),
            groups in prop::collection::vec(".{0,9}", 0..4),
            (not_before, not_after) in (any::<i64>(), -1i64..=1),
            public_key in prop::collection::vec(any::<u8>(), 0..70),
            is_ca in any::<bool>(),
            issuer in prop::collection::vec(any::<u8>(), 0..33),
            curve in prop_oneof![0..=1, any::<i32>()],
        ) -> WireDetails {
            WireDetails {
                name, networks, unsafe_networks, groups, not_before, not_after, public_key, is_ca,
                issuer, curve,
            }
        }
    }

    proptest! {
        #[test]
        fn prost_and_we_read_and_write_the_same(wire in details()) {
            let encoded = wire.encode_to_vec();
            let mut fields = Fields::default();
            fields.read(&encoded).unwrap();
            let Body { details, curve, public_key, .. } = fields.finish().unwrap();
            prop_assert_eq!(&details.name, wire.name.as_bytes());
            prop_assert_eq!(details.not_before, wire.not_before);
            prop_assert_eq!(curve.number(), wire.curve);
            prop_assert_eq!(encode_details(&details, curve, &public_key), encoded);
        }
    }
}
