//! Making and checking signatures on both curves. The arithmetic of each operation is that of the
//! fastest library that the features bring and the processor can run, all with the same verdicts:
//!
//! - Ed25519 signs, P-256 signs and verifies: graviola; else aws-lc-rs; else dalek and `p256`.
//! - Ed25519 verifies: dalek; aws-lc-rs, if there, where dalek has no AVX2 to be fast with.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
pub(crate) mod ecdsa;
#[cfg(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod graviola;
#[cfg(any(test, not(feature = "aws-lc-rs")))]
#[cfg_attr(feature = "aws-lc-rs", allow(dead_code, reason = "the tests compare with a part of it"))]
mod rust_crypto;
#[cfg(test)]
mod tests;

#[cfg(feature = "aws-lc-rs")]
use aws_lc as portable;
#[cfg(not(feature = "aws-lc-rs"))]
use rust_crypto as portable;

#[cfg(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64")))]
use self::graviola as backend;
#[cfg(not(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64"))))]
use portable as backend;

pub(crate) use backend::{EcdsaKey, Ed25519Key};

use std::fmt;

use crate::{Curve, Error};

/// The length of an Ed25519 signature.
pub(crate) const ED25519_LEN: usize = 64;

/// The length of the longest DER signature on P-256.
const ECDSA_MAX_LEN: usize = 72;

/// The longest signature on this curve, in bytes.
pub(crate) const fn max_len(curve: Curve) -> usize {
    match curve {
        Curve::P256 => ECDSA_MAX_LEN,
        Curve::Curve25519 | Curve::Unknown(_) => ED25519_LEN,
    }
}

/// A public key decoded once, to check any number of signatures.
#[derive(Clone)]
pub(crate) enum VerifyingKey {
    Ed25519(backend::Ed25519VerifyingKey),
    Ecdsa(backend::EcdsaVerifyingKey),
}

impl VerifyingKey {
    /// None for what no signature verifies under: a wrong length, a point that is not on the curve,
    /// a form of point other than the uncompressed, an unknown curve.
    pub(crate) fn new(curve: Curve, public_key: &[u8]) -> Option<Self> {
        match curve {
            Curve::Curve25519 => {
                let key = public_key.try_into().ok()?;
                backend::Ed25519VerifyingKey::new(key).map(Self::Ed25519)
            }
            Curve::P256 => {
                let point: &[u8; 65] = public_key.try_into().ok()?;
                let uncompressed = point.first() == Some(&4);
                let key = uncompressed.then(|| backend::EcdsaVerifyingKey::new(point))??;
                Some(Self::Ecdsa(key))
            }
            Curve::Unknown(_) => None,
        }
    }

    /// Checks a signature as the reference does.
    ///
    /// For Ed25519 that is the equation without cofactor, comparing the encoding of R, with S below
    /// the group order, and without singling out keys of small order. For ECDSA it is the strict
    /// DER form, with s in either half of its range.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let valid = match self {
            Self::Ed25519(key) => {
                signature.try_into().is_ok_and(|signature| key.verify(message, signature))
            }
            Self::Ecdsa(key) => ecdsa::Signature::from_der(signature)
                .is_some_and(|signature| key.verify(message, &signature)),
        };
        if valid { Ok(()) } else { Err(Error::SignatureMismatch) }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey")
    }
}

/// Checks one signature under a key that is not kept.
pub(crate) fn verify(
    curve: Curve,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    VerifyingKey::new(curve, public_key).ok_or(Error::SignatureMismatch)?.verify(message, signature)
}

/// The form in which a signature goes into a certificate: on P-256 with the smaller of the two
/// values of s, as the reference signs since 1.10.3.
///
/// # Errors
///
/// [`Error::SignatureMismatch`] for what is not a signature on this curve.
pub(crate) fn normalize(curve: Curve, signature: Vec<u8>) -> Result<Vec<u8>, Error> {
    match curve {
        Curve::Curve25519 if signature.len() == ED25519_LEN => Ok(signature),
        Curve::P256 => match ecdsa::Signature::from_der(&signature) {
            Some(parsed) if parsed.is_high_s() => Ok(parsed.negated().to_der()),
            Some(_) => Ok(signature),
            None => Err(Error::SignatureMismatch),
        },
        Curve::Curve25519 | Curve::Unknown(_) => Err(Error::SignatureMismatch),
    }
}

/// One signature to be checked together with others.
pub(crate) struct Ed25519Claim<'a> {
    pub(crate) key: &'a backend::Ed25519VerifyingKey,
    pub(crate) message: &'a [u8],
    pub(crate) signature: &'a [u8; ED25519_LEN],
}

/// Whether all are valid, at about half the cost of checking them one by one.
///
/// The answer may differ from that of single checks for signatures and keys with a component of
/// small order, which only the owner of the key can make. Not for anything a stranger sent.
pub(crate) fn verify_batch(claims: &[Ed25519Claim<'_>]) -> bool {
    let messages: Vec<_> = claims.iter().map(|claim| claim.message).collect();
    let signatures: Vec<_> =
        claims.iter().map(|claim| ed25519_dalek::Signature::from_bytes(claim.signature)).collect();
    let keys: Option<Vec<_>> = claims.iter().map(|claim| claim.key.to_dalek()).collect();
    keys.is_some_and(|keys| ed25519_dalek::verify_batch(&messages, &signatures, &keys).is_ok())
}
