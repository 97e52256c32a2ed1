//! Nodes: the members of networks, and the queries that find one.

mod write;

use std::collections::HashMap;
use std::net::IpAddr;

use nebula_alloc::lease::{self, LeaseState};
use nebula_alloc::store::{Columns, Query, Row, Transaction};
use nebula_alloc::{NetworkId, PoolId};
use nebula_bundle::Endpoints;

use super::{counts_by_key, damaged, ids, one_id};
use crate::names::keys;
use crate::secret::Hashed;
pub use crate::stored_words::NodeState;
use crate::{Error, JoinTokenId, NodeId, TenantId};

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
    /// The device's own id, or the node's id where it named none. It never changes, and steps about
    /// the node are queued by it.
    pub(crate) device: String,
    pub(crate) name: String,
    /// To whom it belongs; empty for one that came before there were users.
    pub(crate) user: String,
    /// On the network's curve.
    pub(crate) public_key: Vec<u8>,
    pub(crate) state: NodeState,
    /// The operator's reason for the state.
    pub(crate) state_reason: Option<String>,
    pub(crate) groups: Vec<String>,
    /// Its endpoints on the underlay, if it is a lighthouse.
    pub(crate) lighthouse: Option<Endpoints>,
    pub(crate) relay: bool,
    /// The MTU of its tun interface, if it differs from the network's.
    pub(crate) mtu: Option<u32>,
    /// The pool or block that its addresses must be from, if any.
    pub(crate) pool: Option<PoolId>,
    /// The node token, if it has one.
    pub(crate) token: Option<Hashed>,
    /// The join token that it joined with.
    pub(crate) join_token: Option<JoinTokenId>,
    /// Until when it cannot change its key by itself, in seconds since the Unix epoch.
    pub(crate) key_until: Option<i64>,
    pub(crate) generation: Generation,
    /// What it reported last; zeros if it never did.
    pub(crate) applied: Applied,
    /// When it last sent a request with its token, in seconds since the Unix epoch, to within some
    /// minutes; nothing for nodes without a node token.
    pub(crate) seen_at: Option<i64>,
    /// Certificates that begin before this time are due, in seconds since the Unix epoch: an operator
    /// asked for others.
    pub(crate) renew_before: Option<i64>,
    /// After how long a silence it is released, in seconds, as the join token said that it came with.
    pub(crate) ephemeral_seconds: Option<i64>,
    /// Counts changes of the node as a resource.
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
    /// Whether it has a node token, and so renews by itself.
    pub(crate) fn is_native(&self) -> bool {
        self.token.is_some()
    }
}

/// A query for whole nodes. It is a macro because `concat!` takes no constants.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, network, device, name, public_key, state, state_reason, groups, lighthouse, relay, \
             mtu, pool, token_key, token_hash, join_token, generation, applied_revision, \
             applied_generation, reported_at, changes, created_at, seen_at, key_until, user_name, \
             renew_before, ephemeral_seconds FROM gc_node ",
            $rest
        )
    };
}

// Below the macro that it uses.
mod list;

pub(crate) use self::list::{
    Listed, active_names, applied_by_all, count_active, count_reporting, count_unapplied, ended,
    list, names, overdue, silent,
};
pub use self::list::{NodeFilter, NodeRole};
pub(crate) use self::write::{
    end_due, end_token, forget_tokens, insert, make_due, make_due_since, rehash, release,
    replace_token, report, see, set_pool, update,
};

const BY_TOKEN: &str = select!(
    "WHERE token_hash = $1 AND token_key = $2 AND NOT EXISTS (SELECT 1 FROM gc_network \
     WHERE gc_network.id = gc_node.network AND gc_network.deleting_at IS NOT NULL)"
);

/// How many tokens of nodes that are not released are hashed under each key of the server.
pub(crate) fn by_secret_key(tx: &mut dyn Transaction) -> Result<Vec<(i64, i64)>, Error> {
    let sql = "SELECT token_key, COUNT(*) FROM gc_node WHERE token_key IS NOT NULL AND state <> 'released' GROUP BY token_key";
    counts_by_key(tx, sql)
}
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
        user: columns.text()?.to_owned(),
        renew_before: columns.optional_integer()?,
        ephemeral_seconds: columns.optional_integer()?,
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

/// The node with this token, in whatever state; not of a deleted network.
pub(crate) fn by_token(tx: &mut dyn Transaction, token: &Hashed) -> Result<Option<Node>, Error> {
    let rows = tx.query(BY_TOKEN, &[(&token.hash).into(), token.key_id.into()])?;
    rows.first().map(read).transpose()
}

/// The query of [`by_token`], for prefetching.
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

/// A device's present node, which may be in any state but released.
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

/// At most two networks, of one tenant or all, with a node of this device that is not released.
pub(crate) fn networks_with_device(
    tx: &mut dyn Transaction,
    device: &str,
    tenant: Option<TenantId>,
) -> Result<Vec<NetworkId>, Error> {
    let rows = match tenant {
        None => tx.query(
            "SELECT network FROM gc_node WHERE device = $1 AND state <> 'released' \
             AND network NOT IN (SELECT id FROM gc_network WHERE deleting_at IS NOT NULL) LIMIT 2",
            &[device.into()],
        )?,
        Some(tenant) => tx.query(
            "SELECT network FROM gc_node WHERE device = $1 AND state <> 'released' \
             AND network IN (SELECT id FROM gc_network WHERE tenant = $2 AND deleting_at IS NULL) LIMIT 2",
            &[device.into(), tenant.as_bytes().into()],
        )?,
    };
    ids(&rows)
}

/// As [`networks_with_device`], with a released node.
pub(crate) fn networks_that_released(
    tx: &mut dyn Transaction,
    device: &str,
    tenant: Option<TenantId>,
) -> Result<Vec<NetworkId>, Error> {
    let rows = match tenant {
        None => tx.query(
            "SELECT DISTINCT network FROM gc_node WHERE device = $1 AND state = 'released' \
             AND network NOT IN (SELECT id FROM gc_network WHERE deleting_at IS NOT NULL) LIMIT 2",
            &[device.into()],
        )?,
        Some(tenant) => tx.query(
            "SELECT DISTINCT network FROM gc_node WHERE device = $1 AND state = 'released' \
             AND network IN (SELECT id FROM gc_network WHERE tenant = $2 AND deleting_at IS NULL) LIMIT 2",
            &[device.into(), tenant.as_bytes().into()],
        )?,
    };
    ids(&rows)
}

/// At most `limit` released nodes of a device, the last one first.
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

/// The node, unless released, whose name counts as equal to this one.
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

/// The active nodes of a network that have a token, with their generations and the hashes of the
/// tokens.
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

/// The name of a node, not a released one, whose own MTU is smaller than this.
pub(crate) fn with_mtu_below(
    tx: &mut dyn Transaction,
    network: NetworkId,
    least: u32,
) -> Result<Option<String>, Error> {
    let rows = tx.query(
        "SELECT name FROM gc_node WHERE network = $1 AND state <> 'released' AND mtu < $2 \
         ORDER BY id LIMIT 1",
        &[network.as_bytes().into(), i64::from(least).into()],
    )?;
    let name = rows.first().map(|row| row.columns().text().map(str::to_owned));
    Ok(name.transpose()?)
}

/// The active relays, oldest first.
pub(crate) fn relays(tx: &mut dyn Transaction, network: NetworkId) -> Result<Vec<Node>, Error> {
    let rows = tx.query(
        select!("WHERE network = $1 AND relay = 1 AND state = 'active' ORDER BY id"),
        &[network.as_bytes().into()],
    )?;
    rows.iter().map(read).collect()
}

/// At most `limit` nodes of a network after this id, in any state.
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

/// A node's addresses, IPv4 before IPv6.
pub(crate) fn addresses(
    tx: &mut dyn Transaction,
    network: NetworkId,
    node: NodeId,
) -> Result<Vec<IpAddr>, Error> {
    let leases = lease::by_owner(tx, network, node.owner())?;
    let active = leases.iter().filter(|lease| lease.state == LeaseState::Active);
    let mut addresses: Vec<IpAddr> = active.map(|lease| lease.address).collect();
    addresses.sort();
    Ok(addresses)
}
