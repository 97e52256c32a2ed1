//! Removing a network with all that it has: leases, whatever their state, reservations, blocks and pools.
//!
//! ```
//! # use nebula_alloc::{Actor, Error, NetworkId, store::Transaction};
//! /// In as many transactions as it takes, so that none is long.
//! fn step(tx: &mut dyn Transaction, now: i64, network: NetworkId) -> Result<bool, Error> {
//!     nebula_alloc::removal::remove(tx, now, &Actor::named("example"), network, 32)
//! }
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::octets;
use crate::event::{Actor, kind};
use crate::lease::{self, Lease};
use crate::store::Transaction;
use crate::{AddressRange, Error, NetworkId, block, interval, pool, reservation};

pub(crate) const DELETE: &str = "DELETE FROM alloc_lease WHERE network = $1 AND address = $2";

/// One bounded step towards a network that has nothing: removes at most `limit` leases, or, once there are none,
/// reservations, then blocks, then pools. Answers whether there may be more. The events stay, and tell of each
/// what became of it.
///
/// No quarantine is kept, because nobody will have these addresses again: network ids are not to be used twice.
/// The caller lets nobody have an address of the network from before the first step on, and has the steps run
/// [exclusively](crate::store::Subject::Everything), as all that changes pools.
///
/// # Errors
///
/// The engine's.
pub fn remove(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    limit: usize,
) -> Result<bool, Error> {
    actor.admit(tx, now)?;
    let leases = lease::list(tx, network, None, limit)?;
    if !leases.is_empty() {
        return end(tx, now, actor, &leases).map(|()| true);
    }
    for first in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
        let reserved = reservation::list(tx, network, first, limit)?;
        for kept in &reserved {
            // The rest of one that is too large for a step is found again.
            drop(reservation::remove(tx, now, actor, network, kept.range)?);
        }
        if !reserved.is_empty() {
            return Ok(true);
        }
    }
    let blocks = block::by_network(tx, network, None, limit)?;
    for block in &blocks {
        drop(block::delete(tx, now, actor, block.id)?);
    }
    if !blocks.is_empty() {
        return Ok(true);
    }
    let pools = pool::by_network(tx, network, None, limit)?;
    for pool in &pools {
        pool::discard(tx, now, actor, pool)?;
    }
    Ok(!pools.is_empty())
}

/// Ends leases at once. What they had is free again, unless it is reserved: a network that is half removed is
/// as sound as any.
fn end(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    leases: &[Lease],
) -> Result<(), Error> {
    for Lease { network, address, .. } in leases {
        let octets = octets(*address);
        tx.queue_one(DELETE, &[network.as_bytes().into(), octets.as_slice().into()])?;
    }
    let places: Vec<_> = leases.iter().map(|lease| (lease.network, lease.address)).collect();
    let kept = reservation::are_kept(tx, &places)?;
    let free: Vec<_> = leases
        .iter()
        .zip(kept)
        .filter(|(_, kept)| !kept)
        .map(|(lease, _)| (lease.pool, AddressRange::single(lease.address)))
        .collect();
    interval::give_back(tx, &free)?;
    for lease in leases {
        lease::record(tx, now, actor, kind::REMOVED, lease, None)?;
    }
    Ok(())
}
