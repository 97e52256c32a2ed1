//! Leaving out of the log what nothing needs any more.

use super::{RESERVED, kind};
use crate::limits::limit;
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId};

pub(crate) const OLD: &str = "SELECT id, at, kind, subject, address, network FROM alloc_event
     WHERE id > $1 AND id < (SELECT max(id) FROM alloc_event) ORDER BY id LIMIT $2";
pub(crate) const RENEWED_AGAIN: &str = "SELECT 1 FROM alloc_event
     WHERE subject = $1 AND subject IS NOT NULL AND id > $2 AND kind = 'lease.renewed'
        AND address = $3 AND network = $4 LIMIT 1";
pub(crate) const NEWEST: &str = "SELECT id FROM alloc_event ORDER BY id DESC LIMIT 1";
pub(crate) const DELETE: &str = "DELETE FROM alloc_event WHERE id = $1";
pub(crate) const OF_OWNER: &str = "SELECT id FROM alloc_event
     WHERE subject = $1 AND subject IS NOT NULL ORDER BY id LIMIT $2";
pub(crate) const HAS_LEASES: &str = "SELECT 1 FROM alloc_lease
     WHERE owner = $1 AND substr(network, 1) = $2 AND state = 1
     UNION ALL SELECT 1 FROM alloc_lease
     WHERE owner = $1 AND substr(network, 1) = $2 AND state = 2 LIMIT 1";

/// How many events of an owner one step forgets: all of them, or none.
const OF_ONE: usize = 1_024;

/// What a step of [`forget`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many events it deleted.
    pub events: u64,
    /// Behind which event the next step goes on; nothing when this was the last.
    pub go_on: Option<i64>,
}

/// Forgets the events before a time (in seconds since the Unix epoch) that the stored leases are not
/// judged by: those of callers, and renewals that the same owner's later ones replace. Looks at `limit`
/// of them, behind the one with the id `behind`. The newest event is never forgotten.
///
/// # Errors
///
/// The engine's.
pub fn forget(
    tx: &mut dyn Transaction,
    before: i64,
    behind: i64,
    limit: usize,
) -> Result<Forgotten, Error> {
    let rows = tx.query(OLD, &[behind.into(), self::limit(limit).into()])?;
    let mut done = Forgotten::default();
    for row in &rows {
        let mut row = row.columns();
        let id = row.integer()?;
        if row.integer()? >= before {
            return Ok(done);
        }
        done.go_on = Some(id);
        let happened = row.text()?;
        let is_replaced = happened == kind::RENEWED && {
            let (owner, address, network) = (row.blob()?, row.blob()?, row.blob()?);
            let later = [owner.into(), id.into(), address.into(), network.into()];
            !tx.query(RENEWED_AGAIN, &later)?.is_empty()
        };
        if is_replaced || !RESERVED.iter().any(|own| happened.starts_with(own)) {
            tx.queue_one(DELETE, &[id.into()])?;
            done.events += 1;
        }
    }
    if rows.len() < limit {
        done.go_on = None;
    }
    Ok(done)
}

/// Whether an owner has any address in a network, in quarantine, too.
///
/// # Errors
///
/// The engine's.
pub fn has_leases(
    tx: &mut dyn Transaction,
    network: NetworkId,
    owner: OwnerId,
) -> Result<bool, Error> {
    Ok(!tx.query(HAS_LEASES, &[owner.as_bytes().into(), network.as_bytes().into()])?.is_empty())
}

/// Forgets all events about an owner that is gone for good and was only in this network. It must not
/// have passed a lease on to another owner whose events stay: the history of that lease begins with
/// this owner's events. Answers whether it did: not if the owner [has leases](has_leases), more than
/// 1,024 events, or the newest event of all.
///
/// # Errors
///
/// The engine's.
pub fn forget_owner(
    tx: &mut dyn Transaction,
    network: NetworkId,
    owner: OwnerId,
) -> Result<bool, Error> {
    if has_leases(tx, network, owner)? {
        return Ok(false);
    }
    let rows = tx.query(OF_OWNER, &[owner.as_bytes().into(), limit(OF_ONE + 1).into()])?;
    let newest = tx.query(NEWEST, &[])?;
    let newest = newest.first().map(|row| row.columns().integer()).transpose()?;
    let ids: Vec<i64> = rows.iter().map(|row| row.columns().integer()).collect::<Result<_, _>>()?;
    if ids.len() > OF_ONE || ids.last().copied() == newest {
        return Ok(ids.is_empty());
    }
    for id in ids {
        tx.queue_one(DELETE, &[id.into()])?;
    }
    Ok(true)
}
