//! A node as operators see it.

use std::net::IpAddr;

use nebula_alloc::NetworkId;
use nebula_alloc::lease::{self, Lease, LeaseState};
use nebula_alloc::store::Transaction;
use nebula_bundle::Endpoints;

use super::condition::{self, Condition};
use crate::service::precondition::Tag;
use crate::service::self_service::renewal_of;
use crate::service::self_service::report::ReportDetails;
use crate::store::certificate::{self, LedgerEntry};
use crate::store::damaged;
use crate::store::network::Network;
use crate::store::node::{Node, NodeState};
use crate::store::report::{self, ReceiptStanding, StoredReport};
use crate::{Error, JoinTokenId, NodeId};

/// A node as it is now. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDetails {
    /// Its id.
    pub id: NodeId,
    /// Its network.
    pub network: NetworkId,
    /// The device's own id.
    pub device: String,
    /// Its name in the network.
    pub name: String,
    /// To whom it belongs; empty for one that came before there were users.
    pub user: String,
    /// Its public key, on the network's curve.
    pub public_key: Vec<u8>,
    /// Where it stands.
    pub state: NodeState,
    /// How it is, from that, its certificates and its reports.
    pub condition: Condition,
    /// Why, as the operator said.
    pub state_reason: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Where it is reached, where it is a lighthouse.
    pub lighthouse: Option<Endpoints>,
    /// Whether it is a relay.
    pub relay: bool,
    /// The MTU of its tun interface, in bytes, where it is not the network's.
    pub mtu: Option<u32>,
    /// Whether it has a node token, and so renews by itself.
    pub is_native: bool,
    /// The join token it came with.
    pub join_token: Option<JoinTokenId>,
    /// After how long a silence it is released, in seconds, because its join token says so.
    pub ephemeral_seconds: Option<i64>,
    /// Its addresses, IPv4 first; none once it is released.
    pub addresses: Vec<IpAddr>,
    /// Its current certificates, the older version first; none where they expired, and while it is
    /// kept out.
    pub certificates: Vec<LedgerEntry>,
    /// The end of its last certificate, also after that; nothing while it is kept out, and where it
    /// never had one.
    pub certificate_end: Option<i64>,
    /// When it should renew by itself, as it is told: not later than now where it has no certificate, or
    /// what it has is due; nothing while it is kept out, and of a device without a node token.
    pub renew_at: Option<i64>,
    /// Its own counter.
    pub generation: i64,
    /// The network's revision that it has reported; 0 for one that never did.
    pub applied_revision: i64,
    /// Its generation that it has reported.
    pub applied_generation: i64,
    /// When it last reported.
    pub reported_at: Option<i64>,
    /// How many changes it has not reported as applied: of revisions or of its own generations, whichever
    /// are more. 0 for one that never reports.
    pub behind: i64,
    /// Whether its Nebula must be restarted for what it was given, as it reported last.
    pub restart_needed: bool,
    /// What it told of itself with its latest report, if it told anything.
    pub last_report: Option<LastReport>,
    /// When it last asked anything with its token, give or take a minute.
    pub seen_at: Option<i64>,
    /// When it came.
    pub created_at: i64,
    changes: i64,
}

/// What a node told of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReport {
    /// When, in seconds since the Unix epoch.
    pub at: i64,
    /// The receipt that came with it, and what it is worth.
    pub receipt: Option<(String, ReceiptStanding)>,
    /// How it is, as it says.
    pub details: ReportDetails,
}

impl LastReport {
    fn read(stored: StoredReport) -> Result<Self, Error> {
        let StoredReport { at, receipt, details, .. } = stored;
        let details = serde_json::from_str(&details).map_err(|_| damaged("report"))?;
        Ok(Self { at, receipt, details })
    }
}

impl NodeDetails {
    pub(super) fn read(
        tx: &mut dyn Transaction,
        network: &Network,
        now: i64,
        node: Node,
    ) -> Result<Self, Error> {
        Self::read_all(tx, network, now, vec![node])?.pop().ok_or_else(|| damaged("node"))
    }

    /// Nodes of one network, in their order.
    pub(super) fn read_all(
        tx: &mut dyn Transaction,
        network: &Network,
        now: i64,
        nodes: Vec<Node>,
    ) -> Result<Vec<Self>, Error> {
        let owners: Vec<_> = nodes.iter().map(|node| node.id.owner()).collect();
        let leases = lease::by_owners(tx, network.id, &owners)?;
        let certificates = certificate::current_entries(tx, nodes.iter().map(|node| &node.id))?;
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
        let ends = certificate::last_ends(tx, &ids)?;
        let mut reports = report::of(tx, &ids)?;
        let found = nodes.into_iter().zip(leases).zip(certificates).zip(ends);
        let details = found.map(|(((node, leases), current), last_end)| {
            let last_report = reports.remove(&node.id).map(LastReport::read).transpose()?;
            let (entries, certificates): (Vec<_>, Vec<_>) = current.into_iter().unzip();
            let renews = node.is_native() && node.state == NodeState::Active;
            let renew_at = renews.then(|| renewal_of(network, now, &node, &certificates));
            let known = condition::Known::of(network, &node, &entries, last_end, now);
            let restart_needed =
                last_report.as_ref().is_some_and(|report| report.details.restart_needed);
            let details = Self::of(node, &leases, entries, renew_at);
            Ok(Self {
                condition: known.condition(),
                certificate_end: known.certificate_end(),
                behind: known.behind(),
                restart_needed,
                last_report,
                ..details
            })
        });
        details.collect()
    }

    fn of(
        node: Node,
        leases: &[Lease],
        certificates: Vec<LedgerEntry>,
        renew_at: Option<i64>,
    ) -> Self {
        let active = leases.iter().filter(|lease| lease.state == LeaseState::Active);
        let mut addresses: Vec<IpAddr> = active.map(|lease| lease.address).collect();
        addresses.sort();
        let is_native = node.is_native();
        let condition = Condition::of_state(node.state);
        Self {
            renew_at,
            id: node.id,
            network: node.network,
            device: node.device,
            name: node.name,
            user: node.user,
            public_key: node.public_key,
            state: node.state,
            condition,
            certificate_end: None,
            behind: 0,
            restart_needed: false,
            state_reason: node.state_reason,
            groups: node.groups,
            lighthouse: node.lighthouse,
            relay: node.relay,
            mtu: node.mtu,
            is_native,
            join_token: node.join_token,
            ephemeral_seconds: node.ephemeral_seconds,
            addresses,
            certificates,
            generation: node.generation.0,
            applied_revision: node.applied.revision,
            applied_generation: node.applied.generation,
            reported_at: node.applied.at,
            last_report: None,
            seen_at: node.seen_at,
            created_at: node.created_at,
            changes: node.changes,
        }
    }

    /// What tells this state from its others. What the node reports and what time does to its
    /// certificates is not what a change builds on.
    #[must_use]
    pub fn tag(&self) -> Tag {
        let reported = self.reported_at.max(self.seen_at).unwrap_or_default();
        let applied = format!("{}-{}", self.applied_revision, self.applied_generation);
        tag(self.id, self.changes)
            .and(applied)
            .and(reported)
            .and(self.certificates.len())
            .and(self.condition.word())
    }
}

/// What a change of a node builds on.
pub(super) fn tag(id: NodeId, changes: i64) -> Tag {
    Tag::new(id, changes)
}
