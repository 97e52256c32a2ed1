//! Ids of networks, pools and owners.

use std::fmt;
use std::net::IpAddr;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 16 bytes of the caller's choice. Let them be ordered by time (UUIDv7): a random id
        /// lands on an index page of its own, so that with many rows each write dirties one page
        /// more.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The bytes as stored.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        /// As a UUID is written.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (index, byte) in self.0.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id! {
    /// One overlay network. Addresses are unique within it.
    NetworkId
}
id! {
    /// One pool.
    PoolId
}
id! {
    /// Who holds a lease: at most one active lease per network and family.
    OwnerId
}

/// The name of one lease, which distinguishes it from those that its owner had of the same address
/// before or has of it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// Where.
    pub network: NetworkId,
    /// The address.
    pub address: IpAddr,
    /// Whose it is.
    pub owner: OwnerId,
    /// Which one of this owner and address.
    pub number: i64,
}
