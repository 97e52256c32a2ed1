//! Puts certificates together that nobody would issue.

use nebula_pki::{Certificate, Curve, Version};

/// The certificate with these signed bytes and this signature.
pub(crate) fn assemble(
    version: Version,
    curve: Curve,
    public_key: &[u8],
    signed: &[u8],
    signature: &[u8],
) -> Certificate {
    let bytes = match version {
        Version::V1 => [field(0x0a, signed), field(0x12, signature)].concat(),
        _ => {
            // Before the key stands one byte for the curve.
            let raw = &signed[..signed.len() - public_key.len() - 1];
            let curve = if curve == Curve::P256 { element(0x81, &[1]) } else { Vec::new() };
            let key = element(0x82, public_key);
            element(0x30, &[raw, &curve, &key, &element(0x83, signature)].concat())
        }
    };
    Certificate::from_bytes(version, &bytes).unwrap()
}

/// A field of a protobuf message.
pub(crate) fn field(key: u8, content: &[u8]) -> Vec<u8> {
    let mut encoded = vec![key];
    let mut len = content.len();
    while len >= 0x80 {
        encoded.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    encoded.push(u8::try_from(len).unwrap());
    [&encoded, content].concat()
}

/// An element of DER.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap().to_be_bytes();
    let header = match content.len() {
        0..0x80 => vec![tag, len[3]],
        0x80..0x100 => vec![tag, 0x81, len[3]],
        0x100..0x1_0000 => vec![tag, 0x82, len[2], len[3]],
        _ => vec![tag, 0x83, len[1], len[2], len[3]],
    };
    [&header, content].concat()
}
