//! Ending the quarantine of an address before its time, which an operator decides: never before the network's
//! hold time has passed, and by force where certificates that name the address may be accepted.

use std::net::IpAddr;

use nebula_alloc::lease::{self, Lease, LeaseState};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Error as AllocError, reclaim};
use serde_json::json;

use crate::error::Kind;
use crate::service::audit::Entry;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::exclusive::Work;
use crate::service::principal::Action;
use crate::service::revision::move_revision;
use crate::store::certificate::{self, LedgerEntry, Valid};
use crate::store::network::{Network, Revision};
use crate::store::{blocklist, node};
use crate::{Error, NetworkRef, NodeId};

/// How many released nodes of the device are looked at, the last ones.
const LOOKED_AT: i64 = 64;
/// How many certificates are named.
const NAMED: usize = 100;

/// How a quarantine is to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QuarantineEnd {
    /// Although certificates that name the address may be accepted.
    pub(crate) is_forced: bool,
    /// Only tell what would happen.
    pub(crate) is_dry_run: bool,
}

/// A quarantine that was ended. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuarantineEnded {
    /// The node that had the address last, and its name.
    pub(crate) node: (NodeId, Option<String>),
    /// Since when it was in quarantine.
    pub(crate) since: i64,
    /// The end that it would have had.
    pub(crate) until: i64,
    /// Certificates that name the address, and that nodes accept which have not applied that they are
    /// blocked; the first 100.
    pub(crate) certificates: Vec<LedgerEntry>,
}

impl Service {
    /// Ends the quarantine of an address.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not in quarantine, [`Error::QuarantineStands`] within the hold time, or
    /// where certificates that name it may be accepted and it is not forced; and those of access.
    pub(crate) async fn end_quarantine(
        &self,
        context: Context,
        network: NetworkRef,
        address: IpAddr,
        end: QuarantineEnd,
    ) -> Result<QuarantineEnded, Error> {
        self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            let lease = lease::by_address(work.tx, network.id, address)?
                .filter(|lease| lease.state == LeaseState::Quarantined)
                .ok_or_else(|| Error::not_found(Kind::Quarantine, address))?;
            let accepted = accepted(work.tx, &network, &lease, work.now)?;
            check(&network, &lease, &accepted, work.now, end.is_forced)?;
            if !end.is_dry_run {
                end_now(work, &network, &lease, &accepted)?;
            }
            let id = NodeId::from(lease.owner.0);
            let name = node::names(work.tx, &[id])?.remove(&id);
            let certificates = accepted.into_iter().take(NAMED).map(|valid| valid.entry).collect();
            Ok(QuarantineEnded {
                node: (id, name),
                since: lease.released_at.unwrap_or_default(),
                until: lease.hold_until,
                certificates,
            })
        })
        .await
    }
}

/// The certificates that name an address and may be accepted by some node of the network, of all that may have
/// had it.
fn accepted(
    tx: &mut dyn Transaction,
    network: &Network,
    lease: &Lease,
    now: i64,
) -> Result<Vec<Valid>, Error> {
    let mut nodes: Vec<NodeId> =
        [Some(lease.owner), lease.passed_on_by].iter().flatten().map(|it| it.0.into()).collect();
    if let Some(last) = node::by_id(tx, NodeId::from(lease.owner.0))? {
        let former = node::released_of(tx, network.id, &last.device, LOOKED_AT)?;
        nodes.extend(former.into_iter().map(|node| node.id));
    }
    nodes.sort();
    nodes.dedup();
    let applied = node::applied_by_all(tx, network.id)?.unwrap_or(i64::MAX);
    let mut valid = certificate::valid(tx, &nodes, now)?;
    valid.retain(|it| it.may_name(lease.address) && it.blocked_since.is_none_or(|at| at > applied));
    Ok(valid)
}

fn check(
    network: &Network,
    lease: &Lease,
    accepted: &[Valid],
    now: i64,
    is_forced: bool,
) -> Result<(), Error> {
    let held = lease.released_at.unwrap_or(now).saturating_add(network.hold_seconds);
    if now < held {
        return Err(Error::QuarantineStands { until: held, certificates: vec![], count: 0 });
    }
    let last = accepted.iter().map(|valid| valid.entry.not_after).max();
    match last {
        Some(until) if !is_forced => Err(Error::QuarantineStands {
            until,
            certificates: accepted
                .iter()
                .filter_map(|it| it.entry.fingerprint)
                .take(NAMED)
                .collect(),
            count: accepted.len(),
        }),
        _ => Ok(()),
    }
}

fn end_now(
    work: &mut Work<'_>,
    network: &Network,
    lease: &Lease,
    accepted: &[Valid],
) -> Result<(), Error> {
    // A certificate that is valid and may not be used is blocked.
    let open = accepted.iter().filter(|valid| valid.blocked_since.is_none());
    let open: Vec<_> =
        open.filter_map(|it| Some((it.entry.fingerprint?, it.entry.not_after))).collect();
    let mut revision: Option<Revision> = None;
    if !open.is_empty() {
        let moved = move_revision(work.tx, network.id, work.now)?;
        for (fingerprint, not_after) in &open {
            blocklist::insert(work.tx, network.id, fingerprint, *not_after, moved)?;
        }
        revision = Some(moved);
    }
    reclaim::end_quarantine(work.tx, work.now, &work.author.actor(), &lease.id()).map_err(
        |error| match error {
            AllocError::LeaseEnded { .. } => Error::not_found(Kind::Quarantine, lease.address),
            other => other.into(),
        },
    )?;
    let fingerprints = accepted.iter().filter_map(|it| it.entry.fingerprint).take(NAMED);
    let mut detail = json!({
        "until": lease.hold_until,
        "certificates": fingerprints.map(|it| it.to_string()).collect::<Vec<_>>(),
    });
    if let (Some(Revision(revision)), Some(detail)) = (revision, detail.as_object_mut()) {
        detail.insert("revision".to_owned(), revision.into());
        let blocked = open.iter().map(|(fingerprint, _)| fingerprint.to_string());
        detail.insert("blocked".to_owned(), blocked.collect::<Vec<_>>().into());
    }
    work.record(Entry {
        network: Some(network.id),
        address: Some(lease.address),
        detail,
        ..Entry::new("quarantine.ended", lease.owner.as_bytes())
    })
}
