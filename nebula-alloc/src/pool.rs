//! Pools: ranges from which addresses are given out.

use std::net::IpAddr;

use crate::address::octets;
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, Family, NetworkId, PoolId, interval};

const INSERT: &str = "INSERT INTO alloc_pool (id, network, family, position, first, last)
     VALUES ($1, $2, $3, $4, $5, $6)";
const OVERLAPPING: &str = "SELECT id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND first <= $3 AND last >= $4 LIMIT 1";
const BY_ID: &str = "SELECT id, network, position, first, last FROM alloc_pool WHERE id = $1";
const BY_NETWORK: &str = "SELECT id, network, position, first, last FROM alloc_pool
     WHERE network = $1 ORDER BY position, id";
pub(crate) const BY_FAMILY: &str = "SELECT id FROM alloc_pool
     WHERE network = $1 AND family = $2 ORDER BY position, id";
pub(crate) const CONTAINING: &str = "SELECT id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND first <= $3 AND last >= $3";

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

/// Makes a pool, all of it free. It costs the same for each size: one row of free space.
///
/// # Errors
///
/// [`Error::Overlap`] with another pool of the network, [`Error::Unique`] when the id is in use.
pub fn create(tx: &mut dyn Transaction, pool: &Pool) -> Result<(), Error> {
    let (first, last) = (octets(pool.range.first()), octets(pool.range.last()));
    let family = pool.range.family().number();
    let overlapping = tx.query(
        OVERLAPPING,
        &[
            pool.network.as_bytes().into(),
            family.into(),
            last.as_slice().into(),
            first.as_slice().into(),
        ],
    )?;
    if let Some(row) = overlapping.first() {
        return Err(Error::Overlap {
            network: pool.network,
            pool: PoolId(row.array(0)?),
            range: pool.range,
        });
    }
    tx.execute(
        INSERT,
        &[
            pool.id.as_bytes().into(),
            pool.network.as_bytes().into(),
            family.into(),
            pool.position.into(),
            first.as_slice().into(),
            last.as_slice().into(),
        ],
    )?;
    interval::create(tx, pool.id, pool.range)
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

/// How many addresses of the pool are free: neither leased nor in quarantine. Zero for an unknown
/// pool.
///
/// # Errors
///
/// The engine's.
pub fn free(tx: &mut dyn Transaction, pool: PoolId) -> Result<u128, Error> {
    match by_id(tx, pool)? {
        Some(pool) => interval::count(tx, pool.id, pool.range.first()),
        None => Ok(0),
    }
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

/// The network's pool that has this address.
pub(crate) fn containing(
    tx: &mut dyn Transaction,
    network: NetworkId,
    address: IpAddr,
) -> Result<Option<PoolId>, Error> {
    let rows = tx.query(
        CONTAINING,
        &[
            network.as_bytes().into(),
            Family::of(address).number().into(),
            octets(address).as_slice().into(),
        ],
    )?;
    rows.first().map(|row| Ok(PoolId(row.array(0)?))).transpose()
}

fn read(row: &Row) -> Result<Pool, Error> {
    Ok(Pool {
        id: PoolId(row.array(0)?),
        network: NetworkId(row.array(1)?),
        position: row.integer(2)?,
        range: AddressRange::new(row.address(3)?, row.address(4)?)?,
    })
}
