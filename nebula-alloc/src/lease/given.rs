//! A given address, asked for by name or pinned.

use std::net::IpAddr;

use super::grant::{activate, insert};
use super::{Lease, LeaseState, Request, by_address, by_owner, record};
use crate::address::octets;
use crate::error::Keeper;
use crate::event::{Actor, kind};
use crate::pool::Space;
use crate::reservation::{self, Purpose};
use crate::store::Transaction;
use crate::{Error, Family, NetworkId, PoolId, interval};

/// One statement, so that it sees leases and free space at one moment: others may take the address
/// and free it again as fast as it could look at one after the other.
pub(crate) const SOMEWHERE: &str = "SELECT 1 FROM alloc_lease WHERE network = $1 AND address = $2
     UNION ALL
     SELECT 1 FROM (SELECT first FROM alloc_interval
         WHERE last >= $2 AND pool = $3 ORDER BY last LIMIT 1) AS nearest WHERE first <= $2";

/// How an address can be given.
enum Way {
    /// To the one who has it in quarantine.
    Return(Lease),
    /// To another: that quarantine has ended.
    Inherit(Lease),
    /// Out of the free space of this pool.
    Take(PoolId),
    /// In this pool, where a reservation keeps it.
    Reserved(PoolId),
}

/// Gives an owner that has none of this family the address, if it may have it.
pub(super) fn given(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    request: &Request,
    address: IpAddr,
) -> Result<Result<Lease, Error>, Error> {
    let pool = match way(tx, now, request, address)? {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(Way::Return(former)) => {
            return activate(tx, now, actor, former, request, kind::RETURNED).map(Ok);
        }
        Ok(Way::Inherit(former)) => {
            return activate(tx, now, actor, former, request, kind::ALLOCATED).map(Ok);
        }
        Ok(Way::Take(pool)) => {
            if !interval::take_given(tx, pool, address)? {
                return missing(tx, request.network, pool, address).map(Err);
            }
            pool
        }
        Ok(Way::Reserved(pool)) => pool,
    };
    let lease = insert(tx, pool, address, request)?;
    record(tx, now, actor, kind::ALLOCATED, &lease, None)?;
    Ok(Ok(lease))
}

/// Why an address that nobody had is not free: another process has taken it since.
fn missing(
    tx: &mut dyn Transaction,
    network: NetworkId,
    pool: PoolId,
    address: IpAddr,
) -> Result<Error, Error> {
    let octets = octets(address);
    let params = [network.as_bytes().into(), octets.as_slice().into(), pool.as_bytes().into()];
    Ok(match tx.query(SOMEWHERE, &params)?.is_empty() {
        true => Error::Inconsistent { pool, address },
        false => Error::Contended { reason: format!("another process took {address}") },
    })
}

/// Why the owner would not get the address it asks for by name, if it asked now.
pub(crate) fn refusal(
    tx: &mut dyn Transaction,
    now: i64,
    request: &Request,
) -> Result<Option<Error>, Error> {
    let Request { network, owner, family, .. } = *request;
    let Some(asked) = request.address else { return Ok(None) };
    let held = by_owner(tx, network, owner)?
        .into_iter()
        .find(|lease| lease.state == LeaseState::Active && lease.family() == family)
        .map(|lease| lease.address);
    match held {
        Some(held) if held == asked => Ok(None),
        Some(held) => Ok(Some(Error::OwnerHasAnother { network, owner, held, asked })),
        None => Ok(way(tx, now, request, asked)?.err()),
    }
}

fn way(
    tx: &mut dyn Transaction,
    now: i64,
    request: &Request,
    address: IpAddr,
) -> Result<Result<Way, Error>, Error> {
    let Request { network, owner, family, pool, .. } = *request;
    if Family::of(address) != family {
        return Ok(Err(Error::WrongFamily { address, family }));
    }
    let held = by_address(tx, network, address)?;
    if held.is_some_and(|lease| lease.state == LeaseState::Active) {
        return Ok(Err(Error::AddressTaken { network, address }));
    }
    let Some(space) = Space::of_address(tx, network, address)? else {
        return Ok(Err(Error::AddressOutsidePools { network, address }));
    };
    match pool {
        Some(pool) if pool != space.id => {
            return Ok(Err(Error::AddressInAnotherPool { address, pool }));
        }
        None if space.parent.is_some() => {
            return Ok(Err(Error::AddressReserved { network, address, by: Keeper::Block }));
        }
        _ => {}
    }
    let reservation = reservation::covering(tx, network, address)?;
    let by = match reservation.as_ref().map(|reservation| reservation.purpose) {
        Some(Purpose::Nobody) => Some(Keeper::Exclusion),
        Some(Purpose::Owner(other)) if other != owner => Some(Keeper::Pin),
        Some(Purpose::Asking | Purpose::Owner(_)) | None => None,
    };
    if let Some(by) = by {
        return Ok(Err(Error::AddressReserved { network, address, by }));
    }
    Ok(match held {
        Some(lease) if lease.owner == owner => Ok(Way::Return(lease)),
        Some(lease) if lease.hold_until <= now => Ok(Way::Inherit(lease)),
        Some(lease) => Err(Error::AddressQuarantined { network, address, until: lease.hold_until }),
        None if reservation.is_some() => Ok(Way::Reserved(space.id)),
        None => Ok(Way::Take(space.id)),
    })
}
