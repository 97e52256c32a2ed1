//! Keys: the CA's [`SigningKey`], a host's [`AgreementKey`] and its [`PublicKey`].
//!
//! Private keys are wiped from memory when dropped, and can be neither printed nor cloned. Their
//! PEM forms are those of `nebula-cert`.

use std::fmt;

use ed25519_dalek::Signer as _;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::{Curve, Error, Random, Signer, pem};

const SIGNING_BANNER: &str = "NEBULA ED25519 PRIVATE KEY";
const AGREEMENT_BANNER: &str = "NEBULA X25519 PRIVATE KEY";
const X25519_PUBLIC_BANNER: &str = "NEBULA X25519 PUBLIC KEY";
const P256_PUBLIC_BANNER: &str = "NEBULA P256 PUBLIC KEY";

const UNSUPPORTED_PRIVATE_BANNERS: [&str; 2] =
    ["NEBULA ECDSA P256 PRIVATE KEY", "NEBULA P256 PRIVATE KEY"];
const ENCRYPTED_BANNERS: [&str; 2] =
    ["NEBULA ED25519 ENCRYPTED PRIVATE KEY", "NEBULA ECDSA P256 ENCRYPTED PRIVATE KEY"];

/// A CA's private key: Ed25519.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: [u8; 32],
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`] when the source fails.
    pub fn generate(random: &mut dyn Random) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill(&mut *seed)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key in the first PEM block, `NEBULA ED25519 PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes), and [`Error::NoPemBlock`], [`Error::WrongBanner`],
    /// [`Error::EncryptedKey`], or [`Error::UnsupportedCurve`] for an ECDSA key.
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        let block = private_block(input, SIGNING_BANNER)?;
        Self::from_bytes(&block.contents)
    }

    /// The key from its 64 bytes, seed then public half.
    ///
    /// The public half is derived again: the reference compares only that half with the CA
    /// certificate, and with a damaged seed signs certificates that nobody can verify.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`] unless there are 64 bytes, [`Error::CorruptSigningKey`] when the halves
    /// do not match.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let length = Error::KeyLength {
            key: "Ed25519 private key",
            expected: ed25519_dalek::KEYPAIR_LENGTH,
            found: bytes.len(),
        };
        let (seed, public) = bytes.split_first_chunk::<32>().ok_or(length.clone())?;
        let public: &[u8; 32] = public.try_into().map_err(|_| length)?;
        let key = Self::from_seed(seed);
        if key.public == *public { Ok(key) } else { Err(Error::CorruptSigningKey) }
    }

    /// The key as `nebula-cert` writes it to `ca.key`.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.key.to_keypair_bytes());
        pem::encode_secret(SIGNING_BANNER, &*bytes)
    }

    fn from_seed(seed: &[u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = key.verifying_key().to_bytes();
        Self { key, public }
    }
}

impl Signer for SigningKey {
    fn curve(&self) -> Curve {
        Curve::Curve25519
    }

    fn public_key(&self) -> &[u8] {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.key.sign(message).to_bytes().to_vec())
    }
}

/// Shows that it is a key, never which.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

/// A host's private key: X25519.
///
/// The 32 bytes are kept as they were drawn; clamping is part of the multiplication (RFC 7748).
pub struct AgreementKey(StaticSecret);

impl AgreementKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`] when the source fails.
    pub fn generate(random: &mut dyn Random) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill(&mut *bytes)?;
        Ok(Self(StaticSecret::from(*bytes)))
    }

    /// The key in the first PEM block, `NEBULA X25519 PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes), and [`Error::NoPemBlock`], [`Error::WrongBanner`],
    /// [`Error::EncryptedKey`], or [`Error::UnsupportedCurve`] for a P256 key.
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        let block = private_block(input, AGREEMENT_BANNER)?;
        Self::from_bytes(&block.contents)
    }

    /// The key from its 32 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`] unless there are 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| Error::KeyLength {
            key: "X25519 private key",
            expected: 32,
            found: bytes.len(),
        })?;
        Ok(Self(StaticSecret::from(*bytes)))
    }

    /// The public key to be certified.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        // Never a point of small order: the base point's order is a prime that the clamped scalar
        // is no multiple of.
        let bytes = x25519_dalek::PublicKey::from(&self.0).to_bytes().to_vec();
        PublicKey { curve: Curve::Curve25519, bytes }
    }

    /// The key as `nebula-cert keygen` writes it.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::encode_secret(AGREEMENT_BANNER, self.0.as_bytes())
    }
}

/// Shows that it is a key, never which.
impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgreementKey").finish_non_exhaustive()
    }
}

/// A host's public key, checked as far as this crate supports its curve.
///
/// On [`Curve::Curve25519`] it has 32 bytes and is not of small order. On [`Curve::P256`] it has
/// 65 bytes and the form of an uncompressed point; whether the point is on the curve is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    curve: Curve,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// The key in the first PEM block, `NEBULA X25519 PUBLIC KEY` or `NEBULA P256 PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// As [`from_raw`](Self::from_raw), and [`Error::NoPemBlock`], or [`Error::WrongBanner`] for
    /// anything else, in particular a private key or the public key of a CA.
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        let (block, _) = pem::decode(input).ok_or(Error::NoPemBlock)?;
        let curve = match block.banner.as_str() {
            X25519_PUBLIC_BANNER => Curve::Curve25519,
            P256_PUBLIC_BANNER => Curve::P256,
            _ => return Err(block.wrong_banner("a host's public key")),
        };
        Self::from_raw(curve, &block.contents)
    }

    /// The key from its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`] for a wrong length, [`Error::SmallOrderKey`], [`Error::PointFormat`],
    /// or [`Error::UnsupportedCurve`] for an unknown curve.
    pub fn from_raw(curve: Curve, bytes: &[u8]) -> Result<Self, Error> {
        let found = bytes.len();
        match curve {
            Curve::Curve25519 => {
                let point: &[u8; 32] = bytes.try_into().map_err(|_| Error::KeyLength {
                    key: "X25519 public key",
                    expected: 32,
                    found,
                })?;
                if is_small_order(point) {
                    return Err(Error::SmallOrderKey);
                }
            }
            Curve::P256 if found != 65 => {
                return Err(Error::KeyLength { key: "P256 public key", expected: 65, found });
            }
            Curve::P256 => match bytes.first() {
                Some(4) => {}
                first => {
                    return Err(Error::PointFormat { first: first.copied().unwrap_or_default() });
                }
            },
            Curve::Unknown(_) => return Err(Error::UnsupportedCurve { curve }),
        }
        Ok(Self { curve, bytes: bytes.to_vec() })
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// Its bytes, as a certificate carries them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key as `nebula-cert keygen` writes it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let banner = match self.curve {
            Curve::P256 => P256_PUBLIC_BANNER,
            Curve::Curve25519 | Curve::Unknown(_) => X25519_PUBLIC_BANNER,
        };
        pem::encode(banner, &self.bytes)
    }
}

fn private_block(input: &[u8], expected: &'static str) -> Result<pem::Block, Error> {
    let (block, _) = pem::decode(input).ok_or(Error::NoPemBlock)?;
    let banner = block.banner.as_str();
    if banner == expected {
        Ok(block)
    } else if expected == SIGNING_BANNER && ENCRYPTED_BANNERS.contains(&banner) {
        Err(Error::EncryptedKey)
    } else if UNSUPPORTED_PRIVATE_BANNERS.contains(&banner)
        && banner.contains("ECDSA") == (expected == SIGNING_BANNER)
    {
        Err(Error::UnsupportedCurve { curve: Curve::P256 })
    } else {
        Err(block.wrong_banner(expected))
    }
}

/// The u-coordinates of the points of small order on Curve25519 and its twist, little-endian: 0, 1,
/// the two of order 8, and p − 1, p and p + 1 for p = 2^255 − 19. RFC 7748 (section 7) explains what
/// such a key does; the list is the one at <https://cr.yp.to/ecdh.html#validate>, without the
/// entries that differ only in the top bit, which X25519 ignores.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    little_endian(1, 0, 0),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
    little_endian(0xec, 0xff, 0x7f),
    little_endian(0xed, 0xff, 0x7f),
    little_endian(0xee, 0xff, 0x7f),
];

const fn little_endian(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    let [low, .., high] = &mut bytes;
    *low = first;
    *high = last;
    bytes
}

fn is_small_order(point: &[u8; 32]) -> bool {
    let mut point = *point;
    if let Some(top) = point.last_mut() {
        *top &= 0x7f;
    }
    SMALL_ORDER.contains(&point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_point_gives_the_zero_secret() {
        for point in SMALL_ORDER {
            for top in [0, 0x80] {
                let mut point = point;
                point[31] |= top;
                assert_eq!(x25519_dalek::x25519([0x5a; 32], point), [0; 32]);
                assert!(is_small_order(&point));
            }
        }
    }
}
