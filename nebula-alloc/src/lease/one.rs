//! Operations on one lease that is named: a request that comes late, or twice, finds no later lease
//! of the same owner.

use super::hold::{Hold, quarantine};
use super::renew::prolong;
use super::transfer::{check_room, next_number, pass_on};
use super::{Lease, LeaseState, by_owner};
use crate::event::{Actor, kind};
use crate::store::Transaction;
use crate::{Error, LeaseId, OwnerId};

/// As [`release`](super::release), of this lease only. One that is in quarantine already is answered
/// as it is.
///
/// # Errors
///
/// [`Error::LeaseEnded`] when it is no longer this owner's: its quarantine is over, another owner has
/// it, or a later lease of the owner has begun.
pub fn release_one(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    lease: &LeaseId,
    hold: impl Into<Hold>,
) -> Result<Lease, Error> {
    actor.admit(tx, now)?;
    let held = find(tx, lease)?.ok_or(Error::LeaseEnded { lease: *lease })?;
    match held.state {
        LeaseState::Active => quarantine(tx, now, actor, held, hold.into(), kind::RELEASED),
        LeaseState::Quarantined => Ok(held),
    }
}

/// As [`renew`](super::renew), of this lease only.
///
/// # Errors
///
/// [`Error::LeaseEnded`] when it is in quarantine, or no longer this owner's.
pub fn renew_one(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    lease: &LeaseId,
    until: Option<i64>,
) -> Result<Lease, Error> {
    actor.admit(tx, now)?;
    let held = active(find(tx, lease)?).ok_or(Error::LeaseEnded { lease: *lease })?;
    prolong(tx, now, actor, held, Lease { until, ..held })
}

/// As [`transfer`](super::transfer), of this lease only, which gets another id. One that `to` has
/// from this owner already is answered as it is.
///
/// # Errors
///
/// [`Error::LeaseEnded`] when it is in quarantine, or no longer this owner's, and `to` does not have it
/// from this owner; [`Error::OwnerHasAnother`] when `to` has an active one of the same family.
pub fn transfer_one(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    lease: &LeaseId,
    to: OwnerId,
) -> Result<Lease, Error> {
    actor.admit(tx, now)?;
    let held = active(find(tx, lease)?);
    if let Some(held) = held
        && lease.owner == to
    {
        return Ok(held);
    }
    let theirs = by_owner(tx, lease.network, to)?;
    match held {
        Some(held) => {
            check_room(&theirs, &held, to)?;
            let number = next_number(tx)?;
            pass_on(tx, now, actor, held, to, number)
        }
        None => theirs
            .into_iter()
            .find(|one| {
                one.address == lease.address
                    && one.state == LeaseState::Active
                    && one.passed_on_by == Some(lease.owner)
                    && one.number > lease.number
            })
            .ok_or(Error::LeaseEnded { lease: *lease }),
    }
}

/// As [`take_over`](super::take_over), of this lease only, which keeps its number.
///
/// # Errors
///
/// [`Error::LeaseEnded`] when it is not in quarantine, or no longer this owner's.
pub fn take_over_one(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    lease: &LeaseId,
    to: OwnerId,
) -> Result<Lease, Error> {
    actor.admit(tx, now)?;
    match find(tx, lease)? {
        Some(held) if held.state == LeaseState::Quarantined => {
            pass_on(tx, now, actor, held, to, held.number)
        }
        _ => Err(Error::LeaseEnded { lease: *lease }),
    }
}

/// The lease, as long as it is its owner's.
fn find(tx: &mut dyn Transaction, lease: &LeaseId) -> Result<Option<Lease>, Error> {
    let leases = by_owner(tx, lease.network, lease.owner)?;
    Ok(leases.into_iter().find(|held| held.id() == *lease))
}

fn active(lease: Option<Lease>) -> Option<Lease> {
    lease.filter(|lease| lease.state == LeaseState::Active)
}
