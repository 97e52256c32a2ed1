//! Runs of free addresses that one of several instances holds, so that they do not queue for the
//! same row. Holding a run avoids conflicts but is no ownership: what counts is the row's lock.

use std::net::IpAddr;

use super::row::{Interval, NOBODY, insert, set_first, take_from};
use crate::address::{advance, number, octets, previous};
use crate::limits::limit;
use crate::store::Transaction;
use crate::{Error, PoolId};

/// How many addresses an instance takes at a time.
const RUN: u128 = 1024;
/// Of how many intervals at most: each is a change of one row.
const ROWS: usize = 64;

/// After how many seconds without a heartbeat an instance no longer holds anything.
const SILENCE: i64 = 60;

pub(crate) const HELD: &str = "SELECT last, first FROM alloc_interval
     WHERE pool = $1 AND holder = $2 AND holder <> 0 ORDER BY last LIMIT $3";
pub(crate) const UNHELD: &str = "SELECT last, first, holder FROM alloc_interval
     WHERE pool = $1 AND holder = 0 ORDER BY last LIMIT $2";
pub(crate) const HOLD: &str = "UPDATE alloc_interval SET holder = $1 WHERE pool = $2 AND last = $3";
pub(crate) const OF_SILENT: &str = "SELECT pool, last FROM alloc_interval
     WHERE holder <> 0 AND NOT EXISTS (
         SELECT 1 FROM alloc_instance WHERE id = holder AND seen_at >= $1)
     LIMIT $2";
/// What has no run any more goes; one that comes back meanwhile stays, and one that comes back later
/// takes another number.
pub(crate) const FORGET: &str = "DELETE FROM alloc_instance WHERE seen_at < $1 AND id IN (
         SELECT id FROM alloc_instance AS gone
         WHERE seen_at < $1 AND NOT EXISTS (
             SELECT 1 FROM alloc_interval WHERE holder <> 0 AND holder = gone.id)
         ORDER BY id LIMIT $2)";

/// Takes the lowest addresses of what the instance holds, which first takes more into its hands
/// when that is too little.
pub(super) fn take(
    tx: &mut dyn Transaction,
    pool: PoolId,
    instance: i64,
    count: usize,
    taken: &mut Vec<IpAddr>,
) -> Result<(), Error> {
    let before = taken.len();
    take_held(tx, pool, instance, count, taken)?;
    let missing = count.saturating_sub(taken.len() - before);
    if missing > 0 && hold(tx, pool, instance, missing)? {
        take_held(tx, pool, instance, count, taken)?;
    }
    Ok(())
}

fn take_held(
    tx: &mut dyn Transaction,
    pool: PoolId,
    instance: i64,
    count: usize,
    taken: &mut Vec<IpAddr>,
) -> Result<(), Error> {
    let limit = limit(count - taken.len());
    let rows =
        tx.query_skip_locked(HELD, &[pool.as_bytes().into(), instance.into(), limit.into()])?;
    take_from(tx, pool, &rows, count, taken)
}

/// Takes runs that no instance holds, the lowest first. Answers whether there were any.
fn hold(
    tx: &mut dyn Transaction,
    pool: PoolId,
    instance: i64,
    missing: usize,
) -> Result<bool, Error> {
    let mut wanted = RUN.max(u128::try_from(missing).unwrap_or(RUN));
    let rows =
        tx.query_skip_locked(UNHELD, &[pool.as_bytes().into(), limit(ROWS.max(missing)).into()])?;
    for row in &rows {
        if wanted == 0 {
            break;
        }
        let run = Interval::read(pool, row)?;
        let beyond = advance(run.first, wanted).filter(|beyond| *beyond <= run.last);
        match beyond.and_then(|beyond| Some((beyond, previous(beyond)?))) {
            Some((beyond, last)) => {
                set_first(tx, pool, run.last, beyond)?;
                insert(tx, pool, Interval { first: run.first, last, holder: instance })?;
                wanted = 0;
            }
            None => {
                let last = octets(run.last);
                tx.queue_one(
                    HOLD,
                    &[instance.into(), pool.as_bytes().into(), last.as_slice().into()],
                )?;
                let addresses = (number(run.last) - number(run.first)).saturating_add(1);
                wanted = wanted.saturating_sub(addresses);
            }
        }
    }
    Ok(!rows.is_empty())
}

/// Returns what silent instances hold, at most `limit` runs, and forgets at most as many of them.
pub(crate) fn let_go(tx: &mut dyn Transaction, now: i64, limit: usize) -> Result<(), Error> {
    if tx.instance().is_none() {
        return Ok(());
    }
    let seen = now.saturating_sub(SILENCE);
    for row in tx.query_skip_locked(OF_SILENT, &[seen.into(), self::limit(limit).into()])? {
        let mut row = row.columns();
        tx.queue_one(HOLD, &[NOBODY.into(), row.blob()?.into(), row.blob()?.into()])?;
    }
    tx.queue(FORGET, &[seen.into(), self::limit(limit).into()])
}
