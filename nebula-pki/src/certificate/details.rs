//! The decoded fields of a certificate, and their limits.

use std::borrow::Cow;
use std::fmt;

use ipnet::IpNet;

use super::version::Version;
use crate::validity::go_time;
use crate::{Curve, Error, Fingerprint, Validity};

/// The longest name that a version 2 certificate can hold, in bytes; the limit of domain names.
pub const MAX_NAME_LEN: usize = 253;

/// The largest version 2 certificate that readers accept, in bytes.
pub const MAX_ENCODED_LEN: usize = 65_536;

/// What a certificate says about its holder.
///
/// Names and groups of version 2 certificates need not be UTF-8. The text accessors replace what is
/// not; the byte accessors lose nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Details {
    pub(crate) name: Vec<u8>,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) unsafe_networks: Vec<IpNet>,
    pub(crate) groups: Vec<Vec<u8>>,
    pub(crate) is_ca: bool,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) issuer: Vec<u8>,
}

impl Details {
    /// The name as text.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// The name as encoded.
    #[must_use]
    pub fn name_bytes(&self) -> &[u8] {
        &self.name
    }

    /// A host's overlay addresses, each with its network's prefix length and its host bits kept;
    /// in a CA the ranges it is limited to. Sorted in version 2: IPv4 first, then by address and
    /// prefix length.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Networks beyond the overlay that the host routes; in a CA the ranges it is limited to.
    /// Sorted as [`networks`](Self::networks).
    #[must_use]
    pub fn unsafe_networks(&self) -> &[IpNet] {
        &self.unsafe_networks
    }

    /// The groups as text, in the order of the certificate.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = Cow<'_, str>> {
        self.groups.iter().map(|group| String::from_utf8_lossy(group))
    }

    /// The groups as encoded.
    #[must_use]
    pub fn groups_bytes(&self) -> &[Vec<u8>] {
        &self.groups
    }

    /// Whether it is a CA certificate.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// The first valid second, in Unix time.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last valid second, in Unix time.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Both, as one value.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity { not_before: self.not_before, not_after: self.not_after }
    }

    /// The CA's fingerprint; none in a self-signed certificate, or where the issuer is not 32 bytes
    /// long and so cannot be one.
    #[must_use]
    pub fn issuer(&self) -> Option<Fingerprint> {
        self.issuer.as_slice().try_into().ok().map(Fingerprint::from_bytes)
    }

    /// The issuer as encoded, of any length.
    #[must_use]
    pub fn issuer_bytes(&self) -> &[u8] {
        &self.issuer
    }

    pub(crate) fn check_validity(&self, at: i64) -> Result<(), Error> {
        let Self { not_before, not_after, .. } = *self;
        let at = go_time(at);
        if go_time(not_before) > at {
            return Err(Error::NotYetValid { not_before, not_after });
        }
        if go_time(not_after) < at {
            return Err(Error::Expired { not_before, not_after });
        }
        Ok(())
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Details")
            .field("name", &self.name())
            .field("networks", &self.networks)
            .field("unsafe_networks", &self.unsafe_networks)
            .field("groups", &self.groups().collect::<Vec<_>>())
            .field("is_ca", &self.is_ca)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .field("issuer", &self.issuer())
            .finish()
    }
}

/// What is known of a certificate in a handshake besides its bytes.
#[derive(Clone, Copy)]
pub(super) struct Peer<'a> {
    pub(super) public_key: &'a [u8],
    pub(super) curve: Curve,
}

/// Everything that a signature covers, decoded.
pub(crate) struct Body {
    pub(crate) version: Version,
    pub(crate) details: Details,
    pub(crate) curve: Curve,
    pub(crate) public_key: Vec<u8>,
}
