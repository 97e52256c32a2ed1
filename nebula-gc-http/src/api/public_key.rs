//! Reading a public key as clients write it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nebula_pki::Curve;
use nebula_pki::key::PublicKey;

use crate::Error;
use crate::error::{Fault, Field};
use crate::text::from_hex;

/// The PEM that `nebula-cert keygen` writes, or Base64 or hexadecimal of the raw key.
pub(super) fn read(text: &str) -> Result<PublicKey, Error> {
    let text = text.trim();
    if text.contains("PRIVATE KEY-----") {
        return Err(Fault::PrivateKey.of(Field::PublicKey));
    }
    let key = if text.starts_with("-----BEGIN") {
        PublicKey::from_pem(text.as_bytes())
    } else {
        // As Base64, 64 hexadecimal digits would be a key of 48 bytes, which no curve here has.
        let hexadecimal = (text.len() == 64).then(|| from_hex(text)).flatten();
        let raw = hexadecimal
            .or_else(|| STANDARD.decode(text).ok())
            .filter(|raw| !raw.is_empty())
            .ok_or_else(|| Fault::KeyEncoding.of(Field::PublicKey))?;
        // An uncompressed point has 65 bytes.
        let curve = if raw.len() == 65 { Curve::P256 } else { Curve::Curve25519 };
        PublicKey::from_raw(curve, &raw)
    };
    key.map_err(|error| Fault::from(error).of(Field::PublicKey))
}
