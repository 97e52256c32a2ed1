//! Reading a public key as clients write it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nebula_pki::Curve;
use nebula_pki::key::PublicKey;

use crate::Error;
use crate::error::{Fault, Field};

/// The PEM that `nebula-cert keygen` writes, or Base64 or hexadecimal of the raw key.
pub(super) fn read(text: &str) -> Result<PublicKey, Error> {
    let text = text.trim();
    if text.contains("PRIVATE KEY-----") {
        return Err(Fault::PrivateKey.of(Field::PublicKey));
    }
    let key = if text.starts_with("-----BEGIN") {
        PublicKey::from_pem(text.as_bytes())
    } else {
        let raw = from_hex(text)
            .or_else(|| STANDARD.decode(text).ok())
            .filter(|raw| !raw.is_empty())
            .ok_or_else(|| Fault::KeyEncoding.of(Field::PublicKey))?;
        // An uncompressed point has 65 bytes.
        let curve = if raw.len() == 65 { Curve::P256 } else { Curve::Curve25519 };
        PublicKey::from_raw(curve, &raw)
    };
    key.map_err(|error| Fault::from(error).of(Field::PublicKey))
}

/// 64 hexadecimal digits. As Base64 they would be a key of 48 bytes, which no curve here has.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = (text.len() == 64).then_some(text)?;
    let nibble = |digit: char| digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
    let nibbles = digits.chars().map(nibble).collect::<Option<Vec<_>>>()?;
    Some(
        nibbles
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble))
            .collect(),
    )
}
