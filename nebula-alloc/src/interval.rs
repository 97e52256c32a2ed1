//! Free space: one row per run of free addresses, `first` to `last`, never two that touch.

use std::net::IpAddr;

use crate::address::{advance, next, number, octets, previous};
use crate::store::Transaction;
use crate::{AddressRange, Error, PoolId};

pub(crate) const LOWEST: &str =
    "SELECT last, first FROM alloc_interval WHERE pool = $1 ORDER BY last LIMIT $2";
pub(crate) const AT_OR_ABOVE: &str =
    "SELECT last, first FROM alloc_interval WHERE pool = $1 AND last >= $2 ORDER BY last LIMIT $3";
const ENDING_AT: &str = "SELECT last, first FROM alloc_interval WHERE pool = $1 AND last = $2";
const INSERT: &str = "INSERT INTO alloc_interval (pool, last, first) VALUES ($1, $2, $3)";
pub(crate) const SET_FIRST: &str =
    "UPDATE alloc_interval SET first = $1 WHERE pool = $2 AND last = $3";
const SET_LAST: &str = "UPDATE alloc_interval SET last = $1 WHERE pool = $2 AND last = $3";
const DELETE: &str = "DELETE FROM alloc_interval WHERE pool = $1 AND last = $2";

/// How many rows a walk over a pool's free space reads at a time.
const PAGE: usize = 1024;

/// Makes the whole range free.
pub(crate) fn create(
    tx: &mut dyn Transaction,
    pool: PoolId,
    range: AddressRange,
) -> Result<(), Error> {
    insert(tx, pool, range.first(), range.last())
}

/// Takes the lowest free addresses of a pool, `count` of them or as many as there are. A run that
/// comes from one interval is one change of one row.
pub(crate) fn take_lowest(
    tx: &mut dyn Transaction,
    pool: PoolId,
    count: usize,
) -> Result<Vec<IpAddr>, Error> {
    let mut taken = Vec::with_capacity(count);
    // Each interval has at least one address.
    let rows = tx.query(LOWEST, &[pool.as_bytes().into(), limit(count).into()])?;
    for row in rows {
        let (last, mut first) = (row.address(0)?, row.address(1)?);
        let mut left = Some(first);
        while taken.len() < count {
            taken.push(first);
            left = if first == last { None } else { next(first) };
            match left {
                Some(address) => first = address,
                None => break,
            }
        }
        match left {
            Some(first) => set_first(tx, pool, last, first)?,
            None => delete(tx, pool, last)?,
        }
        if taken.len() == count {
            break;
        }
    }
    Ok(taken)
}

/// Takes one given address; `false` when it is not free.
pub(crate) fn take_given(
    tx: &mut dyn Transaction,
    pool: PoolId,
    address: IpAddr,
) -> Result<bool, Error> {
    let Some((first, last)) = at_or_above(tx, pool, address)? else { return Ok(false) };
    if first > address {
        return Ok(false);
    }
    let below = previous(address).filter(|below| *below >= first);
    let above = next(address).filter(|above| *above <= last);
    match (below, above) {
        (None, None) => delete(tx, pool, last)?,
        (None, Some(above)) => set_first(tx, pool, last, above)?,
        (Some(below), None) => set_last(tx, pool, last, below)?,
        (Some(below), Some(above)) => {
            set_first(tx, pool, last, above)?;
            insert(tx, pool, first, below)?;
        }
    }
    Ok(true)
}

/// Makes one address free again and joins it to the runs it touches.
pub(crate) fn give_back(
    tx: &mut dyn Transaction,
    pool: PoolId,
    address: IpAddr,
) -> Result<(), Error> {
    let above = at_or_above(tx, pool, address)?;
    if above.is_some_and(|(first, _)| first <= address) {
        return Err(Error::Inconsistent { pool, address });
    }
    let above = above.filter(|(first, _)| previous(*first) == Some(address));
    let below = match previous(address) {
        Some(below) => ending_at(tx, pool, below)?,
        None => None,
    };
    match (below, above) {
        (None, None) => insert(tx, pool, address, address),
        (None, Some((_, last))) => set_first(tx, pool, last, address),
        (Some((_, last)), None) => set_last(tx, pool, last, address),
        (Some((first, lower)), Some((_, last))) => {
            delete(tx, pool, lower)?;
            set_first(tx, pool, last, first)
        }
    }
}

/// How many addresses of the pool are free.
pub(crate) fn count(tx: &mut dyn Transaction, pool: PoolId, from: IpAddr) -> Result<u128, Error> {
    let mut free = 0_u128;
    walk(tx, pool, from, |first, last| {
        free = free.saturating_add((number(last) - number(first)).saturating_add(1));
    })?;
    Ok(free)
}

/// Calls `visit` with each run of free addresses that ends at `from` or above, in order.
pub(crate) fn walk(
    tx: &mut dyn Transaction,
    pool: PoolId,
    from: IpAddr,
    mut visit: impl FnMut(IpAddr, IpAddr),
) -> Result<(), Error> {
    let mut from = Some(from);
    while let Some(at) = from.take() {
        let rows = tx.query(
            AT_OR_ABOVE,
            &[pool.as_bytes().into(), octets(at).as_slice().into(), limit(PAGE).into()],
        )?;
        for row in &rows {
            visit(row.address(1)?, row.address(0)?);
        }
        if rows.len() == PAGE
            && let Some(row) = rows.last()
        {
            from = advance(row.address(0)?, 1);
        }
    }
    Ok(())
}

pub(crate) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn at_or_above(
    tx: &mut dyn Transaction,
    pool: PoolId,
    address: IpAddr,
) -> Result<Option<(IpAddr, IpAddr)>, Error> {
    let rows = tx.query(
        AT_OR_ABOVE,
        &[pool.as_bytes().into(), octets(address).as_slice().into(), 1.into()],
    )?;
    rows.first().map(|row| Ok((row.address(1)?, row.address(0)?))).transpose()
}

fn ending_at(
    tx: &mut dyn Transaction,
    pool: PoolId,
    last: IpAddr,
) -> Result<Option<(IpAddr, IpAddr)>, Error> {
    let rows = tx.query(ENDING_AT, &[pool.as_bytes().into(), octets(last).as_slice().into()])?;
    rows.first().map(|row| Ok((row.address(1)?, row.address(0)?))).transpose()
}

fn insert(
    tx: &mut dyn Transaction,
    pool: PoolId,
    first: IpAddr,
    last: IpAddr,
) -> Result<(), Error> {
    let (first, last) = (octets(first), octets(last));
    tx.queue(INSERT, &[pool.as_bytes().into(), last.as_slice().into(), first.as_slice().into()])
}

fn set_first(
    tx: &mut dyn Transaction,
    pool: PoolId,
    last: IpAddr,
    first: IpAddr,
) -> Result<(), Error> {
    let (first, last) = (octets(first), octets(last));
    tx.queue(SET_FIRST, &[first.as_slice().into(), pool.as_bytes().into(), last.as_slice().into()])
}

fn set_last(
    tx: &mut dyn Transaction,
    pool: PoolId,
    last: IpAddr,
    new: IpAddr,
) -> Result<(), Error> {
    let (new, last) = (octets(new), octets(last));
    tx.queue(SET_LAST, &[new.as_slice().into(), pool.as_bytes().into(), last.as_slice().into()])
}

fn delete(tx: &mut dyn Transaction, pool: PoolId, last: IpAddr) -> Result<(), Error> {
    tx.queue(DELETE, &[pool.as_bytes().into(), octets(last).as_slice().into()])
}
