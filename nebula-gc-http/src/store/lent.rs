//! Addresses that a node got by its public key alone, and their former holders.

use std::net::IpAddr;

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Row, Transaction};

use super::{damaged, one_id};
use crate::{Error, NodeId};

/// An address that another node holds now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lent {
    pub(crate) address: IpAddr,
    /// The node that holds it, or held it last.
    pub(crate) holder: NodeId,
    /// Until when the holder cannot change its key, in seconds since the Unix epoch.
    pub(crate) until: i64,
}

/// Records the former holder of an address.
pub(crate) fn note(
    tx: &mut dyn Transaction,
    network: NetworkId,
    address: IpAddr,
    node: NodeId,
    holder: NodeId,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_lent (network, address, node, holder) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (network, address) DO UPDATE SET node = excluded.node, holder = excluded.holder",
        &[
            network.as_bytes().into(),
            (&address.to_string()).into(),
            node.as_bytes().into(),
            holder.as_bytes().into(),
        ],
    )?)
}

/// The former holder of an address that this node got by its public key alone.
pub(crate) fn lender(
    tx: &mut dyn Transaction,
    network: NetworkId,
    address: IpAddr,
    holder: NodeId,
) -> Result<Option<NodeId>, Error> {
    let rows = tx.query(
        "SELECT node FROM gc_lent WHERE network = $1 AND address = $2 AND holder = $3",
        &[network.as_bytes().into(), (&address.to_string()).into(), holder.as_bytes().into()],
    )?;
    one_id(&rows)
}

/// For each of these nodes, its former addresses whose present holders cannot change their keys
/// now.
pub(crate) fn of_each(
    tx: &mut dyn Transaction,
    nodes: &[NodeId],
    now: i64,
) -> Result<Vec<Vec<Lent>>, Error> {
    let keys: Vec<_> = nodes.iter().map(|node| vec![node.as_bytes().into(), now.into()]).collect();
    let sets = tx.query_each(
        "SELECT gc_lent.address, gc_lent.holder, gc_node.key_until FROM gc_lent \
         JOIN gc_node ON gc_node.id = gc_lent.holder \
         WHERE gc_lent.node = $1 AND gc_node.key_until > $2",
        &keys,
    )?;
    let read = |row: &Row| {
        let mut columns = row.columns();
        Ok(Lent {
            address: columns.text()?.parse().map_err(|_| damaged("address"))?,
            holder: columns.array()?.into(),
            until: columns.integer()?,
        })
    };
    sets.iter().map(|rows| rows.iter().map(read).collect()).collect()
}
