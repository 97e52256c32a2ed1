//! Taking over a running network: host certificates become nodes, leases and rows of the ledger.

mod judge;

use std::collections::BTreeSet;
use std::sync::Arc;

use nebula_alloc::import::{Assignment, take_over};
use nebula_pki::{CaPool, Certificate, Fingerprint, VerifiedCertificate};
use serde_json::json;

use self::judge::{Verdict, judge};
use super::access::{authorize, find_network, not_found};
use super::audit::Entry;
use super::blocklist;
use super::context::Context;
use super::core::Service;
use super::exclusive::Work;
use super::principal::Action;
use crate::error::{Conflict, Fault, Field, Obstacle, Unavailable};
use crate::store::ca;
use crate::store::certificate::{self, Issued, Reason};
use crate::store::former_key;
use crate::store::network::Network;
use crate::store::node::{self, Node};
use crate::{CaId, Error, NetworkRef};

/// How many hosts are taken over in one transaction, so that it is short.
const STEP: usize = 64;
/// How many certificates one import has at most.
const LIMIT: usize = 100_000;

/// A running network's hosts.
#[derive(Debug, Clone)]
pub struct HostImport {
    /// The network, which trusts their CA already.
    pub network: Option<NetworkRef>,
    /// Their certificates, in any order. Those of one host have its name, and an address or the key in
    /// common: the newest is what it has now, the others it had before.
    pub certificates: Vec<Certificate>,
    /// The fingerprints that its hosts block.
    pub blocklist: Vec<Fingerprint>,
    /// Whether to leave out the hosts that something is in the way of; else nothing is taken over
    /// where anything is.
    pub skips_conflicts: bool,
    /// Whether to tell only what would happen.
    pub is_dry_run: bool,
}

/// What became of them, or would.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Hosts that were there already, as the same certificates say.
    pub present: usize,
    /// Hosts that are taken over, or would be.
    pub imported: usize,
    /// What is in the way of the others.
    pub conflicts: Vec<ImportConflict>,
    /// Fingerprints that are blocked now and were not, or would be.
    pub blocked: usize,
}

/// Why a host is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportConflict {
    /// The place of its first certificate among all that were sent, from 0; which of several is in the
    /// way, the obstacle says.
    pub index: usize,
    /// The host's name.
    pub name: String,
    /// What is in the way.
    pub obstacle: Obstacle,
}

/// The certificates of one host.
#[derive(Clone)]
struct Host {
    /// The place of its first certificate.
    index: usize,
    name: String,
    certificates: Vec<VerifiedCertificate>,
    /// Why one of its certificates is none of the network's.
    failure: Option<Obstacle>,
}

/// A host that nothing is in the way of.
struct Newcomer {
    node: Node,
    assignments: Vec<Assignment>,
    /// What it has now, the older version first.
    certificates: Vec<VerifiedCertificate>,
    /// What it had before, and may still use.
    former: Vec<VerifiedCertificate>,
}

impl Service {
    /// Takes over the hosts of a running network, whose CA it has as its own
    /// ([`add_ca`](Self::add_ca)). A host becomes a node under its name, with its addresses and
    /// certificates as they are; its device id is its name. It goes in short steps: what was
    /// interrupted is finished by asking again.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too many certificates, and those of access. What is in the way
    /// of single hosts is in the report.
    pub async fn import_hosts(
        &self,
        context: Context,
        request: HostImport,
    ) -> Result<ImportReport, Error> {
        let HostImport { network, certificates, blocklist, skips_conflicts, is_dry_run } = request;
        if certificates.is_empty() && blocklist.is_empty() || certificates.len() > LIMIT {
            let fault = Fault::Count { count: certificates.len(), least: 1, most: LIMIT };
            return Err(fault.of(Field::Certificates));
        }
        if blocklist.len() > LIMIT {
            let fault = Fault::Count { count: blocklist.len(), least: 0, most: LIMIT };
            return Err(fault.of(Field::Blocklist));
        }
        let asked = (context.clone(), network.clone(), blocklist.clone());
        let (hosts, report) = self
            .read(move |tx, shared| {
                let (context, network, listed) = asked;
                let (action, now) = (Action::Import, shared.now());
                let (_, network) =
                    authorize(tx, &shared.secrets, &context, now, action, network.as_ref())?;
                let mut trusted = CaPool::new();
                for ca in ca::trusted(tx, network.id)? {
                    trusted.add(ca).map_err(Unavailable::from)?;
                }
                let blocked = blocklist::check(tx, &network, (Field::Blocklist, &listed))?;
                let hosts = judge::hosts(&certificates, &trusted, now);
                let verdicts = judge(tx, now, &network, &hosts, &listed.into_iter().collect())?;
                let report = ImportReport { blocked, ..report(&hosts, &verdicts) };
                Ok((hosts, report))
            })
            .await?;
        if is_dry_run || !skips_conflicts && !report.conflicts.is_empty() {
            return Ok(match is_dry_run {
                true => report,
                false => ImportReport { imported: 0, blocked: 0, ..report },
            });
        }
        let mut done = ImportReport::default();
        for part in blocklist.chunks(blocklist::MOST) {
            let (part, network) = (part.to_vec(), network.clone());
            let step = move |work: &mut Work<'_>| {
                let network = find_network(work.tx, work.principal, network.as_ref())?
                    .ok_or_else(|| not_found(network.as_ref()))?;
                work.principal.permit(Action::Import)?;
                blocklist::block(work, &network, (Field::Blocklist, &part))
            };
            // Each part moves the revision by a change of its own.
            done.blocked += self.exclusive(context.another(), step).await?.blocked;
        }
        let hosts: Arc<[Host]> = hosts.into();
        for start in (0..hosts.len()).step_by(STEP) {
            let (hosts, network) = (Arc::clone(&hosts), network.clone());
            let step = move |work: &mut Work<'_>| {
                let network = find_network(work.tx, work.principal, network.as_ref())?
                    .ok_or_else(|| not_found(network.as_ref()))?;
                work.principal.permit(Action::Import)?;
                let end = hosts.len().min(start + STEP);
                let part = hosts.get(start..end).unwrap_or_default();
                take_over_part(work, &network, part, skips_conflicts)
            };
            let part = self.exclusive(context.clone(), step).await?;
            done.present += part.present;
            done.imported += part.imported;
            done.conflicts.extend(part.conflicts);
        }
        Ok(done)
    }
}

fn report(hosts: &[Host], verdicts: &[Verdict]) -> ImportReport {
    let mut report = ImportReport::default();
    for (host, verdict) in hosts.iter().zip(verdicts) {
        match verdict {
            Verdict::Present => report.present += 1,
            Verdict::Ready(_) => report.imported += 1,
            Verdict::Conflict(obstacle) => report.conflicts.push(ImportConflict {
                index: host.index,
                name: host.name.clone(),
                obstacle: obstacle.clone(),
            }),
        }
    }
    report
}

fn take_over_part(
    work: &mut Work<'_>,
    network: &Network,
    hosts: &[Host],
    skips_conflicts: bool,
) -> Result<ImportReport, Error> {
    let verdicts = judge(work.tx, work.now, network, hosts, &BTreeSet::new())?;
    let report = report(hosts, &verdicts);
    if let Some(conflict) = report.conflicts.first()
        && !skips_conflicts
    {
        // It was not in the way when the whole was judged.
        let ImportConflict { name, obstacle, .. } = conflict.clone();
        return Err(Conflict::Import { host: name, obstacle }.into());
    }
    let newcomers: Vec<_> = verdicts
        .into_iter()
        .filter_map(|verdict| match verdict {
            Verdict::Ready(newcomer) => Some(*newcomer),
            Verdict::Present | Verdict::Conflict(_) => None,
        })
        .collect();
    let assignments: Vec<_> =
        newcomers.iter().flat_map(|newcomer| newcomer.assignments.iter().copied()).collect();
    for part in assignments.chunks(nebula_alloc::import::STEP) {
        take_over(work.tx, work.now, &work.author.actor(), network.id, part)?;
    }
    for newcomer in &newcomers {
        enter(work, newcomer)?;
    }
    Ok(report)
}

/// Writes a host's node and its certificates, as they are.
fn enter(work: &mut Work<'_>, newcomer: &Newcomer) -> Result<(), Error> {
    let Newcomer { node, assignments, certificates, former } = newcomer;
    let node = &Node { user: work.principal.user(), ..node.clone() };
    node::insert(work.tx, node)?;
    for (verified, is_former) in with(certificates, false).chain(with(former, true)) {
        let issued = Issued {
            network: node.network,
            node: node.id,
            issuer: issuer(work, verified)?,
            certificate: verified.certificate().clone(),
            reason: Reason::Imported,
            actor: work.author.name(),
        };
        if !is_former {
            certificate::insert(work.tx, &issued, work.now)?;
            continue;
        }
        certificate::insert_former(work.tx, &issued, work.now)?;
        let key = verified.certificate().public_key();
        if key != node.public_key {
            former_key::note_of(work.tx, node.network, node.id, key)?;
        }
    }
    let addresses: Vec<_> = assignments.iter().map(|one| one.address.to_string()).collect();
    let all = certificates.iter().chain(former);
    let fingerprints: Vec<_> = all.map(|one| one.certificate().fingerprint().to_string()).collect();
    let entry = Entry {
        network: Some(node.network),
        address: assignments.first().map(|one| one.address),
        detail: json!({
            "addresses": addresses,
            "fingerprints": fingerprints,
            "generation": node.generation.0,
        }),
        ..Entry::new("node.imported", node.id.as_bytes())
    };
    work.record(entry)
}

/// Certificates, each with whether it is one that its host had before.
fn with(
    certificates: &[VerifiedCertificate],
    is_former: bool,
) -> impl Iterator<Item = (&VerifiedCertificate, bool)> {
    certificates.iter().map(move |one| (one, is_former))
}

fn issuer(work: &mut Work<'_>, verified: &VerifiedCertificate) -> Result<CaId, Error> {
    ca::by_fingerprint(work.tx, &verified.issuer())?
        .map(|ca| ca.id)
        .ok_or_else(|| Conflict::CaGone.into())
}
