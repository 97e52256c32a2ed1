//! Keys: the CA's [`SigningKey`], a host's [`AgreementKey`] and its [`PublicKey`], on both curves.
//!
//! Private keys are wiped from memory when dropped, and can be neither printed nor cloned. Their
//! PEM forms are those of `nebula-cert`. With the feature `encryption`, a CA's key at rest is an
//! `EncryptedKey` that a passphrase opens.

pub(crate) mod agreement;
#[cfg(feature = "encryption")]
mod encrypted;
pub(crate) mod public;
pub(crate) mod signing;

pub use agreement::AgreementKey;
#[cfg(feature = "encryption")]
pub use encrypted::{Argon2Parameters, EncryptedKey};
pub use public::PublicKey;
pub use signing::SigningKey;

use p256::elliptic_curve::sec1::ToSec1Point as _;
use zeroize::Zeroizing;

use crate::error::KeyKind;
use crate::{Error, Random, pem};

/// The bytes of a secret seed or scalar, on either curve.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

fn random_secret(random: &mut dyn Random) -> Result<Secret, Error> {
    let mut secret = Zeroizing::new([0; 32]);
    random.fill(&mut *secret)?;
    Ok(secret)
}

/// Draws numbers until one is a scalar on P-256, which all but one in 2^32 are.
fn random_scalar(random: &mut dyn Random) -> Result<p256::SecretKey, Error> {
    loop {
        if let Ok(key) = p256::SecretKey::from_slice(&*random_secret(random)?) {
            return Ok(key);
        }
    }
}

/// The scalar on P-256 with these bytes, big-endian.
fn scalar(key: KeyKind, bytes: &[u8]) -> Result<p256::SecretKey, Error> {
    p256::SecretKey::from_slice(&*secret(key, bytes)?).map_err(|_| Error::ScalarRange { key })
}

pub(crate) fn scalar_bytes(key: &p256::SecretKey) -> Secret {
    Zeroizing::new(key.to_bytes().into())
}

/// The point of a scalar on P-256, uncompressed.
pub(crate) fn point_of(key: &p256::SecretKey) -> Vec<u8> {
    key.public_key().to_sec1_point(false).as_bytes().to_vec()
}

/// A secret of 32 bytes.
fn secret(key: KeyKind, bytes: &[u8]) -> Result<Secret, Error> {
    let found = bytes.len();
    let bytes = bytes.try_into().map_err(|_| Error::KeyLength { key, expected: 32, found })?;
    Ok(Zeroizing::new(bytes))
}

/// The first PEM block.
fn first_block(input: &[u8]) -> Result<pem::Block<'_>, Error> {
    pem::decode(input).map(|(block, _)| block).ok_or_else(|| pem::no_block(input))
}
