//! The list of servers that nodes are told, with the sealed key that signs it: one row.

use nebula_alloc::store::Transaction;

use super::{counts_by_key, damaged};
use crate::Error;
use crate::secret::Sealed;
use crate::server_list::{ServerListKey, SignedServerList};

/// What the key is bound to when it is sealed.
pub(crate) const OWNER: &[u8] = b"nebula-gc server list key";

/// The row.
pub(crate) struct StoredList {
    pub(crate) key: ServerListKey,
    pub(crate) sealed: Sealed,
    pub(crate) list: SignedServerList,
}

/// The row; none in a store that was not started yet.
pub(crate) fn read(tx: &mut dyn Transaction) -> Result<Option<StoredList>, Error> {
    let sql = "SELECT public_key, seal_key, sealed_key, list FROM gc_server_list";
    let rows = tx.query(sql, &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut columns = row.columns();
    Ok(Some(StoredList {
        key: ServerListKey(columns.array()?),
        sealed: Sealed { key_id: columns.integer()?, bytes: columns.blob()?.to_vec() },
        list: serde_json::from_str(columns.text()?).map_err(|_| damaged("list of servers"))?,
    }))
}

/// Enters the row, unless another instance was first.
pub(crate) fn insert(tx: &mut dyn Transaction, stored: &StoredList) -> Result<(), Error> {
    let StoredList { key, sealed, list } = stored;
    Ok(tx.queue(
        "INSERT INTO gc_server_list (name, public_key, seal_key, sealed_key, list) \
         VALUES ('servers', $1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
        &[
            key.0.as_slice().into(),
            sealed.key_id.into(),
            sealed.bytes.as_slice().into(),
            text(list)?.as_str().into(),
        ],
    )?)
}

/// Puts another list in the place of this one.
pub(crate) fn replace(tx: &mut dyn Transaction, list: &SignedServerList) -> Result<(), Error> {
    Ok(tx.queue("UPDATE gc_server_list SET list = $1", &[text(list)?.as_str().into()])?)
}

/// Replaces the sealed key by the same one sealed under another key, unless it changed meanwhile.
pub(crate) fn reseal(tx: &mut dyn Transaction, former: &Sealed, new: &Sealed) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_server_list SET seal_key = $1, sealed_key = $2 WHERE seal_key = $3",
        &[new.key_id.into(), new.bytes.as_slice().into(), former.key_id.into()],
    )?)
}

/// Under which key of the server the list's key is sealed.
pub(crate) fn by_secret_key(tx: &mut dyn Transaction) -> Result<Vec<(i64, i64)>, Error> {
    counts_by_key(tx, "SELECT seal_key, COUNT(*) FROM gc_server_list GROUP BY seal_key")
}

fn text(list: &SignedServerList) -> Result<String, Error> {
    serde_json::to_string(list).map_err(|_| damaged("list of servers"))
}
