//! Writing leases that begin.

use std::net::IpAddr;

use super::{Lease, LeaseState, Request};
use crate::address::octets;
use crate::store::Transaction;
use crate::{Error, PoolId};

pub(crate) const INSERT: &str = "INSERT INTO alloc_lease
     (network, address, family, pool, owner, state, hold_until, until, number)
     VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8)";
/// With the quarantine that was read: its owner may have had the address back, and begun another.
pub(crate) const ACTIVATE: &str = "UPDATE alloc_lease
     SET state = 1, owner = $1, hold_until = $2, released_at = NULL, reason = NULL, until = $3,
         number = $4, passed_on_by = NULL
     WHERE network = $5 AND address = $6 AND state = 2 AND owner = $7 AND hold_until = $8
         AND number = $9";

/// From quarantine to the requester. What still names the address and its own past holder counts
/// on; a new owner begins afresh.
pub(super) fn activate(
    tx: &mut dyn Transaction,
    former: Lease,
    request: &Request,
    number: i64,
) -> Result<Lease, Error> {
    let hold_until = match former.owner == request.owner {
        true => former.hold_until.max(request.hold_until),
        false => request.hold_until,
    };
    let lease = Lease {
        owner: request.owner,
        state: LeaseState::Active,
        hold_until,
        released_at: None,
        reason: None,
        until: request.until,
        number,
        passed_on_by: None,
        ..former
    };
    tx.queue_one(
        ACTIVATE,
        &[
            lease.owner.as_bytes().into(),
            lease.hold_until.into(),
            lease.until.into(),
            number.into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
            former.owner.as_bytes().into(),
            former.hold_until.into(),
            former.number.into(),
        ],
    )?;
    Ok(lease)
}

/// A new lease of a free address.
pub(super) fn insert(
    tx: &mut dyn Transaction,
    pool: PoolId,
    address: IpAddr,
    request: &Request,
    number: i64,
) -> Result<Lease, Error> {
    let Request { network, owner, family, hold_until, until, .. } = *request;
    tx.queue_one(
        INSERT,
        &[
            network.as_bytes().into(),
            octets(address).as_slice().into(),
            family.number().into(),
            pool.as_bytes().into(),
            owner.as_bytes().into(),
            hold_until.into(),
            until.into(),
            number.into(),
        ],
    )?;
    Ok(Lease {
        network,
        address,
        pool,
        owner,
        state: LeaseState::Active,
        hold_until,
        released_at: None,
        reason: None,
        until,
        number,
        passed_on_by: None,
    })
}
