//! Returning what has ended: leases past their end into quarantine, quarantines past theirs to the
//! free intervals. Each call is a bounded step that any process may run.

use crate::address::octets;
use crate::interval::limit;
use crate::lease::{Lease, columns, quarantine, read};
use crate::store::Transaction;
use crate::{Error, NetworkId, PoolId, interval, pool};

pub(crate) const ENDED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE state = 2 AND hold_until <= $1 ORDER BY hold_until LIMIT $2"
);
pub(crate) const ENDED_OF_POOL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE pool = $1 AND state = 2 AND hold_until <= $2 ORDER BY hold_until LIMIT $3"
);
pub(crate) const EXPIRED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE pool = $1 AND state = 1 AND until IS NOT NULL AND until <= $2 ORDER BY until LIMIT $3"
);
pub(crate) const DELETE: &str =
    "DELETE FROM alloc_lease WHERE network = $1 AND address = $2 AND state = 2";

/// Makes addresses free whose quarantine has ended, at most `limit` of them, in all networks.
/// Answers how many.
///
/// # Errors
///
/// The engine's.
pub fn reclaim(tx: &mut dyn Transaction, now: i64, limit: usize) -> Result<u64, Error> {
    let rows = tx.query(ENDED, &[now.into(), self::limit(limit).into()])?;
    free(tx, &rows.iter().map(read).collect::<Result<Vec<_>, _>>()?)
}

/// Releases leases of one network whose `until` has passed, at most `limit` of them, into a
/// quarantine that ends at the later of their `hold_until` and `now + hold_seconds`. Answers them
/// as they are then.
///
/// # Errors
///
/// The engine's.
pub fn expire(
    tx: &mut dyn Transaction,
    now: i64,
    network: NetworkId,
    hold_seconds: i64,
    limit: usize,
) -> Result<Vec<Lease>, Error> {
    let mut expired = Vec::new();
    for pool in pool::by_network(tx, network)? {
        let left = limit.saturating_sub(expired.len());
        if left == 0 {
            break;
        }
        let params = [pool.id.as_bytes().into(), now.into(), self::limit(left).into()];
        for row in &tx.query(EXPIRED, &params)? {
            expired.push(quarantine(tx, now, read(row)?, hold_seconds)?);
        }
    }
    Ok(expired)
}

/// [`reclaim`] for one pool.
pub(crate) fn of_pool(
    tx: &mut dyn Transaction,
    now: i64,
    pool: PoolId,
    limit: usize,
) -> Result<u64, Error> {
    let rows =
        tx.query(ENDED_OF_POOL, &[pool.as_bytes().into(), now.into(), self::limit(limit).into()])?;
    free(tx, &rows.iter().map(read).collect::<Result<Vec<_>, _>>()?)
}

fn free(tx: &mut dyn Transaction, ended: &[Lease]) -> Result<u64, Error> {
    let mut freed = 0;
    for lease in ended {
        let address = octets(lease.address);
        let key = [lease.network.as_bytes().into(), address.as_slice().into()];
        if tx.execute(DELETE, &key)? == 1 {
            interval::give_back(tx, lease.pool, lease.address)?;
            freed += 1;
        }
    }
    Ok(freed)
}
