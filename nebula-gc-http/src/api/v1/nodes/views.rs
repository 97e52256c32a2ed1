//! Nodes and their certificates in answers.

use nebula_alloc::NetworkId;

use crate::wire::{
    Applied as AppliedView, Blocked as BlockedView, Certificate as CertificateView, Lighthouse,
    Node as NodeView, NodeReport as ReportView, Timestamp,
};
use crate::{Blocked, LastReport, LedgerEntry, NodeDetails};

impl From<NodeDetails> for NodeView {
    fn from(node: NodeDetails) -> Self {
        let (revision, generation) = (node.applied_revision, node.applied_generation);
        let applied = |at| AppliedView { revision, generation, at: Timestamp(at) };
        let lighthouse =
            node.lighthouse.map(|endpoint| Lighthouse { endpoint: endpoint.to_string() });
        Self {
            id: node.id.to_string(),
            network: NetworkId::to_string(&node.network),
            device: node.device,
            name: node.name,
            user: node.user,
            state: node.state.word().to_owned(),
            condition: node.condition.word().to_owned(),
            state_reason: node.state_reason,
            addresses: node.addresses,
            groups: node.groups,
            lighthouse,
            relay: node.relay,
            mtu: node.mtu,
            native: node.is_native,
            join_token: node.join_token.map(|token| token.to_string()),
            ephemeral_seconds: node.ephemeral_seconds,
            certificates: node.certificates.into_iter().map(CertificateView::from).collect(),
            certificate_end: node.certificate_end.map(Timestamp),
            renew_at: node.renew_at.map(Timestamp),
            generation: node.generation,
            applied: node.reported_at.map(applied),
            behind: node.behind,
            restart_needed: node.restart_needed,
            report: node.last_report.map(ReportView::from),
            seen_at: node.seen_at.map(Timestamp),
            created_at: Timestamp(node.created_at),
        }
    }
}

impl From<LastReport> for ReportView {
    fn from(report: LastReport) -> Self {
        let LastReport { at, receipt, details } = report;
        let (receipt, standing) = receipt.unzip();
        Self {
            at: Timestamp(at),
            receipt,
            receipt_standing: standing.map(|standing| standing.word().to_owned()),
            nebula: details.nebula,
            agent: details.agent,
            platform: details.platform,
            overridden: details.overridden,
            uptime_seconds: details.uptime_seconds,
            tunnels: details.tunnels,
            bytes_in: details.bytes_in,
            bytes_out: details.bytes_out,
            clock_skew_seconds: details.clock_skew_seconds,
            restart_needed: details.restart_needed,
            problem: details.problem,
        }
    }
}

impl From<LedgerEntry> for CertificateView {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            ca: entry.issuer.to_string(),
            state: entry.state.word().to_owned(),
            version: entry.version.number(),
            fingerprint: entry.fingerprint.map(|fingerprint| fingerprint.to_string()),
            not_before: Timestamp(entry.not_before),
            not_after: Timestamp(entry.not_after),
            reason: entry.reason.word().to_owned(),
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
            node: blocked.node.map(|node| node.to_string()),
        }
    }
}
