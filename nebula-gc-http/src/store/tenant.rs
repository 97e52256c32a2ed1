use nebula_alloc::store::Transaction;

use crate::{Error, TenantId};

/// The tenant that is always there.
pub(crate) const DEFAULT: &str = "default";

pub(crate) fn by_name(tx: &mut dyn Transaction, name: &str) -> Result<Option<TenantId>, Error> {
    let rows = tx.query("SELECT id FROM gc_tenant WHERE name = $1", &[name.into()])?;
    rows.first().map(|row| Ok(row.array(0)?.into())).transpose()
}

pub(crate) fn insert(
    tx: &mut dyn Transaction,
    id: TenantId,
    name: &str,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_tenant (id, name, created_at) VALUES ($1, $2, $3)",
        &[id.as_bytes().into(), name.into(), now.into()],
    )?)
}
