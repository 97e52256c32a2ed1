//! Pending signatures past their deadline, left by a crash or by a signer that took too long.

use std::collections::BTreeSet;
use std::sync::Arc;

use nebula_alloc::lease::{self, Lease, LeaseState};
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_pki::VerifiedCertificate;
use serde_json::json;

use crate::service::audit::{Author, Entry, addresses};
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::issuance::{Ahead, Issue, Pending, Ready, any_is_known, signed};
use crate::service::revision::move_revision;
use crate::service::shared::Shared;
use crate::service::terms::Terms;
use crate::store::certificate::{self, Reason};
use crate::store::network::{self, Network};
use crate::store::node::{self, Node, NodeState};
use crate::store::{damaged, join_token, pending};
use crate::{Error, NodeId};

/// How many expired rows one pass takes up.
const AT_ONCE: i64 = 256;
/// For how long a signer that is away is waited for, in seconds: an hour.
const SIGNER_GIVEN_UP_AFTER: i64 = 3_600;

/// What became of pending certificates whose deadline had passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PendingOutcome {
    /// Nodes whose certificates were signed.
    pub completed: usize,
    /// Nodes for which nothing will be signed any more.
    pub cancelled: usize,
    /// Nodes whose signer is still away.
    pub left: usize,
}

impl Service {
    /// Takes up what was left pending past its deadline, by whatever instance: what its node still
    /// is to have is signed and completed; the rest is cancelled, and after an hour so is that whose
    /// signer stays away. A node that never had a certificate is released then. Any instance may
    /// call it at any time, again and again.
    ///
    /// # Errors
    /// What the database answers. A signer that fails is none: what it should sign is left.
    pub async fn settle_pending(&self) -> Result<PendingOutcome, Error> {
        let mut all = PendingOutcome::default();
        let mut away = BTreeSet::new();
        for (node, device) in self.read(|tx, shared| expired_nodes(tx, shared.now())).await? {
            match self.resolve(node, device, &mut away).await? {
                Outcome::Completed => all.completed += 1,
                Outcome::Cancelled => all.cancelled += 1,
                Outcome::Taken(_) => all.left += 1,
                Outcome::Elsewhere => {}
            }
        }
        Ok(all)
    }

    /// Resolves what is pending of one node. Signers in `away` are not asked again in this pass.
    async fn resolve(
        &self,
        node: NodeId,
        device: String,
        away: &mut BTreeSet<String>,
    ) -> Result<Outcome, Error> {
        let shared = Arc::clone(&self.shared);
        let first =
            Resolving { shared, node, device: device.clone(), signed: None, gives_up: false };
        let outcome = self.write(first).await?;
        let Outcome::Taken(pending) = &outcome else { return Ok(outcome) };
        let signer = pending.authority.signer().unwrap_or_default().to_owned();
        let signed = match away.contains(&signer) {
            true => None,
            false => self
                .sign_once(pending)
                .await
                .inspect_err(|failure| {
                    tracing::warn!(%failure, "signing an expired pending certificate failed; retrying at the next pass");
                })
                .ok(),
        };
        if signed.is_none() {
            away.insert(signer);
        }
        let gives_up =
            pending.rows.iter().all(|row| row.created_at + SIGNER_GIVEN_UP_AFTER <= row.deadline);
        if signed.is_none() && !gives_up {
            return Ok(outcome);
        }
        let shared = Arc::clone(&self.shared);
        self.write(Resolving { shared, node, device, signed, gives_up }).await
    }
}

/// The nodes that have expired pending certificates, with their devices, each once.
fn expired_nodes(tx: &mut dyn Transaction, now: i64) -> Result<Vec<(NodeId, String)>, Error> {
    let mut nodes: Vec<(NodeId, String)> = vec![];
    for row in pending::expired(tx, now, AT_ONCE)? {
        if !nodes.iter().any(|(node, _)| *node == row.node) {
            let node = node::by_id(tx, row.node)?.ok_or_else(|| damaged("node"))?;
            nodes.push((node.id, node.device));
        }
    }
    Ok(nodes)
}

enum Outcome {
    /// It is this instance's to have them signed.
    Taken(Pending),
    Completed,
    Cancelled,
    /// Others are at it, or were.
    Elsewhere,
}

/// Takes over what has expired of one node; or completes it; or cancels it.
struct Resolving {
    shared: Arc<Shared>,
    node: NodeId,
    device: String,
    signed: Option<Ahead>,
    gives_up: bool,
}

enum Decision {
    Leave,
    Take(Terms, Vec<pending::Pending>),
    Complete(Complete),
    Cancel(Network, Node, Vec<pending::Pending>),
}

struct Complete {
    terms: Terms,
    node: Node,
    rows: Vec<pending::Pending>,
    verified: Vec<VerifiedCertificate>,
}

impl Step for Resolving {
    type Plan = Decision;
    type Output = Outcome;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.device.as_str().into())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Planned<Decision>, Error> {
        Ok(Planned::without_addresses(self.decide(tx, now)?))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        decision: Decision,
        _: &[Lease],
    ) -> Result<Outcome, Error> {
        let author = Context::local().author("local");
        match decision {
            Decision::Leave => Ok(Outcome::Elsewhere),
            Decision::Take(terms, rows) => {
                let (instance, deadline) = (&terms.waiting.instance, terms.waiting.deadline);
                let adopt = |row| pending::adopt(tx, row, instance, deadline);
                let rows = rows.iter().map(adopt).collect::<Result<_, _>>()?;
                let authority = Arc::clone(&terms.authority);
                Ok(Outcome::Taken(Pending { authority, rows, is_own: true }))
            }
            Decision::Complete(complete) => {
                complete.write(tx, &author)?;
                Ok(Outcome::Completed)
            }
            Decision::Cancel(network, node, rows) => {
                cancel(tx, now, &author, (&network, &node, &rows))?;
                Ok(Outcome::Cancelled)
            }
        }
    }
}

impl Resolving {
    fn decide(&self, tx: &mut dyn Transaction, now: i64) -> Result<Decision, Error> {
        let rows = pending::of_node(tx, self.node)?;
        let instance = &self.shared.instance;
        let was_taken = self.signed.is_some() || self.gives_up;
        let is_own = |row: &pending::Pending| match was_taken {
            true => row.instance == *instance,
            false => row.deadline <= now,
        };
        if rows.is_empty() || !rows.iter().all(is_own) {
            return Ok(Decision::Leave);
        }
        let node = node::by_id(tx, self.node)?.ok_or_else(|| damaged("node"))?;
        let Some(network) = network::by_id(tx, node.network)? else {
            // It was deleted, and these rows go with it.
            return Ok(Decision::Leave);
        };
        let mut leases = lease::by_owner(tx, network.id, node.id.owner())?;
        leases.retain(|lease| lease.state == LeaseState::Active);
        let Ok(terms) = Terms::new(tx, &self.shared, network.clone(), node.is_native(), now) else {
            // Its CA is at its end.
            return Ok(Decision::Cancel(network, node, rows));
        };
        let reason = rows.first().map_or(Reason::Enrolled, |row| row.reason);
        let issue = Issue { node: &node, leases: &leases, reason, actor: "local", signed: None };
        if node.state != NodeState::Active || !terms.are_wanted(&rows, &issue)? {
            return Ok(Decision::Cancel(network, node, rows));
        }
        let Some(verified) = signed(&rows, self.signed.as_ref()) else {
            return Ok(match self.gives_up {
                true => Decision::Cancel(network, node, rows),
                false => Decision::Take(terms, rows),
            });
        };
        if any_is_known(tx, &verified)? {
            return Ok(Decision::Cancel(network, node, rows));
        }
        Ok(Decision::Complete(Complete { terms, node, rows, verified }))
    }
}

impl Complete {
    fn write(self, tx: &mut dyn Transaction, author: &Author) -> Result<(), Error> {
        let Self { terms, node, rows, verified } = self;
        let reason = rows.first().map_or(Reason::Enrolled, |row| row.reason);
        let issue = Issue { node: &node, leases: &[], reason, actor: author.name(), signed: None };
        let ready = Ready { issue, verified, pending: rows.iter().map(|row| row.id).collect() };
        let fingerprints = ready.fingerprints();
        terms.enter(tx, ready)?;
        let (mut generation, mut moved) = (node.generation, None);
        if reason != Reason::Enrolled {
            generation = generation.next();
            moved = Some(generation.0);
            network::note_move(tx, terms.network.id)?;
        }
        // Where nothing moves too: who keeps it out meanwhile and this must not both go through.
        node::update(tx, &Node { generation, ..node.clone() })?;
        let entry = Entry {
            network: Some(terms.network.id),
            detail: json!({
                "fingerprints": fingerprints,
                "generation": moved,
                "reason": reason.word(),
            }),
            ..Entry::new("certificate.issued", node.id.as_bytes())
        };
        author.record(tx, terms.now, entry)
    }
}

/// Nobody waits for these any more. Should they have been signed, nobody has them; their addresses
/// are held as long as they would be valid, as is every lease of a certificate.
fn cancel(
    tx: &mut dyn Transaction,
    now: i64,
    author: &Author,
    (network, node, rows): (&Network, &Node, &[pending::Pending]),
) -> Result<(), Error> {
    for row in rows {
        pending::cancel(tx, row.id)?;
    }
    let entry = Entry {
        network: Some(network.id),
        detail: json!({"until": rows.iter().map(|row| row.validity.1).max()}),
        ..Entry::new("certificate.cancelled", node.id.as_bytes())
    };
    author.record(tx, now, entry)?;
    if node.state != NodeState::Active || certificate::any(tx, node.id)? {
        return Ok(());
    }
    // It never became a member. Its device may come again, with the same token.
    let mut moved = None;
    if node.lighthouse.is_some() || node.relay {
        moved = Some(move_revision(tx, network.id, now)?.0);
    }
    node::release(tx, node, Some("its certificate was never signed"), now)?;
    node::forget_tokens(tx, node.id)?;
    if let Some(token) = node.join_token {
        join_token::give_back(tx, token)?;
    }
    let (actor, owner) = (author.actor(), node.id.owner());
    let leases = lease::release(tx, now, &actor, network.id, owner, network.hold_seconds)?;
    let entry = Entry {
        network: Some(network.id),
        address: leases.first().map(|lease| lease.address),
        detail: json!({
            "addresses": addresses(&leases),
            "reason": "never signed",
            "revision": moved,
        }),
        ..Entry::new("node.released", node.id.as_bytes())
    };
    author.record(tx, now, entry)
}
