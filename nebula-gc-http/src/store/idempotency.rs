//! Requests with an `Idempotency-Key`, and what they created.

use nebula_alloc::store::Transaction;

use crate::Error;

/// How long a repeated request is recognised, in seconds: a day.
pub(crate) const KEPT: i64 = 86_400;

/// What a principal has created by a request.
pub(crate) struct Former {
    pub(crate) request: [u8; 32],
    pub(crate) resource: [u8; 16],
}

pub(crate) fn find(
    tx: &mut dyn Transaction,
    principal: &str,
    key: &str,
    now: i64,
) -> Result<Option<Former>, Error> {
    let rows = tx.query(
        "SELECT request, resource FROM gc_idempotency \
         WHERE principal = $1 AND key = $2 AND created_at > $3",
        &[principal.into(), key.into(), now.saturating_sub(KEPT).into()],
    )?;
    rows.first()
        .map(|row| {
            let mut columns = row.columns();
            Ok(Former { request: columns.array()?, resource: columns.array()? })
        })
        .transpose()
}

/// Records what a request created, replacing an entry that is too old. Returns whether there was no
/// valid one.
pub(crate) fn insert(
    tx: &mut dyn Transaction,
    principal: &str,
    key: &str,
    (request, resource): (&[u8; 32], &[u8; 16]),
    now: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "INSERT INTO gc_idempotency (principal, key, request, resource, created_at) \
         VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (principal, key) DO UPDATE \
         SET request = $3, resource = $4, created_at = $5 WHERE gc_idempotency.created_at <= $6",
        &[
            principal.into(),
            key.into(),
            request.into(),
            resource.into(),
            now.into(),
            now.saturating_sub(KEPT).into(),
        ],
    )?;
    Ok(changed == 1)
}

/// Deletes at most `limit` entries that are too old. Returns how many.
pub(crate) fn forget(tx: &mut dyn Transaction, now: i64, limit: i64) -> Result<u64, Error> {
    Ok(tx.execute(
        "DELETE FROM gc_idempotency WHERE (principal, key) IN \
         (SELECT principal, key FROM gc_idempotency WHERE created_at <= $1 \
         ORDER BY created_at LIMIT $2)",
        &[now.saturating_sub(KEPT).into(), limit.into()],
    )?)
}
