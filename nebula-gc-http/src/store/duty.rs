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

/// Takes on what is to be done once until then, by whichever instance. Whether it is this one's.
pub(crate) fn take_once(
    tx: &mut dyn Transaction,
    name: &str,
    instance: &str,
    now: i64,
    until: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "INSERT INTO gc_duty (name, instance, until) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET instance = $2, until = $3 WHERE gc_duty.until <= $4",
        &[name.into(), instance.into(), until.into(), now.into()],
    )?;
    Ok(changed == 1)
}
