//! Registering devices: an address, a certificate and a bundle in one durable step.

use std::sync::Arc;

use ipnet::IpNet;
use nebula_alloc::NetworkId;
use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};
use nebula_bundle::{Bundle, Endpoint};
use nebula_pki::key::PublicKey;
use nebula_pki::{Certificate, VerifiedCertificate};
use serde_json::json;

use super::access::{Action, Caller, authorize};
use super::audit::{Author, Entry, Origin, addresses};
use super::bundles::View;
use super::release::block_certificates;
use super::terms::Terms;
use super::update::Update;
use super::{Service, Shared};
use crate::store::network::{self, Revision};
use crate::store::node::{self, Generation, Node, NodeState};
use crate::store::{certificate, damaged};
use crate::{DeviceId, Error, Groups, NodeId, NodeName, ProjectId};

/// A field of a registration that may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Left out: as it is.
    #[default]
    Keep,
    /// Given.
    Set(T),
}

/// What a device registers with.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The network; may be left out where there is only one.
    pub project: Option<ProjectId>,
    /// The device's own id.
    pub device: DeviceId,
    /// Its name in the network.
    pub name: NodeName,
    /// Its public key, on Curve25519.
    pub public_key: PublicKey,
    /// Its groups; none for a new device that leaves them out.
    pub groups: Change<Groups>,
    /// Where it is reached as a lighthouse, or `None` for one that is no lighthouse (any more).
    pub lighthouse: Change<Option<Endpoint>>,
}

/// What a device gets.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Its network.
    pub project: String,
    /// The device's own id.
    pub device: String,
    /// Its name in the network.
    pub name: String,
    /// Its addresses with the prefix length of the network, IPv4 first.
    pub networks: Vec<IpNet>,
    /// Its certificate.
    pub certificate: Certificate,
    /// What it needs to start.
    pub bundle: Bundle,
}

impl Service {
    /// Registers a device, or answers what it has: asking again is safe.
    ///
    /// # Errors
    /// [`Error::InvalidPublicKey`], [`Error::PoolExhausted`], [`Error::Conflict`] where another
    /// device has the name or the key, [`Error::Forbidden`] for a suspended or revoked node, and
    /// those of access.
    pub async fn register(
        &self,
        caller: Caller,
        origin: Origin,
        request: Registration,
    ) -> Result<Enrolled, Error> {
        let public_key = canonical(&request.public_key)?;
        self.admit(&caller).await?;
        let shared = Arc::clone(&self.shared);
        let enrolling = Enrolling { shared, caller, origin, request, public_key, decided: None };
        let settled = self.write(enrolling).await?;
        let view = self.view(settled.network, settled.revision).await?;
        settled.render(&view)
    }
}

/// The bytes of an X25519 key in its one canonical form. X25519 takes others for the same key
/// (RFC 7748, section 5), but Nebula does not, and a key must not count as two.
fn canonical(key: &PublicKey) -> Result<[u8; 32], Error> {
    let refuse = |reason: &str| Error::InvalidPublicKey { reason: reason.to_owned() };
    let bytes: [u8; 32] =
        key.as_bytes().try_into().map_err(|_| refuse("must be an X25519 key of 32 bytes"))?;
    // Little-endian, below 2²⁵⁵ − 19.
    let [lowest, middle @ .., highest] = bytes;
    let too_large = highest > 0x7f
        || highest == 0x7f && middle.iter().all(|byte| *byte == 0xff) && lowest >= 0xed;
    if too_large {
        return Err(refuse(
            "is not the canonical form of an X25519 key; make a new pair with nebula-cert keygen",
        ));
    }
    Ok(bytes)
}

/// What the transaction settled.
struct Settled {
    network: NetworkId,
    project: String,
    revision: Revision,
    node: Node,
    certificate: Certified,
}

enum Certified {
    /// Issued in this transaction.
    New(VerifiedCertificate),
    /// Read from the ledger.
    Known(Certificate),
}

impl Settled {
    fn render(self, view: &View) -> Result<Enrolled, Error> {
        let verified = match self.certificate {
            Certified::New(verified) => verified,
            Certified::Known(certificate) => view.verify(&certificate)?,
        };
        let certificate = verified.certificate().clone();
        let mut networks = verified.details().networks().to_vec();
        networks.sort_by_key(|net| net.addr());
        let bundle = view.render(verified, self.node.lighthouse)?;
        Ok(Enrolled {
            project: self.project,
            device: self.node.device,
            name: self.node.name,
            networks,
            certificate,
            bundle,
        })
    }
}

struct Enrolling {
    shared: Arc<Shared>,
    caller: Caller,
    origin: Origin,
    request: Registration,
    public_key: [u8; 32],
    decided: Option<Decided>,
}

struct Decided {
    author: Author,
    terms: Terms,
    decision: Decision,
    /// The certificate it is most likely to get, signed ahead of the writing.
    signed: Option<VerifiedCertificate>,
}

enum Decision {
    /// What it has still serves.
    Unchanged { node: Node, certificate: Certificate },
    /// A device that never had a node.
    New(Node),
    /// A device that had one and released it.
    Returned { node: Node, predecessor: NodeId },
    /// A node that changes.
    Changed { node: Node, update: Update },
}

impl Step for Enrolling {
    type Output = Settled;
    type Error = Error;

    /// The device alone: `project` may be left out, and one device means one node in a network.
    fn subject(&self) -> Subject {
        Subject::Key(self.request.device.as_str().into())
    }

    fn actor(&self) -> Actor<'_> {
        self.decided.as_ref().map_or(Actor::named(""), |decided| decided.author.actor())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Vec<lease::Request>, Error> {
        self.decided = None;
        let project = self.request.project.as_ref();
        let (principal, network) =
            authorize(tx, &self.shared.secrets, &self.caller, Action::Register, project)?;
        let issuer = self.shared.authorities.issuer(tx, &self.shared.secrets, &network)?;
        let terms = Terms::new(network, issuer, now)?;
        let decision = self.decide(tx, &terms)?;
        let wishes = match &decision {
            Decision::New(node)
            | Decision::Changed { node, update: Update { keeps: None, .. } } => {
                terms.wishes(node).collect()
            }
            // It keeps what it has, or asks once it has taken over what its predecessor had.
            Decision::Unchanged { .. } | Decision::Changed { .. } | Decision::Returned { .. } => {
                vec![]
            }
        };
        let author = self.origin.author(principal.actor());
        self.decided = Some(Decided { author, terms, decision, signed: None });
        Ok(wishes)
    }

    const COMPUTES: bool = true;

    fn compute(&mut self, _: i64, leases: &[Lease]) -> Result<(), Error> {
        if let Some(decided) = &mut self.decided
            && let Decision::New(node)
            | Decision::Changed { node, update: Update { keeps: None, .. } } = &decided.decision
        {
            decided.signed = Some(decided.terms.sign(node, &self.request.public_key, leases, 0)?);
        }
        Ok(())
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        leases: &[Lease],
    ) -> Result<Settled, Error> {
        let Decided { author, terms, decision, signed } =
            self.decided.take().ok_or_else(|| Error::unavailable("written before planned"))?;
        let (kind, node, certificate, detail, revision) = match decision {
            Decision::Unchanged { node, certificate } => {
                let revision = terms.network.revision;
                return Ok(settle(terms, revision, node, Certified::Known(certificate)));
            }
            Decision::New(node) => {
                let (certificate, revision) = self.admit_node(tx, &terms, &node, leases, signed)?;
                let detail = json!({
                    "addresses": addresses(leases),
                    "fingerprint": certificate.certificate().fingerprint().to_string(),
                });
                ("node.enrolled", node, Certified::New(certificate), detail, revision)
            }
            Decision::Returned { node, predecessor } => {
                let actor = author.actor();
                let (former, owner) = (predecessor.owner(), node.id.owner());
                lease::take_over(tx, now, &actor, terms.network.id, former, owner)?;
                let leases = terms
                    .wishes(&node)
                    .map(|wish| lease::allocate(tx, now, &actor, &wish))
                    .collect::<Result<Vec<_>, _>>()?;
                let (certificate, revision) = self.admit_node(tx, &terms, &node, &leases, None)?;
                let detail = json!({
                    "addresses": addresses(&leases),
                    "fingerprint": certificate.certificate().fingerprint().to_string(),
                    "predecessor": predecessor.to_string(),
                });
                ("node.enrolled", node, Certified::New(certificate), detail, revision)
            }
            Decision::Changed { node, update } => {
                let (certificate, revision, detail) =
                    self.apply(tx, &terms, &node, update, leases, signed)?;
                ("node.changed", node, certificate, detail, revision)
            }
        };
        let entry = Entry {
            network: Some(terms.network.id),
            address: leases.first().map(|lease| lease.address),
            detail,
            ..Entry::new(kind, node.id.as_bytes())
        };
        author.record(tx, now, entry)?;
        Ok(settle(terms, revision, node, certificate))
    }
}

fn settle(terms: Terms, revision: Revision, node: Node, certificate: Certified) -> Settled {
    Settled { network: terms.network.id, project: terms.network.name, revision, node, certificate }
}

impl Enrolling {
    fn decide(&self, tx: &mut dyn Transaction, terms: &Terms) -> Result<Decision, Error> {
        let network = terms.network.id;
        let Some(former) = node::by_device(tx, network, self.request.device.as_str())? else {
            let node = self.new_node(network);
            self.check_unique(tx, &node, None)?;
            return Ok(match node::last_released(tx, network, &node.device)? {
                Some(predecessor) => Decision::Returned { node, predecessor },
                None => Decision::New(node),
            });
        };
        match former.state {
            NodeState::Active => {}
            NodeState::Suspended | NodeState::Revoked | NodeState::Released => {
                return Err(Error::Forbidden {
                    reason: format!(
                        "this device is {}; an operator must reinstate it",
                        former.state.word()
                    ),
                });
            }
        }
        let node = self.changed_node(&former);
        self.check_unique(tx, &node, Some(&former))?;
        let current = certificate::current(tx, node.id)?
            .ok_or_else(|| damaged("ledger: a node without certificate"))?;
        Ok(match Update::between(&former, &node, current, terms) {
            Ok(update) => Decision::Changed { node, update },
            Err(certificate) => Decision::Unchanged { node: former, certificate },
        })
    }

    fn new_node(&self, network: NetworkId) -> Node {
        Node {
            id: NodeId::new(),
            network,
            device: self.request.device.clone().into(),
            name: self.request.name.clone().into(),
            public_key: self.public_key,
            state: NodeState::Active,
            groups: match &self.request.groups {
                Change::Keep => vec![],
                Change::Set(groups) => groups.as_slice().to_vec(),
            },
            lighthouse: match &self.request.lighthouse {
                Change::Keep => None,
                Change::Set(lighthouse) => lighthouse.clone(),
            },
            generation: Generation::FIRST,
        }
    }

    /// The node a device has, as this registration would have it.
    fn changed_node(&self, former: &Node) -> Node {
        let mut node = Node {
            name: self.request.name.clone().into(),
            public_key: self.public_key,
            generation: former.generation.next(),
            ..former.clone()
        };
        if let Change::Set(groups) = &self.request.groups {
            node.groups = groups.as_slice().to_vec();
        }
        if let Change::Set(lighthouse) = &self.request.lighthouse {
            node.lighthouse.clone_from(lighthouse);
        }
        node
    }

    /// Refuses a name or a key that another node of the network has.
    fn check_unique(
        &self,
        tx: &mut dyn Transaction,
        node: &Node,
        former: Option<&Node>,
    ) -> Result<(), Error> {
        let is_other = |holder: Option<NodeId>| holder.is_some_and(|holder| holder != node.id);
        if former.is_none_or(|former| former.name != node.name)
            && is_other(node::by_name(tx, node.network, &node.name)?)
        {
            let reason =
                format!("deviceName: another device of the network is called {:?}", node.name);
            return Err(Error::conflict(reason));
        }
        if former.is_none_or(|former| former.public_key != node.public_key)
            && is_other(node::by_public_key(tx, node.network, &node.public_key)?)
        {
            let reason = "publicKey: another device of the network has this key; make a new pair on this device";
            return Err(Error::conflict(reason));
        }
        Ok(())
    }

    /// Writes a new node and issues its first certificate.
    fn admit_node(
        &self,
        tx: &mut dyn Transaction,
        terms: &Terms,
        node: &Node,
        leases: &[Lease],
        signed: Option<VerifiedCertificate>,
    ) -> Result<(VerifiedCertificate, Revision), Error> {
        node::insert(tx, node, terms.now)?;
        let certificate = terms.issue(tx, node, &self.request.public_key, leases, signed)?;
        let revision = match node.lighthouse {
            Some(_) => network::move_revision(tx, terms.network.id, terms.now)?,
            None => terms.network.revision,
        };
        Ok((certificate, revision))
    }

    /// Writes what changes of a node, and answers its certificate, new or kept.
    fn apply(
        &self,
        tx: &mut dyn Transaction,
        terms: &Terms,
        node: &Node,
        update: Update,
        leases: &[Lease],
        signed: Option<VerifiedCertificate>,
    ) -> Result<(Certified, Revision, serde_json::Value), Error> {
        let mut blocked = vec![];
        let revision = if update.moves_revision || update.blocks_former {
            network::move_revision(tx, terms.network.id, terms.now)?
        } else {
            terms.network.revision
        };
        if update.blocks_former {
            blocked = block_certificates(tx, &terms.network, node, revision)?;
        }
        node::update(tx, node)?;
        let certificate = match update.keeps {
            Some(certificate) => Certified::Known(certificate),
            None => {
                certificate::supersede(tx, node.id)?;
                Certified::New(terms.issue(tx, node, &self.request.public_key, leases, signed)?)
            }
        };
        let fingerprint = match &certificate {
            Certified::New(issued) => Some(issued.certificate().fingerprint().to_string()),
            Certified::Known(_) => None,
        };
        let detail = json!({
            "changed": update.changed,
            "blocked": blocked.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "fingerprint": fingerprint,
        });
        Ok((certificate, revision, detail))
    }
}
