//! Growing, shrinking and deleting pools, and what is free of a range that a pool or block gets.

use super::space::{Space, check_unleased, leased};
use super::{Pool, by_id, check_overlap, record};
use crate::address::octets;
use crate::event::{Actor, kind};
use crate::limits::STANDING;
use crate::store::Transaction;
use crate::{AddressRange, Error, NetworkId, PoolId, interval, reservation};

pub(crate) const RESIZE: &str = "UPDATE alloc_pool SET first = $1, last = $2 WHERE id = $3";
pub(crate) const SET_POSITION: &str = "UPDATE alloc_pool SET position = $1 WHERE id = $2";
pub(crate) const EMPTY: &str = "DELETE FROM alloc_interval WHERE pool = $1";
pub(crate) const DELETE: &str = "DELETE FROM alloc_pool WHERE id = $1";

/// Gives a pool another range: grows it, shrinks it, or both. Answers it as it is then. A block has
/// [`block::resize`](crate::block::resize).
///
/// # Errors
///
/// [`Error::NoSuchPool`], for the id of a block, too; [`Error::Overlap`], [`Error::WrongFamily`]; when
/// leases (those in quarantine too) or blocks are in what it would lose, [`Error::LeasesStand`] or
/// [`Error::BlockStands`]; [`Error::TooMany`] reservations in what it would gain, or runs of free
/// addresses between those in what it would lose.
pub fn resize(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    id: PoolId,
    range: AddressRange,
) -> Result<Pool, Error> {
    actor.admit(tx, now)?;
    let old = by_id(tx, id)?.ok_or(Error::NoSuchPool { pool: id })?;
    if range.family() != old.range.family() {
        return Err(Error::WrongFamily { address: range.first(), family: old.range.family() });
    }
    if range == old.range {
        return Ok(old);
    }
    let pool = Pool { range, ..old };
    check_overlap(tx, &pool)?;

    // All is checked before anything is written, so that a refusal changes nothing.
    let space = Space { id, network: old.network, range: old.range, parent: None };
    let lost = old.range.without(vec![range]);
    for part in &lost {
        vacate(tx, &space, *part)?;
    }
    let mut gained = Vec::new();
    for part in range.without(vec![old.range]) {
        gained.push((part, vacant(tx, old.network, part)?));
    }

    for part in lost {
        interval::take_range(tx, id, part)?;
    }
    set_range(tx, id, range)?;
    for (part, free) in gained {
        interval::fill(tx, id, part, &free)?;
    }
    record(tx, now, actor, &pool, kind::POOL_RESIZED)?;
    Ok(pool)
}

/// Has a pool used earlier or later than others of its network and family. Answers it as it is then.
///
/// # Errors
///
/// [`Error::NoSuchPool`].
pub fn set_position(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    id: PoolId,
    position: i64,
) -> Result<Pool, Error> {
    actor.admit(tx, now)?;
    let old = by_id(tx, id)?.ok_or(Error::NoSuchPool { pool: id })?;
    let pool = Pool { position, ..old };
    if pool != old {
        tx.queue_one(SET_POSITION, &[position.into(), id.as_bytes().into()])?;
        record(tx, now, actor, &pool, kind::POOL_MOVED)?;
    }
    Ok(pool)
}

/// Deletes a pool. Reservations stay: they are the network's.
///
/// # Errors
///
/// [`Error::NoSuchPool`]; [`Error::LeasesStand`] (those in quarantine too) and
/// [`Error::BlockStands`] as long as there are any; [`Error::TooMany`] runs of free addresses between
/// reservations: [`resize`] makes it smaller first.
pub fn delete(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    id: PoolId,
) -> Result<(), Error> {
    actor.admit(tx, now)?;
    let pool = by_id(tx, id)?.ok_or(Error::NoSuchPool { pool: id })?;
    let space = Space { id, network: pool.network, range: pool.range, parent: None };
    vacate(tx, &space, pool.range)?;
    remove(tx, id)?;
    record(tx, now, actor, &pool, kind::POOL_DELETED)
}

/// Deletes a pool that has no leases and no blocks, in however many pieces its free space is.
pub(crate) fn discard(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    pool: &Pool,
) -> Result<(), Error> {
    remove(tx, pool.id)?;
    record(tx, now, actor, pool, kind::POOL_DELETED)
}

/// Stores the range of a pool or block.
pub(crate) fn set_range(
    tx: &mut dyn Transaction,
    id: PoolId,
    range: AddressRange,
) -> Result<(), Error> {
    let (first, last) = (octets(range.first()), octets(range.last()));
    tx.queue_one(RESIZE, &[first.as_slice().into(), last.as_slice().into(), id.as_bytes().into()])
}

/// Deletes the rows of a pool or block and of what is free in it.
pub(crate) fn remove(tx: &mut dyn Transaction, id: PoolId) -> Result<(), Error> {
    tx.queue(EMPTY, &[id.as_bytes().into()])?;
    tx.queue_one(DELETE, &[id.as_bytes().into()])
}

/// That this range of a pool has no leases or blocks, and its free space is not in too many pieces.
fn vacate(tx: &mut dyn Transaction, pool: &Space, range: AddressRange) -> Result<(), Error> {
    check_unleased(tx, pool.network, range)?;
    pool.check_unblocked(tx, range)?;
    interval::check_runs(tx, pool.id, range)
}

/// What is free of a range that comes to a pool or block: what is not leased and not reserved.
///
/// # Errors
///
/// [`Error::TooMany`]
pub(crate) fn vacant(
    tx: &mut dyn Transaction,
    network: NetworkId,
    range: AddressRange,
) -> Result<Vec<AddressRange>, Error> {
    let mut taken: Vec<_> =
        leased(tx, network, range, STANDING + 1)?.into_iter().map(AddressRange::single).collect();
    let reserved = reservation::first_within(tx, network, range, STANDING + 1)?;
    taken.extend(reserved.iter().map(|kept| kept.range));
    if taken.len() > STANDING {
        return Err(Error::TooMany { what: "leases and reservations in it", limit: STANDING });
    }
    Ok(range.without(taken))
}
