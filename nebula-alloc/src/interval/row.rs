//! The rows of free intervals: how they are read, and changed one by one.

use std::net::IpAddr;

use crate::address::{next, octets};
use crate::store::{Columns, Row, Transaction};
use crate::{Error, Family, PoolId};

pub(crate) const AT_OR_ABOVE: &str = "SELECT last, first, holder FROM alloc_interval
     WHERE pool = $1 AND last >= $2 ORDER BY last LIMIT $3";
pub(crate) const INSERT: &str =
    "INSERT INTO alloc_interval (pool, last, first, holder) VALUES ($1, $2, $3, $4)";
pub(crate) const SET_FIRST: &str =
    "UPDATE alloc_interval SET first = $1 WHERE pool = $2 AND last = $3";
pub(crate) const SET_LAST: &str =
    "UPDATE alloc_interval SET last = $1 WHERE pool = $2 AND last = $3";
pub(crate) const DELETE: &str = "DELETE FROM alloc_interval WHERE pool = $1 AND last = $2";

/// The holder of what everyone takes from.
pub(super) const NOBODY: i64 = 0;

#[derive(Clone, Copy)]
pub(super) struct Interval {
    pub(super) first: IpAddr,
    pub(super) last: IpAddr,
    pub(super) holder: i64,
}

impl Interval {
    pub(super) fn read(pool: PoolId, row: &Row) -> Result<Self, Error> {
        let mut row = row.columns();
        let (first, last) = bounds(pool, &mut row)?;
        Ok(Self { first, last, holder: row.integer()? })
    }
}

/// Reads the columns `last` and `first`; answers the first address, then the last. One that a damaged file has the wrong
/// way round would have everything above it given out.
pub(super) fn bounds(pool: PoolId, columns: &mut Columns<'_>) -> Result<(IpAddr, IpAddr), Error> {
    let (last, first) = (columns.address()?, columns.address()?);
    if Family::of(first) == Family::of(last) && first <= last {
        Ok((first, last))
    } else {
        Err(Error::Inconsistent { pool, address: first })
    }
}

/// Takes the lowest addresses of these rows (`last`, `first`) until `taken` has `count`.
pub(super) fn take_from(
    tx: &mut dyn Transaction,
    pool: PoolId,
    rows: &[Row],
    count: usize,
    taken: &mut Vec<IpAddr>,
) -> Result<(), Error> {
    for row in rows {
        if taken.len() == count {
            break;
        }
        let (mut first, last) = bounds(pool, &mut row.columns())?;
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
    }
    Ok(())
}

pub(super) fn insert(
    tx: &mut dyn Transaction,
    pool: PoolId,
    interval: Interval,
) -> Result<(), Error> {
    let (first, last) = (octets(interval.first), octets(interval.last));
    tx.queue_one(
        INSERT,
        &[
            pool.as_bytes().into(),
            last.as_slice().into(),
            first.as_slice().into(),
            interval.holder.into(),
        ],
    )
}

pub(super) fn set_first(
    tx: &mut dyn Transaction,
    pool: PoolId,
    last: IpAddr,
    first: IpAddr,
) -> Result<(), Error> {
    let (first, last) = (octets(first), octets(last));
    tx.queue_one(
        SET_FIRST,
        &[first.as_slice().into(), pool.as_bytes().into(), last.as_slice().into()],
    )
}

pub(super) fn set_last(
    tx: &mut dyn Transaction,
    pool: PoolId,
    last: IpAddr,
    new: IpAddr,
) -> Result<(), Error> {
    let (new, last) = (octets(new), octets(last));
    tx.queue_one(SET_LAST, &[new.as_slice().into(), pool.as_bytes().into(), last.as_slice().into()])
}

pub(super) fn delete(tx: &mut dyn Transaction, pool: PoolId, last: IpAddr) -> Result<(), Error> {
    tx.queue_one(DELETE, &[pool.as_bytes().into(), octets(last).as_slice().into()])
}
