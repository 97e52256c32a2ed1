//! What a request contradicts.

use ipnet::IpNet;
use nebula_alloc::{AddressRange, Family, PoolId};
use nebula_pki::{Curve, Fingerprint};

use super::wording::{curve, time};
use super::{Field, Obstacle};
use crate::{NodeState, Versions};

/// What is in the way of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// Another request changed the same thing at the same time.
    #[error("it was changed at the same time; ask again")]
    ChangedMeanwhile,
    /// The same request is under way.
    #[error("the same request is under way; ask again")]
    UnderWay,
    /// The name is not available; what other tenants have is not told.
    #[error("it is not available; choose another")]
    NameUnavailable,
    /// The tenant that is always there stays as it is.
    #[error("the default tenant stays as it is")]
    DefaultTenant,
    /// The tenant has networks.
    #[error("the tenant has networks")]
    TenantHasNetworks,
    /// The tenant has operator keys.
    #[error("the tenant has operator keys; revoke them first")]
    TenantHasKeys,
    /// Without this key nobody could do everything.
    #[error("this is the last root owner key that does not expire; make another")]
    LastRootKey,

    /// A network can't go back to an older certificate version.
    #[error("a network can't go back to an older one")]
    OlderVersions,
    /// The network has other certificate versions.
    #[error("the network issues {}, which can't be changed here", certificates(*versions))]
    OtherVersions {
        /// Those that it has.
        versions: Versions,
    },
    /// A prefix can grow only.
    #[error("{prefix} can grow, but neither shrink nor go")]
    PrefixFixed {
        /// The prefix that the network has.
        prefix: IpNet,
    },
    /// The network has another prefix of the family.
    #[error("the network has {prefix} already, and can have one prefix of each family")]
    OtherPrefix {
        /// The prefix that the network has.
        prefix: IpNet,
    },
    /// The network has no pool of the family.
    #[error("the network has no {family} pool; make one")]
    NoPool {
        /// Which.
        family: Family,
    },
    /// Another pool has some of the addresses.
    #[error("{range} overlaps pool {pool}")]
    PoolOverlaps {
        /// The range of the new one.
        range: AddressRange,
        /// The pool that is there.
        pool: PoolId,
    },
    /// A block is in the way.
    #[error("block {block} with {range} stands in the way")]
    BlockStands {
        /// Its id.
        block: PoolId,
        /// Its range.
        range: AddressRange,
    },
    /// Some of the addresses are reserved already.
    #[error("{range} is reserved already")]
    Reserved {
        /// The reservation that is there.
        range: AddressRange,
    },
    /// The node has a reserved address of the family already.
    #[error("it has a reserved address of this family already")]
    PinnedAlready,
    /// The pool has no free run of this many addresses.
    #[error("no such run is free")]
    NoRun,
    /// The node's pool or block is gone.
    #[error("the node's pool or block is gone")]
    PoolGone,
    /// It would be more than one step may do.
    #[error("{0}")]
    TooLarge(nebula_alloc::Error),

    /// Another node has the node token.
    #[error("another node has it; make a new one")]
    NodeTokenTaken,
    /// The node is released.
    #[error("this node is released; its device may enrol anew")]
    NodeGone,
    /// The node is in a state in which it can't be changed.
    #[error("this node is {}; reinstate it first", state.word())]
    NodeState {
        /// Which.
        state: NodeState,
    },
    /// The node is kept out, and released its device could enrol anew.
    #[error("this node is {}, and released its device could enrol anew; reinstate it first", state.word())]
    ReleaseOfKeptOut {
        /// How it is kept out.
        state: NodeState,
    },
    /// The node was kept out once more since the request began.
    #[error("this node was kept out once more meanwhile; ask again to let it in")]
    KeptOutAgain,
    /// The device is registered otherwise, and only an operator key can change that.
    #[error("this device is registered otherwise ({}), which an operator key can change", changed.join(", "))]
    RegisteredOtherwise {
        /// The names of the fields that differ.
        changed: Vec<&'static str>,
    },
    /// A released node has more history than can be deleted at once.
    #[error("a released node's history is too long to be forgotten")]
    HistoryTooLong,

    /// The CA does not permit a prefix of the network.
    #[error("the CA does not permit the network's prefix {prefix}")]
    PrefixNotPermitted {
        /// Where the contradiction is: the prefix or the CA.
        field: Field,
        /// The prefix.
        prefix: IpNet,
    },
    /// The CA does not permit what is to be issued.
    #[error("the network's CA: {0}")]
    NotPermitted(nebula_pki::Error),
    /// The certificate is the CA of another network.
    #[error("it is the CA of another network")]
    CaOfOther,
    /// The CA was retired.
    #[error("this CA was retired, which is for good")]
    CaRetired,
    /// The network trusts the CA already.
    #[error("the network had this CA before, and trusts it still")]
    CaKnown,
    /// The CA signs for the network.
    #[error("this CA signs: add another first, which then does")]
    CaSigns,
    /// The CA is gone.
    #[error("the network's CA is gone; ask again")]
    CaGone,
    /// The CA is on another curve than the keys of the network's nodes.
    #[error("it is on {}, and the keys of the network's nodes on {}", curve(*ca).0,
                    curve(*nodes).0)]
    CaCurve {
        /// The CA's.
        ca: Curve,
        /// The nodes'.
        nodes: Curve,
    },
    /// The CA is of a version that nodes can't read.
    #[error("it is of version 2, which nodes of version 1 can't read")]
    CaVersion,
    /// The certificate is what a node has now.
    #[error("{fingerprint} is what the node {node:?} has now; suspend or revoke the node")]
    CurrentCertificate {
        /// Where it was given.
        field: Field,
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// The node's name.
        node: String,
    },
    /// A host became impossible to import since the whole was checked.
    #[error("{host:?}: {obstacle}; ask again for the rest")]
    Import {
        /// Its name.
        host: String,
        /// What is in the way.
        obstacle: Obstacle,
    },

    /// New server keys are staged already.
    #[error("new keys are staged already")]
    KeysStaged,
    /// There is no id left for a server key.
    #[error("the key ids are used up")]
    KeyIdsUsedUp,
    /// The file of secrets lacks a key that the database was written with.
    #[error(
        "the server's secrets: {purpose} key {key} is missing, and this database was written with it"
    )]
    SecretMissing {
        /// What it is for.
        purpose: &'static str,
        /// Its id.
        key: i64,
    },
    /// The file of secrets has another key than the database was written with.
    #[error(
        "the server's secrets: {purpose} key {key} is not the one that this database was written with"
    )]
    SecretDiffers {
        /// What it is for.
        purpose: &'static str,
        /// Its id.
        key: i64,
    },
}

impl Conflict {
    pub(super) fn field(&self) -> Option<Field> {
        Some(match self {
            Self::NameUnavailable => Field::Name,
            Self::OlderVersions | Self::OtherVersions { .. } => Field::Versions,
            Self::PrefixFixed { .. } | Self::OtherPrefix { .. } => Field::Prefixes,
            Self::PoolOverlaps { .. } | Self::Reserved { .. } => Field::Range,
            Self::PinnedAlready => Field::Node,
            Self::NoRun => Field::Size,
            Self::NodeTokenTaken => Field::NodeToken,
            Self::PrefixNotPermitted { field, .. } | Self::CurrentCertificate { field, .. } => {
                *field
            }
            Self::CaOfOther
            | Self::CaRetired
            | Self::CaKnown
            | Self::CaCurve { .. }
            | Self::CaVersion => Field::Certificate,
            _ => return None,
        })
    }
}

/// Why a device or key can't have what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyConflict {
    /// The device is enrolled with another key.
    #[error(
        "this device is enrolled with another key; renew with its node token, or have it released"
    )]
    DeviceEnrolled,
    /// The device is enrolled with a node token, and asks without.
    #[error(
        "this device is enrolled with a node token, and gets what it has with that through the native API"
    )]
    DeviceHasToken,
    /// The device is registered with another key.
    #[error("this device is registered with another key, which an operator key can replace")]
    DeviceRegistered,
    /// No released node of the network had this token.
    #[error("no released node of the network had it; leave it out")]
    FormerTokenUnknown,
    /// A node of the network has the key, with another node token.
    #[error("a node of the network has this key, with another node token; make a new pair")]
    OtherToken,
    /// An operator has replaced the key.
    #[error("an operator has replaced this key; make a new pair")]
    Replaced,
    /// The node has its address back by its key alone.
    #[error("this node has its address back by its public key alone, and may have no other before {}; renew with the same key, or have an operator key enrol it anew", time(*until))]
    Held {
        /// Until when it may have no other key, in seconds since the Unix epoch.
        until: i64,
    },
}

impl KeyConflict {
    pub(super) fn field(&self) -> Field {
        match self {
            Self::DeviceEnrolled | Self::DeviceHasToken => Field::Device,
            Self::FormerTokenUnknown => Field::FormerNodeToken,
            Self::DeviceRegistered | Self::OtherToken | Self::Replaced | Self::Held { .. } => {
                Field::PublicKey
            }
        }
    }
}

fn certificates(versions: Versions) -> &'static str {
    match versions {
        Versions::V1 => "version 1",
        Versions::V2 => "version 2",
        Versions::Both => "both versions",
    }
}
