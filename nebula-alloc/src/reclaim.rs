//! Returning what has ended: leases past their end into quarantine, quarantines past theirs to the
//! free intervals. Each call is a bounded step that any process may run.

use crate::address::octets;
use crate::interval::limit;
use crate::lease::{Lease, LeaseState, columns, read};
use crate::store::Transaction;
use crate::{Error, Family, NetworkId, interval};

pub(crate) const ENDED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE state = 2 AND hold_until <= $1 ORDER BY hold_until LIMIT $2"
);
pub(crate) const ENDED_OF: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE network = $1 AND family = $2 AND state = 2 AND hold_until <= $3
     ORDER BY hold_until LIMIT $4"
);
const DELETE: &str = "DELETE FROM alloc_lease WHERE network = $1 AND address = $2 AND state = 2";
const EXPIRED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE network = $1 AND state = 1 AND until IS NOT NULL AND until <= $2
     ORDER BY until LIMIT $3"
);
const EXPIRE: &str = "UPDATE alloc_lease
     SET state = 2, hold_until = $1, released_at = $2, until = NULL
     WHERE network = $3 AND address = $4 AND state = 1";

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
    let rows =
        tx.query(EXPIRED, &[network.as_bytes().into(), now.into(), self::limit(limit).into()])?;
    let mut expired = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut lease = read(row)?;
        lease.state = LeaseState::Quarantined;
        lease.hold_until = lease.hold_until.max(now.saturating_add(hold_seconds.max(0)));
        lease.released_at = Some(now);
        lease.until = None;
        tx.queue(
            EXPIRE,
            &[
                lease.hold_until.into(),
                now.into(),
                network.as_bytes().into(),
                octets(lease.address).as_slice().into(),
            ],
        )?;
        expired.push(lease);
    }
    Ok(expired)
}

/// [`reclaim`] for one network and family.
pub(crate) fn of_network(
    tx: &mut dyn Transaction,
    now: i64,
    network: NetworkId,
    family: Family,
    limit: usize,
) -> Result<u64, Error> {
    let rows = tx.query(
        ENDED_OF,
        &[network.as_bytes().into(), family.number().into(), now.into(), self::limit(limit).into()],
    )?;
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
