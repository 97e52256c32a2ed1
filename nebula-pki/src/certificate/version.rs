//! The two encodings of certificates.

use crate::Error;

/// The encoding of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// Protocol buffers; IPv4 only; understood by every release of Nebula.
    V1,
    /// DER; IPv4 and IPv6; since Nebula 1.10.
    V2,
}

impl Version {
    /// 1 or 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The version with this number, as a handshake's payload gives it (field 8, `CertVersion`):
    /// nodes older than 1.10 send 0 and mean 1.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownVersion`].
    pub const fn from_number(number: u64) -> Result<Self, Error> {
        match number {
            0 | 1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            number => Err(Error::UnknownVersion { number }),
        }
    }
}
