//! Release into quarantine, and for how long.

use super::stored::{Lease, LeaseState, Reason};
use super::{by_owner, record};
use crate::address::octets;
use crate::event::{Actor, kind};
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId};

// With what was read: meanwhile the lease may have ended and the address be another's, or what it is
// held for have moved. `released_at` is NULL while a lease is active.
pub(crate) const QUARANTINE: &str = "UPDATE alloc_lease
     SET state = 2, hold_until = $1, released_at = $2, reason = $3, until = NULL
     WHERE network = $4 AND address = $5 AND state = 1 AND owner = $6 AND hold_until = $7
         AND number = $8";
pub(crate) const HOLD: &str = "UPDATE alloc_lease SET hold_until = $1
     WHERE network = $2 AND address = $3 AND owner = $4 AND hold_until = $5
         AND released_at IS NOT DISTINCT FROM $6 AND number = $7";

/// How long a released address stays in quarantine at least, and why it was released. A plain number
/// of seconds converts into one with [`Reason::Released`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// For how many seconds from now; a negative number counts as 0.
    pub seconds: i64,
    /// Why.
    pub reason: Reason,
}

impl From<i64> for Hold {
    fn from(seconds: i64) -> Self {
        Self { seconds, reason: Reason::Released }
    }
}

/// Releases all active leases of an owner into quarantine, which ends at the later of their
/// `hold_until` and `hold` from now. Answers them as they are then, in address order.
///
/// An owner that has none is answered those that it released last, as long as their quarantine
/// lasts: asking again answers the same. But who asks again when the owner has a new lease by then
/// releases that one; [`release_one`](super::release_one) does not.
///
/// # Errors
///
/// The engine's.
pub fn release(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    owner: OwnerId,
    hold: impl Into<Hold>,
) -> Result<Vec<Lease>, Error> {
    actor.admit(tx, now)?;
    let hold = hold.into();
    let (active, mut released): (Vec<_>, Vec<_>) = by_owner(tx, network, owner)?
        .into_iter()
        .partition(|lease| lease.state == LeaseState::Active);
    if active.is_empty() {
        let last = released.iter().map(|lease| lease.released_at).max().flatten();
        released.retain(|lease| lease.released_at == last);
        return Ok(released);
    }
    active
        .into_iter()
        .map(|lease| quarantine(tx, now, actor, lease, hold, kind::RELEASED))
        .collect()
}

/// Moves `hold_until` of all leases of an owner forward, those in quarantine too; never back.
/// Answers how many moved.
///
/// # Errors
///
/// The engine's.
pub fn extend_hold(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    owner: OwnerId,
    hold_until: i64,
) -> Result<u64, Error> {
    actor.admit(tx, now)?;
    let mut moved = 0;
    for lease in by_owner(tx, network, owner)? {
        if lease.hold_until < hold_until {
            set_hold(tx, now, actor, &lease, hold_until)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Ends the quarantines of an owner `hold_seconds` after their release, where they would end later:
/// for a caller who knows that whatever names the addresses is void. Answers how many moved.
///
/// # Errors
///
/// The engine's.
pub fn shorten_hold(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    owner: OwnerId,
    hold_seconds: i64,
) -> Result<u64, Error> {
    actor.admit(tx, now)?;
    let mut moved = 0;
    for lease in by_owner(tx, network, owner)? {
        let Some(released_at) = lease.released_at else { continue };
        let end = released_at.saturating_add(hold_seconds.max(0));
        if lease.hold_until > end {
            set_hold(tx, now, actor, &lease, end)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Ends an active lease.
pub(crate) fn quarantine(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    held: Lease,
    hold: Hold,
    kind: &'static str,
) -> Result<Lease, Error> {
    let lease = Lease {
        state: LeaseState::Quarantined,
        hold_until: held.hold_until.max(now.saturating_add(hold.seconds.max(0))),
        released_at: Some(now),
        reason: Some(hold.reason),
        until: None,
        ..held
    };
    tx.queue_one(
        QUARANTINE,
        &[
            lease.hold_until.into(),
            now.into(),
            hold.reason.number().into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
            lease.owner.as_bytes().into(),
            held.hold_until.into(),
            held.number.into(),
        ],
    )?;
    record(tx, now, actor, kind, &lease, Some(hold.reason.word()))?;
    Ok(lease)
}

/// Moves the time until which an address is held.
pub(crate) fn set_hold(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    lease: &Lease,
    hold_until: i64,
) -> Result<(), Error> {
    tx.queue_one(
        HOLD,
        &[
            hold_until.into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
            lease.owner.as_bytes().into(),
            lease.hold_until.into(),
            lease.released_at.into(),
            lease.number.into(),
        ],
    )?;
    record(tx, now, actor, kind::HELD, &Lease { hold_until, ..*lease }, None)
}
