use nebula_alloc::store::Transaction;

use crate::Error;

/// Takes on what one instance at a time does, until then, where nobody else has it at `now`. Whoever
/// has it keeps it. Whether it is this instance's.
pub(crate) fn take(
    tx: &mut dyn Transaction,
    name: &str,
    instance: &str,
    now: i64,
    until: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "INSERT INTO gc_duty (name, instance, until) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET instance = $2, until = $3 \
         WHERE gc_duty.instance = $2 OR gc_duty.until <= $4",
        &[name.into(), instance.into(), until.into(), now.into()],
    )?;
    Ok(changed == 1)
}

/// Whether what is done once in a while is due.
pub(crate) fn is_due(tx: &mut dyn Transaction, name: &str, now: i64) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_duty WHERE name = $1 AND until > $2",
        &[name.into(), now.into()],
    )?;
    Ok(rows.is_empty())
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
