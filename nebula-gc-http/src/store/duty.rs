use nebula_alloc::store::Transaction;

use super::one_integer;
use crate::Error;

/// How long nobody may have a duty until that counts as an interruption, in seconds: a restart, or a
/// change from one instance to another, is none.
const INTERRUPTION: i64 = 600;

/// Takes on what one instance at a time does, until then, where nobody else has it at `now`. Whoever
/// has it keeps it, unless it was taken at a time that is still to come: that clock was wrong. Whether
/// it is this instance's.
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

/// Whether what is done every so many seconds is due; also where it was done at a time that is still
/// to come.
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

/// Whether it was taken for a term that is still to come: the clock was ahead then.
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

/// Has it be due.
pub(crate) fn forget(tx: &mut dyn Transaction, name: &str) -> Result<(), Error> {
    Ok(tx.queue("DELETE FROM gc_duty WHERE name = $1", &[name.into()])?)
}

/// Notes that it is done until then.
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

/// Notes that it is done until then, and what `since` is to answer.
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

/// Until when it is done.
pub(crate) fn until(tx: &mut dyn Transaction, name: &str) -> Result<Option<i64>, Error> {
    let rows = tx.query("SELECT until FROM gc_duty WHERE name = $1", &[name.into()])?;
    one_integer(&rows)
}

/// From when on some instance was always there to do it, but for short interruptions.
pub(crate) fn since(tx: &mut dyn Transaction, name: &str) -> Result<Option<i64>, Error> {
    let rows = tx.query("SELECT since FROM gc_duty WHERE name = $1", &[name.into()])?;
    one_integer(&rows)
}
