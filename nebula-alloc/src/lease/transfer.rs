//! From one owner to another.

use super::{Lease, LeaseState, by_owner, record};
use crate::address::octets;
use crate::event::{Actor, kind};
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId};

/// With what was read: an owner that came back keeps its address.
pub(crate) const PASS_ON: &str = "UPDATE alloc_lease
     SET owner = $1, number = $2, passed_on_by = $3
     WHERE network = $4 AND address = $5 AND owner = $3 AND released_at IS NOT DISTINCT FROM $6
         AND number = $7";
/// Above all numbers that were given before: each of them was followed by an event.
pub(crate) const NEXT_NUMBER: &str = "SELECT coalesce(max(id), 0) + 1 FROM alloc_event";

/// Gives all leases of an owner to another, active ones and those in quarantine. Answers them as
/// they are then. What still names an address keeps it held as before: certificates of the former
/// owner stay valid until they expire or are blocked.
///
/// Where `from` has no active one and `to` has some from it, this was done before: it answers those.
///
/// # Errors
///
/// [`Error::NoLease`] when `from` has no active one, and `to` none from it; [`Error::OwnerHasAnother`] when `to` has an
/// active one of the same family.
pub fn transfer(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    from: OwnerId,
    to: OwnerId,
) -> Result<Vec<Lease>, Error> {
    actor.admit(tx, now)?;
    let leases = by_owner(tx, network, from)?;
    let active = |lease: &&Lease| lease.state == LeaseState::Active;
    let has_active = leases.iter().any(|lease| active(&lease));
    if has_active && from == to {
        return Ok(leases);
    }
    let mut theirs = by_owner(tx, network, to)?;
    if !has_active {
        theirs.retain(|lease| lease.passed_on_by == Some(from));
        return match theirs.iter().any(|lease| active(&lease)) {
            true => Ok(theirs),
            false => Err(Error::NoLease { network, owner: from }),
        };
    }
    for lease in leases.iter().filter(active) {
        check_room(&theirs, lease, to)?;
    }
    let number = next_number(tx)?;
    leases.into_iter().map(|lease| pass_on(tx, now, actor, lease, to, number)).collect()
}

/// That an owner with these leases may have this one, too.
pub(super) fn check_room(theirs: &[Lease], lease: &Lease, to: OwnerId) -> Result<(), Error> {
    let in_the_way =
        |one: &&Lease| one.state == LeaseState::Active && one.family() == lease.family();
    match theirs.iter().find(in_the_way) {
        Some(other) => {
            let (network, held, asked) = (lease.network, other.address, lease.address);
            Err(Error::OwnerHasAnother { network, owner: to, held, asked })
        }
        None => Ok(()),
    }
}

/// The number of a lease that begins now.
pub(super) fn next_number(tx: &mut dyn Transaction) -> Result<i64, Error> {
    tx.query(NEXT_NUMBER, &[])?.first().map_or(Ok(1), |row| row.columns().integer())
}

/// Gives the leases that `from` has in quarantine to `to`, so that `to` gets the old address when
/// it asks. Answers how many. Not to be confused with [`import::take_over`](crate::import::take_over),
/// for addresses that were assigned elsewhere.
///
/// # Errors
///
/// The engine's.
pub fn take_over(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    from: OwnerId,
    to: OwnerId,
) -> Result<u64, Error> {
    actor.admit(tx, now)?;
    let mut moved = 0;
    for lease in by_owner(tx, network, from)? {
        if lease.state == LeaseState::Quarantined {
            // It begins when `to` asks for it, under a number of its own.
            pass_on(tx, now, actor, lease, to, lease.number)?;
            moved += 1;
        }
    }
    Ok(moved)
}

pub(super) fn pass_on(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    lease: Lease,
    to: OwnerId,
    number: i64,
) -> Result<Lease, Error> {
    tx.queue_one(
        PASS_ON,
        &[
            to.as_bytes().into(),
            number.into(),
            lease.owner.as_bytes().into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
            lease.released_at.into(),
            lease.number.into(),
        ],
    )?;
    let detail = format!("from {}", lease.owner);
    let lease = Lease { owner: to, number, passed_on_by: Some(lease.owner), ..lease };
    record(tx, now, actor, kind::TRANSFERRED, &lease, Some(&detail))?;
    Ok(lease)
}
