//! The arithmetic of `aws-lc-rs`, for the operations that are repeated.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey,
};

use super::{ED25519_LEN, ecdsa};
use crate::{Error, key};

pub(crate) struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    pub(crate) fn new(seed: &[u8; 32]) -> Result<Self, Error> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| failed("Ed25519 key"))
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.try_sign(message).map_err(|_| failed("Ed25519 signature"))?;
        Ok(signature.as_ref().to_vec())
    }
}

#[derive(Clone)]
pub(crate) struct Ed25519VerifyingKey(ParsedPublicKey);

impl Ed25519VerifyingKey {
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        ParsedPublicKey::new(&ED25519, key).ok().map(Self)
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; ED25519_LEN]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }

    pub(crate) fn to_dalek(&self) -> Option<ed25519_dalek::VerifyingKey> {
        ed25519_dalek::VerifyingKey::try_from(self.0.as_ref()).ok()
    }
}

pub(crate) struct EcdsaKey {
    pair: EcdsaKeyPair,
    public: Vec<u8>,
}

impl EcdsaKey {
    pub(crate) fn new(scalar: &p256::SecretKey) -> Result<Self, Error> {
        let public = key::point_of(scalar);
        let bytes = key::scalar_bytes(scalar);
        EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &*bytes,
            &public,
        )
        .map(|pair| Self { pair, public })
        .map_err(|_| failed("ECDSA key"))
    }

    /// The point, uncompressed.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.public.clone()
    }

    /// Signs with a random nonce.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<ecdsa::Signature, Error> {
        let signature =
            self.pair.sign(&SystemRandom::new(), message).map_err(|_| failed("ECDSA signature"))?;
        signature
            .as_ref()
            .try_into()
            .ok()
            .and_then(ecdsa::Signature::from_fixed)
            .ok_or_else(|| failed("ECDSA signature"))
    }
}

#[derive(Clone)]
pub(crate) struct EcdsaVerifyingKey(ParsedPublicKey);

impl EcdsaVerifyingKey {
    pub(crate) fn new(point: &[u8; 65]) -> Option<Self> {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok().map(Self)
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &ecdsa::Signature) -> bool {
        self.0.verify_sig(message, &signature.to_fixed()).is_ok()
    }
}

fn failed(what: &str) -> Error {
    Error::Signer { reason: format!("aws-lc refused an {what}") }
}
