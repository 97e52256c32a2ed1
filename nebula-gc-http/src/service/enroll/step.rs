//! The step in which an enrolment is decided and written.

use std::sync::Arc;

use nebula_alloc::NetworkId;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::{Query, Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use serde_json::json;

use super::address;
use super::command::Command;
use super::decision::Decision;
use super::device::DeviceEnrollment;
use super::key::check_curve;
use super::request::Enrollment;
use super::succession::Succession;
use crate::error::{Ambiguity, Fault, Field};
use crate::service::access::{authorize, authorize_device, prefetch};
use crate::service::audit::{Author, Entry, addresses};
use crate::service::context::Context;
use crate::service::issuance::{Ahead, Readiness};
use crate::service::pending::Issuing;
use crate::service::principal::{Action, Principal};
use crate::service::revision::move_revision;
use crate::service::shared::Shared;
use crate::service::terms::Terms;
use crate::service::update::{Certified, Changed, Writing};
use crate::store::certificate::Reason;
use crate::store::device_reservation;
use crate::store::network::{Network, Revision};
use crate::store::node::{self, Node};
use crate::store::pending_join::PendingJoin;
use crate::{Error, NodeAddresses};

pub(super) struct Enrolling {
    shared: Arc<Shared>,
    context: Context,
    command: Command,
    /// The device of the node that it found when it ran before, where the command names another.
    device: Option<String>,
    /// What was signed elsewhere since it ran before.
    signed: Option<Ahead>,
}

pub(super) struct Decided {
    author: Author,
    terms: Terms,
    decision: Decision,
    /// The certificates it is most likely to get, signed ahead of the writing.
    signed: Option<Ahead>,
}

/// What a node has then.
pub(in crate::service) struct Outcome {
    pub(in crate::service) network: NetworkId,
    pub(in crate::service) network_name: String,
    pub(in crate::service) revision: Revision,
    pub(in crate::service) node: Node,
    pub(in crate::service) certificates: Certified,
    pub(in crate::service) is_new: bool,
}

/// How an enrolment or a renewal ends.
pub(in crate::service) enum Ended {
    /// With a node.
    Node(Box<Outcome>),
    /// With a device that waits for an operator's approval.
    Waits(Box<PendingJoin>),
}

impl Ended {
    /// The node.
    pub(in crate::service) fn node(self) -> Result<Outcome, Error> {
        match self {
            Self::Node(outcome) => Ok(*outcome),
            Self::Waits(row) => Err(Error::AwaitsApproval {
                pending: row.id,
                fingerprint: row.key_fingerprint(),
                expires_at: row.expires_at,
            }),
        }
    }
}

impl Enrolling {
    pub(super) fn new(
        shared: Arc<Shared>,
        context: Context,
        command: Command,
        signed: Option<Ahead>,
        device: Option<&str>,
    ) -> Self {
        let device = device.map(str::to_owned);
        Self { shared, context, command, device, signed }
    }
}

impl Step for Enrolling {
    type Plan = Decided;
    type Output = Issuing<Ended>;
    type Error = Error;

    /// A device, whose network may be left out; one device means one node in a network. A node
    /// that enrols is known by its key, whatever device it names; the plan finds out.
    fn subject(&self) -> Subject {
        if let Some(device) = &self.device {
            return Subject::Key(device.as_str().into());
        }
        Subject::Key(match &self.command {
            Command::Device(request) => request.device.as_str().into(),
            Command::Native(Enrollment { device: Some(device), .. }) => device.as_str().into(),
            Command::Native(request) => request.public_key.as_bytes().into(),
            Command::Renewal(request) => request.device.as_str().into(),
        })
    }

    fn prefetch(&self) -> Vec<Query> {
        let device = self.command.new_device().map(device_reservation::device_query);
        let asked = prefetch(&self.shared.secrets, &self.context, self.command.network());
        asked.into_iter().chain(device).collect()
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Planned<Decided>, Error> {
        let (principal, network) = self.authorize(tx, now)?;
        if let Some(key) = self.command.public_key() {
            check_curve(key, network.curve)?;
        }
        let (terms, decision) = self.decide(tx, now, &principal, network)?;
        let decision = match decision.known() {
            Some(node) if self.subject() != Subject::Key(node.device.as_str().into()) => {
                Decision::Elsewhere { device: node.device.clone() }
            }
            _ => decision,
        };
        let requests = match decision.certifies() {
            Some(node) => address::requests(tx, &terms, node, decision.named())?,
            None => vec![],
        };
        let author = self.context.author(principal.actor());
        let signed = self.signed.clone();
        let decided = Decided { author, terms, decision, signed };
        Ok(Planned::with_addresses(decided, requests, |decided| decided.author.actor()))
    }

    const COMPUTES: bool = true;

    fn compute(&mut self, _: i64, decided: &mut Decided, leases: &[Lease]) -> Result<(), Error> {
        if decided.signed.is_none()
            && let Some(node) = decided.decision.certifies()
        {
            decided.signed = decided.terms.sign(node, leases)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        decided: Decided,
        leases: &[Lease],
    ) -> Result<Issuing<Ended>, Error> {
        let Decided { author, terms, decision, signed } = decided;
        let writing = Writing { author: &author, leases, signed };
        let mut granted = leases;
        let taken;
        let (kind, is_new, node, issuing) = match decision {
            Decision::Elsewhere { device } => return Ok(Issuing::About(device)),
            Decision::Approval(waits) => {
                let row = waits.write(tx, &author, now)?;
                return Ok(Issuing::Done(Ended::Waits(Box::new(row))));
            }
            Decision::Unchanged { node, certificates } => {
                let (revision, certificates) =
                    (terms.network.revision, Certified::Known(certificates));
                return Ok(Issuing::Done(outcome(terms, revision, node, certificates, false)));
            }
            Decision::New { node, spends, .. } => {
                spends.map_or(Ok(()), |spends| spends.take(tx, now))?;
                let detail = json!({"addresses": addresses(leases)});
                let issuing = insert_node(tx, &terms, &node, detail, writing)?;
                ("node.enrolled", true, node, issuing)
            }
            Decision::Returned { node, named, succession, spends } => {
                spends.map_or(Ok(()), |spends| spends.take(tx, now))?;
                let (node, leases, issuing) =
                    insert_successor(tx, &terms, (node, named), &succession, &author)?;
                taken = leases;
                granted = &taken;
                ("node.enrolled", true, node, issuing)
            }
            Decision::Waiting { node } => {
                let issuing = complete_first(tx, &terms, &node, writing)?;
                ("certificate.issued", true, node, issuing)
            }
            Decision::Changed { node, update } => {
                let issuing = update.apply(tx, &terms, &node, writing, &mut None)?;
                ("node.changed", false, node, issuing)
            }
        };
        let Changed { certificates, revision, detail } = match issuing.done() {
            Ok(changed) => changed,
            Err(ends) => return Ok(ends),
        };
        record(tx, &terms, &author, (kind, &node, detail), granted)?;
        Ok(Issuing::Done(outcome(terms, revision, node, certificates, is_new)))
    }
}

impl Enrolling {
    /// Who asks, and about which network. A device may leave it out where it has only one.
    fn authorize(&self, tx: &mut dyn Transaction, now: i64) -> Result<(Principal, Network), Error> {
        let (secrets, context) = (&self.shared.secrets, &self.context);
        let action = match &self.command {
            Command::Device(DeviceEnrollment { network: None, device, .. }) => {
                let about = (None, device);
                let (principal, network) =
                    authorize_device(tx, secrets, context, now, Action::Register, about)?;
                let network = network
                    .ok_or_else(|| Fault::Missing(Ambiguity::SeveralNetworks).of(Field::Network))?;
                return Ok((principal, network));
            }
            Command::Device(_) | Command::Native(_) => Action::Register,
            Command::Renewal(_) => Action::BeNode,
        };
        authorize(tx, secrets, context, now, action, self.command.network())
    }

    fn decide(
        &self,
        tx: &mut dyn Transaction,
        now: i64,
        principal: &Principal,
        network: Network,
    ) -> Result<(Terms, Decision), Error> {
        let shared = &self.shared;
        Ok(match &self.command {
            Command::Device(request) => {
                let former = node::by_device(tx, network.id, request.device.as_str())?;
                // What the node is counts, not who asks for it. For another key it loses its token.
                let is_native = former.as_ref().is_some_and(|node| {
                    node.is_native() && node.public_key == request.public_key.as_bytes()
                });
                let terms = Terms::new(tx, shared, network, is_native, now)?;
                let decision = request.decide(tx, shared, principal, &terms, former)?;
                (terms, decision)
            }
            Command::Native(request) => {
                let terms = Terms::new(tx, shared, network, true, now)?;
                let decision = request.decide(tx, shared, principal, &terms)?;
                (terms, decision)
            }
            Command::Renewal(request) => {
                let terms = Terms::new(tx, shared, network, true, now)?;
                let decision = {
                    let (pace, again) = (shared.pace(), self.signed.is_some());
                    request.decide(tx, principal, &terms, pace, again)?
                };
                (terms, decision)
            }
        })
    }
}

/// Records what happened to a node.
fn record(
    tx: &mut dyn Transaction,
    terms: &Terms,
    author: &Author,
    (kind, node, detail): (&'static str, &Node, serde_json::Value),
    leases: &[Lease],
) -> Result<(), Error> {
    let entry = Entry {
        network: Some(terms.network.id),
        address: leases.first().map(|lease| lease.address),
        detail,
        ..Entry::new(kind, node.id.as_bytes())
    };
    author.record(tx, terms.now, entry)
}

fn outcome(
    terms: Terms,
    revision: Revision,
    node: Node,
    certificates: Certified,
    is_new: bool,
) -> Ended {
    let (network, network_name) = (terms.network.id, terms.network.name);
    let outcome = Outcome { network, network_name, revision, node, certificates, is_new };
    Ended::Node(Box::new(outcome))
}

/// Writes a new node and issues its first certificates. Where somebody else has to sign them, the
/// node is there without, and waits.
fn insert_node(
    tx: &mut dyn Transaction,
    terms: &Terms,
    node: &Node,
    mut detail: serde_json::Value,
    writing: Writing<'_>,
) -> Result<Issuing<Changed>, Error> {
    node::insert(tx, node)?;
    let (author, leases) = (writing.author, writing.leases);
    let readiness = terms.ready(tx, writing.issue(node, Reason::Enrolled))?;
    let mut tell = |what: &str, value| {
        if let Some(detail) = detail.as_object_mut() {
            detail.insert(what.to_owned(), value);
        }
    };
    tell("generation", json!(node.generation.0));
    let mut revision = terms.network.revision;
    if node.lighthouse.is_some() || node.relay {
        revision = move_revision(tx, terms.network.id, terms.now)?;
        tell("revision", json!(revision.0));
    }
    match readiness {
        Readiness::Ready(ready) => {
            tell("fingerprints", json!(ready.fingerprints()));
            let certificates = Certified::New(terms.enter(tx, ready)?);
            Ok(Issuing::Done(Changed { certificates, revision, detail }))
        }
        Readiness::Pending(pending) => {
            record(tx, terms, author, ("node.enrolled", node, detail), leases)?;
            Ok(Issuing::Pending(pending))
        }
    }
}

/// Writes a new node with the addresses that released ones had, as far as it may have them, and
/// new ones for the rest.
fn insert_successor(
    tx: &mut dyn Transaction,
    terms: &Terms,
    (node, named): (Node, Option<NodeAddresses>),
    succession: &Succession,
    author: &Author,
) -> Result<(Node, Vec<Lease>, Issuing<Changed>), Error> {
    let (now, actor) = (terms.now, author.actor());
    let requests = address::requests(tx, terms, &node, named)?;
    let taken = succession.take_over(tx, now, &actor, &node, &requests)?;
    let node = Node { key_until: taken.key_until, ..node };
    let leases = requests
        .iter()
        .map(|request| lease::allocate(tx, now, &actor, request))
        .collect::<Result<Vec<_>, _>>()?;
    let detail = json!({
        "addresses": addresses(&leases),
        "predecessor": taken.predecessor.to_string(),
    });
    let writing = Writing { author, leases: &leases, signed: None };
    let issuing = insert_node(tx, terms, &node, detail, writing)?;
    Ok((node, leases, issuing))
}

/// Issues the first certificates of a node that waits for them.
fn complete_first(
    tx: &mut dyn Transaction,
    terms: &Terms,
    node: &Node,
    writing: Writing<'_>,
) -> Result<Issuing<Changed>, Error> {
    let certificates = match terms.ready(tx, writing.issue(node, Reason::Enrolled))? {
        Readiness::Ready(ready) => Certified::New(terms.enter(tx, ready)?),
        Readiness::Pending(pending) => return Ok(Issuing::Pending(pending)),
    };
    // Who keeps it out meanwhile and this must not both go through.
    node::update(tx, node)?;
    let detail = json!({
        "fingerprints": certificates.new_fingerprints(),
        "reason": Reason::Enrolled.word(),
    });
    Ok(Issuing::Done(Changed { certificates, revision: terms.network.revision, detail }))
}
