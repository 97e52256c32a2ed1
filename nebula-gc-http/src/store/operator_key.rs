//! Operator keys, stored as hashes.

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Columns, Query, Row, Transaction};

use super::{counts_by_key, former_name, one_integer};
use crate::secret::Hashed;
pub use crate::stored_words::Role;
use crate::{Error, OperatorKeyId, TenantId};

/// Where an operator key applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Root,
    /// In the networks of one tenant.
    Tenant(TenantId),
    /// In one network.
    Network(NetworkId),
}

/// An operator key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorKey {
    /// Its id.
    pub id: OperatorKeyId,
    /// Its name.
    pub name: String,
    /// To whom nodes belong that it lets in: the name that it was made with.
    pub user: String,
    /// What it may do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// When it expires, in seconds since the Unix epoch.
    pub expires_at: Option<i64>,
}

/// An operator key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptKey {
    /// The key.
    pub key: OperatorKey,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: i64,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

const BY_HASH: &str = "SELECT id, name, coalesce(user_name, name), role, tenant, network, expires_at \
     FROM gc_operator_key WHERE hash = $1 AND hash_key = $2 AND revoked_at IS NULL";

const KEPT: &str = "SELECT id, name, coalesce(user_name, name), role, tenant, network, expires_at, \
                    created_at, revoked_at FROM gc_operator_key";

fn kept(row: &Row) -> Result<KeptKey, Error> {
    let mut columns = row.columns();
    Ok(KeptKey {
        key: read(&mut columns)?,
        created_at: columns.integer()?,
        revoked_at: columns.optional_integer()?,
    })
}

/// The key with this id, revoked or not.
pub(crate) fn by_id(tx: &mut dyn Transaction, id: OperatorKeyId) -> Result<Option<KeptKey>, Error> {
    let rows = tx.query(&format!("{KEPT} WHERE id = $1"), &[id.as_bytes().into()])?;
    rows.first().map(kept).transpose()
}

/// At most `limit` keys with a scope within this one after this id, ordered by id, revoked ones
/// included.
pub(crate) fn after(
    tx: &mut dyn Transaction,
    scope: Scope,
    id: OperatorKeyId,
    limit: i64,
) -> Result<Vec<KeptKey>, Error> {
    let id = id.as_bytes().into();
    let limit = limit.into();
    let rows = match scope {
        Scope::Root => {
            tx.query(&format!("{KEPT} WHERE id > $1 ORDER BY id LIMIT $2"), &[id, limit])
        }
        Scope::Tenant(tenant) => tx.query(
            &format!(
                "{KEPT} WHERE id > $1 AND (tenant = $2 OR network IN \
                 (SELECT id FROM gc_network WHERE tenant = $2)) ORDER BY id LIMIT $3"
            ),
            &[id, tenant.as_bytes().into(), limit],
        ),
        Scope::Network(network) => tx.query(
            &format!("{KEPT} WHERE id > $1 AND network = $2 ORDER BY id LIMIT $3"),
            &[id, network.as_bytes().into(), limit],
        ),
    };
    rows?.iter().map(kept).collect()
}

/// Gives a key another name, unless it has another since it was read. It keeps its user.
pub(crate) fn rename(tx: &mut dyn Transaction, key: &OperatorKey, name: &str) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_operator_key SET name = $1, user_name = coalesce(user_name, name) \
         WHERE id = $2 AND name = $3",
        &[name.into(), key.id.as_bytes().into(), (&key.name).into()],
    )?)
}

/// Revokes a key. Returns whether it was not revoked before.
pub(crate) fn revoke(tx: &mut dyn Transaction, id: OperatorKeyId, now: i64) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE gc_operator_key SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
        &[now.into(), id.as_bytes().into()],
    )?;
    Ok(changed == 1)
}

/// Whether there is another root owner key that does not expire.
pub(crate) fn any_other_root_owner(
    tx: &mut dyn Transaction,
    id: OperatorKeyId,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_operator_key WHERE id <> $1 AND role = 'owner' AND tenant IS NULL \
         AND network IS NULL AND expires_at IS NULL AND revoked_at IS NULL LIMIT 1",
        &[id.as_bytes().into()],
    )?;
    Ok(!rows.is_empty())
}

pub(crate) fn insert(
    tx: &mut dyn Transaction,
    key: &OperatorKey,
    hashed: &Hashed,
    now: i64,
) -> Result<(), Error> {
    let (tenant, network) = match &key.scope {
        Scope::Root => (None, None),
        Scope::Tenant(tenant) => (Some(tenant.as_bytes()), None),
        Scope::Network(network) => (None, Some(network.as_bytes())),
    };
    Ok(tx.queue(
        "INSERT INTO gc_operator_key (id, name, hash_key, hash, role, tenant, network, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            key.id.as_bytes().into(),
            (&key.name).into(),
            hashed.key_id.into(),
            (&hashed.hash).into(),
            key.role.word().into(),
            tenant.into(),
            network.into(),
            key.expires_at.into(),
            now.into(),
        ],
    )?)
}

/// Whether there is any key; there is one since the first start.
pub(crate) fn any(tx: &mut dyn Transaction) -> Result<bool, Error> {
    Ok(!tx.query("SELECT 1 FROM gc_operator_key LIMIT 1", &[])?.is_empty())
}

/// How many keys of a tenant are not revoked.
pub(crate) fn count_of_tenant(tx: &mut dyn Transaction, tenant: TenantId) -> Result<u64, Error> {
    let rows = tx.query(
        "SELECT count(*) FROM gc_operator_key WHERE tenant = $1 AND revoked_at IS NULL",
        &[tenant.as_bytes().into()],
    )?;
    Ok(one_integer(&rows)?.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// Deletes the keys of a tenant that is about to be deleted.
pub(crate) fn delete_of_tenant(
    tx: &mut dyn Transaction,
    tenant: TenantId,
    now: i64,
) -> Result<(), Error> {
    let sql = "SELECT id, name FROM gc_operator_key WHERE tenant = $1";
    for row in &tx.query(sql, &[tenant.as_bytes().into()])? {
        let mut columns = row.columns();
        former_name::keep(tx, &columns.array()?, columns.text()?, now)?;
    }
    Ok(tx.queue("DELETE FROM gc_operator_key WHERE tenant = $1", &[tenant.as_bytes().into()])?)
}

/// The key with this hash, unless it is revoked.
///
/// The time of the look-up depends on the hash, but reveals nothing about the secret: the hash is
/// an HMAC under a key that only the server has.
pub(crate) fn by_hash(
    tx: &mut dyn Transaction,
    hashed: &Hashed,
) -> Result<Option<OperatorKey>, Error> {
    let rows = tx.query(BY_HASH, &[(&hashed.hash).into(), hashed.key_id.into()])?;
    rows.first().map(|row| read(&mut row.columns())).transpose()
}

/// The query of [`by_hash`], for prefetching.
pub(crate) fn hash_query(hashed: &Hashed) -> Query {
    Query::new(BY_HASH, &[(&hashed.hash).into(), hashed.key_id.into()])
}

/// Replaces a hash by that of the same secret under another key, unless it changed meanwhile.
pub(crate) fn rehash(tx: &mut dyn Transaction, former: &Hashed, new: &Hashed) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_operator_key SET hash = $1, hash_key = $2 WHERE hash = $3 AND hash_key = $4",
        &[(&new.hash).into(), new.key_id.into(), (&former.hash).into(), former.key_id.into()],
    )?)
}

/// How many operator keys that are not revoked are hashed under each key of the server.
pub(crate) fn by_secret_key(tx: &mut dyn Transaction) -> Result<Vec<(i64, i64)>, Error> {
    let sql =
        "SELECT hash_key, COUNT(*) FROM gc_operator_key WHERE revoked_at IS NULL GROUP BY hash_key";
    counts_by_key(tx, sql)
}

fn read(columns: &mut Columns<'_>) -> Result<OperatorKey, Error> {
    Ok(OperatorKey {
        id: columns.array()?.into(),
        name: columns.text()?.to_owned(),
        user: columns.text()?.to_owned(),
        role: Role::from_word(columns.text()?)?,
        scope: match (columns.optional_array()?, columns.optional_array()?) {
            (_, Some(network)) => Scope::Network(network.into()),
            (Some(tenant), None) => Scope::Tenant(tenant.into()),
            (None, None) => Scope::Root,
        },
        expires_at: columns.optional_integer()?,
    })
}
