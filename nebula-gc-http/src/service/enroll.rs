//! Registering devices: an address, a certificate and a bundle in one durable step.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use nebula_alloc::Family;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};
use nebula_bundle::{Bundle, Endpoint};
use nebula_pki::key::{PublicKey, SigningKey};
use nebula_pki::{Certificate, HostParameters, Issuer, Validity, VerifiedCertificate};

use super::access::{Action, Caller, Principal, authorize};
use super::audit::{Entry, Origin};
use super::bundles::View;
use super::{Service, Shared};
use crate::store::certificate::Issued;
use crate::store::network::{self, Network, Revision};
use crate::store::node::{self, Generation, Node, NodeState};
use crate::store::{blocklist, certificate, damaged};
use crate::{DeviceId, Error, Groups, NodeId, NodeName, ProjectId};

/// How long a node's certificate is valid at most, in seconds: 365 days, because a device that
/// registered here can't renew by itself.
const LIFETIME: i64 = 365 * 86_400;
/// How long before now a certificate begins, in seconds, so that a lagging clock can use it.
const BACKDATED: i64 = 300;
/// A certificate is due for renewal in the last third of its lifetime.
const DUE_FRACTION: i64 = 3;

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
        let public_key = request.public_key.as_bytes().try_into().map_err(|_| {
            Error::InvalidPublicKey { reason: "must be an X25519 key of 32 bytes".to_owned() }
        })?;
        let shared = Arc::clone(&self.shared);
        let decided = self
            .write(Enrolling { shared, caller, origin, request, public_key, decided: None })
            .await?;
        let view = self.view(decided.network, decided.revision).await?;
        decided.render(&view)
    }
}

/// What the transaction settled.
struct Settled {
    network: nebula_alloc::NetworkId,
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
    principal: Principal,
    network: Network,
    issuer: Arc<Issuer<SigningKey>>,
    validity: Validity,
    decision: Decision,
}

enum Decision {
    /// What it has still serves.
    Unchanged { node: Node, certificate: Certificate },
    /// A device that never had a node.
    New(Node),
    /// A device that had one and released it.
    Returned { node: Node, predecessor: NodeId },
    /// A node that changes.
    Changed { node: Node, kind: ChangeKind },
}

/// What follows from a change.
struct ChangeKind {
    /// The certificate it has, where it is to keep it.
    keeps: Option<Certificate>,
    /// Its former certificates say more than it may have now.
    blocks_former: bool,
    /// Other nodes' bundles name it, or no longer do.
    moves_revision: bool,
}

impl Step for Enrolling {
    type Output = Settled;
    type Error = Error;

    /// The device alone: `project` may be left out, and one device means one node in a network.
    fn subject(&self) -> Subject {
        Subject::Key(self.request.device.as_str().into())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Vec<lease::Request>, Error> {
        self.decided = None;
        let project = self.request.project.as_ref();
        let (principal, network) =
            authorize(tx, &self.shared.secrets, &self.caller, Action::Register, project)?;
        let issuer = self.shared.authorities.issuer(tx, &self.shared.secrets, &network)?;
        let validity = validity(&issuer, now)?;
        let decision = match node::by_device(tx, network.id, self.request.device.as_str())? {
            None => {
                let node = self.new_node(tx, &network)?;
                match node::last_released(tx, network.id, &node.device)? {
                    Some(predecessor) => Decision::Returned { node, predecessor },
                    None => Decision::New(node),
                }
            }
            Some(node) => self.change(tx, &network, node, validity, now)?,
        };
        let wishes = match &decision {
            Decision::New(node)
            | Decision::Changed { node, kind: ChangeKind { keeps: None, .. } } => {
                wishes(&network, node, validity).collect()
            }
            // It keeps what it has, or asks once it has taken over what its predecessor had.
            Decision::Unchanged { .. } | Decision::Changed { .. } | Decision::Returned { .. } => {
                vec![]
            }
        };
        self.decided = Some(Decided { principal, network, issuer, validity, decision });
        Ok(wishes)
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        leases: &[Lease],
    ) -> Result<Settled, Error> {
        let Decided { principal, network, issuer, validity, decision } =
            self.decided.take().ok_or_else(|| Error::unavailable("written before planned"))?;
        let mut revision = network.revision;
        let mut leases = leases.to_vec();
        if let Decision::Returned { node, predecessor } = &decision {
            lease::take_over(tx, network.id, predecessor.owner(), node.id.owner())?;
            for wish in wishes(&network, node, validity) {
                leases.push(lease::allocate(tx, now, &wish)?);
            }
        }
        let issue = |tx: &mut dyn Transaction, node: &Node, leases: &[Lease]| {
            issue(
                tx,
                &network,
                &issuer,
                node,
                self.request.public_key.clone(),
                leases,
                validity,
                now,
            )
        };
        let (kind, node, certificate) = match decision {
            Decision::Unchanged { node, certificate } => {
                let certificate = Certified::Known(certificate);
                return Ok(settle(network, revision, node, certificate));
            }
            Decision::New(node) | Decision::Returned { node, .. } => {
                node::insert(tx, &node, now)?;
                let certificate = Certified::New(issue(tx, &node, &leases)?);
                if node.lighthouse.is_some() {
                    revision = network::move_revision(tx, network.id, now)?;
                }
                ("node.enrolled", node, certificate)
            }
            Decision::Changed { node, kind } => {
                if kind.moves_revision || kind.blocks_former {
                    revision = network::move_revision(tx, network.id, now)?;
                }
                if kind.blocks_former {
                    for former in certificate::unexpired(tx, node.id, now)? {
                        blocklist::insert(
                            tx,
                            network.id,
                            &former.fingerprint,
                            former.not_after,
                            revision,
                        )?;
                    }
                }
                node::update(tx, &node)?;
                let certificate = match kind.keeps {
                    Some(certificate) => Certified::Known(certificate),
                    None => {
                        certificate::supersede(tx, node.id)?;
                        Certified::New(issue(tx, &node, &leases)?)
                    }
                };
                ("node.changed", node, certificate)
            }
        };
        let entry = Entry {
            network: Some(network.id),
            address: leases.first().map(|lease| lease.address),
            detail: match &certificate {
                Certified::New(new) => Some(new.certificate().fingerprint().to_string()),
                Certified::Known(_) => None,
            },
            ..Entry::new(kind, node.id.as_bytes())
        };
        self.origin.record(tx, now, principal.actor(), entry)?;
        Ok(settle(network, revision, node, certificate))
    }
}

/// An address of each family that the network has.
fn wishes(
    network: &Network,
    node: &Node,
    validity: Validity,
) -> impl Iterator<Item = lease::Request> {
    network.families().map(move |family| lease::Request {
        network: network.id,
        owner: node.id.owner(),
        family,
        address: None,
        hold_until: validity.not_after,
        until: None,
    })
}

fn settle(network: Network, revision: Revision, node: Node, certificate: Certified) -> Settled {
    Settled { network: network.id, project: network.name, revision, node, certificate }
}

impl Enrolling {
    fn new_node(&self, tx: &mut dyn Transaction, network: &Network) -> Result<Node, Error> {
        let node = Node {
            id: NodeId::new(),
            network: network.id,
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
        };
        self.check_name(tx, &node)?;
        self.check_public_key(tx, &node)?;
        Ok(node)
    }

    /// What a registration means for the node that its device already has.
    fn change(
        &self,
        tx: &mut dyn Transaction,
        network: &Network,
        former: Node,
        validity: Validity,
        now: i64,
    ) -> Result<Decision, Error> {
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
        let mut node = Node {
            name: self.request.name.clone().into(),
            public_key: self.public_key,
            ..former.clone()
        };
        if let Change::Set(groups) = &self.request.groups {
            node.groups = groups.as_slice().to_vec();
        }
        if let Change::Set(lighthouse) = &self.request.lighthouse {
            node.lighthouse.clone_from(lighthouse);
        }
        if node.name != former.name {
            self.check_name(tx, &node)?;
        }
        if node.public_key != former.public_key {
            self.check_public_key(tx, &node)?;
        }

        let current = certificate::current(tx, node.id)?
            .ok_or_else(|| damaged("ledger: a node without certificate"))?;
        let same_groups = same_set(&node.groups, &former.groups);
        let same_certificate = node.name == former.name
            && same_groups
            && node.public_key == former.public_key
            && !is_due(&current, validity, now);
        let same_lighthouse = node.lighthouse == former.lighthouse;
        if same_certificate && same_lighthouse {
            return Ok(Decision::Unchanged { node: former, certificate: current });
        }
        if same_groups {
            node.groups.clone_from(&former.groups);
        }
        node.generation = former.generation.next();
        let kind = ChangeKind {
            blocks_former: node.name != former.name
                || node.public_key != former.public_key
                || former.groups.iter().any(|group| !node.groups.contains(group)),
            moves_revision: !same_lighthouse
                || node.lighthouse.is_some()
                    && !same_certificate
                    && gains_first_address(network, &current),
            keeps: same_certificate.then_some(current),
        };
        Ok(Decision::Changed { node, kind })
    }

    fn check_name(&self, tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
        match node::by_name(tx, node.network, &node.name)? {
            Some(holder) if holder != node.id => Err(Error::conflict(format!(
                "deviceName: another device of the network is called {:?}",
                node.name
            ))),
            _ => Ok(()),
        }
    }

    fn check_public_key(&self, tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
        match node::by_public_key(tx, node.network, &node.public_key)? {
            Some(holder) if holder != node.id => Err(Error::conflict(
                "publicKey: another device of the network has this key; make a new pair on this device",
            )),
            _ => Ok(()),
        }
    }
}

fn same_set(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|group| other.contains(group))
}

/// The address that other nodes know a lighthouse by is its first, IPv4 before IPv6. It changes
/// when a network of IPv6 alone was given an IPv4 prefix.
fn gains_first_address(network: &Network, current: &Certificate) -> bool {
    let had_v4 = current.unverified_details().networks().iter().any(|net| net.addr().is_ipv4());
    network.prefix(Family::V4).is_some() && !had_v4
}

/// How long a certificate issued now would be valid.
fn validity(issuer: &Issuer<SigningKey>, now: i64) -> Result<Validity, Error> {
    let ca = issuer.certificate().unverified_details();
    let validity = Validity {
        not_before: now.saturating_sub(BACKDATED).max(ca.not_before()),
        not_after: now.saturating_add(LIFETIME).min(ca.not_after()),
    };
    if now < validity.not_before || validity.not_after <= now {
        return Err(Error::unavailable("the network's CA is expired or not yet valid"));
    }
    Ok(validity)
}

/// Whether a certificate is near its end, and a new one would end later.
fn is_due(current: &Certificate, renewed: Validity, now: i64) -> bool {
    let details = current.unverified_details();
    let lifetime = details.not_after().saturating_sub(details.not_before());
    let left = details.not_after().saturating_sub(now);
    left < lifetime / DUE_FRACTION && renewed.not_after > details.not_after()
}

/// Issues a certificate that the ledger has never seen, and enters it there.
#[expect(clippy::too_many_arguments, reason = "each is a fact of its own, and there is one caller")]
fn issue(
    tx: &mut dyn Transaction,
    network: &Network,
    issuer: &Issuer<SigningKey>,
    node: &Node,
    public_key: PublicKey,
    leases: &[Lease],
    validity: Validity,
    now: i64,
) -> Result<VerifiedCertificate, Error> {
    let networks = leases
        .iter()
        .map(|lease| with_prefix(network, lease.address))
        .collect::<Result<Vec<_>, _>>()?;
    let mut not_after = validity.not_after;
    loop {
        let validity = Validity { not_after, ..validity };
        let host = HostParameters::new(&node.name, networks.clone(), public_key.clone(), validity)
            .groups(node.groups.iter().map(String::as_str));
        let verified = issuer
            .issue(network.version, &host)
            .map_err(|error| Error::invalid("registration", error.to_string()))?;
        let fingerprint = verified.certificate().fingerprint();
        // Ed25519 is deterministic: the same within one second would be the same certificate, and
        // a fingerprint that was once blocked stays blocked.
        if certificate::is_known(tx, &fingerprint)? {
            not_after -= 1;
            continue;
        }
        let issued = Issued {
            network: network.id,
            node: node.id,
            issuer: network.active_ca,
            certificate: verified.certificate().clone(),
        };
        certificate::insert(tx, &issued, now)?;
        return Ok(verified);
    }
}

/// An address with the prefix length of the network: with /32 no two nodes could talk.
fn with_prefix(network: &Network, address: IpAddr) -> Result<IpNet, Error> {
    let prefix =
        network.prefix(Family::of(address)).ok_or_else(|| damaged("lease outside the prefix"))?;
    IpNet::new(address, prefix.prefix_len()).map_err(|_| damaged("prefix length"))
}
