//! Devices that have reserved addresses, and the node that each has, or will have when it enrols.

use std::collections::HashMap;

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Query, Transaction};

use crate::{Error, NodeId};

// By the device alone, so that it can be asked before the network is known.
const OF_DEVICE: &str = "SELECT network, node FROM gc_device_reservation WHERE device = $1";

/// The node that a device has, or will have, where it has reserved addresses in the network.
pub(crate) fn of_device(
    tx: &mut dyn Transaction,
    network: NetworkId,
    device: &str,
) -> Result<Option<NodeId>, Error> {
    for row in tx.query(OF_DEVICE, &[device.into()])? {
        let mut columns = row.columns();
        if NetworkId::from(columns.array::<16>()?) == network {
            return Ok(Some(columns.array()?.into()));
        }
    }
    Ok(None)
}

/// The query of [`of_device`], for prefetching.
pub(crate) fn device_query(device: &str) -> Query {
    Query::new(OF_DEVICE, &[device.into()])
}

/// The devices that these nodes are reserved for.
pub(crate) fn of_nodes(
    tx: &mut dyn Transaction,
    nodes: &[NodeId],
) -> Result<HashMap<NodeId, String>, Error> {
    let sets: Vec<_> = nodes.iter().map(|node| vec![node.as_bytes().into()]).collect();
    let found = tx.query_each("SELECT device FROM gc_device_reservation WHERE node = $1", &sets)?;
    let mut devices = HashMap::new();
    for (node, rows) in nodes.iter().zip(found) {
        if let Some(row) = rows.first() {
            devices.insert(*node, row.columns().text()?.to_owned());
        }
    }
    Ok(devices)
}

pub(crate) fn insert(
    tx: &mut dyn Transaction,
    network: NetworkId,
    device: &str,
    node: NodeId,
) -> Result<(), Error> {
    Ok(tx.queue_one(
        "INSERT INTO gc_device_reservation (device, network, node) VALUES ($1, $2, $3)",
        &[device.into(), network.as_bytes().into(), node.as_bytes().into()],
    )?)
}

/// Gives the device of a node that is gone another for when it enrols again.
pub(crate) fn renew(tx: &mut dyn Transaction, former: NodeId, next: NodeId) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_device_reservation SET node = $1 WHERE node = $2",
        &[next.as_bytes().into(), former.as_bytes().into()],
    )?)
}

/// Forgets the device that a node is reserved for, if there is one.
pub(crate) fn forget(tx: &mut dyn Transaction, node: NodeId) -> Result<(), Error> {
    Ok(tx.queue("DELETE FROM gc_device_reservation WHERE node = $1", &[node.as_bytes().into()])?)
}
