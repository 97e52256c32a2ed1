//! Pools, blocks and reservations.

use serde::{Deserialize, Serialize};

use super::member::Certificate;
#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Count, Timestamp, not_null};

/// A range of a network's prefix from which addresses are allocated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Its first and last address, as in `10.1.0.1-10.1.0.254`.
    pub range: String,
    /// Pools of one address family are used in the order of this number, equal ones in the order of
    /// their creation.
    pub position: i64,
    /// Its addresses by state.
    pub usage: Usage,
}

/// The addresses of a pool by state. `capacity` is the sum of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// All of them.
    pub capacity: Count,
    /// Free for automatic allocation.
    pub free: Count,
    /// Held by nodes.
    pub active: u64,
    /// In quarantine.
    pub quarantined: u64,
    /// Reserved and not leased.
    pub reserved: Count,
    /// In blocks of the pool, free or not.
    pub blocks: Count,
}

/// A new pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewPoolBody {
    /// A prefix, a range (`10.1.0.10-10.1.0.20`) or an address.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub range: String,
    /// Pools of one address family are used in the order of this number. Default: 0.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i32, required = false))]
    pub position: Option<i32>,
}

/// Changes to a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PoolPatchBody {
    /// A prefix, a range (`10.1.0.10-10.1.0.20`) or an address.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub range: String,
}

/// Part of a pool, for nodes that join with a token that names this block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Unique in its network and family.
    pub name: String,
    /// The pool that it is part of.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub pool: String,
    /// Its first and last address.
    pub range: String,
}

/// Either `range` or `size` is required.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewBlockBody {
    /// 1 to 128 characters, none of them a control character.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: String,
    /// The pool that it is part of.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub pool: String,
    /// A prefix, a range (`10.1.0.10-10.1.0.20`) or an address.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub range: Option<String>,
    /// This many free addresses, as high in the pool as possible.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = u32, required = false, minimum = 1))]
    pub size: Option<u32>,
}

/// What addresses are reserved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReservedFor {
    /// For whoever asks for one of them by name.
    Asking,
    /// For one node, which gets the address when it asks for any.
    Node,
    /// For a device, by its own id, whether it has enrolled or not: its node gets the address, and the next
    /// one after that is released. Only an operator key, or a join token that is made for this device, lets
    /// anybody join under its id.
    Device,
    /// For nobody: they exist elsewhere.
    Nobody,
}

/// Addresses excluded from automatic allocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Its first and last address.
    pub range: String,
    /// What they are reserved for.
    pub purpose: ReservedFor,
    /// The node it is for, if the purpose is `node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub node: Option<String>,
    /// The node's name, or that of the node that the device has now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub node_name: Option<String>,
    /// The device it is for, by its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub device: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub note: Option<String>,
}

/// Addresses to reserve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewReservationBody {
    /// A prefix, a range (`10.1.0.10-10.1.0.20`) or an address.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub range: String,
    /// What they are reserved for.
    pub purpose: ReservedFor,
    /// The node, if the purpose is `node`.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub node: Option<String>,
    /// The device's own id, if the purpose is `device`: 1 to 128 characters.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub device: Option<String>,
    /// Why, for people: 1 to 128 characters, none of them a control character.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub note: Option<String>,
}

/// What becomes of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AddressUse {
    /// A node has it.
    Leased,
    /// A node had it, and nobody else gets it yet.
    Quarantined,
    /// They are excluded from automatic allocation.
    Reserved,
    /// The next node may get one of them.
    Free,
}

/// The end of a quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EndedQuarantine {
    /// The address, which is free now, unless it is reserved.
    pub address: String,
    /// Whether this is only what would happen.
    pub dry_run: bool,
    /// The node that had it last.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub node: String,
    /// The node's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub node_name: Option<String>,
    /// Since when it was in quarantine.
    pub since: Timestamp,
    /// The end that the quarantine would have had by itself.
    pub until: Timestamp,
    /// Certificates that name the address, and that nodes accept which have not applied that they are
    /// blocked; the first 100.
    pub certificates: Vec<Certificate>,
}

/// Addresses of a network, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// The only address, or the first and the last one.
    pub range: String,
    /// What becomes of them.
    #[serde(rename = "use")]
    pub used: AddressUse,
    /// The node that has the address, had it last, or is to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub node: Option<String>,
    /// The node's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub node_name: Option<String>,
    /// Since when it is in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub since: Option<Timestamp>,
    /// The end of the quarantine, if no node's reports end it earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub until: Option<Timestamp>,
    /// Why it is in quarantine: `released`, `ended`, `revoked`, `replaced` or `conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub reason: Option<String>,
    /// What they are reserved for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = ReservedFor, required = false))]
    pub purpose: Option<ReservedFor>,
    /// The device that they are reserved for, by its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub device: Option<String>,
    /// Why they are reserved, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub note: Option<String>,
}
