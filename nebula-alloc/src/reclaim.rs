//! Returning what has ended: leases past their end into quarantine, quarantines past theirs to the
//! free intervals. Each call is a bounded step that any process may run.

use crate::address::octets;
use crate::event::{Actor, kind};
use crate::interval::limit;
use crate::lease::{self, Hold, Lease, Reason, columns, quarantine, read};
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, NetworkId, PoolId, interval, pool, reservation};

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

/// Makes addresses free whose quarantine has ended, at most `limit` of them, in all networks; those
/// that are reserved stay so. Answers how many. Free addresses that an instance held which was not
/// seen for a while return to everyone, too.
///
/// # Errors
///
/// The engine's.
pub fn reclaim(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    limit: usize,
) -> Result<u64, Error> {
    actor.check()?;
    interval::let_go(tx, now, limit)?;
    let rows = tx.query_skip_locked(ENDED, &[now.into(), self::limit(limit).into()])?;
    free(tx, now, actor, &rows)
}

/// Whether [`expire`] would find a lease. Only reads.
///
/// # Errors
///
/// The engine's.
pub fn any_ended(tx: &mut dyn Transaction, now: i64, network: NetworkId) -> Result<bool, Error> {
    for space in pool::spaces(tx, network)? {
        if !tx.query(EXPIRED, &[space.as_bytes().into(), now.into(), 1.into()])?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
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
    actor: &Actor<'_>,
    network: NetworkId,
    hold_seconds: i64,
    limit: usize,
) -> Result<Vec<Lease>, Error> {
    actor.check()?;
    let hold = Hold { seconds: hold_seconds, reason: Reason::Ended };
    let mut expired = Vec::new();
    for space in pool::spaces(tx, network)? {
        let left = limit.saturating_sub(expired.len());
        if left == 0 {
            break;
        }
        let params = [space.as_bytes().into(), now.into(), self::limit(left).into()];
        for row in &tx.query_skip_locked(EXPIRED, &params)? {
            expired.push(quarantine(tx, now, actor, read(row)?, hold, kind::EXPIRED)?);
        }
    }
    Ok(expired)
}

/// [`reclaim`] for one pool.
pub(crate) fn of_pool(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    pool: PoolId,
    limit: usize,
) -> Result<u64, Error> {
    let params = [pool.as_bytes().into(), now.into(), self::limit(limit).into()];
    let rows = tx.query_skip_locked(ENDED_OF_POOL, &params)?;
    free(tx, now, actor, &rows)
}

fn free(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    ended: &[Row],
) -> Result<u64, Error> {
    let ended: Vec<Lease> = ended.iter().map(read).collect::<Result<_, _>>()?;
    for Lease { network, address, .. } in &ended {
        let octets = octets(*address);
        tx.queue_one(DELETE, &[network.as_bytes().into(), octets.as_slice().into()])?;
    }
    let places: Vec<_> = ended.iter().map(|lease| (lease.network, lease.address)).collect();
    let kept = reservation::are_kept(tx, &places)?;
    let free: Vec<_> = ended
        .iter()
        .zip(kept)
        .filter(|(_, kept)| !kept)
        .map(|(lease, _)| (lease.pool, AddressRange::single(lease.address)))
        .collect();
    interval::give_back(tx, &free)?;
    for lease in &ended {
        lease::record(tx, now, actor, kind::FREED, lease, None)?;
    }
    Ok(u64::try_from(ended.len()).unwrap_or(u64::MAX))
}
