//! A host's public key.

use super::first_block;
use crate::error::{KeyKind, PemContents};
use crate::{Curve, Error, pem};

pub(crate) const X25519_BANNER: &str = "NEBULA X25519 PUBLIC KEY";
pub(crate) const P256_BANNER: &str = "NEBULA P256 PUBLIC KEY";

/// A host's public key, with which others can agree on a secret.
///
/// On [`Curve::Curve25519`] it has 32 bytes and is not of small order. On [`Curve::P256`] it has
/// 65 bytes and is an uncompressed point of the curve. The reference checks the lengths only.
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
        let block = first_block(input)?;
        let curve = match block.banner() {
            X25519_BANNER => Curve::Curve25519,
            P256_BANNER => Curve::P256,
            _ => return Err(block.wrong_banner(PemContents::PublicKey)),
        };
        Self::from_raw(curve, &block.contents)
    }

    /// The key from its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLength`] for a wrong length, [`Error::SmallOrderKey`], [`Error::PointFormat`],
    /// [`Error::PointNotOnCurve`], or [`Error::UnsupportedCurve`] for an unknown curve.
    pub fn from_raw(curve: Curve, bytes: &[u8]) -> Result<Self, Error> {
        let found = bytes.len();
        match curve {
            Curve::Curve25519 => {
                let point: &[u8; 32] = bytes.try_into().map_err(|_| Error::KeyLength {
                    key: KeyKind::X25519Public,
                    expected: 32,
                    found,
                })?;
                if is_small_order(point) {
                    return Err(Error::SmallOrderKey);
                }
            }
            Curve::P256 if found != 65 => {
                return Err(Error::KeyLength { key: KeyKind::P256Public, expected: 65, found });
            }
            Curve::P256 => match bytes.first() {
                Some(4) => {
                    p256::PublicKey::from_sec1_bytes(bytes).map_err(|_| Error::PointNotOnCurve)?;
                }
                first => {
                    return Err(Error::PointFormat { first: first.copied().unwrap_or_default() });
                }
            },
            Curve::Unknown(_) => return Err(Error::UnsupportedCurve { curve }),
        }
        Ok(Self { curve, bytes: bytes.to_vec() })
    }

    /// A key that was computed here, and so needs no check.
    pub(super) const fn trusted(curve: Curve, bytes: Vec<u8>) -> Self {
        Self { curve, bytes }
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
            Curve::P256 => P256_BANNER,
            Curve::Curve25519 | Curve::Unknown(_) => X25519_BANNER,
        };
        pem::encode(banner, &self.bytes)
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
