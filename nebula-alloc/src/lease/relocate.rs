//! From one address to another.

use super::allocate::{Wanted, is_as_asked, one};
use super::hold::Hold;
use super::owned::{Owned, is_elsewhere, owned};
use super::requested::grantable;
use super::{Lease, Request};
use crate::event::Actor;
use crate::pool::Space;
use crate::store::Transaction;
use crate::{Error, fullness, limits};

/// Moves an owner: gives it the address that the request asks for, or one from the pool that it asks
/// for, as [`allocate`](super::allocate) would if it had none, and releases the one that it has of
/// that family, into a quarantine that ends at the later of its `hold_until` and `hold` from now. Both
/// or neither happen. The address that it had is not given back by it.
///
/// An owner whose address is as the request asks keeps it, so that asking again changes nothing; one
/// that has none is given one.
///
/// # Errors
///
/// As [`allocate`](super::allocate), except [`Error::OwnerHasAnother`] and
/// [`Error::OwnerHoldsElsewhere`]; [`Error::TooMany`] when the owner has as many others in quarantine
/// as [`limits::QUARANTINED`].
pub fn relocate(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    request: &Request,
    hold: impl Into<Hold>,
) -> Result<Lease, Error> {
    one(tx, now, Wanted { actor: *actor, request: *request, moves: Some(hold.into()) })
}

/// Why [`relocate`] would refuse now, if it would. Only reads. That a pool has room is what it seems
/// while other processes take from it, or while all that is left of it are reserved addresses whose
/// quarantine has ended.
///
/// # Errors
///
/// The engine's.
pub fn refusal(
    tx: &mut dyn Transaction,
    now: i64,
    request: &Request,
) -> Result<Option<Error>, Error> {
    let Request { network, family, pool, .. } = *request;
    let rows = owned(tx, std::iter::once(request))?.pop().unwrap_or_default();
    let Owned { active, claims, is_full, .. } = Owned::read(&rows, request, true)?;
    if active.is_some_and(|lease| is_as_asked(&lease, request)) {
        return Ok(None);
    }
    if is_full {
        let (what, limit) = ("addresses that the owner has in quarantine", limits::QUARANTINED);
        return Ok(Some(Error::TooMany { what, limit }));
    }
    for (address, claim) in claims {
        match grantable(tx, now, request, address)? {
            Some(error) if is_elsewhere(&error, claim) => {}
            answer => return Ok(answer),
        }
    }
    if let Some(pool) = pool
        && !Space::by_id(tx, pool)?
            .is_some_and(|space| space.network == network && space.range.family() == family)
    {
        return Ok(Some(Error::NoSuchPool { pool }));
    }
    if Space::any_has_more(tx, now, network, family, pool)? {
        return Ok(None);
    }
    Ok(Some(match pool.is_some() || fullness::any(tx, network, family)? {
        true => Error::PoolExhausted { network, family },
        false => Error::NoPool { network, family },
    }))
}
