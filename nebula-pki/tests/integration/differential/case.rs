//! One generated case: a certificate under one of the CAs, a CA of its own with a host, or a text.

use nebula_pki::key::SigningKey;
use nebula_pki::{Certificate, Curve, Signer, Version};

use super::authority::Authority;
use super::dice::Dice;
use super::draft::Draft;
use super::{der, protobuf, signature, text};
use crate::support::vector;

pub(crate) struct Case {
    pub(crate) number: usize,
    /// What is wrong or odd about it.
    pub(crate) flaws: Vec<&'static str>,
    pub(crate) version: Version,
    pub(crate) curve: Curve,
    pub(crate) pem: Vec<u8>,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    /// To be verified under the CAs of the run.
    Host,
    /// To be loaded as CA, and to verify this host, if there is one.
    Ca { host: Option<Vec<u8>> },
    /// Any number of blocks, to be read as certificates and as CAs.
    Text,
}

pub(crate) fn generate(seed: u64, number: usize, cas: &[Authority]) -> Case {
    let mut dice = Dice::new(seed, number);
    let dice = &mut dice;
    let version = dice.pick(&[Version::V1, Version::V2]);
    let curve = dice.pick(&[Curve::Curve25519, Curve::P256]);
    let mut flaws = Vec::new();
    let (pem, kind) = match dice.below(10) {
        0 => (edited_text(dice, cas, &mut flaws), Kind::Text),
        1 | 2 => authority(dice, cas, version, curve, &mut flaws),
        _ => {
            let same: Vec<_> = cas.iter().filter(|ca| ca.certificate.curve() == curve).collect();
            // Those of odd times stand last, and seldom verify anything.
            let usable = if dice.one_in(8) { 10 } else { 7 };
            let ca = same[dice.below(2) * 10 + dice.below(usable)];
            let draft = Draft::host(dice, &ca.certificate, version);
            let signed = certificate(dice, draft, &ca.key, cas, &mut flaws);
            (pem(version, &signed), Kind::Host)
        }
    };
    Case { number, flaws, version, curve, pem, kind }
}

pub(crate) fn pem(version: Version, encoded: &[u8]) -> Vec<u8> {
    let banner = match version {
        Version::V1 => "NEBULA CERTIFICATE",
        _ => "NEBULA CERTIFICATE V2",
    };
    vector::pem(banner, encoded)
}

fn edited_text(dice: &mut Dice, cas: &[Authority], flaws: &mut Vec<&'static str>) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..dice.within(1, 3) {
        let ca = &cas[dice.below(cas.len())];
        match dice.below(10) {
            0 => text.extend(ca.key.to_pem().as_bytes()),
            1 | 2 => {
                let version = dice.pick(&[Version::V1, Version::V2]);
                let draft = Draft::host(dice, &ca.certificate, version);
                text.extend(pem(version, &encode_host(dice, &draft, &ca.key, false)));
            }
            _ => text.extend(ca.certificate.to_pem().as_bytes()),
        }
    }
    for _ in 0..dice.pick(&[1, 1, 2, 3]) {
        flaws.push(text::edit(&mut text, dice));
    }
    text
}

/// A CA of its own, and a host under it if it is one.
fn authority(
    dice: &mut Dice,
    cas: &[Authority],
    version: Version,
    curve: Curve,
    flaws: &mut Vec<&'static str>,
) -> (Vec<u8>, Kind) {
    let keys: Vec<_> = cas.iter().map(|ca| &ca.key).filter(|key| key.curve() == curve).collect();
    let key = keys[dice.below(keys.len())];
    let mut draft = Draft::ca(dice, curve, key.public_key().to_vec(), version);
    let odd_key = dice.one_in(8);
    if odd_key {
        spoil_signing_key(&mut draft.public_key, dice, curve);
        flaws.push("odd CA key");
    }
    let signed = certificate(dice, draft, key, cas, flaws);
    let host = Certificate::from_bytes(version, &signed).ok().map(|ca| {
        let host_version = dice.pick(&[Version::V1, Version::V2]);
        let mut host = Draft::host(dice, &ca, host_version);
        if dice.one_in(3) {
            flaws.push(host.spoil(dice, cas));
        }
        let signed = encode_host(dice, &host, key, odd_key && curve == Curve::Curve25519);
        pem(host_version, &signed)
    });
    (pem(version, &signed), Kind::Ca { host })
}

fn spoil_signing_key(public_key: &mut Vec<u8>, dice: &mut Dice, curve: Curve) {
    *public_key = match (curve, dice.below(4)) {
        // A form of the point that Go does not take, and one off the curve.
        (Curve::P256, 0) => [&[2 | public_key[64] & 1], &public_key[1..33]].concat(),
        (Curve::P256, 1) => [&[6 | public_key[64] & 1], &public_key[1..]].concat(),
        (Curve::P256, 2) => vec![0],
        (Curve::P256, _) => [vec![4], dice.bytes(64)].concat(),
        (_, 0) => dice.bytes(32),
        (_, _) => signature::small_order_point(dice),
    };
}

/// A plainly encoded host, for a CA whose own certificate is what the case is about.
fn encode_host(dice: &mut Dice, draft: &Draft, key: &SigningKey, small_order: bool) -> Vec<u8> {
    let mut sign = |message: &[u8]| {
        if small_order { signature::of_small_order(dice) } else { key.sign(message).unwrap() }
    };
    match draft.version {
        Version::V1 => {
            let details = protobuf::encode(&protobuf::details(draft));
            let signature = sign(&details);
            protobuf::encode(&protobuf::certificate(&details, &signature))
        }
        _ => {
            let details = der::wrap(0xa0, &der::details(draft), None);
            let signature = sign(&v2_message(&details, draft));
            der::wrap(0x30, &v2_parts(&details, draft, &signature), None)
        }
    }
}

/// Where a flaw is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Draft,
    Details,
    Outside,
    Signature,
    Bytes,
}

/// Encodes and signs a draft, after spoiling none to three things.
fn certificate(
    dice: &mut Dice,
    mut draft: Draft,
    key: &SigningKey,
    cas: &[Authority],
    flaws: &mut Vec<&'static str>,
) -> Vec<u8> {
    use Place::{Bytes, Details, Outside, Signature};
    let count = dice.pick(&[0, 0, 0, 1, 1, 1, 1, 2, 2, 3]);
    let places: Vec<_> = (0..count)
        .map(|_| {
            let draft = Place::Draft;
            dice.pick(&[draft, draft, draft, draft, Details, Details, Outside, Signature, Bytes])
        })
        .collect();
    let small_order = flaws.contains(&"odd CA key") && draft.public_key.len() == 32;
    for _ in places.iter().filter(|place| **place == Place::Draft) {
        flaws.push(draft.spoil(dice, cas));
    }
    let mut signed = match draft.version {
        Version::V1 => v1(dice, &draft, key, &places, small_order, flaws),
        _ => v2(dice, &draft, key, &places, small_order, flaws),
    };
    for _ in places.iter().filter(|place| **place == Bytes) {
        dice.edit(&mut signed);
        flaws.push("bytes edited");
    }
    signed
}

fn v1(
    dice: &mut Dice,
    draft: &Draft,
    key: &SigningKey,
    places: &[Place],
    small_order: bool,
    flaws: &mut Vec<&'static str>,
) -> Vec<u8> {
    let mut fields = protobuf::details(draft);
    let plain = protobuf::encode(&fields);
    for _ in places.iter().filter(|place| **place == Place::Details) {
        flaws.push(protobuf::distort(&mut fields, dice));
    }
    let details = protobuf::encode(&fields);
    // What the signature is over: the bytes as they are, as they should be, or as they are read.
    let message = match dice.below(4) {
        0 => details.clone(),
        1 => plain,
        _ => canonical_v1(&details).unwrap_or(plain),
    };
    let signature = sign(dice, key, &message, places, small_order, flaws);
    let mut fields = protobuf::certificate(&details, &signature);
    for _ in places.iter().filter(|place| **place == Place::Outside) {
        flaws.push(protobuf::distort(&mut fields, dice));
    }
    protobuf::encode(&fields)
}

/// The details that the library re-encodes, to be signed: if they are not those that the reference
/// re-encodes, it refuses the signature.
fn canonical_v1(details: &[u8]) -> Option<Vec<u8>> {
    let encoded = protobuf::encode(&protobuf::certificate(details, &[1]));
    let canonical = Certificate::from_bytes(Version::V1, &encoded).ok()?.to_bytes();
    let header = 1 + canonical[1..].iter().position(|byte| *byte < 0x80)? + 1;
    // The signature's field has three bytes.
    canonical.get(header..canonical.len() - 3).map(<[u8]>::to_vec)
}

fn v2(
    dice: &mut Dice,
    draft: &Draft,
    key: &SigningKey,
    places: &[Place],
    small_order: bool,
    flaws: &mut Vec<&'static str>,
) -> Vec<u8> {
    let mut elements = der::details(draft);
    for _ in places.iter().filter(|place| **place == Place::Details) {
        flaws.push(der::distort(&mut elements, dice));
    }
    let odd = places.contains(&Place::Details) && dice.one_in(10);
    let details = der::wrap(0xa0, &elements, odd.then_some(&mut *dice));
    let message = v2_message(&details, draft);
    let signature = sign(dice, key, &message, places, small_order, flaws);
    let mut elements = v2_parts(&details, draft, &signature);
    for _ in places.iter().filter(|place| **place == Place::Outside) {
        flaws.push(der::distort(&mut elements, dice));
    }
    let odd = places.contains(&Place::Outside) && dice.one_in(5);
    let mut encoded = der::wrap(0x30, &elements, odd.then_some(&mut *dice));
    if places.contains(&Place::Outside) && dice.one_in(5) {
        let len = dice.pick(&[1, 2, 100, 65_000, 66_000]);
        encoded.extend(dice.bytes(len));
    }
    encoded
}

fn v2_message(details: &[u8], draft: &Draft) -> Vec<u8> {
    [details, &[draft.curve as u8], &draft.public_key].concat()
}

fn v2_parts(details: &[u8], draft: &Draft, signature: &[u8]) -> Vec<der::Element> {
    der::certificate(details, draft.curve as u8, &draft.public_key, signature)
}

fn sign(
    dice: &mut Dice,
    key: &SigningKey,
    message: &[u8],
    places: &[Place],
    small_order: bool,
    flaws: &mut Vec<&'static str>,
) -> Vec<u8> {
    if small_order {
        return signature::of_small_order(dice);
    }
    let mut signature = key.sign(message).unwrap();
    for _ in places.iter().filter(|place| **place == Place::Signature).take(1) {
        flaws.push(signature::spoil(&mut signature, dice, key, message));
    }
    signature
}
