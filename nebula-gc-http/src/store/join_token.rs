//! Join tokens, stored as hashes.

use nebula_alloc::store::Query;
use nebula_alloc::store::{Row, Transaction};
use nebula_alloc::{NetworkId, PoolId};

use super::{counts_by_key, damaged};
use crate::secret::Hashed;
use crate::{Error, JoinTokenId, NodeAddresses};

/// A join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Its id.
    pub id: JoinTokenId,
    /// The network to join.
    pub network: NetworkId,
    /// What its maker calls it.
    pub name: String,
    /// How many nodes may join with it, from 1.
    pub uses: i64,
    /// How many nodes have joined.
    pub used: i64,
    /// When it expires, in seconds since the Unix epoch.
    pub expires_at: i64,
    /// A pattern that names of nodes must match; `*` stands for any characters.
    pub name_pattern: Option<String>,
    /// The groups of nodes that join with it.
    pub groups: Vec<String>,
    /// Whether nodes join as relays.
    pub relay: bool,
    /// Whether nodes may join as lighthouses.
    pub lighthouse: bool,
    /// The pool or block that nodes get their addresses from.
    pub pool: Option<PoolId>,
    /// The addresses that its one node gets.
    pub addresses: Option<NodeAddresses>,
    /// To whom nodes that join with it belong; empty for a token from before there were users.
    pub user: String,
    /// The only device id that a node may join under, and the one of who names none.
    pub device: Option<String>,
    /// After how long a silence nodes that join with it are released, in seconds; never where it is absent.
    pub ephemeral_seconds: Option<i64>,
    /// Whether an operator has to approve each device that joins.
    pub approval: bool,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: i64,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, network, name, uses, used, expires_at, name_pattern, groups, relay, lighthouse, \
             pool, created_at, revoked_at, user_name, device, ephemeral_seconds, approval, addresses \
             FROM gc_join_token ",
            $rest
        )
    };
}

const BY_HASH: &str = select!(
    "WHERE hash = $1 AND hash_key = $2 AND revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM gc_network \
     WHERE gc_network.id = gc_join_token.network AND gc_network.deleting_at IS NOT NULL)"
);

/// Replaces a hash by that of the same secret under another key, unless it changed meanwhile.
pub(crate) fn rehash(tx: &mut dyn Transaction, former: &Hashed, new: &Hashed) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_join_token SET hash = $1, hash_key = $2 WHERE hash = $3 AND hash_key = $4",
        &[(&new.hash).into(), new.key_id.into(), (&former.hash).into(), former.key_id.into()],
    )?)
}

/// How many join tokens that are not revoked are hashed under each key of the server.
pub(crate) fn by_secret_key(tx: &mut dyn Transaction) -> Result<Vec<(i64, i64)>, Error> {
    let sql =
        "SELECT hash_key, COUNT(*) FROM gc_join_token WHERE revoked_at IS NULL GROUP BY hash_key";
    counts_by_key(tx, sql)
}

fn read(row: &Row) -> Result<JoinToken, Error> {
    let mut columns = row.columns();
    Ok(JoinToken {
        id: columns.array()?.into(),
        network: columns.array()?.into(),
        name: columns.text()?.to_owned(),
        uses: columns.integer()?,
        used: columns.integer()?,
        expires_at: columns.integer()?,
        name_pattern: columns.optional_text()?.map(str::to_owned),
        groups: serde_json::from_str(columns.text()?).map_err(|_| damaged("list of groups"))?,
        relay: columns.integer()? != 0,
        lighthouse: columns.integer()? != 0,
        pool: columns.optional_array()?.map(PoolId::from),
        created_at: columns.integer()?,
        revoked_at: columns.optional_integer()?,
        user: columns.text()?.to_owned(),
        device: columns.optional_text()?.map(str::to_owned),
        ephemeral_seconds: columns.optional_integer()?,
        approval: columns.integer()? != 0,
        addresses: match columns.optional_text()? {
            Some(text) => Some(text.parse().map_err(|_| damaged("addresses of a join token"))?),
            None => None,
        },
    })
}

pub(crate) fn insert(
    tx: &mut dyn Transaction,
    token: &JoinToken,
    hashed: &Hashed,
) -> Result<(), Error> {
    let groups = serde_json::to_string(&token.groups).map_err(super::unwritable)?;
    let addresses = token.addresses.as_ref().map(ToString::to_string);
    Ok(tx.queue(
        "INSERT INTO gc_join_token (id, network, name, hash_key, hash, uses, used, expires_at, name_pattern, \
         groups, relay, lighthouse, pool, created_at, user_name, device, ephemeral_seconds, approval, \
         addresses) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        &[
            token.id.as_bytes().into(),
            token.network.as_bytes().into(),
            (&token.name).into(),
            hashed.key_id.into(),
            (&hashed.hash).into(),
            token.uses.into(),
            token.used.into(),
            token.expires_at.into(),
            token.name_pattern.as_deref().into(),
            (&groups).into(),
            i64::from(token.relay).into(),
            i64::from(token.lighthouse).into(),
            token.pool.as_ref().map(|pool| pool.as_bytes()).into(),
            token.created_at.into(),
            (&token.user).into(),
            token.device.as_deref().into(),
            token.ephemeral_seconds.into(),
            i64::from(token.approval).into(),
            addresses.as_deref().into(),
        ],
    )?)
}

/// The token with this hash, unless it is revoked or its network deleted. It may be expired or used up.
pub(crate) fn by_hash(
    tx: &mut dyn Transaction,
    hashed: &Hashed,
) -> Result<Option<JoinToken>, Error> {
    let rows = tx.query(BY_HASH, &[(&hashed.hash).into(), hashed.key_id.into()])?;
    rows.first().map(read).transpose()
}

/// The query of [`by_hash`], for prefetching.
pub(crate) fn hash_query(hashed: &Hashed) -> Query {
    Query::new(BY_HASH, &[(&hashed.hash).into(), hashed.key_id.into()])
}

pub(crate) fn by_id(tx: &mut dyn Transaction, id: JoinTokenId) -> Result<Option<JoinToken>, Error> {
    let rows = tx.query(select!("WHERE id = $1"), &[id.as_bytes().into()])?;
    rows.first().map(read).transpose()
}

/// At most `limit` tokens of a network after this id, revoked ones included.
pub(crate) fn after(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: JoinTokenId,
    limit: i64,
) -> Result<Vec<JoinToken>, Error> {
    let rows = tx.query(
        select!("WHERE network = $1 AND id > $2 ORDER BY id LIMIT $3"),
        &[network.as_bytes().into(), id.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

/// Takes one use of a token that is valid now and not used up. Returns whether it could.
pub(crate) fn take_use(tx: &mut dyn Transaction, id: JoinTokenId, now: i64) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE gc_join_token SET used = used + 1 \
         WHERE id = $1 AND used < uses AND expires_at > $2 AND revoked_at IS NULL",
        &[id.as_bytes().into(), now.into()],
    )?;
    Ok(changed == 1)
}

/// Keeps others from changing a token that is valid now, until the transaction ends. Returns whether it is.
pub(crate) fn hold(tx: &mut dyn Transaction, id: JoinTokenId, now: i64) -> Result<bool, Error> {
    let held = tx.execute(
        "UPDATE gc_join_token SET used = used \
         WHERE id = $1 AND expires_at > $2 AND revoked_at IS NULL",
        &[id.as_bytes().into(), now.into()],
    )?;
    Ok(held == 1)
}

/// Gives a use back after an enrolment that was cancelled.
pub(crate) fn give_back(tx: &mut dyn Transaction, id: JoinTokenId) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_join_token SET used = used - 1 WHERE id = $1 AND used > 0",
        &[id.as_bytes().into()],
    )?)
}

/// Gives a token another name, unless it has another since it was read.
pub(crate) fn rename(tx: &mut dyn Transaction, token: &JoinToken, name: &str) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_join_token SET name = $1 WHERE id = $2 AND name = $3",
        &[name.into(), token.id.as_bytes().into(), (&token.name).into()],
    )?)
}

/// Revokes a token. Returns whether it was not revoked before.
pub(crate) fn revoke(tx: &mut dyn Transaction, id: JoinTokenId, now: i64) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE gc_join_token SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
        &[now.into(), id.as_bytes().into()],
    )?;
    Ok(changed == 1)
}
