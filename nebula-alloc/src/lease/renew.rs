//! Moving the end of leases.

use super::{Lease, LeaseState, by_owner, record};
use crate::address::octets;
use crate::event::{Actor, kind};
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId};

/// With what was read: meanwhile it may have ended and the address be another's, or its ends have
/// moved.
pub(crate) const PROLONG: &str = "UPDATE alloc_lease SET hold_until = $1, until = $2, number = $3
     WHERE network = $4 AND address = $5 AND state = 1 AND owner = $6 AND hold_until = $7
         AND until IS NOT DISTINCT FROM $8 AND number = $9";

/// Lets all active leases of an owner end at `until`, or never. Unlike asking again it can also
/// bring the end nearer. Answers them as they are then, in address order.
///
/// # Errors
///
/// [`Error::NoLease`] when the owner has none: it has to ask for one.
pub fn renew(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    owner: OwnerId,
    until: Option<i64>,
) -> Result<Vec<Lease>, Error> {
    actor.admit(tx, now)?;
    active(tx, network, owner)?
        .into_iter()
        .map(|lease| prolong(tx, now, actor, lease, Lease { until, ..lease }))
        .collect()
}

/// An owner lives: those of its leases that end by themselves last at least `seconds` from now.
/// Their end is moved only when more than a quarter of that has passed, so that a heart may beat
/// often. Answers them as they are then, in address order.
///
/// # Errors
///
/// As [`renew`].
pub fn heartbeat(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    owner: OwnerId,
    seconds: i64,
) -> Result<Vec<Lease>, Error> {
    actor.admit(tx, now)?;
    let seconds = seconds.max(0);
    let due = now.saturating_add(seconds - seconds / 4);
    let until = now.saturating_add(seconds);
    active(tx, network, owner)?
        .into_iter()
        .map(|lease| match lease.until {
            Some(end) if end <= due => {
                prolong(tx, now, actor, lease, Lease { until: Some(until), ..lease })
            }
            _ => Ok(lease),
        })
        .collect()
}

fn active(
    tx: &mut dyn Transaction,
    network: NetworkId,
    owner: OwnerId,
) -> Result<Vec<Lease>, Error> {
    let mut leases = by_owner(tx, network, owner)?;
    leases.retain(|lease| lease.state == LeaseState::Active);
    if leases.is_empty() {
        return Err(Error::NoLease { network, owner });
    }
    Ok(leases)
}

/// Stores another `hold_until`, `until` and `number`, if they are others.
pub(super) fn prolong(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    held: Lease,
    lease: Lease,
) -> Result<Lease, Error> {
    if lease == held {
        return Ok(lease);
    }
    tx.queue_one(
        PROLONG,
        &[
            lease.hold_until.into(),
            lease.until.into(),
            lease.number.into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
            lease.owner.as_bytes().into(),
            held.hold_until.into(),
            held.until.into(),
            held.number.into(),
        ],
    )?;
    record(tx, now, actor, kind::RENEWED, &lease, None)?;
    Ok(lease)
}
