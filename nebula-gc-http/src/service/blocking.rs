//! Blocking what a node's newer certificate with another key has replaced: once the node reports the
//! newer one, or after an hour.

use nebula_alloc::store::Transaction;
use nebula_pki::Fingerprint;
use serde_json::json;

use super::audit::{Author, Entry};
use crate::Error;
use crate::service::revision::move_revision;
use crate::store::network::Revision;
use crate::store::node::Node;
use crate::store::{blocklist, certificate};

/// Blocks a node's certificates that wait for it, and answers the network's new revision, where
/// there was one to block.
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
