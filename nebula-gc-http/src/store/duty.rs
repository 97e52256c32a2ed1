//! Work that one instance at a time does: which one, until when, and when it is due again.

use nebula_alloc::store::Transaction;

use super::one_integer;
use crate::Error;

/// How long nobody may hold a duty before that counts as an interruption, in seconds. A restart, or
/// a change of instance, is none.
const INTERRUPTION: i64 = 600;

/// Takes a duty until the time `until`, unless another instance holds it at `now`. A duty taken at
/// a time in the future does not count: that clock was wrong. Returns whether this instance holds
/// it.
pub(crate) fn take(
    tx: &mut dyn Transaction,
    name: &str,
    instance: &str,
    now: i64,
    until: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "INSERT INTO gc_duty (name, instance, until, since) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (name) DO UPDATE SET instance = $2, until = $3, \
         since = CASE WHEN gc_duty.until < $5 OR gc_duty.until > $6 THEN $4 ELSE gc_duty.since END \
         WHERE gc_duty.instance = $2 OR gc_duty.until <= $4 OR gc_duty.until > $6",
        &[
            name.into(),
            instance.into(),
            until.into(),
            now.into(),
            now.saturating_sub(INTERRUPTION).into(),
            until.saturating_add(INTERRUPTION).into(),
        ],
    )?;
    Ok(changed == 1)
}

/// Whether a task that is done every `every` seconds is due; also if it was done at a time in the
/// future.
pub(crate) fn is_due(
    tx: &mut dyn Transaction,
    name: &str,
    now: i64,
    every: i64,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_duty WHERE name = $1 AND until > $2 AND until <= $3",
        &[name.into(), now.into(), now.saturating_add(every).into()],
    )?;
    Ok(rows.is_empty())
}

/// Whether the duty was taken by a clock that was ahead.
pub(crate) fn is_ahead(
    tx: &mut dyn Transaction,
    name: &str,
    now: i64,
    term: i64,
) -> Result<bool, Error> {
    let latest = now.saturating_add(term).saturating_add(INTERRUPTION);
    let rows = tx.query(
        "SELECT 1 FROM gc_duty WHERE name = $1 AND until > $2",
        &[name.into(), latest.into()],
    )?;
    Ok(!rows.is_empty())
}

/// Makes a task due.
pub(crate) fn forget(tx: &mut dyn Transaction, name: &str) -> Result<(), Error> {
    Ok(tx.queue("DELETE FROM gc_duty WHERE name = $1", &[name.into()])?)
}

/// Records that a task is done until a time.
pub(crate) fn done(
    tx: &mut dyn Transaction,
    name: &str,
    instance: &str,
    until: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_duty (name, instance, until) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET instance = $2, until = $3",
        &[name.into(), instance.into(), until.into()],
    )?)
}

/// As [`done`], also setting what [`since`] returns.
pub(crate) fn done_since(
    tx: &mut dyn Transaction,
    name: &str,
    instance: &str,
    (until, since): (i64, i64),
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_duty (name, instance, until, since) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (name) DO UPDATE SET instance = $2, until = $3, since = $4",
        &[name.into(), instance.into(), until.into(), since.into()],
    )?)
}

/// Until when a task is done.
pub(crate) fn until(tx: &mut dyn Transaction, name: &str) -> Result<Option<i64>, Error> {
    let rows = tx.query("SELECT until FROM gc_duty WHERE name = $1", &[name.into()])?;
    one_integer(&rows)
}

/// Since when some instance has always held the duty, except for short interruptions.
pub(crate) fn since(tx: &mut dyn Transaction, name: &str) -> Result<Option<i64>, Error> {
    let rows = tx.query("SELECT since FROM gc_duty WHERE name = $1", &[name.into()])?;
    one_integer(&rows)
}
