//! Returning what has ended: leases past their end into quarantine, quarantines past theirs to the
//! free intervals. Each call is a bounded step that any process may run.

use crate::address::octets;
use crate::event::{Actor, kind};
use crate::lease::{self, Hold, Lease, LeaseState, Reason, columns, quarantine, read, set_hold};
use crate::limits::limit;
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, LeaseId, NetworkId, PoolId, interval, reservation};

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
     WHERE state = 1 AND until IS NOT NULL AND released_at IS NULL AND until <= $1
     ORDER BY until LIMIT $2"
);
/// See the schema for the form of `network`, and why this says nothing of `released_at`.
pub(crate) const EXPIRED_OF_NETWORK: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE substr(network, 1) = $1 AND state = 1 AND until IS NOT NULL AND until <= $2
     ORDER BY until LIMIT $3"
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
    actor.admit(tx, now)?;
    interval::let_go(tx, now, limit)?;
    let rows = tx.query_skip_locked(ENDED, &[now.into(), self::limit(limit).into()])?;
    free(tx, now, actor, &rows)
}

/// Ends the quarantine of one address now, whatever it is held for: for a caller who knows that nothing that
/// names it counts any more, or decides so. It is free then, unless it is reserved.
///
/// # Errors
///
/// [`Error::LeaseEnded`] when it is not in quarantine, or no longer this owner's.
pub fn end_quarantine(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    lease: &LeaseId,
) -> Result<(), Error> {
    actor.admit(tx, now)?;
    let held = lease::by_address(tx, lease.network, lease.address)?
        .filter(|held| held.id() == *lease && held.state == LeaseState::Quarantined)
        .ok_or(Error::LeaseEnded { lease: *lease })?;
    let ended = Lease { hold_until: held.hold_until.min(now), ..held };
    if ended != held {
        set_hold(tx, now, actor, &held, ended.hold_until)?;
    }
    free_leases(tx, now, actor, &[ended]).map(drop)
}

/// Whether [`expire`] would find a lease. Only reads.
///
/// # Errors
///
/// The engine's.
pub fn any_ended(tx: &mut dyn Transaction, now: i64, network: NetworkId) -> Result<bool, Error> {
    let params = [network.as_bytes().into(), now.into(), 1.into()];
    Ok(!tx.query(EXPIRED_OF_NETWORK, &params)?.is_empty())
}

/// Releases leases of one network whose `until` has passed, at most `limit` of them, those that ended
/// first, into a quarantine that ends at the later of their `hold_until` and `now + hold_seconds`. Answers them
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
    actor.admit(tx, now)?;
    let params = [network.as_bytes().into(), now.into(), self::limit(limit).into()];
    let rows = tx.query_skip_locked(EXPIRED_OF_NETWORK, &params)?;
    end(tx, now, actor, &rows, |_| hold_seconds)
}

/// [`expire`] for all networks: at most `limit` leases in all, those that ended first. `hold_seconds`
/// tells for each network how long its quarantines last at least.
///
/// # Errors
///
/// The engine's.
pub fn expire_all(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    hold_seconds: impl Fn(NetworkId) -> i64,
    limit: usize,
) -> Result<Vec<Lease>, Error> {
    actor.admit(tx, now)?;
    let rows = tx.query_skip_locked(EXPIRED, &[now.into(), self::limit(limit).into()])?;
    end(tx, now, actor, &rows, hold_seconds)
}

fn end(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    expired: &[Row],
    hold_seconds: impl Fn(NetworkId) -> i64,
) -> Result<Vec<Lease>, Error> {
    let leases = expired.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let one = |lease: Lease| {
        let hold = Hold { seconds: hold_seconds(lease.network), reason: Reason::Ended };
        quarantine(tx, now, actor, lease, hold, kind::EXPIRED)
    };
    leases.into_iter().map(one).collect()
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
    free_leases(tx, now, actor, &ended)
}

fn free_leases(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    ended: &[Lease],
) -> Result<u64, Error> {
    for Lease { network, address, .. } in ended {
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
    for lease in ended {
        lease::record(tx, now, actor, kind::FREED, lease, None)?;
    }
    Ok(u64::try_from(ended.len()).unwrap_or(u64::MAX))
}
