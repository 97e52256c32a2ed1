//! The curves of keys and signatures.

use std::fmt;

/// The curve of a certificate's key, and of the key that signs it.
///
/// The numbers are those of the reference's `Curve` enum. Certificates with other numbers parse,
/// and no signature of theirs is ever valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Curve {
    /// X25519 for hosts, Ed25519 for CAs (number 0).
    Curve25519,
    /// ECDH for hosts, ECDSA for CAs, on NIST P-256 (number 1).
    P256,
    /// Any other number.
    Unknown(i32),
}

impl Curve {
    /// The number that certificates carry.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Curve25519 => 0,
            Self::P256 => 1,
            Self::Unknown(number) => number,
        }
    }

    /// The curve with this number.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Curve25519,
            1 => Self::P256,
            other => Self::Unknown(other),
        }
    }
}

/// As `nebula-cert print` names it: `CURVE25519`, `P256` or the number.
impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Curve25519 => f.write_str("CURVE25519"),
            Self::P256 => f.write_str("P256"),
            Self::Unknown(number) => number.fmt(f),
        }
    }
}
