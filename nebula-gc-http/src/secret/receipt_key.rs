//! Proving receipts: keys that are derived from the server's own for this alone.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{KEY_LENGTH, Purpose, ServerKey, ServerSecrets, no_key};
use crate::Error;

/// What the derived keys are for (HKDF's "info").
const LABEL: &[u8] = b"nebula-gc receipt 1";

impl ServerSecrets {
    /// The id of the key that proves new receipts.
    pub(crate) fn receipt_key(&self) -> Result<i64, Error> {
        self.current(Purpose::Hashing)
    }

    /// Proves a statement under the key with this id.
    pub(crate) fn prove(&self, key_id: i64, statement: &[u8]) -> Result<[u8; 32], Error> {
        let key = self.hashing.iter().find(|key| key.id == key_id);
        key.and_then(|key| mac(key, statement)).ok_or_else(|| no_key(Purpose::Hashing))
    }

    /// Whether a statement was proved so; nothing where there is no such key.
    pub(crate) fn is_proved(&self, key_id: i64, statement: &[u8], proof: &[u8]) -> Option<bool> {
        let key = self.hashing.iter().find(|key| key.id == key_id)?;
        mac(key, statement).map(|own| own.ct_eq(proof).into())
    }
}

fn mac(key: &ServerKey, statement: &[u8]) -> Option<[u8; 32]> {
    let derived = hkdf(&[0; KEY_LENGTH], &key.key, LABEL)?;
    hmac(derived.as_slice(), &[statement]).map(|mac| *mac)
}

/// The first 32 bytes of HKDF with SHA-256 (RFC 5869), which are its first block.
fn hkdf(salt: &[u8], secret: &[u8], info: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let extracted = hmac(salt, &[secret])?;
    hmac(extracted.as_slice(), &[info, &[1]])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Option<Zeroizing<[u8; 32]>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(Zeroizing::new(mac.finalize().into_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869, appendix A.1.
    #[test]
    fn keys_are_derived_as_the_rfc_says() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let derived = hkdf(&salt, &[0x0b; 22], &info).unwrap();
        let text: String = derived.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }

    #[test]
    fn a_proof_holds_for_its_statement_and_key_alone() {
        let mut secrets = ServerSecrets::generate().unwrap();
        let first = secrets.receipt_key().unwrap();
        let proof = secrets.prove(first, b"one").unwrap();
        secrets.rotate().unwrap();
        assert_ne!(secrets.receipt_key().unwrap(), first);
        assert_eq!(secrets.is_proved(first, b"one", &proof), Some(true));
        assert_eq!(secrets.is_proved(first, b"two", &proof), Some(false));
        assert_eq!(secrets.is_proved(first, b"one", &proof[..31]), Some(false));
        let other = secrets.receipt_key().unwrap();
        assert_eq!(secrets.is_proved(other, b"one", &proof), Some(false));
        assert_eq!(secrets.is_proved(99, b"one", &proof), None);
        // It is none of what the key itself makes of a bearer secret.
        let bearer = crate::Bearer::from_client("one").unwrap();
        assert!(secrets.hashes(&bearer).all(|hash| hash.hash != proof));
    }
}
