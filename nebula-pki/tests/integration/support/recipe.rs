//! Certificates too large to be stored: grown from the well-formed case and signed again.

use nebula_pki::key::SigningKey;
use nebula_pki::{Certificate, Curve, Signer, Version};

use super::assemble::{element, field};
use super::vector::read;

pub(crate) fn build(id: &str, ok: &[u8]) -> Vec<u8> {
    let (set, recipe) = id.match_indices('-').nth(1).map(|(at, _)| id.split_at(at)).unwrap();
    match recipe {
        "-big" => v1_with_name(set, ok, &[b'y'; 100_000]),
        "-size-65536" => v2_of_size(set, ok, 65_536),
        "-size-65537" => v2_of_size(set, ok, 65_537),
        "-size-trail-65536" => padded(ok, 65_536),
        "-size-trail-65537" => padded(ok, 65_537),
        "-outer-empty" | "-outer-zero" | "-trunc-0" => Vec::new(),
        _ => panic!("no recipe for {id}"),
    }
}

fn v1_with_name(set: &str, ok: &[u8], name: &[u8]) -> Vec<u8> {
    // 0a LENGTH details, which begin with 0a LENGTH name.
    let details = content(ok);
    let rest = &details[2 + usize::from(details[1])..];
    let details = [field(0x0a, name), rest.to_vec()].concat();
    let signature = sign(set, &details);
    [field(0x0a, &details), field(0x12, &signature)].concat()
}

fn v2_of_size(set: &str, ok: &[u8], size: usize) -> Vec<u8> {
    const GROUPS: &[u8] = b"\xa3\x07\x0c\x05alpha";
    let certificate = Certificate::from_bytes(Version::V2, ok).unwrap();
    let (curve, key) = match certificate.curve() {
        Curve::P256 => (1, certificate.public_key()),
        _ => (0, certificate.public_key()),
    };
    let details = content(ok.strip_prefix(&ok[..header(ok)]).unwrap());
    let at = details.windows(GROUPS.len()).position(|window| window == GROUPS).unwrap();
    let with_group = |group: usize| {
        let groups = element(0xa3, &element(0x0c, &vec![b'g'; group]));
        let details = [&details[..at], &groups, &details[at + GROUPS.len()..]].concat();
        let raw = element(0xa0, &details);
        let signature = sign(set, &[&raw[..], &[curve], key].concat());
        let curve = if curve == 0 { Vec::new() } else { element(0x81, &[curve]) };
        let parts = [raw, curve, element(0x82, key), element(0x83, &signature)];
        element(0x30, &parts.concat())
    };
    // Signatures on P-256 vary in length, with some libraries from call to call.
    (0..100)
        .flat_map(|_| size - 260..size - 120)
        .map(with_group)
        .find(|der| der.len() == size)
        .unwrap()
}

/// The length of the header of a DER element, or of a protobuf field of the same form.
fn header(element: &[u8]) -> usize {
    2 + if element[1] < 0x80 { 0 } else { usize::from(element[1] & 0x7f) }
}

/// The content of the first element, or of a field of fewer than 256 bytes.
fn content(element: &[u8]) -> &[u8] {
    match (element[0], element[1]) {
        (0x0a, len @ 0x80..) => {
            &element[3..][..usize::from(len & 0x7f) | usize::from(element[2]) << 7]
        }
        (_, len @ 0..=0x7f) => &element[2..][..usize::from(len)],
        (_, 0x81) => &element[3..][..usize::from(element[2])],
        _ => panic!("too long"),
    }
}

fn padded(ok: &[u8], size: usize) -> Vec<u8> {
    let mut padded = ok.to_vec();
    padded.resize(size, 0);
    padded
}

fn sign(set: &str, message: &[u8]) -> Vec<u8> {
    let key = SigningKey::from_pem(&read(&format!("{set}/ca-plain.key"))).unwrap();
    key.sign(message).unwrap()
}
