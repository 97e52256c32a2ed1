//! Names of what was deleted with its network or tenant, for the audit log.

use nebula_alloc::store::Transaction;

use crate::Error;

/// Keeps the name that something had.
pub(crate) fn keep(
    tx: &mut dyn Transaction,
    id: &[u8; 16],
    name: &str,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_former_name (id, name, deleted_at) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO NOTHING",
        &[id.as_slice().into(), name.into(), now.into()],
    )?)
}

/// The name that something had.
pub(crate) fn of(tx: &mut dyn Transaction, id: &[u8; 16]) -> Result<Option<String>, Error> {
    let sql = "SELECT name FROM gc_former_name WHERE id = $1";
    let rows = tx.query(sql, &[id.as_slice().into()])?;
    rows.first().map(|row| Ok(row.columns().text()?.to_owned())).transpose()
}

/// Forgets at most `limit` names of what was deleted before this time. Returns how many.
pub(crate) fn forget(tx: &mut dyn Transaction, before: i64, limit: i64) -> Result<u64, Error> {
    Ok(tx.execute(
        "DELETE FROM gc_former_name WHERE id IN \
         (SELECT id FROM gc_former_name WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2)",
        &[before.into(), limit.into()],
    )?)
}
