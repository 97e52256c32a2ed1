//! The arithmetic of `aws-lc-rs`, for the operations that are repeated.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey,
};
use ed25519_dalek::Verifier as _;

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
pub(crate) enum Ed25519VerifyingKey {
    AwsLc(ParsedPublicKey),
    /// Where dalek is faster; and for a key whose encoding is not canonical, which aws-lc refuses
    /// and the reference reads.
    Dalek(ed25519_dalek::VerifyingKey),
}

impl Ed25519VerifyingKey {
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        Self::with(key, dalek_is_faster())
    }

    pub(super) fn with(key: &[u8; 32], dalek_is_faster: bool) -> Option<Self> {
        if dalek_is_faster || !is_canonical(key) {
            ed25519_dalek::VerifyingKey::from_bytes(key).ok().map(Self::Dalek)
        } else {
            ParsedPublicKey::new(&ED25519, key).ok().map(Self::AwsLc)
        }
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; ED25519_LEN]) -> bool {
        match self {
            Self::AwsLc(key) => key.verify_sig(message, signature).is_ok(),
            Self::Dalek(key) => {
                key.verify(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
            }
        }
    }

    pub(crate) fn to_dalek(&self) -> Option<ed25519_dalek::VerifyingKey> {
        match self {
            Self::AwsLc(key) => ed25519_dalek::VerifyingKey::try_from(key.as_ref()).ok(),
            Self::Dalek(key) => Some(*key),
        }
    }
}

/// Whether dalek verifies vectorised: then it takes a fifth less than aws-lc, else more.
#[cfg(target_arch = "x86_64")]
fn dalek_is_faster() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn dalek_is_faster() -> bool {
    false
}

/// Whether the encoding of a point is the one of RFC 8032 (section 5.1.2): y is below
/// p = 2^255 − 19, and x has no sign where it is zero, which it is for y = 1 and y = p − 1.
fn is_canonical([low, middle @ .., high]: &[u8; 32]) -> bool {
    let (negative, high) = (high & 0x80 != 0, high & 0x7f);
    let is_large = middle.iter().all(|byte| *byte == 0xff) && high == 0x7f;
    let is_small = middle.iter().all(|byte| *byte == 0) && high == 0;
    let y_is_below_p = !is_large || *low < 0xed;
    let x_is_zero = (is_small && *low == 1) || (is_large && *low == 0xec);
    y_is_below_p && !(negative && x_is_zero)
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
