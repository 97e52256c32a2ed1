//! Check values of the server's keys, by which wrong secrets are recognised.

use nebula_alloc::store::Transaction;

use crate::Error;
use crate::secret::Purpose;

/// A check value of a key, which tells whether the server's secrets contain the key that this
/// database was written with.
pub(crate) struct Check {
    pub(crate) purpose: Purpose,
    pub(crate) key_id: i64,
    pub(crate) value: Vec<u8>,
}

pub(crate) fn insert(tx: &mut dyn Transaction, check: &Check, now: i64) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_secret_check (kind, key_id, value, created_at) VALUES ($1, $2, $3, $4)",
        &[
            check.purpose.word().into(),
            check.key_id.into(),
            check.value.as_slice().into(),
            now.into(),
        ],
    )?)
}

pub(crate) fn all(tx: &mut dyn Transaction) -> Result<Vec<Check>, Error> {
    let sql = "SELECT kind, key_id, value FROM gc_secret_check ORDER BY kind, key_id";
    let rows = tx.query(sql, &[])?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            Ok(Check {
                purpose: Purpose::from_word(columns.text()?)?,
                key_id: columns.integer()?,
                value: columns.blob()?.to_vec(),
            })
        })
        .collect()
}

#[cfg(feature = "server")]
pub(crate) fn delete(tx: &mut dyn Transaction, purpose: Purpose, key_id: i64) -> Result<(), Error> {
    Ok(tx.queue(
        "DELETE FROM gc_secret_check WHERE kind = $1 AND key_id = $2",
        &[purpose.word().into(), key_id.into()],
    )?)
}
