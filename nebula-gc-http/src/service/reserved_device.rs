//! Devices with reserved addresses: who may enrol under their ids, and what they keep when their nodes go.
//!
//! The addresses are reserved for the id of a node. Before the device enrols there is no such node, and
//! the one that it gets has this id; when that is released, the addresses are reserved for another id, that
//! of the next.

use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Request};
use nebula_alloc::reservation::{self, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::{AddressRange, Error as AllocError, Family, Keeper};

use super::principal::Principal;
use super::terms::family_of;
use crate::error::{Conflict, JoinRefusal};
use crate::store::node::Node;
use crate::store::{damaged, device_reservation};
use crate::{Error, NodeAddresses, NodeId};

/// A new node as it is to be made: with the id that its device's addresses are reserved for, where some
/// are. Under such a device's id, joins who has an operator key or a join token that is made for it; those
/// in a block need a token that names the block as its pool. What it asks for by address is no other.
pub(super) fn claim(
    tx: &mut dyn Transaction,
    principal: &Principal,
    node: Node,
    named: Option<NodeAddresses>,
    now: i64,
) -> Result<Node, Error> {
    let Some(id) = device_reservation::of_device(tx, node.network, &node.device)? else {
        return Ok(node);
    };
    if let Principal::JoinToken { token, .. } = principal
        && token.device.as_ref() != Some(&node.device)
    {
        return Err(JoinRefusal::DeviceReserved.into());
    }
    let of_pool = node.pool.map(|pool| family_of(tx, pool)).transpose()?;
    let mut pool = node.pool;
    for family in [Family::V4, Family::V6] {
        let Some(address) = reservation::pinned(tx, node.network, id.owner(), family)? else {
            continue;
        };
        if let Some(asked) = named.and_then(|named| named.of(family))
            && asked != address
        {
            return Err(Conflict::OtherAddressReserved { reserved: address, asked }.into());
        }
        let confined = node.pool.filter(|_| of_pool == Some(family));
        let mut request = Request {
            network: node.network,
            owner: id.owner(),
            family,
            address: Some(address),
            pool: None,
            hold_until: now,
            until: None,
        };
        match lease::refusal(tx, now, &request)? {
            Some(AllocError::AddressReserved { by: Keeper::Block, .. }) if confined.is_some() => {
                request.pool = confined;
                if let Some(refusal) = lease::refusal(tx, now, &request)? {
                    return Err(refusal.into());
                }
            }
            Some(
                refusal @ (AllocError::AddressReserved { by: Keeper::Block, .. }
                | AllocError::AddressOutsidePools { .. }),
            ) => return Err(refusal.into()),
            // The pool of its token is where it would get other addresses.
            _ if confined.is_some() => pool = None,
            _ => {}
        }
    }
    Ok(Node { id, pool, ..node })
}

/// Keeps the addresses that are reserved for a released node's device for the next that it has.
pub(super) fn keep(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    node: &Node,
) -> Result<(), Error> {
    if device_reservation::of_device(tx, node.network, &node.device)? != Some(node.id) {
        return Ok(());
    }
    let next = NodeId::new();
    for family in [Family::V4, Family::V6] {
        let Some(address) = reservation::pinned(tx, node.network, node.id.owner(), family)? else {
            continue;
        };
        let range = AddressRange::new(address, address).map_err(|_| damaged("reservation"))?;
        let lifted = reservation::remove(tx, now, actor, node.network, range)?.reservation;
        let purpose = reservation::Purpose::Owner(next.owner());
        let kept = Reservation { purpose, ..lifted };
        reservation::make(tx, now, actor, node.network, &kept)?;
    }
    device_reservation::renew(tx, node.id, next)
}
