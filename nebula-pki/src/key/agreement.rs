//! A host's private key.

use std::fmt;

use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::{
    PublicKey, first_block, point_of, random_scalar, random_secret, scalar, scalar_bytes, secret,
};
use crate::error::{KeyKind, PemContents};
use crate::{Certificate, Curve, Error, Random, pem};

pub(crate) const X25519_BANNER: &str = "NEBULA X25519 PRIVATE KEY";
pub(crate) const P256_BANNER: &str = "NEBULA P256 PRIVATE KEY";

/// A host's private key: X25519 for [`Curve::Curve25519`], ECDH for [`Curve::P256`].
///
/// The 32 bytes of an X25519 key are kept as they were drawn; clamping is part of the
/// multiplication (RFC 7748).
pub struct AgreementKey(Key);

enum Key {
    X25519(StaticSecret),
    P256(p256::SecretKey),
}

impl AgreementKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`] when the source fails, or [`Error::UnsupportedCurve`] for an unknown
    /// curve.
    pub fn generate(curve: Curve, random: &mut dyn Random) -> Result<Self, Error> {
        match curve {
            Curve::Curve25519 => Ok(Self(Key::X25519(StaticSecret::from(*random_secret(random)?)))),
            Curve::P256 => random_scalar(random).map(|key| Self(Key::P256(key))),
            Curve::Unknown(_) => Err(Error::UnsupportedCurve { curve }),
        }
    }

    /// The key in the first PEM block, `NEBULA X25519 PRIVATE KEY` or `NEBULA P256 PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes), and [`Error::NoPemBlock`] or [`Error::WrongBanner`].
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        let block = first_block(input)?;
        let curve = match block.banner() {
            X25519_BANNER => Curve::Curve25519,
            P256_BANNER => Curve::P256,
            _ => return Err(block.wrong_banner(PemContents::AgreementKey)),
        };
        Self::from_bytes(curve, &block.contents)
    }

    /// The key from its 32 bytes; on [`Curve::P256`] the scalar, big-endian.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`] unless there are 32 bytes, [`Error::ScalarRange`], or
    /// [`Error::UnsupportedCurve`] for an unknown curve.
    pub fn from_bytes(curve: Curve, bytes: &[u8]) -> Result<Self, Error> {
        match curve {
            Curve::Curve25519 => {
                let bytes = secret(KeyKind::X25519Private, bytes)?;
                Ok(Self(Key::X25519(StaticSecret::from(*bytes))))
            }
            Curve::P256 => Ok(Self(Key::P256(scalar(KeyKind::P256Private, bytes)?))),
            Curve::Unknown(_) => Err(Error::UnsupportedCurve { curve }),
        }
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        match self.0 {
            Key::X25519(_) => Curve::Curve25519,
            Key::P256(_) => Curve::P256,
        }
    }

    /// The public key to be certified.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        match &self.0 {
            // Never a point of small order: the base point's order is a prime that the clamped
            // scalar is no multiple of.
            Key::X25519(key) => {
                let point = x25519_dalek::PublicKey::from(key).to_bytes().to_vec();
                PublicKey::trusted(Curve::Curve25519, point)
            }
            Key::P256(key) => PublicKey::trusted(Curve::P256, point_of(key)),
        }
    }

    /// The key as `nebula-cert keygen` writes it.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        match &self.0 {
            Key::X25519(key) => pem::encode_secret(X25519_BANNER, key.as_bytes()),
            Key::P256(key) => pem::encode_secret(P256_BANNER, &*scalar_bytes(key)),
        }
    }

    /// Whether it is the key of this host certificate.
    ///
    /// # Errors
    ///
    /// [`Error::CurveMismatch`] or [`Error::KeyMismatch`].
    pub fn check_pair(&self, certificate: &Certificate) -> Result<(), Error> {
        certificate.check_public_key(self.curve(), self.public_key().as_bytes())
    }
}

/// Shows the curve, and nothing of the key.
impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgreementKey").field("curve", &self.curve()).finish_non_exhaustive()
    }
}
