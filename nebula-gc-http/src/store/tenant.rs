//! Tenants: the owners of networks and operator keys.

use nebula_alloc::store::{Row, Transaction};

use super::one_id;
use crate::names::{key_beside, keys};
use crate::{Error, TenantId};

/// The tenant that always exists.
pub(crate) const DEFAULT: &str = "default";

/// An owner of networks and operator keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its unique name.
    pub name: String,
    /// Counts its changes, from 1.
    pub changes: i64,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, changes, created_at FROM gc_tenant ", $rest)
    };
}

fn read(row: &Row) -> Result<Tenant, Error> {
    let mut columns = row.columns();
    Ok(Tenant {
        id: columns.array()?.into(),
        name: columns.text()?.to_owned(),
        changes: columns.integer()?,
        created_at: columns.integer()?,
    })
}

pub(crate) fn by_name(tx: &mut dyn Transaction, name: &str) -> Result<Option<TenantId>, Error> {
    let rows = tx.query("SELECT id FROM gc_tenant WHERE name = $1", &[name.into()])?;
    one_id(&rows)
}

/// The tenant whose name counts as equal to this one.
pub(crate) fn by_key(tx: &mut dyn Transaction, name: &str) -> Result<Option<TenantId>, Error> {
    for key in keys(name) {
        let sql = "SELECT id FROM gc_tenant WHERE coalesce(name_key, name) = $1";
        if let Some(id) = one_id(&tx.query(sql, &[(&key).into()])?)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

pub(crate) fn by_id(tx: &mut dyn Transaction, id: TenantId) -> Result<Option<Tenant>, Error> {
    let rows = tx.query(select!("WHERE id = $1"), &[id.as_bytes().into()])?;
    rows.first().map(read).transpose()
}

/// At most `limit` tenants after this id, ordered by id.
pub(crate) fn after(
    tx: &mut dyn Transaction,
    id: TenantId,
    limit: i64,
) -> Result<Vec<Tenant>, Error> {
    let rows = tx.query(
        select!("WHERE id > $1 ORDER BY id LIMIT $2"),
        &[id.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

pub(crate) fn insert(
    tx: &mut dyn Transaction,
    id: TenantId,
    name: &str,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_tenant (id, name, created_at, name_key) VALUES ($1, $2, $3, $4)",
        &[id.as_bytes().into(), name.into(), now.into(), key_beside(name).as_deref().into()],
    )?)
}

/// Renames a tenant, unless it changed since it was read. Returns whether it did not.
pub(crate) fn rename(tx: &mut dyn Transaction, tenant: &Tenant, name: &str) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE gc_tenant SET name = $1, name_key = $2, changes = changes + 1 \
         WHERE id = $3 AND changes = $4",
        &[
            name.into(),
            key_beside(name).as_deref().into(),
            tenant.id.as_bytes().into(),
            tenant.changes.into(),
        ],
    )?;
    Ok(changed == 1)
}

pub(crate) fn delete(tx: &mut dyn Transaction, id: TenantId) -> Result<(), Error> {
    Ok(tx.queue_one("DELETE FROM gc_tenant WHERE id = $1", &[id.as_bytes().into()])?)
}
