//! Pools: ranges from which addresses are given out.

mod resize;
mod space;
mod usage;

use crate::address::octets;
use crate::event::{self, Actor, kind};
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, Family, NetworkId, PoolId, interval};

pub(crate) use self::resize::remove;
pub use self::resize::{delete, resize};
pub(crate) use self::space::{Space, check_others, check_unleased, leased, vacant};
pub use self::usage::{Usage, free, usage};

pub(crate) const INSERT: &str = "INSERT INTO alloc_pool
     (id, network, family, position, first, last, parent, name)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
pub(crate) const OVERLAPPING: &str = "SELECT id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND first <= $3 AND last >= $4
     ORDER BY first LIMIT 2";
pub(crate) const BY_ID: &str = "SELECT id, network, position, first, last FROM alloc_pool
     WHERE id = $1 AND parent IS NULL";
pub(crate) const BY_NETWORK: &str = "SELECT id, network, position, first, last FROM alloc_pool
     WHERE network = $1 AND parent IS NULL ORDER BY position, id";
pub(crate) const BY_FAMILY: &str = "SELECT id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL ORDER BY position, id";

pub(crate) const SPACES: &str =
    "SELECT id FROM alloc_pool WHERE network = $1 ORDER BY family, position, id";

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

/// Makes a pool, all of it free but for what is reserved. It costs the same for each size: one row
/// of free space. One that is there already, as it shall be, is no error and no change.
///
/// # Errors
///
/// [`Error::Overlap`] with another pool of the network, [`Error::TooMany`] reservations (begin with a
/// smaller pool and let it grow), [`Error::Unique`] when the id is another's, or the pool's, with
/// another range or position.
pub fn create(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    pool: &Pool,
) -> Result<(), Error> {
    actor.check()?;
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

/// The network's pools, in the order of their use.
///
/// # Errors
///
/// The engine's.
pub fn by_network(tx: &mut dyn Transaction, network: NetworkId) -> Result<Vec<Pool>, Error> {
    tx.query(BY_NETWORK, &[network.as_bytes().into()])?.iter().map(read).collect()
}

/// The network's pools of one family, in the order of their use.
pub(crate) fn by_family(
    tx: &mut dyn Transaction,
    network: NetworkId,
    family: Family,
) -> Result<Vec<PoolId>, Error> {
    let rows = tx.query(BY_FAMILY, &[network.as_bytes().into(), family.number().into()])?;
    rows.iter().map(|row| Ok(PoolId(row.array(0)?))).collect()
}

/// The ids of all pools and blocks of a network.
pub(crate) fn spaces(tx: &mut dyn Transaction, network: NetworkId) -> Result<Vec<PoolId>, Error> {
    let rows = tx.query(SPACES, &[network.as_bytes().into()])?;
    rows.iter().map(|row| Ok(PoolId(row.array(0)?))).collect()
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
    let (first, last) = (octets(pool.range.first()), octets(pool.range.last()));
    let overlapping = tx.query(
        OVERLAPPING,
        &[
            pool.network.as_bytes().into(),
            pool.range.family().number().into(),
            last.as_slice().into(),
            first.as_slice().into(),
        ],
    )?;
    for row in &overlapping {
        let other = PoolId(row.array(0)?);
        if other != pool.id {
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
    Ok(Pool {
        id: PoolId(row.array(0)?),
        network: NetworkId(row.array(1)?),
        position: row.integer(2)?,
        range: AddressRange::new(row.address(3)?, row.address(4)?)?,
    })
}
