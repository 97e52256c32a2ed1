//! The arithmetic of `ed25519-dalek` and `p256`.

use ed25519_dalek::{Signer as _, Verifier as _};

use super::{ED25519_LEN, ecdsa};
use crate::Error;

pub(crate) struct Ed25519Key(ed25519_dalek::SigningKey);

impl Ed25519Key {
    pub(crate) fn new(seed: &[u8; 32]) -> Result<Self, Error> {
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.0.verifying_key().to_bytes().to_vec()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

#[derive(Clone)]
pub(crate) struct Ed25519VerifyingKey(ed25519_dalek::VerifyingKey);

impl Ed25519VerifyingKey {
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        ed25519_dalek::VerifyingKey::from_bytes(key).ok().map(Self)
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; ED25519_LEN]) -> bool {
        self.0.verify(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }

    pub(crate) fn to_dalek(&self) -> Option<ed25519_dalek::VerifyingKey> {
        Some(self.0)
    }
}

pub(crate) struct EcdsaKey(p256::ecdsa::SigningKey);

impl EcdsaKey {
    pub(crate) fn new(scalar: &p256::SecretKey) -> Result<Self, Error> {
        Ok(Self(scalar.into()))
    }

    /// The point, uncompressed.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.0.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    }

    /// Signs with the nonce of RFC 6979, without randomness.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<ecdsa::Signature, Error> {
        let failed = |reason: &str| Error::Signer { reason: reason.to_owned() };
        let signature: p256::ecdsa::Signature =
            self.0.try_sign(message).map_err(|_| failed("ECDSA failed"))?;
        ecdsa::Signature::from_fixed(&signature.to_bytes().into())
            .ok_or_else(|| failed("ECDSA gave zero"))
    }
}

#[derive(Clone)]
pub(crate) struct EcdsaVerifyingKey(p256::ecdsa::VerifyingKey);

impl EcdsaVerifyingKey {
    pub(crate) fn new(point: &[u8; 65]) -> Option<Self> {
        p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self)
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &ecdsa::Signature) -> bool {
        p256::ecdsa::Signature::from_bytes(&signature.to_fixed().into())
            .is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}
