//! What tells this store from others: one row.

use nebula_alloc::store::Transaction;

use super::damaged;
use crate::Error;
use crate::secret::random;

/// The row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreIdentity {
    /// Random, from its first start.
    pub(crate) id: [u8; 16],
    /// Rises when it is recovered from a backup.
    pub(crate) epoch: i64,
}

/// The row, which is made where there is none.
pub(crate) fn prepare(tx: &mut dyn Transaction) -> Result<StoreIdentity, Error> {
    if let Some(identity) = read(tx)? {
        return Ok(identity);
    }
    let mut id = [0; 16];
    random(&mut id)?;
    tx.execute(
        "INSERT INTO gc_store (name, id, epoch) VALUES ('store', $1, 0) ON CONFLICT (name) DO NOTHING",
        &[id.as_slice().into()],
    )?;
    // Another instance may have been first.
    read(tx)?.ok_or_else(|| damaged("store"))
}

fn read(tx: &mut dyn Transaction) -> Result<Option<StoreIdentity>, Error> {
    let rows = tx.query("SELECT id, epoch FROM gc_store", &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut columns = row.columns();
    Ok(Some(StoreIdentity { id: columns.array()?, epoch: columns.integer()? }))
}
