//! Pools: ranges from which addresses are given out.

mod resize;
mod space;
mod usage;

use crate::address::octets;
use crate::event::{self, Actor, kind};
use crate::limits::limit;
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, NetworkId, PoolId, interval};

pub use self::resize::{delete, resize, set_position};
pub(crate) use self::resize::{discard, remove, set_range, vacant};
pub(crate) use self::space::{Space, check_others, check_unleased, leased};
pub use self::usage::{Usage, free, free_ranges, usage};

pub(crate) const INSERT: &str = "INSERT INTO alloc_pool
     (id, network, family, position, first, last, parent, name)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
/// The first two that end in the pool or behind it; one of them may be itself.
pub(crate) const OVERLAPPING: &str = "SELECT id, first FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND last >= $3 ORDER BY last LIMIT 2";
pub(crate) const BY_ID: &str = "SELECT id, network, position, first, last FROM alloc_pool
     WHERE id = $1 AND parent IS NULL";
/// From a place on, also those of the next networks: with `network = $1` a planner could take the
/// primary key for as good, and walk through all pools.
pub(crate) const BY_NETWORK: &str = "SELECT id, network, position, first, last FROM alloc_pool
     WHERE parent IS NULL AND (network, id) > ($1, $2) ORDER BY network, id LIMIT $3";

/// A range inside a network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Its id, unique over all networks.
    pub id: PoolId,
    /// The network it belongs to.
    pub network: NetworkId,
    /// Its addresses, all of which are given out; [`usable`](crate::usable) makes the range of a
    /// prefix.
    pub range: AddressRange,
    /// Pools of one family are used in the order of this number, equal ones in the order of ids.
    pub position: i64,
}

/// Makes a pool, all of it free except what is reserved. The cost does not depend on its size: one row
/// of free space. If the same pool exists already, nothing is changed.
///
/// # Errors
///
/// [`Error::Overlap`] with another pool of the network, [`Error::TooMany`] reservations (begin with a
/// smaller pool and let it grow), [`Error::Unique`] when the id is in use, by another pool or by
/// this one with another range or position.
pub fn create(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    pool: &Pool,
) -> Result<(), Error> {
    actor.admit(tx, now)?;
    if by_id(tx, pool.id)? == Some(*pool) {
        return Ok(());
    }
    check_overlap(tx, pool)?;
    let free = vacant(tx, pool.network, pool.range)?;
    let space = Space { id: pool.id, network: pool.network, range: pool.range, parent: None };
    insert(tx, &space, pool.position, None)?;
    interval::fill(tx, pool.id, pool.range, &free)?;
    record(tx, now, actor, pool, kind::POOL_CREATED)
}

/// The pool of this id.
///
/// # Errors
///
/// The engine's.
pub fn by_id(tx: &mut dyn Transaction, id: PoolId) -> Result<Option<Pool>, Error> {
    tx.query(BY_ID, &[id.as_bytes().into()])?.first().map(read).transpose()
}

/// The network's pools in the order of their ids, at most `limit` of them, from the one after
/// `after`. They are used in the order of their positions, those of one position in this order.
///
/// # Errors
///
/// The engine's.
pub fn by_network(
    tx: &mut dyn Transaction,
    network: NetworkId,
    after: Option<PoolId>,
    limit: usize,
) -> Result<Vec<Pool>, Error> {
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let params = [network.as_bytes().into(), after.into(), self::limit(limit).into()];
    let mut pools =
        tx.query(BY_NETWORK, &params)?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    pools.retain(|pool| pool.network == network);
    Ok(pools)
}

/// Stores the row of a pool or block.
pub(crate) fn insert(
    tx: &mut dyn Transaction,
    space: &Space,
    position: i64,
    name: Option<&str>,
) -> Result<(), Error> {
    let (first, last) = (octets(space.range.first()), octets(space.range.last()));
    tx.execute(
        INSERT,
        &[
            space.id.as_bytes().into(),
            space.network.as_bytes().into(),
            space.range.family().number().into(),
            position.into(),
            first.as_slice().into(),
            last.as_slice().into(),
            space.parent.as_ref().map(PoolId::as_bytes).into(),
            name.into(),
        ],
    )
    .map(drop)
}

/// That no other pool of the network has one of the pool's addresses.
fn check_overlap(tx: &mut dyn Transaction, pool: &Pool) -> Result<(), Error> {
    let overlapping = tx.query(
        OVERLAPPING,
        &[
            pool.network.as_bytes().into(),
            pool.range.family().number().into(),
            octets(pool.range.first()).as_slice().into(),
        ],
    )?;
    for row in &overlapping {
        let mut row = row.columns();
        let (other, first) = (PoolId(row.array()?), row.address()?);
        if other != pool.id && first <= pool.range.last() {
            return Err(Error::Overlap { network: pool.network, pool: other, range: pool.range });
        }
    }
    Ok(())
}

fn record(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    pool: &Pool,
    kind: &'static str,
) -> Result<(), Error> {
    event::record(
        tx,
        now,
        actor,
        &event::Entry {
            kind,
            network: Some(&pool.network),
            subject: Some(pool.id.as_bytes()),
            address: None,
            detail: Some(&pool.range.to_string()),
        },
    )
}

fn read(row: &Row) -> Result<Pool, Error> {
    let mut row = row.columns();
    Ok(Pool {
        id: PoolId(row.array()?),
        network: NetworkId(row.array()?),
        position: row.integer()?,
        range: AddressRange::new(row.address()?, row.address()?)?,
    })
}

/// The texts of this module, for tests of their plans.
#[cfg(test)]
pub(crate) mod statements {
    pub(crate) use super::space::{BLOCKS, WITHIN};
    pub(crate) use super::{BY_NETWORK, OVERLAPPING};
}
