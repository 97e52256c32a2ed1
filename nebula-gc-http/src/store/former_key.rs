//! Public keys that nodes had before: nobody else may use them.

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;

use crate::{Error, NodeId};

/// Records a node's present key before the node or an operator replaces it.
pub(crate) fn note(tx: &mut dyn Transaction, node: NodeId, by_itself: bool) -> Result<(), Error> {
    let replaced = i64::from(!by_itself);
    Ok(tx.queue(
        "INSERT INTO gc_former_key (network, public_key, node, replaced) \
         SELECT network, public_key, id, $1 FROM gc_node WHERE id = $2 \
         ON CONFLICT (network, public_key, node) DO UPDATE SET replaced = \
         CASE WHEN gc_former_key.replaced = 1 THEN 1 ELSE excluded.replaced END",
        &[replaced.into(), node.as_bytes().into()],
    )?)
}

/// Whether an operator has replaced this key of a node's.
pub(crate) fn is_replaced(
    tx: &mut dyn Transaction,
    network: NetworkId,
    public_key: &[u8],
    node: NodeId,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_former_key \
         WHERE network = $1 AND public_key = $2 AND node = $3 AND replaced = 1",
        &[network.as_bytes().into(), public_key.into(), node.as_bytes().into()],
    )?;
    Ok(!rows.is_empty())
}

/// Records a key that an imported node had before.
pub(crate) fn note_of(
    tx: &mut dyn Transaction,
    network: NetworkId,
    node: NodeId,
    public_key: &[u8],
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_former_key (network, public_key, node) VALUES ($1, $2, $3) \
         ON CONFLICT (network, public_key, node) DO NOTHING",
        &[network.as_bytes().into(), public_key.into(), node.as_bytes().into()],
    )?)
}

/// Whether another node that is not released has or had this public key.
pub(crate) fn is_of_another(
    tx: &mut dyn Transaction,
    network: NetworkId,
    public_key: &[u8],
    node: NodeId,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_node \
         WHERE network = $1 AND public_key = $2 AND id <> $3 AND state <> 'released' \
         UNION ALL \
         SELECT 1 FROM gc_former_key JOIN gc_node ON gc_node.id = gc_former_key.node \
         WHERE gc_former_key.network = $1 AND gc_former_key.public_key = $2 \
         AND gc_former_key.node <> $3 AND gc_node.state <> 'released'",
        &[network.as_bytes().into(), public_key.into(), node.as_bytes().into()],
    )?;
    Ok(!rows.is_empty())
}
