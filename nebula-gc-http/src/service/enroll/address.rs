//! Addresses that a device or its join token names: whether a node may have them.

use nebula_alloc::lease::{self, LeaseState, Request};
use nebula_alloc::reservation;
use nebula_alloc::store::Transaction;
use nebula_alloc::{Error as AllocError, Family, PoolId};

use crate::error::{Conflict, Kind};
use crate::service::terms::{Terms, family_of};
use crate::store::device_reservation;
use crate::store::network::Network;
use crate::store::node::{self, Node};
use crate::store::pending_join::PendingJoin;
use crate::{Error, NodeAddresses, NodeId};

/// What a new node asks the allocation for.
pub(super) fn requests(
    tx: &mut dyn Transaction,
    terms: &Terms,
    node: &Node,
    named: Option<NodeAddresses>,
) -> Result<Vec<Request>, Error> {
    let mut requests = terms.requests(tx, node)?;
    for request in &mut requests {
        request.address = named.and_then(|named| named.of(request.family));
    }
    Ok(requests)
}

/// Refuses an address of a family that the network does not have: nothing would be asked for.
pub(super) fn check_families(network: &Network, named: Option<NodeAddresses>) -> Result<(), Error> {
    for address in named.iter().flat_map(NodeAddresses::iter) {
        if !network.families().any(|family| family == Family::of(address)) {
            return Err(Conflict::AddressOutsidePools { address }.into());
        }
    }
    Ok(())
}

/// Refuses what a new node would not get now. It only reads: nothing is kept for the node.
pub(super) fn check_free(
    tx: &mut dyn Transaction,
    terms: &Terms,
    node: &Node,
    named: Option<NodeAddresses>,
) -> Result<(), Error> {
    if named.is_none() {
        return Ok(());
    }
    for request in requests(tx, terms, node, named)? {
        if request.address.is_some()
            && let Some(refusal) = lease::refusal(tx, terms.now, &request)?
        {
            return Err(refusal.into());
        }
    }
    Ok(())
}

/// Refuses other addresses than a node has that asks again.
pub(super) fn check_repeated(
    tx: &mut dyn Transaction,
    node: &Node,
    named: Option<NodeAddresses>,
) -> Result<(), Error> {
    let Some(named) = named else { return Ok(()) };
    let leases = lease::by_owner(tx, node.network, node.id.owner())?;
    let held = leases.iter().filter(|lease| lease.state == LeaseState::Active);
    let held: Vec<_> = held.map(|lease| lease.address).collect();
    match named.iter().find(|address| !held.contains(address)) {
        Some(asked) => Err(Conflict::HasOtherAddress { held, asked }.into()),
        None => Ok(()),
    }
}

/// Whether a node could have addresses that a join token is to name, as far as that can be told before it
/// is there: for the device, where it is for one, and from the token's pool.
pub(in crate::service) fn check_preset(
    tx: &mut dyn Transaction,
    network: &Network,
    (device, pool): (Option<&str>, Option<PoolId>),
    named: NodeAddresses,
    now: i64,
) -> Result<(), Error> {
    // Of a node of the same device an address may be had back.
    check_possible(tx, network, (device, pool), named, device.is_some(), now)
}

fn check_possible(
    tx: &mut dyn Transaction,
    network: &Network,
    (device, pool): (Option<&str>, Option<PoolId>),
    named: NodeAddresses,
    may_return: bool,
    now: i64,
) -> Result<(), Error> {
    check_families(network, Some(named))?;
    let reserved = match device {
        Some(device) => device_reservation::of_device(tx, network.id, device)?,
        None => None,
    };
    let owner = reserved.unwrap_or_else(NodeId::new).owner();
    let confined = pool.map(|pool| Ok::<_, Error>((pool, family_of(tx, pool)?))).transpose()?;
    for asked in named.iter() {
        let family = Family::of(asked);
        if let Some(reserved) = reservation::pinned(tx, network.id, owner, family)?
            && reserved != asked
        {
            return Err(Conflict::OtherAddressReserved { reserved, asked }.into());
        }
        let request = Request {
            network: network.id,
            owner,
            family,
            address: Some(asked),
            pool: confined.and_then(|(pool, of)| (of == family).then_some(pool)),
            hold_until: now,
            until: None,
        };
        match lease::refusal(tx, now, &request)? {
            Some(AllocError::AddressQuarantined { .. }) if may_return => {}
            Some(refusal) => return Err(refusal.into()),
            None => {}
        }
    }
    Ok(())
}

/// Whether a device that waits could join as it asks, once it is approved.
pub(in crate::service) fn check_approvable(
    tx: &mut dyn Transaction,
    network: &Network,
    row: &PendingJoin,
    pool: Option<PoolId>,
    now: i64,
) -> Result<(), Error> {
    if let Some(holder) = node::by_name(tx, network.id, &row.asks.name)? {
        let name = node::by_id(tx, holder)?.map_or_else(|| row.asks.name.clone(), |it| it.name);
        return Err(Error::NameTaken { kind: Kind::Node, name });
    }
    match row.asks.address {
        // Whose quarantine it is was checked when the device asked, and is again when it joins.
        Some(named) => {
            check_possible(tx, network, (row.asks.device.as_deref(), pool), named, true, now)
        }
        None => Ok(()),
    }
}
