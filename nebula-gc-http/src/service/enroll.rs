//! Enrolling nodes: an address, certificates and a bundle in one durable step.

pub(super) mod device;
pub(super) mod native;
pub(super) mod renewal;

use std::sync::Arc;

use ipnet::IpNet;
use nebula_alloc::NetworkId;
use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};
use nebula_bundle::Bundle;
use nebula_pki::key::PublicKey;
use nebula_pki::{Certificate, Curve};
use serde_json::json;

use self::device::Registration;
use self::native::Enrollment;
use self::renewal::Renewal;
use super::access::{Action, Caller, authorize};
use super::audit::{Author, Entry, Origin, addresses};
use super::bundles::View;
use super::pending::Issuing;
use super::terms::{Ahead, Readiness, Terms};
use super::update::{Certified, Changed, Update, Writing};
use super::{Service, Shared};
use crate::store::certificate::Reason;
use crate::store::network::{self, Revision};
use crate::store::node::{self, Node};
use crate::store::{former_key, join_token};
use crate::{Error, JoinTokenId, NodeId};

/// What a node gets.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Its network, by name.
    pub project: String,
    /// Its id.
    pub node: NodeId,
    /// The device's own id.
    pub device: String,
    /// Its name in the network.
    pub name: String,
    /// Its addresses with the prefix length of the network, IPv4 first.
    pub networks: Vec<IpNet>,
    /// Its certificates, the older version first.
    pub certificates: Vec<Certificate>,
    /// What it needs to start.
    pub bundle: Bundle,
    /// The network's revision and the node's generation that the bundle is of.
    pub desired: (i64, i64),
    /// Whether it is new, rather than known before.
    pub is_new: bool,
}

impl Service {
    /// Registers a device of the dialect, or answers what it has: asking again is safe.
    ///
    /// # Errors
    /// [`Error::InvalidPublicKey`], [`Error::PoolExhausted`], [`Error::NameTaken`],
    /// [`Error::KeyTaken`], [`Error::KeyMismatch`], [`Error::Forbidden`] for a suspended or revoked
    /// node, and those of access.
    pub async fn register(
        &self,
        caller: Caller,
        origin: Origin,
        request: Registration,
    ) -> Result<Enrolled, Error> {
        self.settle(caller, origin, Wish::Device(request)).await
    }

    /// Enrols a node, or answers what it has to who brings the same public key and node token.
    ///
    /// # Errors
    /// As [`register`](Self::register), but [`Error::NodeKeptOut`] for a suspended or revoked node,
    /// whose reason only the node itself is told; and [`Error::JoinTokenRefused`].
    pub async fn enroll(
        &self,
        caller: Caller,
        origin: Origin,
        request: Enrollment,
    ) -> Result<Enrolled, Error> {
        self.settle(caller, origin, Wish::Native(request)).await
    }

    async fn settle(&self, caller: Caller, origin: Origin, wish: Wish) -> Result<Enrolled, Error> {
        let settled = self.carry_out(caller, origin, wish).await?;
        let view = self.view(settled.network, settled.revision).await?;
        settled.render(&view)
    }

    async fn carry_out(
        &self,
        caller: Caller,
        origin: Origin,
        wish: Wish,
    ) -> Result<Settled, Error> {
        wish.public_key().map_or(Ok(()), check_canonical)?;
        self.admit(&caller).await?;
        self.issue(|signed, device| Enrolling {
            shared: Arc::clone(&self.shared),
            caller: caller.clone(),
            origin,
            wish: wish.clone(),
            device: device.map(str::to_owned),
            signed,
            decided: None,
        })
        .await
    }
}

/// Who asks for what.
#[derive(Clone)]
enum Wish {
    Device(Registration),
    Native(Enrollment),
    Renewal(Renewal),
}

impl Wish {
    /// The key it brings.
    fn public_key(&self) -> Option<&PublicKey> {
        match self {
            Self::Device(request) => Some(&request.public_key),
            Self::Native(request) => Some(&request.public_key),
            Self::Renewal(request) => request.public_key.as_ref(),
        }
    }
}

/// X25519 takes other bytes for the same key (RFC 7748, section 5), but Nebula does not, and a key
/// must not count as two.
pub(super) fn check_canonical(key: &PublicKey) -> Result<(), Error> {
    if key.curve() != Curve::Curve25519 {
        return Ok(());
    }
    // Little-endian, below 2²⁵⁵ − 19.
    if let [lowest, middle @ .., highest] = key.as_bytes() {
        let too_large = *highest > 0x7f
            || *highest == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *lowest >= 0xed;
        if !too_large {
            return Ok(());
        }
    }
    Err(Error::InvalidPublicKey {
        reason:
            "is not the canonical form of an X25519 key; make a new pair with nebula-cert keygen"
                .to_owned(),
    })
}

/// What the transaction settled.
struct Settled {
    network: NetworkId,
    project: String,
    revision: Revision,
    node: Node,
    certificates: Certified,
    is_new: bool,
}

impl Settled {
    fn render(self, view: &View) -> Result<Enrolled, Error> {
        let verified = match self.certificates {
            Certified::New(verified) => verified,
            Certified::Known(certificates) => view.verify(&certificates)?,
        };
        let newest =
            verified.last().ok_or_else(|| Error::unavailable("a node without certificate"))?;
        let mut networks = newest.details().networks().to_vec();
        networks.sort_by_key(|net| net.addr());
        let certificates = verified.iter().map(|verified| verified.certificate().clone()).collect();
        let bundle = view.render(verified, &self.node)?;
        Ok(Enrolled {
            project: self.project,
            node: self.node.id,
            device: self.node.device,
            name: self.node.name,
            networks,
            certificates,
            bundle,
            desired: (view.revision().0, self.node.generation.0),
            is_new: self.is_new,
        })
    }
}

struct Enrolling {
    shared: Arc<Shared>,
    caller: Caller,
    origin: Origin,
    wish: Wish,
    /// The device of the node that it found when it ran before, where the wish names another.
    device: Option<String>,
    /// What was signed elsewhere since it ran before.
    signed: Option<Ahead>,
    decided: Option<Decided>,
}

struct Decided {
    author: Author,
    terms: Terms,
    decision: Decision,
    /// The certificates it is most likely to get, signed ahead of the writing.
    signed: Option<Ahead>,
}

enum Decision {
    /// What it has still serves.
    Unchanged { node: Node, certificates: Vec<Certificate> },
    /// A device that never had a node.
    New { node: Node, spends: Option<JoinTokenId> },
    /// A device that had one and released it.
    Returned { node: Node, predecessor: NodeId, spends: Option<JoinTokenId> },
    /// A node whose first certificates are not signed yet.
    Waiting { node: Node },
    /// A node that changes.
    Changed { node: Node, update: Update },
    /// It is about this device's node, which others may be at work on.
    Elsewhere { device: String },
}

impl Decision {
    /// The node that gets certificates for the leases it asked for.
    fn certifies(&self) -> Option<&Node> {
        match self {
            Self::New { node, .. }
            | Self::Waiting { node }
            | Self::Changed { node, update: Update { keeps: None, .. } } => Some(node),
            // It keeps what it has, or asks once it has taken over what its predecessor had.
            Self::Unchanged { .. }
            | Self::Changed { .. }
            | Self::Returned { .. }
            | Self::Elsewhere { .. } => None,
        }
    }

    /// The node that was there before.
    fn known(&self) -> Option<&Node> {
        match self {
            Self::Unchanged { node, .. } | Self::Waiting { node } | Self::Changed { node, .. } => {
                Some(node)
            }
            Self::New { .. } | Self::Returned { .. } | Self::Elsewhere { .. } => None,
        }
    }
}

impl Step for Enrolling {
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

    fn actor(&self) -> Actor<'_> {
        self.decided.as_ref().map_or(Actor::named(""), |decided| decided.author.actor())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Vec<lease::Request>, Error> {
        self.decided = None;
        let (project, action) = match &self.wish {
            Wish::Device(request) => (request.project.as_ref(), Action::Register),
            Wish::Native(request) => (request.network.as_ref(), Action::Register),
            Wish::Renewal(_) => (None, Action::BeNode),
        };
        let native = !matches!(self.wish, Wish::Device(_));
        let shared = &self.shared;
        let (principal, network) =
            authorize(tx, &shared.secrets, &self.caller, now, action, project)?;
        if let Some(key) = self.wish.public_key() {
            check_curve(key, network.curve)?;
        }
        let terms = Terms::new(tx, shared, network, native, now)?;
        let decision = match &self.wish {
            Wish::Device(request) => request.decide(tx, &principal, &terms)?,
            Wish::Native(request) => request.decide(tx, shared, &principal, &terms)?,
            Wish::Renewal(request) => request.decide(tx, &principal, &terms)?,
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
        let author = self.origin.author(principal.actor());
        let signed = self.signed.clone();
        self.decided = Some(Decided { author, terms, decision, signed });
        Ok(wishes)
    }

    const COMPUTES: bool = true;

    fn compute(&mut self, _: i64, leases: &[Lease]) -> Result<(), Error> {
        if let Some(decided) = &mut self.decided
            && decided.signed.is_none()
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
        leases: &[Lease],
    ) -> Result<Issuing<Settled>, Error> {
        let Decided { author, terms, decision, signed } =
            self.decided.take().ok_or_else(|| Error::unavailable("written before planned"))?;
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
            Decision::Returned { node, predecessor, spends } => {
                spend(tx, spends, now)?;
                let actor = author.actor();
                let (former, owner) = (predecessor.owner(), node.id.owner());
                lease::take_over(tx, now, &actor, terms.network.id, former, owner)?;
                let leases = terms
                    .wishes(tx, &node)?
                    .iter()
                    .map(|wish| lease::allocate(tx, now, &actor, wish))
                    .collect::<Result<Vec<_>, _>>()?;
                let detail = json!({
                    "addresses": addresses(&leases),
                    "predecessor": predecessor.to_string(),
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
    let (network, project) = (terms.network.id, terms.network.name);
    Settled { network, project, revision, node, certificates, is_new }
}

pub(super) fn check_curve(key: &PublicKey, curve: Curve) -> Result<(), Error> {
    if key.curve() == curve {
        return Ok(());
    }
    let (name, option) = match curve {
        Curve::P256 => ("P256", "P256"),
        _ => ("Curve25519", "25519"),
    };
    Err(Error::InvalidPublicKey {
        reason: format!(
            "the network's CA is on {name}; make a pair with nebula-cert keygen -curve {option}"
        ),
    })
}

/// Takes a use of the join token, where one is spent. The last one goes to whoever writes first.
fn spend(tx: &mut dyn Transaction, token: Option<JoinTokenId>, now: i64) -> Result<(), Error> {
    match token {
        Some(token) if !join_token::take_use(tx, token, now)? => Err(Error::JoinTokenRefused {
            reason: "this join token is expired or used up".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Refuses a name or a key that another node of the network has, and a key that it had: who is
/// kept out must not come back with a former one.
pub(super) fn check_unique(
    tx: &mut dyn Transaction,
    node: &Node,
    former: Option<&Node>,
) -> Result<(), Error> {
    if former.is_none_or(|former| former.name != node.name)
        && node::by_name(tx, node.network, &node.name)?.is_some_and(|holder| holder != node.id)
    {
        return Err(Error::NameTaken { name: node.name.clone() });
    }
    if former.is_none_or(|former| former.public_key != node.public_key)
        && former_key::is_of_another(tx, node.network, &node.public_key, node.id)?
    {
        return Err(Error::KeyTaken);
    }
    Ok(())
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
        revision = network::move_revision(tx, terms.network.id, terms.now)?;
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
