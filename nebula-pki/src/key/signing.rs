//! A CA's private key.

use std::fmt;

use zeroize::Zeroizing;

use super::{Secret, first_block, random_scalar, random_secret, scalar, scalar_bytes};
use crate::error::{KeyKind, PemContents};
use crate::signature::{EcdsaKey, Ed25519Key};
use crate::{Certificate, Curve, Error, Random, Signer, pem};

pub(crate) const ED25519_BANNER: &str = "NEBULA ED25519 PRIVATE KEY";
pub(crate) const ECDSA_BANNER: &str = "NEBULA ECDSA P256 PRIVATE KEY";
pub(crate) const ENCRYPTED_ED25519_BANNER: &str = "NEBULA ED25519 ENCRYPTED PRIVATE KEY";
pub(crate) const ENCRYPTED_ECDSA_BANNER: &str = "NEBULA ECDSA P256 ENCRYPTED PRIVATE KEY";

/// A CA's private key: Ed25519 for [`Curve::Curve25519`], ECDSA for [`Curve::P256`].
pub struct SigningKey {
    key: Key,
    /// The seed, or the scalar.
    secret: Secret,
    public: Vec<u8>,
}

enum Key {
    Ed25519(Ed25519Key),
    Ecdsa(EcdsaKey),
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`] when the source fails, or [`Error::UnsupportedCurve`] for an unknown
    /// curve.
    pub fn generate(curve: Curve, random: &mut dyn Random) -> Result<Self, Error> {
        match curve {
            Curve::Curve25519 => Self::from_seed(random_secret(random)?),
            Curve::P256 => Self::from_scalar(&random_scalar(random)?),
            Curve::Unknown(_) => Err(Error::UnsupportedCurve { curve }),
        }
    }

    /// The key in the first PEM block, `NEBULA ED25519 PRIVATE KEY` or
    /// `NEBULA ECDSA P256 PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes), and [`Error::NoPemBlock`], [`Error::WrongBanner`], or
    /// [`Error::EncryptedKey`] for a key that needs a passphrase.
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        let block = first_block(input)?;
        let curve = match block.banner() {
            ED25519_BANNER => Curve::Curve25519,
            ECDSA_BANNER => Curve::P256,
            ENCRYPTED_ED25519_BANNER | ENCRYPTED_ECDSA_BANNER => return Err(Error::EncryptedKey),
            _ => return Err(block.wrong_banner(PemContents::SigningKey)),
        };
        Self::from_bytes(curve, &block.contents)
    }

    /// The key from its bytes: 64 for [`Curve::Curve25519`], seed then public half, or the 32 of
    /// the scalar, big-endian, for [`Curve::P256`].
    ///
    /// The public half is derived again: the reference compares only that half with the CA
    /// certificate, and with a damaged seed signs certificates that nobody can verify.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`] for another length, [`Error::CorruptSigningKey`] when the halves do not
    /// match, [`Error::ScalarRange`], or [`Error::UnsupportedCurve`] for an unknown curve.
    pub fn from_bytes(curve: Curve, bytes: &[u8]) -> Result<Self, Error> {
        match curve {
            Curve::Curve25519 => {
                let length = Error::KeyLength {
                    key: KeyKind::Ed25519Private,
                    expected: ed25519_dalek::KEYPAIR_LENGTH,
                    found: bytes.len(),
                };
                let (seed, public) = bytes.split_first_chunk::<32>().ok_or(length.clone())?;
                if public.len() != ed25519_dalek::PUBLIC_KEY_LENGTH {
                    return Err(length);
                }
                let key = Self::from_seed(Zeroizing::new(*seed))?;
                if key.public == public { Ok(key) } else { Err(Error::CorruptSigningKey) }
            }
            Curve::P256 => Self::from_scalar(&scalar(KeyKind::EcdsaPrivate, bytes)?),
            Curve::Unknown(_) => Err(Error::UnsupportedCurve { curve }),
        }
    }

    /// The key's bytes, as [`from_bytes`](Self::from_bytes) takes them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ed25519_dalek::KEYPAIR_LENGTH));
        bytes.extend_from_slice(&*self.secret);
        if let Key::Ed25519(_) = self.key {
            bytes.extend_from_slice(&self.public);
        }
        bytes
    }

    /// The key as `nebula-cert` writes it to `ca.key`.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let banner = match self.key {
            Key::Ed25519(_) => ED25519_BANNER,
            Key::Ecdsa(_) => ECDSA_BANNER,
        };
        pem::encode_secret(banner, &self.to_bytes())
    }

    /// Whether it is the key of this CA certificate.
    ///
    /// # Errors
    ///
    /// [`Error::CurveMismatch`] or [`Error::KeyMismatch`].
    pub fn check_pair(&self, certificate: &Certificate) -> Result<(), Error> {
        certificate.check_public_key(self.curve(), &self.public)
    }

    fn from_seed(seed: Secret) -> Result<Self, Error> {
        let key = Ed25519Key::new(&seed)?;
        let public = key.public_key();
        Ok(Self { key: Key::Ed25519(key), secret: seed, public })
    }

    fn from_scalar(scalar: &p256::SecretKey) -> Result<Self, Error> {
        let key = EcdsaKey::new(scalar)?;
        let public = key.public_key();
        Ok(Self { key: Key::Ecdsa(key), secret: scalar_bytes(scalar), public })
    }
}

impl Signer for SigningKey {
    fn curve(&self) -> Curve {
        match self.key {
            Key::Ed25519(_) => Curve::Curve25519,
            Key::Ecdsa(_) => Curve::P256,
        }
    }

    fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.key {
            Key::Ed25519(key) => key.sign(message),
            Key::Ecdsa(key) => Ok(key.sign(message)?.to_der()),
        }
    }
}

/// Shows the curve, and nothing of the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("curve", &self.curve()).finish_non_exhaustive()
    }
}
