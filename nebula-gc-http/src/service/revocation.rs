//! Taking a node's certificates away: when it is released or kept out, and when it has another key.

use nebula_alloc::lease;
use nebula_alloc::store::Transaction;
use nebula_pki::Fingerprint;
use serde_json::json;

use super::audit::{Author, Entry, addresses};
use super::reserved_device;
use crate::Error;
use crate::service::revision::move_revision;
use crate::store::certificate::Blockable;
use crate::store::network::{Network, Revision};
use crate::store::node::{self, Node};
use crate::store::{blocklist, certificate};

/// A move of the revision, of which one change or several in one transaction are part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    /// The revision after it.
    pub(super) revision: Revision,
    /// Whether this change is the one whose event tells of the move; those of the others say with which
    /// revision they came.
    pub(super) is_told: bool,
}

impl Moved {
    /// Moves the revision where a change needs it and none that shares this `moved` did before.
    pub(super) fn once(
        tx: &mut dyn Transaction,
        now: i64,
        network: &Network,
        is_needed: bool,
        moved: &mut Option<Revision>,
    ) -> Result<Self, Error> {
        let is_told = moved.is_none();
        let revision = match *moved {
            Some(revision) => revision,
            None if is_needed => *moved.insert(move_revision(tx, network.id, now)?),
            None => network.revision,
        };
        Ok(Self { revision, is_told })
    }

    /// The field of an event's detail that has the revision.
    pub(super) fn field(self) -> &'static str {
        if self.is_told { "revision" } else { "with_revision" }
    }
}

/// Lets an active node go, with a move of the revision that the caller has made.
pub(super) fn release_node(
    tx: &mut dyn Transaction,
    now: i64,
    author: &Author,
    network: &Network,
    (node, moved): (&Node, Moved),
    reason: Option<&str>,
) -> Result<(), Error> {
    let blocked = revoke_certificates(tx, now, node, moved.revision)?;
    node::release(tx, node, reason, now)?;
    let (actor, owner, hold) = (author.actor(), node.id.owner(), network.hold_seconds);
    let leases = lease::release(tx, now, &actor, network.id, owner, hold)?;
    if network.hold_alone {
        // Whatever certificates name them.
        lease::shorten_hold(tx, now, &actor, network.id, owner, hold)?;
    }
    reserved_device::keep(tx, now, &actor, node)?;
    let entry = Entry {
        network: Some(network.id),
        address: leases.first().map(|lease| lease.address),
        detail: json!({
            "addresses": addresses(&leases),
            "blocked": blocked.iter().map(Fingerprint::to_string).collect::<Vec<_>>(),
            "reason": reason,
            (moved.field()): moved.revision.0,
        }),
        ..Entry::new("node.released", node.id.as_bytes())
    };
    author.record(tx, now, entry)
}

/// Takes a node's certificates away, and what it waits for, and blocks them.
pub(super) fn revoke_certificates(
    tx: &mut dyn Transaction,
    now: i64,
    node: &Node,
    revision: Revision,
) -> Result<Vec<Fingerprint>, Error> {
    let revoked = certificate::revoke(tx, node.id, now)?;
    block(tx, node, revoked, revision)
}

/// Takes a node's certificates away, and blocks them; what it waits for, it gets.
pub(super) fn block_certificates(
    tx: &mut dyn Transaction,
    now: i64,
    node: &Node,
    revision: Revision,
) -> Result<Vec<Fingerprint>, Error> {
    let revoked = certificate::revoke_signed(tx, node.id, now)?;
    block(tx, node, revoked, revision)
}

/// Blocks what a node's newer certificate with another key has replaced, once the node reports the
/// newer one, or after an hour. Answers the network's new revision, where there was one to block.
pub(super) fn block_replaced(
    tx: &mut dyn Transaction,
    now: i64,
    author: &Author,
    node: &Node,
) -> Result<Option<Revision>, Error> {
    let replaced = certificate::to_block(tx, node.id)?;
    if replaced.is_empty() {
        return Ok(None);
    }
    certificate::settle_blocked(tx, node.id)?;
    // Another change may have blocked them meanwhile.
    let open: Vec<_> =
        replaced.iter().filter(|(_, is_blocked)| !is_blocked).map(|(former, _)| former).collect();
    if open.is_empty() {
        return Ok(None);
    }
    let revision = move_revision(tx, node.network, now)?;
    for former in &open {
        blocklist::insert(tx, node.network, &former.fingerprint, former.not_after, revision)?;
    }
    let blocked = open.iter().map(|former| &former.fingerprint).map(Fingerprint::to_string);
    let entry = Entry {
        network: Some(node.network),
        detail: json!({"blocked": blocked.collect::<Vec<_>>(), "revision": revision.0}),
        ..Entry::new("certificate.blocked", node.id.as_bytes())
    };
    author.record(tx, now, entry)?;
    Ok(Some(revision))
}

fn block(
    tx: &mut dyn Transaction,
    node: &Node,
    former: Vec<Blockable>,
    revision: Revision,
) -> Result<Vec<Fingerprint>, Error> {
    for Blockable { fingerprint, not_after } in &former {
        blocklist::insert(tx, node.network, fingerprint, *not_after, revision)?;
    }
    Ok(former.into_iter().map(|certificate| certificate.fingerprint).collect())
}
