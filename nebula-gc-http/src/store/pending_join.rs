//! Devices that wait for an operator's approval. They hold neither a name nor an address.

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Row, Transaction};
use serde::{Deserialize, Serialize};

use super::{counts_by_key, damaged, one_integer};
use crate::key_fingerprint::KeyFingerprint;
use crate::secret::Hashed;
use crate::stored_words::PendingState;
use crate::{Error, JoinTokenId, NodeAddresses, PendingJoinId};

/// A device that asked to join with a token that needs an operator's approval.
#[derive(Debug, Clone)]
pub struct PendingJoin {
    /// Its id: another one where it asks for something else.
    pub id: PendingJoinId,
    /// The network that it wants to join.
    pub network: NetworkId,
    /// The join token that it has.
    pub join_token: JoinTokenId,
    /// What the token is called.
    pub token_name: String,
    /// The raw bytes of its public key.
    pub public_key: Vec<u8>,
    /// Its node token; nothing for a device that has none.
    pub(crate) node_token: Option<Hashed>,
    /// What an operator said.
    pub state: PendingState,
    /// What it asks for.
    pub asks: Asked,
    /// The address that it asked from.
    pub source: Option<String>,
    /// When it asked first, in seconds since the Unix epoch.
    pub created_at: i64,
    /// When it is forgotten, in seconds since the Unix epoch.
    pub expires_at: i64,
    /// Who approved or refused it, as events name it.
    pub decided_by: Option<String>,
    /// Why it was refused, which it is told.
    pub reason: Option<String>,
}

/// What a device asks for that wants to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// The device's own id, if it has one.
    pub device: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Where it is reached as a lighthouse.
    pub lighthouse: Option<String>,
    /// Whether it is to be a relay.
    pub relay: bool,
    /// The MTU of its tun interface, in bytes, where it is not the network's.
    pub mtu: Option<u32>,
    /// The addresses that it is to have; any of a family that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<NodeAddresses>,
    /// To whom it is to belong.
    pub user: String,
}

impl PendingJoin {
    /// By what an operator recognises its key.
    #[must_use]
    pub fn key_fingerprint(&self) -> KeyFingerprint {
        KeyFingerprint::of(&self.public_key)
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT gc_pending_join.id, gc_pending_join.network, join_token, gc_join_token.name, public_key, \
             gc_pending_join.token_key, gc_pending_join.token_hash, gc_pending_join.state, asks, source, gc_pending_join.created_at, \
             gc_pending_join.expires_at, decided_by, reason \
             FROM gc_pending_join JOIN gc_join_token ON gc_join_token.id = join_token \
             WHERE gc_join_token.revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM gc_node \
             WHERE gc_node.network = gc_pending_join.network \
             AND gc_node.public_key = gc_pending_join.public_key AND gc_node.state <> 'released') AND ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<PendingJoin, Error> {
    let mut columns = row.columns();
    Ok(PendingJoin {
        id: columns.array()?.into(),
        network: columns.array()?.into(),
        join_token: columns.array()?.into(),
        token_name: columns.text()?.to_owned(),
        public_key: columns.blob()?.to_vec(),
        node_token: match (columns.optional_integer()?, columns.optional_array()?) {
            (Some(key_id), Some(hash)) => Some(Hashed { key_id, hash }),
            _ => None,
        },
        state: PendingState::from_word(columns.text()?)?,
        asks: serde_json::from_str(columns.text()?).map_err(|_| damaged("pending request"))?,
        source: columns.optional_text()?.map(str::to_owned),
        created_at: columns.integer()?,
        expires_at: columns.integer()?,
        decided_by: columns.optional_text()?.map(str::to_owned),
        reason: columns.optional_text()?.map(str::to_owned),
    })
}

/// Replaces what the same key asked before with the same token.
pub(crate) fn insert(tx: &mut dyn Transaction, row: &PendingJoin) -> Result<(), Error> {
    let asks = serde_json::to_string(&row.asks).map_err(super::unwritable)?;
    tx.execute(
        "DELETE FROM gc_pending_join WHERE join_token = $1 AND public_key = $2",
        &[row.join_token.as_bytes().into(), row.public_key.as_slice().into()],
    )?;
    tx.execute(
        "INSERT INTO gc_pending_join (id, network, join_token, public_key, token_key, token_hash, state, \
         asks, source, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &[
            row.id.as_bytes().into(),
            row.network.as_bytes().into(),
            row.join_token.as_bytes().into(),
            row.public_key.as_slice().into(),
            row.node_token.as_ref().map(|token| token.key_id).into(),
            row.node_token.as_ref().map(|token| &token.hash).into(),
            row.state.word().into(),
            (&asks).into(),
            row.source.as_deref().into(),
            row.created_at.into(),
            row.expires_at.into(),
        ],
    )?;
    Ok(())
}

/// What this key asked with this token, unless it is over.
pub(crate) fn of_key(
    tx: &mut dyn Transaction,
    token: JoinTokenId,
    public_key: &[u8],
    now: i64,
) -> Result<Option<PendingJoin>, Error> {
    let rows = tx.query(
        select!("join_token = $1 AND public_key = $2 AND gc_pending_join.expires_at > $3"),
        &[token.as_bytes().into(), public_key.into(), now.into()],
    )?;
    rows.first().map(read).transpose()
}

/// How many others than this key's wait with a token, or are approved and have not come yet.
pub(crate) fn waiting(
    tx: &mut dyn Transaction,
    token: JoinTokenId,
    public_key: &[u8],
    now: i64,
) -> Result<i64, Error> {
    let rows = tx.query(
        "SELECT COUNT(*) FROM gc_pending_join \
         WHERE join_token = $1 AND public_key <> $2 AND state <> 'refused' AND expires_at > $3",
        &[token.as_bytes().into(), public_key.into(), now.into()],
    )?;
    Ok(one_integer(&rows)?.unwrap_or_default())
}

/// One that is not over.
pub(crate) fn by_id(
    tx: &mut dyn Transaction,
    id: PendingJoinId,
    now: i64,
) -> Result<Option<PendingJoin>, Error> {
    let rows = tx.query(
        select!("gc_pending_join.id = $1 AND gc_pending_join.expires_at > $2"),
        &[id.as_bytes().into(), now.into()],
    )?;
    rows.first().map(read).transpose()
}

/// At most `limit` of a network after this id that are not over.
pub(crate) fn after(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: PendingJoinId,
    now: i64,
    limit: i64,
) -> Result<Vec<PendingJoin>, Error> {
    let rows = tx.query(
        select!(
            "gc_pending_join.network = $1 AND gc_pending_join.id > $2 \
             AND gc_pending_join.expires_at > $3 ORDER BY gc_pending_join.id LIMIT $4"
        ),
        &[network.as_bytes().into(), id.as_bytes().into(), now.into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

/// Writes what an operator decided of one that was in this state. Returns whether it still was.
pub(crate) fn decide(
    tx: &mut dyn Transaction,
    former: PendingState,
    decided: &PendingJoin,
    now: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE gc_pending_join SET state = $1, decided_by = $2, expires_at = $3, reason = $4 \
         WHERE id = $5 AND state = $6 AND expires_at > $7",
        &[
            decided.state.word().into(),
            decided.decided_by.as_deref().into(),
            decided.expires_at.into(),
            decided.reason.as_deref().into(),
            decided.id.as_bytes().into(),
            former.word().into(),
            now.into(),
        ],
    )?;
    Ok(changed == 1)
}

/// Takes an approval, which is good for one node. Returns whether it was there.
pub(crate) fn take(tx: &mut dyn Transaction, id: PendingJoinId, now: i64) -> Result<bool, Error> {
    let taken = tx.execute(
        "DELETE FROM gc_pending_join WHERE id = $1 AND state = 'approved' AND expires_at > $2",
        &[id.as_bytes().into(), now.into()],
    )?;
    Ok(taken == 1)
}

/// Deletes at most `limit` that are over. Returns how many.
pub(crate) fn forget(tx: &mut dyn Transaction, now: i64, limit: i64) -> Result<u64, Error> {
    Ok(tx.execute(
        "DELETE FROM gc_pending_join WHERE id IN \
         (SELECT id FROM gc_pending_join WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        &[now.into(), limit.into()],
    )?)
}

/// How many node tokens are hashed under each key of the server.
pub(crate) fn by_secret_key(tx: &mut dyn Transaction) -> Result<Vec<(i64, i64)>, Error> {
    let sql = "SELECT token_key, COUNT(*) FROM gc_pending_join WHERE token_key IS NOT NULL \
         GROUP BY token_key";
    counts_by_key(tx, sql)
}
