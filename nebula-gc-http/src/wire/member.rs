//! Nodes, as operators see them.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::enroll::Lighthouse;
use super::page::Page;
#[cfg(feature = "server")]
use super::values::Id;
use super::values::{Secret, Timestamp, given, not_null};

/// A member of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// The network.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub network: String,
    /// The device's own id.
    pub device: String,
    /// Its name.
    pub name: String,
    /// To whom it belongs; empty for a node that came before there were users.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required = true))]
    pub user: String,
    /// `active`, `suspended`, `revoked` or `released`.
    pub state: String,
    /// How it is, the first that holds of: `released`, `revoked`, `suspended`, `expired` (its last
    /// certificate has ended), `silent` (it has reported before, and sent no request for the network's
    /// `silentAfterSeconds`), `behind` (it reports, and has not applied all changes), `active`.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required))]
    pub condition: String,
    /// Why it is in that state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub state_reason: Option<String>,
    /// Its addresses on the overlay, IPv4 before IPv6.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub addresses: Vec<IpAddr>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Where it is reached, if it is a lighthouse: `HOST:PORT`, several separated by commas.
    #[serde(default, deserialize_with = "newer", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub lighthouse: Option<Lighthouse>,
    /// Whether it is a relay.
    pub relay: bool,
    /// The MTU of its tun interface, in bytes, if it differs from the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub mtu: Option<u32>,
    /// Whether it has a node token, and so renews by itself.
    pub native: bool,
    /// The join token that it joined with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub join_token: Option<String>,
    /// It is released when it has been silent for so long, because the join token that it came with says
    /// so; absent: never for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub ephemeral_seconds: Option<i64>,
    /// The certificates it has now, the older version first.
    pub certificates: Vec<Certificate>,
    /// The end of its last certificate, also after that; absent while it is kept out, and where it never
    /// had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub certificate_end: Option<Timestamp>,
    /// When it should renew: not later than now if it has no certificate or a due one; absent while
    /// it is suspended or revoked, and for a device without a node token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub renew_at: Option<Timestamp>,
    /// The node's own counter.
    pub generation: i64,
    /// What it reported last; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub applied: Option<Applied>,
    /// How many changes it has not reported as applied: of the network's revisions or of its own
    /// generations, whichever are more. 0 for a node that never reports.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required))]
    pub behind: i64,
    /// Whether its Nebula must be restarted for what it was given, as it reported last.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required))]
    pub restart_needed: bool,
    /// What it told of itself last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub report: Option<NodeReport>,
    /// When it last sent a request with its token, to within a minute. Its silence is counted from
    /// then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub seen_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Reads an endpoint of a newer server, with fields that are not known.
fn newer<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Lighthouse>, D::Error> {
    #[derive(Deserialize)]
    struct Newer {
        endpoint: String,
    }
    let newer = Option::<Newer>::deserialize(from)?;
    Ok(newer.map(|newer| Lighthouse { endpoint: newer.endpoint }))
}

/// What a node reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The network's revision.
    pub revision: i64,
    /// The node's generation.
    pub generation: i64,
    /// When.
    pub at: Timestamp,
}

/// What a node told of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// When.
    pub at: Timestamp,
    /// The receipt of the bundle that it says it has applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub receipt: Option<String>,
    /// What the receipt is worth: `believed`, `unknown_key` where the key that is to prove it is not known
    /// here, or `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub receipt_standing: Option<String>,
    /// The release of its Nebula.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub nebula: Option<String>,
    /// The release of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub agent: Option<String>,
    /// Its system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub platform: Option<String>,
    /// The keys of `nebula.yml` that the machine sets otherwise than the bundle.
    pub overridden: Vec<String>,
    /// How long its Nebula has been running, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub uptime_seconds: Option<u64>,
    /// How many tunnels are up, as far as its Nebula has said: it does not notice that the peer of an idle one
    /// is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub tunnels: Option<u64>,
    /// How many bytes came in over the overlay since its Nebula started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub bytes_in: Option<u64>,
    /// How many bytes went out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub bytes_out: Option<u64>,
    /// How many seconds its clock is ahead of the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub clock_skew_seconds: Option<i64>,
    /// Whether its Nebula must be restarted for what it was given.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required))]
    pub restart_needed: bool,
    /// What is wrong, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub problem: Option<String>,
}

/// A certificate of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Its id.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub id: String,
    /// The id of its CA.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub ca: String,
    /// `pending`, `issued`, `superseded`, `revoked`, `expired` or `cancelled`.
    pub state: String,
    /// The version of its format, 1 or 2.
    pub version: u8,
    /// Absent until it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub fingerprint: Option<String>,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Why it was issued: `enrolled`, `changed`, `renewed`, `rekeyed`, `reinstated` or `imported`.
    pub reason: String,
    /// Who asked for it, as in the audit log.
    pub actor: String,
    /// When it will be blocked, unless its node reports the newer certificate before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub block_after: Option<Timestamp>,
    /// When it was found to contradict its node's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub unsound_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An entry of a network's blocklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    /// Of the certificate.
    pub fingerprint: String,
    /// The fingerprint of the same P256 certificate with the other form of its signature, which
    /// bundles block as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(nullable = false))]
    pub alternate_fingerprint: Option<String>,
    /// The end of the certificate's validity. The entry is removed some time after it. Absent if
    /// only the fingerprint is known: then the entry stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Timestamp, required = false))]
    pub until: Option<Timestamp>,
    /// The network's revision since which bundles block it.
    pub since_revision: i64,
    /// The node that the certificate belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub node: Option<String>,
}

/// Changes to a node. Omitted fields keep their values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeChangeBody {
    /// Its name in the network: 1 to 253 bytes, no control characters, not `any`.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 253))]
    pub name: Option<String>,
    /// To whom it belongs: 1 to 128 characters.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false, min_length = 1, max_length = 128))]
    pub user: Option<String>,
    /// All its groups; none of them may be `any`.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, max_items = 64))]
    pub groups: Option<Vec<String>>,
    /// Groups that it is in from now on, beside those that it has.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, max_items = 64))]
    pub add_groups: Option<Vec<String>>,
    /// Groups that it is no longer in.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, required = false, max_items = 64))]
    pub remove_groups: Option<Vec<String>>,
    /// Its endpoint as a lighthouse; null: it is no longer one.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<Lighthouse>, required = false))]
    pub lighthouse: Option<Option<Lighthouse>>,
    /// Whether it is a relay.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub relay: Option<bool>,
    /// The MTU of its tun interface, in bytes; null for the network's.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u32>, required = false, minimum = 500, maximum = 65535))]
    pub mtu: Option<Option<u32>>,
}

/// Why a node is kept out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// 1 to 1000 characters, none of them a control character. The node is told.
    #[cfg_attr(feature = "server", schema(value_type = String, min_length = 1, max_length = 1000))]
    pub reason: String,
}

/// Where a node moves: to an address of a pool, or to a given address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MoveBody {
    /// The pool or block to get an address from. Needed for an address that belongs to a block.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Id, required = false))]
    pub pool: Option<String>,
    /// The address to get.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub address: Option<IpAddr>,
    /// Only tell what would happen. Default: false.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = bool, required = false))]
    pub dry_run: Option<bool>,
}

/// A node that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct MovedNode {
    /// The node; as it is, if this is a dry run.
    pub node: Node,
    /// Whether this is only what would happen.
    pub dry_run: bool,
    /// Whether it moved, or would move. A node that is there already does not.
    pub moved: bool,
    /// The addresses that it left or would leave. They stay in quarantine.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub left: Vec<IpAddr>,
}

/// A node with its new token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RotatedNode {
    /// The node.
    pub node: Node,
    /// Shown once.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub node_token: Secret,
}

/// The state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum NodeState {
    Active,
    Suspended,
    Revoked,
    Released,
}

/// What a node does for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum NodeRole {
    Lighthouse,
    Relay,
}

/// How far a revision has been applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Unapplied {
    /// The network.
    #[cfg_attr(feature = "server", schema(value_type = Id))]
    pub network: String,
    /// The revision asked about.
    pub revision: i64,
    /// The network's revision now.
    pub current_revision: i64,
    /// Whether every active node has reported it, or a later one.
    pub applied_by_all: bool,
    /// How many have not applied it. Nodes that never report count.
    pub count: i64,
    /// How many of these have reported before: the others never tell what they have.
    #[serde(default)]
    pub reporting_count: i64,
    /// How many active nodes report at all.
    #[serde(default)]
    pub reporting: i64,
    /// The nodes that have not applied it.
    pub nodes: Page<Node>,
}

/// Certificates to block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewBlockedBody {
    /// Their fingerprints, each of 64 hexadecimal digits.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, min_items = 1, max_items = 1000))]
    pub fingerprints: Vec<String>,
}

/// The outcome of blocking fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BlockReport {
    /// How many are newly blocked.
    pub blocked: usize,
    /// How many were already blocked.
    pub present: usize,
    /// The network's revision that blocks all of them.
    pub revision: i64,
}
