//! What can be found to be wrong.

use std::fmt;
use std::net::IpAddr;

use crate::{NetworkId, OwnerId, PoolId};

/// How many rows are read at a time.
pub(super) const PAGE: usize = 1024;

/// An address of a network.
pub(super) type Place = (NetworkId, IpAddr);

/// Two rows that contradict each other, or a row that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Addresses that are neither leased, free, reserved nor in a block.
    Lost {
        /// The pool.
        pool: PoolId,
        /// The first of them.
        first: IpAddr,
    },
    /// An address that is two of leased, free, reserved and in a block, or one of them twice.
    Doubled {
        /// The pool.
        pool: PoolId,
        /// The address.
        address: IpAddr,
    },
    /// Two pools of one network share addresses.
    OverlappingPools {
        /// The one.
        pool: PoolId,
        /// The other.
        other: PoolId,
    },
    /// A pool with free addresses that is passed over as if it were full.
    PassedOver {
        /// The pool.
        pool: PoolId,
    },
    /// A lease that is not inside the pool it names.
    StrayLease {
        /// Its network.
        network: NetworkId,
        /// Its address.
        address: IpAddr,
    },
    /// A free interval that is not inside the pool it names.
    StrayInterval {
        /// The pool it names.
        pool: PoolId,
        /// Its first address.
        first: IpAddr,
    },
    /// A block that is not inside the pool that it is a part of.
    StrayBlock {
        /// The block.
        block: PoolId,
    },
    /// Two reservations of one network share addresses.
    OverlappingReservations {
        /// The network.
        network: NetworkId,
        /// The first address that both have.
        first: IpAddr,
    },
    /// An active lease of an address that is kept for nobody, or for another owner, from whom its
    /// holder does not have it.
    AgainstReservation {
        /// The network.
        network: NetworkId,
        /// The address.
        address: IpAddr,
    },
    /// A lease, or none, where the events say otherwise.
    Unexplained {
        /// The network.
        network: NetworkId,
        /// The address.
        address: IpAddr,
    },
    /// An event that cannot follow those before it.
    ImpossibleEvent {
        /// Its id.
        id: i64,
        /// The network.
        network: NetworkId,
        /// The address it is about.
        address: IpAddr,
    },
    /// A lease whose times (`hold_until`, `until`, `released_at`) differ from those in the events.
    WrongTimes {
        /// The network.
        network: NetworkId,
        /// The address.
        address: IpAddr,
    },
    /// An event after which an address is held for less than before.
    HeldBack {
        /// Its id.
        id: i64,
        /// The network.
        network: NetworkId,
        /// The address it is about.
        address: IpAddr,
    },
    /// An event that ended a quarantine before its time.
    EndedEarly {
        /// Its id.
        id: i64,
        /// The network.
        network: NetworkId,
        /// The address it is about.
        address: IpAddr,
    },
    /// An event about a lease that does not say of which network, owner or address.
    NamelessEvent {
        /// Its id.
        id: i64,
    },
    /// An owner with several active leases of one family.
    ManyActive {
        /// The network.
        network: NetworkId,
        /// The owner.
        owner: OwnerId,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { pool, first } => write!(f, "{first} of pool {pool} is lost"),
            Self::Doubled { pool, address } => write!(f, "{address} of pool {pool} is there twice"),
            Self::OverlappingPools { pool, other } => write!(f, "pools {pool} and {other} overlap"),
            Self::PassedOver { pool } => write!(f, "pool {pool} is not full, but passed over"),
            Self::StrayLease { network, address } => {
                write!(f, "the lease of {address} in network {network} is outside its pool")
            }
            Self::StrayInterval { pool, first } => {
                write!(f, "free space from {first} is outside its pool {pool}")
            }
            Self::Unexplained { network, address } => {
                write!(f, "events do not explain the state of {address} in network {network}")
            }
            Self::ImpossibleEvent { id, network, address } => {
                write!(f, "event {id} about {address} in network {network} cannot have happened")
            }
            Self::StrayBlock { block } => write!(f, "block {block} is outside its pool"),
            Self::OverlappingReservations { network, first } => {
                write!(f, "{first} in network {network} is reserved twice")
            }
            Self::AgainstReservation { network, address } => {
                write!(f, "the holder of {address} in network {network} may not have it")
            }
            Self::WrongTimes { network, address } => {
                write!(f, "events tell other times of {address} in network {network}")
            }
            Self::HeldBack { id, network, address } => {
                write!(f, "event {id} holds {address} in network {network} for less than before")
            }
            Self::EndedEarly { id, network, address } => {
                write!(f, "event {id} ended the quarantine of {address} in network {network} early")
            }
            Self::NamelessEvent { id } => write!(f, "event {id} does not say what it is about"),
            Self::ManyActive { network, owner } => {
                write!(f, "owner {owner} has several active leases in network {network}")
            }
        }
    }
}
