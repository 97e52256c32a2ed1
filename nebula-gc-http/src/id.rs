//! Ids of the control plane's resources: UUIDs of version 7.

use std::fmt;

use nebula_alloc::OwnerId;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Ids are UUIDs of version 7 (RFC 9562): ordered by time, so that new rows stand together in
/// every index.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new one.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7().into_bytes())
            }

            /// The 16 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read_uuid(from).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_bytes(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}

ids! {
    /// A tenant.
    TenantId
    /// A CA of a network.
    CaId
    /// A node; it is also the owner of the node's leases.
    NodeId
    /// An operator key.
    OperatorKeyId
    /// A join token.
    JoinTokenId
    /// A device that waits for an operator's approval.
    PendingJoinId
    /// A row of the ledger of certificates.
    CertificateId
}

impl NodeId {
    /// The node as a holder of leases.
    #[must_use]
    pub fn owner(self) -> OwnerId {
        OwnerId::from(self.0)
    }
}

/// Reads an id as it is written: lower case, with hyphens.
pub(crate) fn read_uuid<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
    let text = String::deserialize(from)?;
    let id = Uuid::try_parse(&text).ok().filter(|id| id.to_string() == text);
    id.map(Uuid::into_bytes).ok_or_else(|| {
        D::Error::custom("must be an id, as in 01890a5d-ac96-774b-bcce-b302099a8057")
    })
}

pub(crate) fn new_network() -> nebula_alloc::NetworkId {
    nebula_alloc::NetworkId::from(Uuid::now_v7().into_bytes())
}

pub(crate) fn new_pool() -> nebula_alloc::PoolId {
    nebula_alloc::PoolId::from(Uuid::now_v7().into_bytes())
}
