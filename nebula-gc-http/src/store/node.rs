use nebula_alloc::NetworkId;
use nebula_alloc::store::{Row, Transaction};
use nebula_bundle::Endpoint;

use super::{damaged, stored_words};
use crate::{Error, NodeId};

stored_words! {
    /// Where a node stands.
    pub(crate) enum NodeState {
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
    /// The device's own id, the client's choice.
    pub(crate) device: String,
    pub(crate) name: String,
    pub(crate) public_key: [u8; 32],
    pub(crate) state: NodeState,
    pub(crate) groups: Vec<String>,
    /// Where it is reached on the underlay, where it is a lighthouse.
    pub(crate) lighthouse: Option<Endpoint>,
    pub(crate) generation: Generation,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, network, device, name, public_key, state, groups, lighthouse, generation FROM gc_node ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<Node, Error> {
    let lighthouse =
        row.optional_text(7)?.map(|text| text.parse().map_err(|_| damaged("endpoint")));
    Ok(Node {
        id: row.array(0)?.into(),
        network: row.array(1)?.into(),
        device: row.text(2)?.to_owned(),
        name: row.text(3)?.to_owned(),
        public_key: row.array(4)?,
        state: NodeState::from_word(row.text(5)?)?,
        groups: serde_json::from_str(row.text(6)?).map_err(|_| damaged("list of groups"))?,
        lighthouse: lighthouse.transpose()?,
        generation: Generation(row.integer(8)?),
    })
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

/// The last node that a device had and released.
pub(crate) fn last_released(
    tx: &mut dyn Transaction,
    network: NetworkId,
    device: &str,
) -> Result<Option<NodeId>, Error> {
    let rows = tx.query(
        "SELECT id FROM gc_node WHERE network = $1 AND device = $2 AND state = 'released' \
         ORDER BY released_at DESC, id DESC LIMIT 1",
        &[network.as_bytes().into(), device.into()],
    )?;
    rows.first().map(|row| Ok(row.array(0)?.into())).transpose()
}

/// Who has a name, if not a released node.
pub(crate) fn by_name(
    tx: &mut dyn Transaction,
    network: NetworkId,
    name: &str,
) -> Result<Option<NodeId>, Error> {
    let rows = tx.query(
        "SELECT id FROM gc_node WHERE network = $1 AND name = $2 AND state <> 'released'",
        &[network.as_bytes().into(), name.into()],
    )?;
    rows.first().map(|row| Ok(row.array(0)?.into())).transpose()
}

/// Who has a public key, if not a released node.
pub(crate) fn by_public_key(
    tx: &mut dyn Transaction,
    network: NetworkId,
    public_key: &[u8; 32],
) -> Result<Option<NodeId>, Error> {
    let rows = tx.query(
        "SELECT id FROM gc_node WHERE network = $1 AND public_key = $2 AND state <> 'released'",
        &[network.as_bytes().into(), public_key.into()],
    )?;
    rows.first().map(|row| Ok(row.array(0)?.into())).transpose()
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

pub(crate) fn insert(tx: &mut dyn Transaction, node: &Node, now: i64) -> Result<(), Error> {
    let groups = groups_text(&node.groups)?;
    let lighthouse = node.lighthouse.as_ref().map(Endpoint::to_string);
    Ok(tx.queue(
        "INSERT INTO gc_node (id, network, device, name, public_key, state, groups, lighthouse, generation, \
         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            node.id.as_bytes().into(),
            node.network.as_bytes().into(),
            (&node.device).into(),
            (&node.name).into(),
            (&node.public_key).into(),
            node.state.word().into(),
            (&groups).into(),
            lighthouse.as_deref().into(),
            node.generation.0.into(),
            now.into(),
        ],
    )?)
}

/// Writes what a registration may change of an active node.
pub(crate) fn update(tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
    let groups = groups_text(&node.groups)?;
    let lighthouse = node.lighthouse.as_ref().map(Endpoint::to_string);
    let changed = tx.execute(
        "UPDATE gc_node SET name = $1, public_key = $2, groups = $3, lighthouse = $4, generation = $5 \
         WHERE id = $6 AND state = 'active'",
        &[
            (&node.name).into(),
            (&node.public_key).into(),
            (&groups).into(),
            lighthouse.as_deref().into(),
            node.generation.0.into(),
            node.id.as_bytes().into(),
        ],
    )?;
    expect_one(changed)
}

pub(crate) fn release(tx: &mut dyn Transaction, id: NodeId, now: i64) -> Result<(), Error> {
    let changed = tx.execute(
        "UPDATE gc_node SET state = 'released', released_at = $1 WHERE id = $2 AND state <> 'released'",
        &[now.into(), id.as_bytes().into()],
    )?;
    expect_one(changed)
}

/// The service decides on a node and writes it in one transaction, so it can't be gone meanwhile.
fn expect_one(changed: u64) -> Result<(), Error> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::unavailable("a node changed under its own transaction"))
    }
}

fn groups_text(groups: &[String]) -> Result<String, Error> {
    serde_json::to_string(groups).map_err(Error::unavailable)
}
