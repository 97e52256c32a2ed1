//! What a request contradicts.

use std::net::IpAddr;

use ipnet::IpNet;
use nebula_alloc::{AddressRange, Family, PoolId};
use nebula_pki::{Curve, Fingerprint};

use super::format::{curve, names, time};
use super::messages::messages;
use super::{Field, Obstacle};
use crate::stored_words::{NodeState, Versions};

messages! {
    /// What is in the way of a request.
    enum Conflict {
        ["it was changed at the same time; ask again"]
        ChangedMeanwhile,
        ["the same request is under way; ask again"]
        UnderWay,
        ["it is not available; choose another"]
        NameUnavailable,
        ["the default tenant stays as it is"]
        DefaultTenant,
        ["the tenant has networks: {}; delete them first", names(networks, *more)]
        TenantHasNetworks {
            /// The names of the first 100.
            networks: Vec<String>,
            /// Whether there are more.
            more: bool
        },
        ["what is left of the tenant's deleted networks is being removed; ask again in some seconds"]
        TenantBeingEmptied,
        ["this is the last root owner key that does not expire; make another"]
        LastRootKey,
        ["a network can't go back to an older one"]
        OlderVersions,
        ["the network issues {}, which can't be changed here", certificates(*versions)]
        OtherVersions { versions: Versions },
        ["{prefix} can grow, but can't shrink or be removed"]
        PrefixFixed { prefix: IpNet },
        ["the network has {prefix} already, and can have one prefix of each family"]
        OtherPrefix { prefix: IpNet },
        ["the network has no {family} pool; make one"]
        NoPool { family: Family },
        ["{address} is another node's"]
        AddressTaken { address: IpAddr },
        ["{address} was another node's and is kept until {}; choose another", time(*until)]
        AddressQuarantined {
            address: IpAddr,
            /// In seconds since the Unix epoch.
            until: i64
        },
        ["{address} is reserved; choose another, or delete the reservation"]
        AddressReserved { address: IpAddr },
        ["{address} belongs to a block; name the block as the pool, too"]
        AddressInBlock { address: IpAddr },
        ["no pool of the network has {address}"]
        AddressOutsidePools { address: IpAddr },
        ["{address} is not in the pool {pool}"]
        AddressInAnotherPool { address: IpAddr, pool: PoolId },
        ["{reserved} is reserved for this device, which gets no other than that; not {asked}"]
        OtherAddressReserved { reserved: IpAddr, asked: IpAddr },
        ["this node has {}, not {asked}; leave the address out, or have an operator move the node with \
          `nodes move`", addresses(held)]
        HasOtherAddress { held: Vec<IpAddr>, asked: IpAddr },
        ["{range} overlaps pool {pool}"]
        PoolOverlaps { range: AddressRange, pool: PoolId },
        ["block {block} ({range}) is in the way; delete it first"]
        BlockStands { block: PoolId, range: AddressRange },
        ["{range} is already reserved"]
        Reserved { range: AddressRange },
        ["it already has a reserved address of this family"]
        PinnedAlready,
        ["no free range of this size"]
        NoRun,
        ["the node's pool or block is gone"]
        PoolGone,
        ["{0}"]
        TooLarge(nebula_alloc::Error),
        ["another node has it; make a new one"]
        NodeTokenTaken,
        ["this node is released; its device may enrol again"]
        NodeGone,
        ["this node is {}; reinstate it first", state.word()]
        NodeState { state: NodeState },
        ["this node is {}, and once released its device could enrol again; reinstate it first",
         state.word()]
        ReleaseOfKeptOut { state: NodeState },
        ["this node has no node token and can't renew by itself; give it one with `rotate-token`, or have \
          its device register again"]
        RenewsNothing,
        ["this node was kept out once more meanwhile; ask again to let it in"]
        KeptOutAgain,
        ["this device is registered with other values ({}), which an operator key can change",
         changed.join(", ")]
        RegisteredOtherwise { changed: Vec<&'static str> },
        ["a released node's history is too long to be deleted at once"]
        HistoryTooLong,
        ["the CA does not permit the network's prefix {prefix}"]
        PrefixNotPermitted { field: Field, prefix: IpNet },
        ["the lighthouse {node:?} has an endpoint inside the new prefixes; give it another first"]
        EndpointInside { node: String },
        ["the node {node:?} has a smaller MTU than the {least} bytes that IPv6 needs; change it first"]
        NodeMtu {
            node: String,
            /// The smallest that is allowed, in bytes.
            least: u32
        },
        ["the network's CA: {0}"]
        NotPermitted(nebula_pki::Error),
        ["it is the CA of another network"]
        CaOfOther,
        ["what is left of the deleted network that had this CA is being removed; ask again in some seconds"]
        CaBeingRemoved,
        ["more than {most} certificates of deleted networks with this CA would have to be blocked at once; use \
          another CA, or wait until they have expired"]
        CaLeftMany {
            /// How many may be blocked at once.
            most: usize
        },
        ["this CA was retired, which is permanent"]
        CaRetired,
        ["the network had this CA before and still trusts it"]
        CaKnown,
        ["this CA signs for the network: add another first"]
        CaSigns,
        ["the network's CA is gone; ask again"]
        CaGone,
        ["it is on {}, and the keys of the network's nodes on {}", curve(*ca).0, curve(*nodes).0]
        CaCurve { ca: Curve, nodes: Curve },
        ["it is of version 2, which nodes of version 1 can't read"]
        CaVersion,
        ["{fingerprint} is what the node {node:?} has now; suspend or revoke the node"]
        CurrentCertificate { field: Field, fingerprint: Fingerprint, node: String },
        ["{host:?}: {obstacle}; ask again for the rest"]
        Import { host: String, obstacle: Obstacle },
        ["new keys are staged already"]
        KeysStaged,
        ["the key ids are used up"]
        KeyIdsUsedUp,
        ["the server's secrets: {purpose} key {key} is missing, and this database was written \
         with it"]
        SecretMissing { purpose: &'static str, key: i64 },
        ["the server's secrets: {purpose} key {key} is not the one that this database was \
         written with"]
        SecretDiffers { purpose: &'static str, key: i64 },
    }
}

impl Conflict {
    pub(super) fn field(&self) -> Option<Field> {
        Some(match self {
            Self::NameUnavailable => Field::Name,
            Self::AddressTaken { .. }
            | Self::AddressQuarantined { .. }
            | Self::AddressReserved { .. }
            | Self::AddressInBlock { .. }
            | Self::AddressOutsidePools { .. }
            | Self::AddressInAnotherPool { .. }
            | Self::OtherAddressReserved { .. }
            | Self::HasOtherAddress { .. } => Field::Address,
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
            | Self::CaBeingRemoved
            | Self::CaLeftMany { .. }
            | Self::CaRetired
            | Self::CaKnown
            | Self::CaCurve { .. }
            | Self::CaVersion => Field::Certificate,
            _ => return None,
        })
    }
}

messages! {
    /// Why a device or key can't have what it asks for.
    enum KeyConflict {
        ["this device is enrolled with another key; renew with its node token, or have it released"]
        DeviceEnrolled,
        ["this device is enrolled with a node token, and gets what it has with that through the \
         native API"]
        DeviceHasToken,
        ["this device is registered with another key, which an operator key can replace"]
        DeviceRegistered,
        ["no released node of the network had it; leave it out"]
        FormerTokenUnknown,
        ["a node of the network has this key, with another node token; make a new pair"]
        OtherToken,
        ["a device with this key waits for approval already, with another node token; make a new pair"]
        AsksWithOtherToken,
        ["it is not this device's; compare it with what the device shows, and refuse the device if they \
          differ"]
        OtherFingerprint,
        ["an operator has replaced this key; make a new pair"]
        Replaced,
        ["this node got its address back by its public key alone, and can't change that key before \
         {}; renew with the same key, or have an operator key enrol it anew", time(*until)]
        Held {
            /// Until when it may have no other key, in seconds since the Unix epoch.
            until: i64
        },
    }
}

impl KeyConflict {
    pub(super) fn field(&self) -> Field {
        match self {
            Self::DeviceEnrolled | Self::DeviceHasToken => Field::Device,
            Self::FormerTokenUnknown => Field::FormerNodeToken,
            Self::OtherFingerprint => Field::KeyFingerprint,
            Self::AsksWithOtherToken
            | Self::DeviceRegistered
            | Self::OtherToken
            | Self::Replaced
            | Self::Held { .. } => Field::PublicKey,
        }
    }
}

fn addresses(held: &[IpAddr]) -> String {
    let texts: Vec<_> = held.iter().map(IpAddr::to_string).collect();
    texts.join(" and ")
}

fn certificates(versions: Versions) -> &'static str {
    match versions {
        Versions::V1 => "version 1",
        Versions::V2 => "version 2",
        Versions::Both => "both versions",
    }
}
