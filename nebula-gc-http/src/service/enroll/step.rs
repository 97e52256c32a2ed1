//! The step in which an enrolment is decided and written.

use std::sync::Arc;

use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::{Query, Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use serde_json::json;

use super::device::DeviceEnrollment;
use super::key::check_curve;
use super::{Decision, Enrollment, Settled, Wish};
use crate::error::{Ambiguity, Fault, Field, JoinRefusal};
use crate::service::access::{Action, authorize, authorize_device, prefetch};
use crate::service::audit::{Author, Entry, addresses};
use crate::service::context::Context;
use crate::service::issuance::{Ahead, Readiness};
use crate::service::pending::Issuing;
use crate::service::revision::move_revision;
use crate::service::shared::Shared;
use crate::service::terms::Terms;
use crate::service::update::{Certified, Changed, Writing};
use crate::store::certificate::Reason;
use crate::store::join_token;
use crate::store::network::Revision;
use crate::store::node::{self, Node};
use crate::{Error, JoinTokenId};

pub(super) struct Enrolling {
    shared: Arc<Shared>,
    context: Context,
    wish: Wish,
    /// The device of the node that it found when it ran before, where the wish names another.
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

impl Enrolling {
    pub(super) fn new(
        shared: Arc<Shared>,
        context: Context,
        wish: Wish,
        signed: Option<Ahead>,
        device: Option<&str>,
    ) -> Self {
        let device = device.map(str::to_owned);
        Self { shared, context, wish, device, signed }
    }
}

impl Step for Enrolling {
    type Plan = Decided;
    type Output = Issuing<Settled>;
    type Error = Error;

    /// A device, whose network may be left out; one device means one node in a network. A node
    /// that enrols is known by its key, whatever device it names; the plan finds out.
    fn subject(&self) -> Subject {
        if let Some(device) = &self.device {
            return Subject::Key(device.as_str().into());
        }
        Subject::Key(match &self.wish {
            Wish::Device(request) => request.device.as_str().into(),
            Wish::Native(Enrollment { device: Some(device), .. }) => device.as_str().into(),
            Wish::Native(request) => request.public_key.as_bytes().into(),
            Wish::Renewal(request) => request.device.as_str().into(),
        })
    }

    fn prefetch(&self) -> Vec<Query> {
        prefetch(&self.shared.secrets, &self.context, self.wish.network())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Planned<Decided>, Error> {
        let named = self.wish.network();
        let action = match &self.wish {
            Wish::Device(_) | Wish::Native(_) => Action::Register,
            Wish::Renewal(_) => Action::BeNode,
        };
        let shared = &self.shared;
        let (principal, network) = match &self.wish {
            Wish::Device(DeviceEnrollment { network: None, device, .. }) => {
                let about = (None, device);
                let (principal, network) =
                    authorize_device(tx, &shared.secrets, &self.context, now, action, about)?;
                let several = || Fault::Missing(Ambiguity::SeveralNetworks).of(Field::Network);
                (principal, network.ok_or_else(several)?)
            }
            _ => authorize(tx, &shared.secrets, &self.context, now, action, named)?,
        };
        if let Some(key) = self.wish.public_key() {
            check_curve(key, network.curve)?;
        }
        let former = match &self.wish {
            Wish::Device(request) => node::by_device(tx, network.id, request.device.as_str())?,
            Wish::Native(_) | Wish::Renewal(_) => None,
        };
        // What the node is counts, not who asks for it.
        let native = match &self.wish {
            Wish::Device(request) => former.as_ref().is_some_and(|node| {
                // For another key it loses its token.
                node.is_native() && node.public_key == request.public_key.as_bytes()
            }),
            Wish::Native(_) | Wish::Renewal(_) => true,
        };
        let terms = Terms::new(tx, shared, network, native, now)?;
        let decision = match &self.wish {
            Wish::Device(request) => request.decide(tx, &principal, &terms, former)?,
            Wish::Native(request) => request.decide(tx, shared, &principal, &terms)?,
            Wish::Renewal(request) => {
                request.decide(tx, &principal, &terms, self.signed.is_some())?
            }
        };
        let decision = match decision.known() {
            Some(node) if self.subject() != Subject::Key(node.device.as_str().into()) => {
                Decision::Elsewhere { device: node.device.clone() }
            }
            _ => decision,
        };
        let wishes = match decision.certifies() {
            Some(node) => terms.wishes(tx, node)?,
            None => vec![],
        };
        let author = self.context.author(principal.actor());
        let signed = self.signed.clone();
        let decided = Decided { author, terms, decision, signed };
        Ok(Planned::with_addresses(decided, wishes, |decided| decided.author.actor()))
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
    ) -> Result<Issuing<Settled>, Error> {
        let Decided { author, terms, decision, signed } = decided;
        let (kind, node, changed) = match decision {
            Decision::Elsewhere { device } => return Ok(Issuing::About(device)),
            Decision::Unchanged { node, certificates } => {
                let revision = terms.network.revision;
                let settled = settle(terms, revision, node, Certified::Known(certificates), false);
                return Ok(Issuing::Done(settled));
            }
            Decision::New { node, spends } => {
                spend(tx, spends, now)?;
                let detail = json!({"addresses": addresses(leases)});
                let writing = Writing { author: &author, leases, signed };
                match admit_node(tx, &terms, &node, detail, writing)?.done() {
                    Ok(changed) => ("node.enrolled", node, changed),
                    Err(ends) => return Ok(ends),
                }
            }
            Decision::Returned { node, succession, spends } => {
                spend(tx, spends, now)?;
                let actor = author.actor();
                let wishes = terms.wishes(tx, &node)?;
                let taken = succession.take_over(tx, now, &actor, &node, &wishes)?;
                let node = Node { key_until: taken.key_until, ..node };
                let leases = wishes
                    .iter()
                    .map(|wish| lease::allocate(tx, now, &actor, wish))
                    .collect::<Result<Vec<_>, _>>()?;
                let detail = json!({
                    "addresses": addresses(&leases),
                    "predecessor": taken.predecessor.to_string(),
                });
                let writing = Writing { author: &author, leases: &leases, signed: None };
                match admit_node(tx, &terms, &node, detail, writing)?.done() {
                    Ok(changed) => ("node.enrolled", node, changed),
                    Err(ends) => return Ok(ends),
                }
            }
            Decision::Waiting { node } => {
                let writing = Writing { author: &author, leases, signed };
                let issue = writing.issue(&node, Reason::Enrolled);
                let certificates = match terms.ready(tx, issue)? {
                    Readiness::Ready(ready) => Certified::New(terms.enter(tx, ready)?),
                    Readiness::Pending(pending) => return Ok(Issuing::Pending(pending)),
                };
                // Who keeps it out meanwhile and this must not both go through.
                node::update(tx, &node)?;
                let detail = json!({
                    "fingerprints": certificates.new_fingerprints(),
                    "reason": Reason::Enrolled.word(),
                });
                let revision = terms.network.revision;
                ("certificate.issued", node, Changed { certificates, revision, detail })
            }
            Decision::Changed { node, update } => {
                let writing = Writing { author: &author, leases, signed };
                match update.apply(tx, &terms, &node, writing)?.done() {
                    Ok(changed) => ("node.changed", node, changed),
                    Err(ends) => return Ok(ends),
                }
            }
        };
        let Changed { certificates, revision, detail } = changed;
        record(tx, &terms, &author, (kind, &node, detail), leases)?;
        let is_new = kind != "node.changed";
        Ok(Issuing::Done(settle(terms, revision, node, certificates, is_new)))
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

fn settle(
    terms: Terms,
    revision: Revision,
    node: Node,
    certificates: Certified,
    is_new: bool,
) -> Settled {
    let (network, network_name) = (terms.network.id, terms.network.name);
    Settled { network, network_name, revision, node, certificates, is_new }
}

/// Takes a use of the join token, where one is spent. The last one goes to whoever writes first.
fn spend(tx: &mut dyn Transaction, token: Option<JoinTokenId>, now: i64) -> Result<(), Error> {
    match token {
        Some(token) if !join_token::take_use(tx, token, now)? => {
            Err(JoinRefusal::ExpiredOrUsedUp.into())
        }
        _ => Ok(()),
    }
}

/// Writes a new node and issues its first certificates. Where somebody else has to sign them, the
/// node is there without, and waits.
fn admit_node(
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
