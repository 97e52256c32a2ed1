//! Networks in requests and answers.

use serde::{Deserialize, Serialize};

use super::ca::NewCa;
#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Timestamp, given, not_null};

/// Which versions of certificates nodes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum Versions {
    /// Version 1, which every release of Nebula reads; IPv4 only.
    #[serde(rename = "1")]
    One,
    /// Version 2, for Nebula 1.10 and later.
    #[serde(rename = "2")]
    Two,
    /// One of each.
    #[serde(rename = "both")]
    Both,
}

/// The version with which nodes that have certificates of both versions start handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum InitiatingVersion {
    /// Version 1, which nodes of every release understand; IPv6 addresses don't answer.
    #[serde(rename = "1")]
    One,
    /// Version 2, once every node has a certificate of it.
    #[serde(rename = "2")]
    Two,
}

/// The curve of the network's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum Curve {
    /// X25519 and Ed25519.
    #[serde(rename = "25519")]
    Curve25519,
    /// NIST P-256.
    P256,
}

/// One overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// Unique over all tenants; the dialect's `projectId`.
    pub name: String,
    /// The tenant that owns it.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub tenant: String,
    /// At most one of each address family.
    pub prefixes: Vec<String>,
    /// Which versions of certificates nodes have.
    pub versions: Versions,
    /// The curve of its keys.
    pub curve: Curve,
    /// How long nodes' certificates are valid.
    pub lifetime_seconds: i64,
    /// How long a released address stays in quarantine at least.
    pub hold_seconds: i64,
    /// Whether the hold time alone counts, regardless of certificates.
    pub hold_alone: bool,
    /// A node that has reported before is released after this time without a request; null: never.
    #[cfg_attr(feature = "server", schema(required))]
    pub silence_seconds: Option<i64>,
    /// A device of the dialect, or a node that never reports, is released this time after its last
    /// certificate has ended; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub give_back_seconds: Option<i64>,
    /// A node that has reported before is shown as silent after this time without a request.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required))]
    pub silent_after_seconds: i64,
    /// The MTU of nodes' devices, unless they have their own.
    pub mtu: u32,
    /// Null if nodes have certificates of one version only.
    #[cfg_attr(feature = "server", schema(required))]
    pub initiating_version: Option<InitiatingVersion>,
    /// The CA that signs.
    pub ca: SigningCa,
    /// Counts the changes of what other nodes' bundles hold.
    pub revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The CA that signs for a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SigningCa {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// SHA-256, in hexadecimal.
    pub fingerprint: String,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// `valid`, `not_yet_valid`, `ends_soon` (within 60 days, or in the last third of its lifetime
    /// if that is shorter) or `expired`: then nothing is issued until another CA is added.
    pub standing: String,
}

/// A new network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewNetworkBody {
    /// 1 to 128 characters, none of them a control character; unique over all tenants.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: String,
    /// The tenant that owns it. Default: the credential's own, or the default tenant.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub tenant: Option<String>,
    /// At most one of each address family.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, min_items = 1, max_items = 2))]
    pub prefixes: Vec<String>,
    /// Versions of certificates. Default: 2; but 1 with an imported CA of version 1 and without an
    /// IPv6 prefix, so that its hosts can be imported.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Versions, required = false))]
    pub versions: Option<Versions>,
    /// The curve of keys. Default: 25519.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Curve, required = false))]
    pub curve: Option<Curve>,
    /// Lifetime of nodes' certificates: 10 minutes to 10 years. Default: 14 days.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 600, maximum = 315_360_000))]
    pub lifetime_seconds: Option<i64>,
    /// How long a released address stays in quarantine at least: up to 10 years. Default: a day.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 0, maximum = 315_360_000))]
    pub hold_seconds: Option<i64>,
    /// Whether released addresses stay in quarantine for the hold time alone, regardless of
    /// certificates. Default: false.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub hold_alone: Option<bool>,
    /// Release nodes after this time without a request: an hour to 10 years. Default: null, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 3600, maximum = 315_360_000))]
    pub silence_seconds: Option<i64>,
    /// Release devices of the dialect and nodes that never report this time after their last certificate
    /// has ended: an hour to 10 years. Default: null, never; their addresses are kept until an operator
    /// releases them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 3600, maximum = 315_360_000))]
    pub give_back_seconds: Option<i64>,
    /// Show nodes that have reported before as silent after this time without a request: 3 minutes to
    /// 10 years. Default: 5 minutes.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 180, maximum = 315_360_000))]
    pub silent_after_seconds: Option<i64>,
    /// The MTU of nodes' devices, in bytes. Default: 1300.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = u32, required = false, minimum = 500, maximum = 65535))]
    pub mtu: Option<u32>,
    /// Only if `versions` is `both`. Default: 1.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = InitiatingVersion, required = false))]
    pub initiating_version: Option<InitiatingVersion>,
    /// Where addresses come from, in the order of use: prefixes, ranges (`10.1.0.10-10.1.0.20`) or
    /// single addresses. Default: all of the prefixes.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, max_items = 64))]
    pub pools: Option<Vec<String>>,
    /// Its CA. An imported CA or a signer determines the curve. Default: a new one with the
    /// network's name.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = NewCa, required = false))]
    pub ca: Option<NewCa>,
}

/// Changes to a network. Omitted fields keep their values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkPatchBody {
    /// 1 to 128 characters, none of them a control character; unique over all tenants.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub name: Option<String>,
    /// The existing prefixes, or larger ones that contain them, which moves the revision and makes
    /// the nodes' certificates due for renewal; and one of a new address family, which gets a pool
    /// of all its addresses.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, min_items = 1, max_items = 2))]
    pub prefixes: Option<Vec<String>>,
    /// From 1 to both or 2, or from both to 2; applies to nodes' next certificates.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Versions, required = false))]
    pub versions: Option<Versions>,
    /// Lifetime of nodes' certificates: 10 minutes to 10 years.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 600, maximum = 315_360_000))]
    pub lifetime_seconds: Option<i64>,
    /// How long a released address stays in quarantine at least: up to 10 years.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 0, maximum = 315_360_000))]
    pub hold_seconds: Option<i64>,
    /// Whether released addresses stay in quarantine for the hold time alone, regardless of
    /// certificates.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub hold_alone: Option<bool>,
    /// Release nodes after this time without a request: an hour to 10 years; null: never.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<i64>, minimum = 3600, maximum = 315_360_000))]
    pub silence_seconds: Option<Option<i64>>,
    /// Release devices of the dialect and nodes that never report this time after their last certificate
    /// has ended: an hour to 10 years; null: never.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<i64>, minimum = 3600, maximum = 315_360_000))]
    pub give_back_seconds: Option<Option<i64>>,
    /// Show nodes that have reported before as silent after this time without a request: 3 minutes to
    /// 10 years.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = i64, required = false, minimum = 180, maximum = 315_360_000))]
    pub silent_after_seconds: Option<i64>,
    /// The MTU of nodes' devices, in bytes. Changing it moves the revision.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = u32, required = false, minimum = 500, maximum = 65535))]
    pub mtu: Option<u32>,
    /// Only if `versions` is `both`; null: the default. Changing it moves the revision.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<InitiatingVersion>, required = false))]
    pub initiating_version: Option<Option<InitiatingVersion>>,
}

/// A network that was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeletedNetwork {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// What it was called; another may have the name.
    pub name: String,
    /// Whether this is only what would happen.
    pub dry_run: bool,
    /// How many nodes were active in it.
    pub nodes: u64,
    /// Whether nothing is left of it; if not, and it is no dry run, the servers go on removing its rows,
    /// which nobody sees.
    pub complete: bool,
}
