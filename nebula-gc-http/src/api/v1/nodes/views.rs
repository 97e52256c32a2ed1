//! Nodes and their certificates in answers.

use std::net::IpAddr;

use nebula_alloc::NetworkId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::v1::enroll::LighthouseBody;
use crate::api::v1::values::{Id, Timestamp};
use crate::{Blocked, CertificateId, JoinTokenId, LedgerEntry, NodeDetails, NodeId};

/// A member of a network.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Node)]
pub(super) struct NodeView {
    #[schema(value_type = Id)]
    id: NodeId,
    #[schema(value_type = Id)]
    network: String,
    /// The device's own id.
    device: String,
    name: String,
    /// `active`, `suspended`, `revoked` or `released`.
    state: &'static str,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state_reason: Option<String>,
    /// Its addresses on the overlay, IPv4 before IPv6.
    #[schema(value_type = Vec<String>)]
    addresses: Vec<IpAddr>,
    groups: Vec<String>,
    /// Its endpoint, if it is a lighthouse.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lighthouse: Option<LighthouseBody>,
    /// Whether it is a relay.
    relay: bool,
    /// The MTU of its tun interface, in bytes, if it differs from the network's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    mtu: Option<u32>,
    /// Whether it has a node token, and so renews by itself.
    native: bool,
    /// The join token that it joined with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Id, required = false)]
    join_token: Option<JoinTokenId>,
    /// The certificates it has now, the older version first.
    certificates: Vec<CertificateView>,
    /// When it should renew: not later than now if it has no certificate or a due one; absent while
    /// it is suspended or revoked, and for a device without a node token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timestamp, required = false)]
    renew_at: Option<Timestamp>,
    /// The node's own counter.
    generation: i64,
    /// What it reported last; absent if it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    applied: Option<AppliedView>,
    /// When it last sent a request with its token, to within ten minutes. Its silence is counted
    /// from then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timestamp, required = false)]
    seen_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// What a node reported.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Applied)]
struct AppliedView {
    /// The network's revision.
    revision: i64,
    /// The node's generation.
    generation: i64,
    at: Timestamp,
}

/// A certificate of the ledger.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Certificate)]
pub(super) struct CertificateView {
    #[schema(value_type = Id)]
    id: CertificateId,
    /// The id of its CA.
    #[schema(value_type = Id)]
    ca: String,
    /// `pending`, `issued`, `superseded`, `revoked`, `expired` or `cancelled`.
    state: &'static str,
    version: u8,
    /// Absent until it is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fingerprint: Option<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// Why it was issued: `enrolled`, `changed`, `renewed`, `rekeyed`, `reinstated` or `imported`.
    reason: &'static str,
    /// Who asked for it, as in the audit log.
    actor: String,
    /// When it will be blocked, unless its node reports the newer certificate before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timestamp, required = false)]
    block_after: Option<Timestamp>,
    /// When it was found to contradict its node's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timestamp, required = false)]
    unsound_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// An entry of a network's blocklist.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Blocked)]
pub(super) struct BlockedView {
    /// Of the certificate.
    fingerprint: String,
    /// The fingerprint of the same P256 certificate with the other form of its signature, which
    /// bundles block as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alternate_fingerprint: Option<String>,
    /// The end of the certificate's validity. The entry is removed some time after it. Absent if
    /// only the fingerprint is known: then the entry stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timestamp, required = false)]
    until: Option<Timestamp>,
    /// The network's revision since which bundles block it.
    since_revision: i64,
    /// The node that the certificate belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Id, required = false)]
    node: Option<NodeId>,
}

impl From<NodeDetails> for NodeView {
    fn from(node: NodeDetails) -> Self {
        let (revision, generation) = (node.applied_revision, node.applied_generation);
        let applied = |at| AppliedView { revision, generation, at: Timestamp(at) };
        let lighthouse =
            node.lighthouse.map(|endpoint| LighthouseBody { endpoint: endpoint.to_string() });
        Self {
            id: node.id,
            network: NetworkId::to_string(&node.network),
            device: node.device,
            name: node.name,
            state: node.state.word(),
            state_reason: node.state_reason,
            addresses: node.addresses,
            groups: node.groups,
            lighthouse,
            relay: node.relay,
            mtu: node.mtu,
            native: node.is_native,
            join_token: node.join_token,
            certificates: node.certificates.into_iter().map(CertificateView::from).collect(),
            renew_at: node.renew_at.map(Timestamp),
            generation: node.generation,
            applied: node.reported_at.map(applied),
            seen_at: node.seen_at.map(Timestamp),
            created_at: Timestamp(node.created_at),
        }
    }
}

impl From<LedgerEntry> for CertificateView {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            id: entry.id,
            ca: entry.issuer.to_string(),
            state: entry.state.word(),
            version: entry.version.number(),
            fingerprint: entry.fingerprint.map(|fingerprint| fingerprint.to_string()),
            not_before: Timestamp(entry.not_before),
            not_after: Timestamp(entry.not_after),
            reason: entry.reason.word(),
            actor: entry.actor,
            block_after: entry.block_after.map(Timestamp),
            unsound_at: entry.unsound_at.map(Timestamp),
            created_at: Timestamp(entry.created_at),
        }
    }
}

impl From<Blocked> for BlockedView {
    fn from(blocked: Blocked) -> Self {
        Self {
            fingerprint: blocked.fingerprint.to_string(),
            alternate_fingerprint: blocked.alternate.map(|fingerprint| fingerprint.to_string()),
            until: blocked.until.map(Timestamp),
            since_revision: blocked.since,
            node: blocked.node,
        }
    }
}
