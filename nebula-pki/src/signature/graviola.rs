//! The arithmetic of `graviola` on processors that have what it needs, and elsewhere that of the
//! backend behind it.
//!
//! It signs on both curves and verifies on P-256. Ed25519 is verified by the backend behind it:
//! dalek's vectorised equation is a tenth faster than graviola's on every x86_64 processor that has
//! what graviola needs, and takes the keys of other than canonical encoding that the reference takes
//! and graviola refuses.
//!
//! graviola wipes its keys, and the nonces of ECDSA, when they are dropped, and the vector registers
//! after each use; not what else a signature leaves on the stack.

use std::sync::{Arc, OnceLock};

use graviola::hashing::Sha256;
use graviola::key_agreement::p256::StaticPrivateKey;
use graviola::signing::ecdsa::{P256, SigningKey, VerifyingKey};
use graviola::signing::eddsa::Ed25519SigningKey;

pub(crate) use super::portable::Ed25519VerifyingKey;
use super::{ecdsa, portable};
use crate::{Error, key};

/// Whether this processor has what graviola needs. On one that has not, each of its operations would
/// panic.
fn is_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| graviola::util::is_cpu_supported() && multiplies_wide())
}

/// Whether there is BMI2, for which graviola does not ask although its multiplications need it. Every
/// processor with the ADX that it asks for has it, but a virtual machine may hide one of the two.
#[cfg(target_arch = "x86_64")]
fn multiplies_wide() -> bool {
    std::arch::is_x86_feature_detected!("bmi2")
}

#[cfg(not(target_arch = "x86_64"))]
fn multiplies_wide() -> bool {
    true
}

pub(crate) enum Ed25519Key {
    Graviola(Ed25519SigningKey),
    Portable(portable::Ed25519Key),
}

impl Ed25519Key {
    pub(crate) fn new(seed: &[u8; 32]) -> Result<Self, Error> {
        if is_supported() {
            Ed25519SigningKey::from_bytes(seed)
                .map(Self::Graviola)
                .map_err(|error| failed("Ed25519 key", error))
        } else {
            portable::Ed25519Key::new(seed).map(Self::Portable)
        }
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        match self {
            Self::Graviola(key) => key.public_key().as_bytes().to_vec(),
            Self::Portable(key) => key.public_key(),
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::Graviola(key) => Ok(key.sign(message).to_vec()),
            Self::Portable(key) => key.sign(message),
        }
    }
}

pub(crate) enum EcdsaKey {
    Graviola(SigningKey<P256>),
    Portable(portable::EcdsaKey),
}

impl EcdsaKey {
    pub(crate) fn new(scalar: &p256::SecretKey) -> Result<Self, Error> {
        if is_supported() {
            StaticPrivateKey::from_bytes(&*key::scalar_bytes(scalar))
                .map(|private_key| Self::Graviola(SigningKey { private_key }))
                .map_err(|error| failed("ECDSA key", error))
        } else {
            portable::EcdsaKey::new(scalar).map(Self::Portable)
        }
    }

    /// The point, uncompressed.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        match self {
            Self::Graviola(key) => key.private_key.public_key_uncompressed().to_vec(),
            Self::Portable(key) => key.public_key(),
        }
    }

    /// Signs with the nonce of RFC 6979, into which graviola mixes 16 random bytes (section 3.6
    /// there): the same message has another signature each time.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<ecdsa::Signature, Error> {
        match self {
            Self::Graviola(key) => {
                let mut fixed = [0; 64];
                key.sign::<Sha256>(&[message], &mut fixed)
                    .map_err(|error| failed("ECDSA signature", error))?;
                ecdsa::Signature::from_fixed(&fixed)
                    .ok_or_else(|| failed("ECDSA signature", "it gave zero"))
            }
            Self::Portable(key) => key.sign(message),
        }
    }
}

#[derive(Clone)]
pub(crate) enum EcdsaVerifyingKey {
    /// With the multiples of the point that verifying takes, 1.5 KiB.
    Graviola(Arc<VerifyingKey<P256>>),
    Portable(portable::EcdsaVerifyingKey),
}

impl EcdsaVerifyingKey {
    pub(crate) fn new(point: &[u8; 65]) -> Option<Self> {
        if is_supported() {
            let key = VerifyingKey::from_x962_uncompressed(point).ok()?;
            Some(Self::Graviola(Arc::new(key)))
        } else {
            portable::EcdsaVerifyingKey::new(point).map(Self::Portable)
        }
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &ecdsa::Signature) -> bool {
        match self {
            Self::Graviola(key) => key.verify::<Sha256>(&[message], &signature.to_fixed()).is_ok(),
            Self::Portable(key) => key.verify(message, signature),
        }
    }
}

fn failed(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Signer { reason: format!("graviola made no {what}: {error}") }
}
