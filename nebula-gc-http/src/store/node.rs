use std::collections::HashMap;

use nebula_alloc::store::writer::Query;
use nebula_alloc::store::{Columns, Row, Transaction};
use nebula_alloc::{NetworkId, PoolId};
use nebula_bundle::Endpoint;

use super::network::Revision;
use super::{counts_by_key, damaged, ids, one_id, stored_words};
use crate::names::{key_beside, keys};
use crate::secret::Hashed;
use crate::{Error, JoinTokenId, NodeId, TenantId};

stored_words! {
    /// Where a node stands.
    pub enum NodeState {
        /// A member of its network.
        Active = "active",
        /// Kept out for a while.
        Suspended = "suspended",
        /// Kept out, with its public key, until an operator reinstates it.
        Revoked = "revoked",
        /// Gone; its device may register anew.
        Released = "released",
    }
}

/// A node's own counter. It moves with its certificate and its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) i64);

impl Generation {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A member of a network.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) network: NetworkId,
    /// The device's own id, the client's choice; never changes.
    pub(crate) device: String,
    pub(crate) name: String,
    /// On the network's curve.
    pub(crate) public_key: Vec<u8>,
    pub(crate) state: NodeState,
    /// Why it is in that state, as the operator said.
    pub(crate) state_reason: Option<String>,
    pub(crate) groups: Vec<String>,
    /// Where it is reached on the underlay, where it is a lighthouse.
    pub(crate) lighthouse: Option<Endpoint>,
    pub(crate) relay: bool,
    /// The MTU of its device, where it is not the network's.
    pub(crate) mtu: Option<u32>,
    /// The pool or block its addresses are from, where not from any.
    pub(crate) pool: Option<PoolId>,
    /// The node token, where it has one.
    pub(crate) token: Option<Hashed>,
    /// The join token it came with.
    pub(crate) join_token: Option<JoinTokenId>,
    /// Until when it may have no other key by itself, in seconds since the Unix epoch.
    pub(crate) key_until: Option<i64>,
    pub(crate) generation: Generation,
    /// What it reported last; 0 for one that never did.
    pub(crate) applied: Applied,
    /// When it last asked anything with its token, in seconds since the Unix epoch and give or take
    /// some minutes; nothing for nodes without a node token.
    pub(crate) seen_at: Option<i64>,
    /// Counts the changes of it as a resource.
    pub(crate) changes: i64,
    pub(crate) created_at: i64,
}

/// What a node has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    pub(crate) revision: i64,
    pub(crate) generation: i64,
    pub(crate) at: Option<i64>,
}

impl Node {
    /// Whether it came through the native API, and so renews by itself.
    pub(crate) fn is_native(&self) -> bool {
        self.token.is_some()
    }
}

/// A query for whole nodes; a macro, because `concat!` takes no constants.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, network, device, name, public_key, state, state_reason, groups, lighthouse, relay, \
             mtu, pool, token_key, token_hash, join_token, generation, applied_revision, \
             applied_generation, reported_at, changes, created_at, seen_at, key_until FROM gc_node ",
            $rest
        )
    };
}

const BY_TOKEN: &str = select!("WHERE token_hash = $1 AND token_key = $2");

/// Stores the hash of the same secret under another key, unless it was replaced meanwhile.
pub(crate) fn rehash(tx: &mut dyn Transaction, former: &Hashed, new: &Hashed) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET token_hash = $1, token_key = $2 WHERE token_hash = $3 AND token_key = $4",
        &[(&new.hash).into(), new.key_id.into(), (&former.hash).into(), former.key_id.into()],
    )?)
}

/// How many tokens of nodes that are not released are hashed under each key of the server.
pub(crate) fn by_secret_key(tx: &mut dyn Transaction) -> Result<Vec<(i64, i64)>, Error> {
    let sql = "SELECT token_key, COUNT(*) FROM gc_node WHERE token_key IS NOT NULL AND state <> 'released' GROUP BY token_key";
    counts_by_key(tx, sql)
}
// Below the macro that it uses.
mod list;
pub(crate) use self::list::{Listed, applied_by_all, count_unapplied, list, silent};
pub use self::list::{NodeFilter, NodeRole};

fn read(row: &Row) -> Result<Node, Error> {
    let mut columns = row.columns();
    Ok(Node {
        id: columns.array()?.into(),
        network: columns.array()?.into(),
        device: columns.text()?.to_owned(),
        name: columns.text()?.to_owned(),
        public_key: columns.blob()?.to_vec(),
        state: NodeState::from_word(columns.text()?)?,
        state_reason: columns.optional_text()?.map(str::to_owned),
        groups: serde_json::from_str(columns.text()?).map_err(|_| damaged("list of groups"))?,
        lighthouse: columns
            .optional_text()?
            .map(|text| text.parse().map_err(|_| damaged("endpoint")))
            .transpose()?,
        relay: columns.integer()? != 0,
        mtu: columns
            .optional_integer()?
            .map(|mtu| mtu.try_into().map_err(|_| damaged("MTU")))
            .transpose()?,
        pool: columns.optional_array()?.map(PoolId::from),
        token: read_token(&mut columns)?,
        join_token: columns.optional_array()?.map(JoinTokenId::from),
        generation: Generation(columns.integer()?),
        applied: Applied {
            revision: columns.integer()?,
            generation: columns.integer()?,
            at: columns.optional_integer()?,
        },
        changes: columns.integer()?,
        created_at: columns.integer()?,
        seen_at: columns.optional_integer()?,
        key_until: columns.optional_integer()?,
    })
}

/// The columns `token_key` and `token_hash`.
fn read_token(columns: &mut Columns<'_>) -> Result<Option<Hashed>, Error> {
    match (columns.optional_integer()?, columns.optional_array()?) {
        (Some(key_id), Some(hash)) => Ok(Some(Hashed { key_id, hash })),
        (Some(_), None) => Err(damaged("node token")),
        (None, _) => Ok(None),
    }
}

pub(crate) fn by_id(tx: &mut dyn Transaction, id: NodeId) -> Result<Option<Node>, Error> {
    let rows = tx.query(select!("WHERE id = $1"), &[id.as_bytes().into()])?;
    rows.first().map(read).transpose()
}

/// The node with this token, in whatever state.
pub(crate) fn by_token(tx: &mut dyn Transaction, token: &Hashed) -> Result<Option<Node>, Error> {
    let rows = tx.query(BY_TOKEN, &[(&token.hash).into(), token.key_id.into()])?;
    rows.first().map(read).transpose()
}

/// What [`by_token`] reads, for steps that foresee it.
pub(crate) fn token_query(token: &Hashed) -> Query {
    Query::new(BY_TOKEN, &[(&token.hash).into(), token.key_id.into()])
}

/// The node with a public key, if not a released one.
pub(crate) fn with_public_key(
    tx: &mut dyn Transaction,
    network: NetworkId,
    public_key: &[u8],
) -> Result<Option<Node>, Error> {
    let rows = tx.query(
        select!("WHERE network = $1 AND public_key = $2 AND state <> 'released'"),
        &[network.as_bytes().into(), public_key.into()],
    )?;
    rows.first().map(read).transpose()
}

/// The node a device has now, which may be any but a released one.
pub(crate) fn by_device(
    tx: &mut dyn Transaction,
    network: NetworkId,
    device: &str,
) -> Result<Option<Node>, Error> {
    let rows = tx.query(
        select!("WHERE network = $1 AND device = $2 AND state <> 'released'"),
        &[network.as_bytes().into(), device.into()],
    )?;
    rows.first().map(read).transpose()
}

/// The networks, of one tenant or all, that have a node of this device; two are enough to know that
/// there are several.
pub(crate) fn networks_with_device(
    tx: &mut dyn Transaction,
    device: &str,
    tenant: Option<TenantId>,
) -> Result<Vec<NetworkId>, Error> {
    let rows = match tenant {
        None => tx.query(
            "SELECT network FROM gc_node WHERE device = $1 AND state <> 'released' LIMIT 2",
            &[device.into()],
        )?,
        Some(tenant) => tx.query(
            "SELECT network FROM gc_node WHERE device = $1 AND state <> 'released' \
             AND network IN (SELECT id FROM gc_network WHERE tenant = $2) LIMIT 2",
            &[device.into(), tenant.as_bytes().into()],
        )?,
    };
    ids(&rows)
}

/// As [`networks_with_device`], of its nodes that are released.
pub(crate) fn networks_that_released(
    tx: &mut dyn Transaction,
    device: &str,
    tenant: Option<TenantId>,
) -> Result<Vec<NetworkId>, Error> {
    let rows = match tenant {
        None => tx.query(
            "SELECT DISTINCT network FROM gc_node WHERE device = $1 AND state = 'released' LIMIT 2",
            &[device.into()],
        )?,
        Some(tenant) => tx.query(
            "SELECT DISTINCT network FROM gc_node WHERE device = $1 AND state = 'released' \
             AND network IN (SELECT id FROM gc_network WHERE tenant = $2) LIMIT 2",
            &[device.into(), tenant.as_bytes().into()],
        )?,
    };
    ids(&rows)
}

/// The nodes that a device had and that were released, the last one first, at most `limit`.
pub(crate) fn released_of(
    tx: &mut dyn Transaction,
    network: NetworkId,
    device: &str,
    limit: i64,
) -> Result<Vec<Node>, Error> {
    let rows = tx.query(
        select!(
            "WHERE network = $1 AND device = $2 AND state = 'released' \
             ORDER BY released_at DESC, id DESC LIMIT $3"
        ),
        &[network.as_bytes().into(), device.into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

/// Who has a name that is told from others as this one is, if not a released node.
pub(crate) fn by_name(
    tx: &mut dyn Transaction,
    network: NetworkId,
    name: &str,
) -> Result<Option<NodeId>, Error> {
    for key in keys(name) {
        let rows = tx.query(
            "SELECT id FROM gc_node \
             WHERE network = $1 AND coalesce(name_key, name) = $2 AND state <> 'released'",
            &[network.as_bytes().into(), (&key).into()],
        )?;
        if let Some(id) = one_id(&rows)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The active nodes of a network that have a token: their generations and the tokens' hashes.
pub(crate) fn with_tokens(
    tx: &mut dyn Transaction,
    network: NetworkId,
) -> Result<HashMap<NodeId, (Generation, [u8; 32])>, Error> {
    let rows = tx.query(
        "SELECT id, generation, token_hash FROM gc_node \
         WHERE network = $1 AND state = 'active' AND token_hash IS NOT NULL",
        &[network.as_bytes().into()],
    )?;
    rows.iter()
        .map(|row| {
            let mut columns = row.columns();
            let id = columns.array()?.into();
            Ok((id, (Generation(columns.integer()?), columns.array()?)))
        })
        .collect()
}

/// The active lighthouses, oldest first.
pub(crate) fn lighthouses(
    tx: &mut dyn Transaction,
    network: NetworkId,
) -> Result<Vec<Node>, Error> {
    let rows = tx.query(
        select!("WHERE network = $1 AND lighthouse IS NOT NULL AND state = 'active' ORDER BY id"),
        &[network.as_bytes().into()],
    )?;
    rows.iter().map(read).collect()
}

/// The active relays, oldest first.
pub(crate) fn relays(tx: &mut dyn Transaction, network: NetworkId) -> Result<Vec<Node>, Error> {
    let rows = tx.query(
        select!("WHERE network = $1 AND relay = 1 AND state = 'active' ORDER BY id"),
        &[network.as_bytes().into()],
    )?;
    rows.iter().map(read).collect()
}

/// The nodes of a network after the one of this id, in whatever state, at most `limit`.
pub(crate) fn after(
    tx: &mut dyn Transaction,
    network: NetworkId,
    id: NodeId,
    limit: i64,
) -> Result<Vec<Node>, Error> {
    let rows = tx.query(
        select!("WHERE network = $1 AND id > $2 ORDER BY id LIMIT $3"),
        &[network.as_bytes().into(), id.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

pub(crate) fn insert(tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
    let groups = groups_text(&node.groups)?;
    let lighthouse = node.lighthouse.as_ref().map(Endpoint::to_string);
    Ok(tx.queue(
        "INSERT INTO gc_node (id, network, device, name, public_key, state, groups, lighthouse, relay, mtu, \
         pool, token_key, token_hash, join_token, generation, changes, created_at, seen_at, key_until, name_key) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        &[
            node.id.as_bytes().into(),
            node.network.as_bytes().into(),
            (&node.device).into(),
            (&node.name).into(),
            (&node.public_key).into(),
            node.state.word().into(),
            (&groups).into(),
            lighthouse.as_deref().into(),
            i64::from(node.relay).into(),
            node.mtu.map(i64::from).into(),
            node.pool.as_ref().map(PoolId::as_bytes).into(),
            node.token.as_ref().map(|token| token.key_id).into(),
            node.token.as_ref().map(|token| &token.hash).into(),
            node.join_token.as_ref().map(JoinTokenId::as_bytes).into(),
            node.generation.0.into(),
            node.changes.into(),
            node.created_at.into(),
            node.seen_at.into(),
            node.key_until.into(),
            key_beside(&node.name).as_deref().into(),
        ],
    )?)
}

/// Writes what may change of a node but its token, where nobody else changed it since it was read.
/// The generation is the caller's to move; `changes` counts by itself.
pub(crate) fn update(tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
    let groups = groups_text(&node.groups)?;
    let lighthouse = node.lighthouse.as_ref().map(Endpoint::to_string);
    Ok(tx.queue_one(
        "UPDATE gc_node SET name = $1, public_key = $2, state = $3, state_reason = $4, groups = $5, \
         lighthouse = $6, relay = $7, mtu = $8, generation = $9, \
         seen_at = CASE WHEN seen_at < $10 THEN $10 ELSE seen_at END, key_until = $11, \
         name_key = CASE WHEN name = $1 THEN name_key ELSE $12 END, changes = changes + 1 \
         WHERE id = $13 AND changes = $14 AND state <> 'released'",
        &[
            (&node.name).into(),
            (&node.public_key).into(),
            node.state.word().into(),
            node.state_reason.as_deref().into(),
            (&groups).into(),
            lighthouse.as_deref().into(),
            i64::from(node.relay).into(),
            node.mtu.map(i64::from).into(),
            node.generation.0.into(),
            node.seen_at.into(),
            node.key_until.into(),
            key_beside(&node.name).as_deref().into(),
            node.id.as_bytes().into(),
            node.changes.into(),
        ],
    )?)
}

/// Gives a node another token, where nobody else changed it since it was read.
pub(crate) fn replace_token(
    tx: &mut dyn Transaction,
    node: &Node,
    token: &Hashed,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_node SET token_key = $1, token_hash = $2, seen_at = coalesce(seen_at, $3), \
         changes = changes + 1 WHERE id = $4 AND changes = $5 AND state <> 'released'",
        &[
            token.key_id.into(),
            (&token.hash).into(),
            now.into(),
            node.id.as_bytes().into(),
            node.changes.into(),
        ],
    )?)
}

/// Takes a node's token away, without giving it another.
pub(crate) fn end_token(tx: &mut dyn Transaction, id: NodeId) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET token_key = NULL, token_hash = NULL, seen_at = NULL WHERE id = $1",
        &[id.as_bytes().into()],
    )?)
}

/// Lets a node go, where nobody else changed it since it was read.
pub(crate) fn release(
    tx: &mut dyn Transaction,
    node: &Node,
    reason: Option<&str>,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_node SET state = 'released', state_reason = $1, released_at = $2, \
         changes = changes + 1 WHERE id = $3 AND changes = $4 AND state <> 'released'",
        &[reason.into(), now.into(), node.id.as_bytes().into(), node.changes.into()],
    )?)
}

/// Notes what an active node says that it has applied, and that it lives. It never goes back.
pub(crate) fn report(
    tx: &mut dyn Transaction,
    id: NodeId,
    revision: Revision,
    generation: Generation,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET \
         applied_revision = CASE WHEN applied_revision < $1 THEN $1 ELSE applied_revision END, \
         applied_generation = CASE WHEN applied_generation < $2 THEN $2 ELSE applied_generation END, \
         reported_at = $3, seen_at = $3 WHERE id = $4 AND state = 'active'",
        &[revision.0.into(), generation.0.into(), now.into(), id.as_bytes().into()],
    )?)
}

/// Notes that an active node has shown its token. It never goes back.
pub(crate) fn see(
    tx: &mut dyn Transaction,
    id: NodeId,
    now: i64,
    coarse: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET seen_at = $1 WHERE id = $2 AND state = 'active' \
         AND (seen_at IS NULL OR seen_at < $1 OR seen_at >= $3)",
        &[now.into(), id.as_bytes().into(), now.saturating_add(coarse).into()],
    )?)
}

/// Lets go of the tokens of a node that came to nothing, so that its device may come again with them.
pub(crate) fn forget_tokens(tx: &mut dyn Transaction, id: NodeId) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET token_key = NULL, token_hash = NULL, join_token = NULL WHERE id = $1",
        &[id.as_bytes().into()],
    )?)
}

fn groups_text(groups: &[String]) -> Result<String, Error> {
    serde_json::to_string(groups).map_err(super::unwritable)
}
