//! What a change of a node means for its certificates and for the other nodes, whoever asks for
//! it: its device, an operator, or the node itself.

use std::collections::BTreeSet;

use nebula_alloc::lease::Lease;
use nebula_alloc::store::Transaction;
use nebula_pki::{Certificate, Fingerprint, VerifiedCertificate};
use serde_json::{Value, json};

use super::audit::Author;
use super::issuance::{Ahead, Issue, Readiness};
use super::pending::Issuing;
use super::revocation::{Moved, block_certificates};
use super::terms::Terms;
use crate::Error;
use crate::store::certificate::{self, Reason};
use crate::store::former_key;
use crate::store::network::{self, Revision};
use crate::store::node::{self, Node};

/// How long a node that has another key may go on with its former certificates, in seconds, unless
/// it reports the new ones before.
pub(super) const BLOCKED_AFTER: i64 = 3600;

/// What follows from a change of a node.
pub(super) struct Update {
    /// The certificates it has, where it is to keep them.
    pub(super) keeps: Option<Vec<Certificate>>,
    /// Why it gets others, else.
    pub(super) reason: Reason,
    /// Its former certificates say more than it may have now.
    pub(super) blocks_former: bool,
    /// Its former certificates are blocked once it reports the new ones, at the latest after
    /// [`BLOCKED_AFTER`].
    pub(super) blocks_former_later: bool,
    /// Other nodes' bundles name it, or no longer do, or name it otherwise.
    pub(super) moves_revision: bool,
    /// Its node token is of no use any more.
    pub(super) ends_token: bool,
    /// What is different, for the audit log.
    pub(super) changed: Vec<&'static str>,
}

impl Update {
    /// What leads from one to the other, or the current certificates where nothing does. An active
    /// node has none where they expired.
    pub(super) fn between(
        former: &Node,
        node: &Node,
        current: Vec<Certificate>,
        terms: &Terms,
        renewal: Renewal,
    ) -> Result<Self, Vec<Certificate>> {
        let (had, has) = (set(&former.groups), set(&node.groups));
        let mut changed = vec![];
        let mut note = |what, differs: bool| {
            changed.extend(differs.then_some(what));
            differs
        };
        let name = note("name", former.name != node.name);
        let key = note("public_key", former.public_key != node.public_key);
        let groups = note("groups", had != has);
        let renews =
            renewal == Renewal::WhenDue && (current.is_empty() || terms.is_due(node, &current));
        let renewal = note("renewal", renews);
        let lighthouse = note("lighthouse", former.lighthouse != node.lighthouse);
        let relay = note("relay", former.relay != node.relay);
        note("mtu", former.mtu != node.mtu);
        note("user", former.user != node.user);
        let ends_token = note("node_token", former.is_native() && !node.is_native());
        if changed.is_empty() {
            return Err(current);
        }
        let issues = name || key || groups || renewal;
        // A network that was given a second family gives its nodes an address of it with their
        // next certificates.
        let addresses = current
            .iter()
            .map(|certificate| certificate.unverified_details().networks().len())
            .max();
        let gains_address = addresses.unwrap_or_default() < terms.network.families().count();
        let named = node.lighthouse.is_some() || node.relay;
        Ok(Self {
            blocks_former: name || key || !had.is_subset(&has),
            blocks_former_later: false,
            moves_revision: lighthouse || relay || issues && named && gains_address,
            keeps: (!issues).then_some(current),
            reason: match (key, name || groups) {
                (true, _) => Reason::Rekeyed,
                (false, true) => Reason::Changed,
                (false, false) => Reason::Renewed,
            },
            ends_token,
            changed,
        })
    }

    /// What follows from another address: whatever names the former one is blocked at once, so that
    /// the address can be somebody else's one day.
    pub(super) fn of_address(node: &Node) -> Self {
        Self {
            keeps: None,
            reason: Reason::Changed,
            blocks_former: true,
            blocks_former_later: false,
            moves_revision: node.lighthouse.is_some() || node.relay,
            ends_token: false,
            changed: vec!["address"],
        }
    }

    /// As the node itself changes: where it has another key, it goes on with its former certificates
    /// until it has the new ones.
    pub(super) fn by_its_node(self) -> Self {
        let blocks_former_later = self.blocks_former;
        Self { blocks_former: false, blocks_former_later, ..self }
    }

    /// Writes the changed node, whose generation the caller has moved, with what follows from that.
    /// As long as its certificates are not signed, nothing else changes. The revision moves at most once
    /// for all that have this `moved`.
    pub(super) fn apply(
        self,
        tx: &mut dyn Transaction,
        terms: &Terms,
        node: &Node,
        writing: Writing<'_>,
        moved: &mut Option<Revision>,
    ) -> Result<Issuing<Changed>, Error> {
        let network = &terms.network;
        let by_itself = writing.author.is_node(node.id);
        let ready = match self.keeps {
            Some(_) => None,
            None => match terms.ready(tx, writing.issue(node, self.reason))? {
                Readiness::Ready(ready) => Some(ready),
                Readiness::Pending(pending) => return Ok(Issuing::Pending(pending)),
            },
        };
        let mut blocked = vec![];
        let moves = self.moves_revision || self.blocks_former;
        let part = Moved::once(tx, terms.now, network, moves, moved)?;
        let revision = part.revision;
        if self.blocks_former {
            blocked = block_certificates(tx, terms.now, node, revision)?;
        }
        if self.blocks_former_later {
            certificate::block_later(tx, node.id, terms.now.saturating_add(BLOCKED_AFTER))?;
        }
        if self.reason == Reason::Rekeyed {
            former_key::note(tx, node.id, by_itself)?;
        }
        node::update(tx, node)?;
        if self.ends_token {
            node::end_token(tx, node.id)?;
        }
        if !by_itself {
            network::note_move(tx, network.id)?;
        }
        let certificates = match ready {
            Some(ready) => Certified::New(terms.enter(tx, ready)?),
            None => Certified::Known(self.keeps.unwrap_or_default()),
        };
        let detail = json!({
            "changed": self.changed,
            "blocked": blocked.iter().map(Fingerprint::to_string).collect::<Vec<_>>(),
            "fingerprints": certificates.new_fingerprints(),
            "generation": node.generation.0,
            (part.field()): moves.then_some(revision.0),
        });
        Ok(Issuing::Done(Changed { certificates, revision, detail }))
    }
}

/// Whether a change renews what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// The node is asking for what it has.
    WhenDue,
    /// Somebody else changes it, and it renews when it likes.
    Left,
}

/// Who writes, for which leases, with what was signed ahead.
pub(super) struct Writing<'a> {
    pub(super) author: &'a Author,
    pub(super) leases: &'a [Lease],
    pub(super) signed: Option<Ahead>,
}

impl<'a> Writing<'a> {
    /// What is to be issued then.
    pub(super) fn issue(self, node: &'a Node, reason: Reason) -> Issue<'a> {
        Issue { node, leases: self.leases, reason, actor: self.author.name(), signed: self.signed }
    }
}

/// A node's certificates.
pub(super) enum Certified {
    /// Issued in this transaction.
    New(Vec<VerifiedCertificate>),
    /// Read from the ledger.
    Known(Vec<Certificate>),
}

impl Certified {
    /// The fingerprints of those that are new, for the audit log.
    pub(super) fn new_fingerprints(&self) -> Vec<String> {
        let fingerprint =
            |issued: &VerifiedCertificate| issued.certificate().fingerprint().to_string();
        match self {
            Self::New(issued) => issued.iter().map(fingerprint).collect(),
            Self::Known(_) => vec![],
        }
    }
}

/// What came of a change.
pub(super) struct Changed {
    pub(super) certificates: Certified,
    /// The network's, which may have moved.
    pub(super) revision: Revision,
    /// For its event.
    pub(super) detail: Value,
}

/// Whether two lists name the same groups.
pub(super) fn same_groups(one: &[String], other: &[String]) -> bool {
    set(one) == set(other)
}

fn set(groups: &[String]) -> BTreeSet<&str> {
    groups.iter().map(String::as_str).collect()
}
