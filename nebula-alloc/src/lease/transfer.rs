//! From one owner to another.

use super::{Lease, LeaseState, by_owner, record};
use crate::address::octets;
use crate::event::{Actor, kind};
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId};

/// With what was read: an owner that came back keeps its address.
pub(crate) const PASS_ON: &str = "UPDATE alloc_lease SET owner = $1
     WHERE network = $2 AND address = $3 AND owner = $4 AND released_at IS NOT DISTINCT FROM $5";

/// Gives all leases of an owner to another, active ones and those in quarantine. Answers them as
/// they are then. What still names an address keeps it held as before: certificates of the former
/// owner stay valid until they expire or are blocked.
///
/// # Errors
///
/// [`Error::NoLease`] when `from` has no active one; [`Error::OwnerHasAnother`] when `to` has an
/// active one of the same family.
pub fn transfer(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    from: OwnerId,
    to: OwnerId,
) -> Result<Vec<Lease>, Error> {
    actor.check()?;
    let leases = by_owner(tx, network, from)?;
    let active = |lease: &&Lease| lease.state == LeaseState::Active;
    if !leases.iter().any(|lease| active(&lease)) {
        return Err(Error::NoLease { network, owner: from });
    }
    if from == to {
        return Ok(leases);
    }
    let theirs = by_owner(tx, network, to)?;
    for lease in leases.iter().filter(active) {
        if let Some(other) = theirs.iter().filter(active).find(|one| one.family() == lease.family())
        {
            let (held, asked) = (other.address, lease.address);
            return Err(Error::OwnerHasAnother { network, owner: to, held, asked });
        }
    }
    leases.into_iter().map(|lease| pass_on(tx, now, actor, lease, to)).collect()
}

/// Gives the leases that `from` has in quarantine to `to`, so that `to` gets the old address when
/// it asks. Answers how many.
///
/// # Errors
///
/// The engine's.
pub fn take_over(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    from: OwnerId,
    to: OwnerId,
) -> Result<u64, Error> {
    actor.check()?;
    let mut moved = 0;
    for lease in by_owner(tx, network, from)? {
        if lease.state == LeaseState::Quarantined {
            pass_on(tx, now, actor, lease, to)?;
            moved += 1;
        }
    }
    Ok(moved)
}

fn pass_on(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    lease: Lease,
    to: OwnerId,
) -> Result<Lease, Error> {
    tx.queue_one(
        PASS_ON,
        &[
            to.as_bytes().into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
            lease.owner.as_bytes().into(),
            lease.released_at.into(),
        ],
    )?;
    let detail = format!("from {}", lease.owner);
    let lease = Lease { owner: to, ..lease };
    record(tx, now, actor, kind::TRANSFERRED, &lease, Some(&detail))?;
    Ok(lease)
}
