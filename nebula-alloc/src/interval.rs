//! Free space: one row per run of free addresses, `first` to `last`.
//!
//! Two runs that touch are joined, unless another transaction is at work on one of them.

mod change;
mod held;
mod row;

use std::net::IpAddr;

pub(crate) use self::change::{give_back, take_given};
pub(crate) use self::held::let_go;
pub(crate) use self::row::AT_OR_ABOVE;
#[cfg(test)]
pub(crate) use self::row::SET_FIRST;
use self::row::{Interval, NOBODY, bounds, insert, set_first, take_from};
use crate::address::{Sum, advance, next, octets, previous};
use crate::error::Contention;
use crate::limits::{RUNS, limit};
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, PoolId, fullness};

pub(crate) const LOWEST: &str =
    "SELECT last, first FROM alloc_interval WHERE pool = $1 ORDER BY last LIMIT $2";
pub(crate) const DELETE_WITHIN: &str =
    "DELETE FROM alloc_interval WHERE pool = $1 AND last >= $2 AND last <= $3";

pub(crate) const HIGHEST: &str =
    "SELECT last, first FROM alloc_interval WHERE pool = $1 ORDER BY last DESC LIMIT $2";
pub(crate) const NEXT_BELOW: &str = "SELECT last, first FROM alloc_interval
     WHERE pool = $1 AND last < $2 ORDER BY last DESC LIMIT $3";
pub(crate) const MANY_WITHIN: &str = "SELECT last FROM alloc_interval
     WHERE pool = $1 AND last >= $2 AND last <= $3 ORDER BY last LIMIT 1 OFFSET $4";

/// How many rows a walk over a pool's free space reads at a time.
const PAGE: usize = 1024;

/// Takes the lowest free addresses of a pool, `count` of them or as many as there are. A run that
/// comes from one interval is one change of one row.
///
/// Where several instances allocate, each takes from what it holds, and from anywhere only when
/// there is no more of that. What others are at work on is left out.
pub(crate) fn take_lowest(
    tx: &mut dyn Transaction,
    pool: PoolId,
    count: usize,
) -> Result<Vec<IpAddr>, Error> {
    let mut addresses = Vec::with_capacity(count);
    if let Some(instance) = tx.instance() {
        held::take(tx, pool, instance, count, &mut addresses)?;
    }
    if addresses.len() < count {
        // Each interval has at least one address.
        let limit = limit(count - addresses.len());
        let rows = tx.query_skip_locked(LOWEST, &[pool.as_bytes().into(), limit.into()])?;
        take_from(tx, pool, &rows, count, &mut addresses)?;
    }
    Ok(addresses)
}

/// Makes parts of a range free of which nothing was: only at its ends are there runs to join.
///
/// # Errors
///
/// As [`give_back`].
pub(crate) fn fill(
    tx: &mut dyn Transaction,
    pool: PoolId,
    range: AddressRange,
    free: &[AddressRange],
) -> Result<(), Error> {
    let (mut ends, mut others) = (Vec::new(), Vec::new());
    for part in free {
        let (first, last) = (part.first(), part.last());
        if first == range.first() || last == range.last() {
            ends.push((pool, *part));
        } else {
            others.push(Interval { first, last, holder: NOBODY });
        }
    }
    give_back(tx, &ends)?;
    if others.is_empty() {
        return Ok(());
    }
    others.into_iter().try_for_each(|interval| insert(tx, pool, interval))?;
    fullness::has_room(tx, pool)
}

/// That one step can take out all that is free in a range.
///
/// # Errors
///
/// [`Error::TooMany`]
pub(crate) fn check_runs(
    tx: &mut dyn Transaction,
    pool: PoolId,
    range: AddressRange,
) -> Result<(), Error> {
    if range.capacity() <= u128::try_from(RUNS).unwrap_or(u128::MAX) {
        return Ok(());
    }
    let (first, last) = (octets(range.first()), octets(range.last()));
    let params = [
        pool.as_bytes().into(),
        first.as_slice().into(),
        last.as_slice().into(),
        limit(RUNS).into(),
    ];
    match tx.query(MANY_WITHIN, &params)?.is_empty() {
        true => Ok(()),
        false => Err(Error::TooMany { what: "runs of free addresses in it", limit: RUNS }),
    }
}

/// Takes all that is free in a range.
///
/// # Errors
///
/// [`Error::Contended`] when another transaction is at work on an interval at its ends.
pub(crate) fn take_range(
    tx: &mut dyn Transaction,
    pool: PoolId,
    range: AddressRange,
) -> Result<(), Error> {
    let left = covering(tx, pool, range.first())?;
    let right = covering(tx, pool, range.last())?;
    let (first, last) = (octets(range.first()), octets(range.last()));
    tx.queue(
        DELETE_WITHIN,
        &[pool.as_bytes().into(), first.as_slice().into(), last.as_slice().into()],
    )?;
    if let Some(right) = right
        && let Some(above) = next(range.last()).filter(|above| *above <= right.last)
    {
        set_first(tx, pool, right.last, above)?;
    }
    if let Some(left) = left
        && let Some(below) = previous(range.first()).filter(|below| *below >= left.first)
    {
        insert(tx, pool, Interval { last: below, ..left })?;
    }
    Ok(())
}

/// How many addresses of the pool are free.
pub(crate) fn count(tx: &mut dyn Transaction, pool: PoolId, from: IpAddr) -> Result<Sum, Error> {
    let mut free = Sum::default();
    walk(tx, pool, from, |first, last| {
        if let Ok(run) = AddressRange::new(first, last) {
            free.add(&run);
        }
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
            let mut row = row.columns();
            let (last, first) = (row.address()?, row.address()?);
            visit(first, last);
            from = advance(last, 1).filter(|_| rows.len() == PAGE);
        }
    }
    Ok(())
}

/// Calls `find` with each run of free addresses, the highest first, until it finds what it looks for.
///
/// # Errors
///
/// [`Error::TooMany`]
pub(crate) fn find_from_above<T>(
    tx: &mut dyn Transaction,
    pool: PoolId,
    mut find: impl FnMut(IpAddr, IpAddr) -> Option<T>,
) -> Result<Option<T>, Error> {
    let (mut count, mut seen) = (1, 0);
    let mut rows = tx.query(HIGHEST, &[pool.as_bytes().into(), limit(count).into()])?;
    loop {
        for row in &rows {
            let (first, last) = bounds(pool, &mut row.columns())?;
            if let Some(found) = find(first, last) {
                return Ok(Some(found));
            }
        }
        seen += rows.len();
        let Some(lowest) = rows.last().filter(|_| rows.len() == count) else { return Ok(None) };
        if seen > RUNS {
            return Err(Error::TooMany { what: "short runs of free addresses", limit: RUNS });
        }
        // Mostly the first is the one.
        count = PAGE;
        let below = octets(lowest.columns().address()?);
        let params = [pool.as_bytes().into(), below.as_slice().into(), limit(count).into()];
        rows = tx.query(NEXT_BELOW, &params)?;
    }
}

/// The interval that has this address, locked.
fn covering(
    tx: &mut dyn Transaction,
    pool: PoolId,
    address: IpAddr,
) -> Result<Option<Interval>, Error> {
    let octets = octets(address);
    let params = [pool.as_bytes().into(), octets.as_slice().into(), 1.into()];
    let found = |rows: Vec<Row>| -> Result<Option<Interval>, Error> {
        let nearest = rows.first().map(|row| Interval::read(pool, row)).transpose()?;
        Ok(nearest.filter(|interval| interval.first <= address))
    };
    let locked = found(tx.query_skip_locked(AT_OR_ABOVE, &params)?)?;
    if locked.is_none()
        && tx.instance().is_some()
        && found(tx.query(AT_OR_ABOVE, &params)?)?.is_some()
    {
        return Err(Error::Contended(Contention::Around(address)));
    }
    Ok(locked)
}
