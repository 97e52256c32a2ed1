//! Moving a network's revision, which every change of what its nodes' bundles share does once.

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;

use crate::Error;
use crate::store::blocklist;
use crate::store::network::{self, Revision};

/// How long a certificate stays blocked after its end, in seconds: by as much a node's clock may lag,
/// and the server's be ahead without being noticed.
const KEPT_BLOCKED: i64 = 3_600;

/// Moves the revision, once per change, and lets expired entries of the blocklist go with it.
pub(super) fn move_revision(
    tx: &mut dyn Transaction,
    id: NetworkId,
    now: i64,
) -> Result<Revision, Error> {
    blocklist::remove_expired(tx, id, now.saturating_sub(KEPT_BLOCKED))?;
    network::increment_revision(tx, id)
}
