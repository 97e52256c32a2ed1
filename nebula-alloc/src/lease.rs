//! Leases: one address held by one owner, active, then in quarantine, then free.

mod allocate;

use std::net::IpAddr;

#[cfg(test)]
pub(crate) use self::allocate::{ACTIVATE, INSERT, OWNED, PROLONG};
pub use self::allocate::{allocate, allocate_many};
use crate::address::octets;
use crate::interval::limit;
use crate::store::{Row, Transaction};
use crate::{Error, Family, NetworkId, OwnerId, PoolId};

/// A wish for an address. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Where.
    pub network: NetworkId,
    /// For whom. An owner holds at most one active lease per network and family.
    pub owner: OwnerId,
    /// Of which family.
    pub family: Family,
    /// A given address, or the owner's old one, or else the lowest that is free.
    pub address: Option<IpAddr>,
    /// After release the address stays in quarantine at least until then: from this second on
    /// nothing that names it (a certificate) is valid any more. Only moves forward.
    pub hold_until: i64,
    /// When the lease ends by itself. `None` is never for a new lease, and no change for one that
    /// is active; only moves forward.
    pub until: Option<i64>,
}

/// Where a lease is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Its owner has the address.
    Active,
    /// Nobody has the address, and nobody but its last owner may get it.
    Quarantined,
}

/// One address and its owner. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Where.
    pub network: NetworkId,
    /// The address, unique in the network.
    pub address: IpAddr,
    /// The pool it is from.
    pub pool: PoolId,
    /// Who holds it, or held it last.
    pub owner: OwnerId,
    /// Whether it is active.
    pub state: LeaseState,
    /// While active: the earliest end of a later quarantine. In quarantine: its end.
    pub hold_until: i64,
    /// When it was released; `None` while active.
    pub released_at: Option<i64>,
    /// When it ends by itself.
    pub until: Option<i64>,
}

impl Lease {
    /// The family of its address.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

/// Columns as [`read`] expects them; a macro, because `concat!` takes no constants.
macro_rules! columns {
    () => {
        "network, address, pool, owner, state, hold_until, released_at, until"
    };
}
pub(crate) use columns;

const ACTIVE: i64 = 1;

pub(crate) const BY_ADDRESS: &str =
    concat!("SELECT ", columns!(), " FROM alloc_lease WHERE network = $1 AND address = $2");
/// In all networks; see the schema for the reason.
pub(crate) const BY_OWNER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease WHERE owner = $1 AND state = 1
     UNION ALL
     SELECT ",
    columns!(),
    " FROM alloc_lease WHERE owner = $1 AND state = 2"
);
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE network = $1 AND address > $2 ORDER BY address LIMIT $3"
);
pub(crate) const QUARANTINE: &str = "UPDATE alloc_lease
     SET state = 2, hold_until = $1, released_at = $2, until = NULL
     WHERE network = $3 AND address = $4 AND state = 1";
pub(crate) const HOLD: &str =
    "UPDATE alloc_lease SET hold_until = $1 WHERE network = $2 AND address = $3";
pub(crate) const PASS_ON: &str =
    "UPDATE alloc_lease SET owner = $1 WHERE network = $2 AND address = $3 AND state = 2";

/// Releases all active leases of an owner into quarantine, which ends at the later of their
/// `hold_until` and `now + hold_seconds`. Answers them as they are then, in address order; none
/// when the owner had none.
///
/// # Errors
///
/// The engine's.
pub fn release(
    tx: &mut dyn Transaction,
    now: i64,
    network: NetworkId,
    owner: OwnerId,
    hold_seconds: i64,
) -> Result<Vec<Lease>, Error> {
    by_owner(tx, network, owner)?
        .into_iter()
        .filter(|lease| lease.state == LeaseState::Active)
        .map(|lease| quarantine(tx, now, lease, hold_seconds))
        .collect()
}

/// Moves `hold_until` of all leases of an owner forward, those in quarantine too; never back.
/// Answers how many moved.
///
/// # Errors
///
/// The engine's.
pub fn extend_hold(
    tx: &mut dyn Transaction,
    network: NetworkId,
    owner: OwnerId,
    hold_until: i64,
) -> Result<u64, Error> {
    let mut moved = 0;
    for lease in by_owner(tx, network, owner)? {
        if lease.hold_until < hold_until {
            set_hold(tx, &lease, hold_until)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Ends the quarantines of an owner `hold_seconds` after their release, where they would end later:
/// for a caller who knows that whatever names the addresses is void. Answers how many moved.
///
/// # Errors
///
/// The engine's.
pub fn shorten_hold(
    tx: &mut dyn Transaction,
    network: NetworkId,
    owner: OwnerId,
    hold_seconds: i64,
) -> Result<u64, Error> {
    let mut moved = 0;
    for lease in by_owner(tx, network, owner)? {
        let Some(released_at) = lease.released_at else { continue };
        let end = released_at.saturating_add(hold_seconds.max(0));
        if lease.hold_until > end {
            set_hold(tx, &lease, end)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Gives the leases that `from` has in quarantine to `to`, so that `to` gets the old address when
/// it asks. Answers how many.
///
/// # Errors
///
/// The engine's.
pub fn take_over(
    tx: &mut dyn Transaction,
    network: NetworkId,
    from: OwnerId,
    to: OwnerId,
) -> Result<u64, Error> {
    let mut moved = 0;
    for lease in by_owner(tx, network, from)? {
        if lease.state == LeaseState::Quarantined {
            tx.queue(
                PASS_ON,
                &[
                    to.as_bytes().into(),
                    network.as_bytes().into(),
                    octets(lease.address).as_slice().into(),
                ],
            )?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// The lease of an address, if it has one.
///
/// # Errors
///
/// The engine's.
pub fn by_address(
    tx: &mut dyn Transaction,
    network: NetworkId,
    address: IpAddr,
) -> Result<Option<Lease>, Error> {
    let rows =
        tx.query(BY_ADDRESS, &[network.as_bytes().into(), octets(address).as_slice().into()])?;
    rows.first().map(read).transpose()
}

/// All leases of an owner, active ones first, then in address order.
///
/// # Errors
///
/// The engine's.
pub fn by_owner(
    tx: &mut dyn Transaction,
    network: NetworkId,
    owner: OwnerId,
) -> Result<Vec<Lease>, Error> {
    let rows = tx.query(BY_OWNER, &[owner.as_bytes().into()])?;
    let mut leases = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    leases.retain(|lease| lease.network == network);
    leases.sort_by_key(|lease| (lease.state != LeaseState::Active, lease.address));
    Ok(leases)
}

/// The network's leases in the byte order of their addresses, at most `limit` of them, from the
/// one after `after`. In a network of both families IPv4 and IPv6 addresses are mixed.
///
/// # Errors
///
/// The engine's.
pub fn list(
    tx: &mut dyn Transaction,
    network: NetworkId,
    after: Option<IpAddr>,
    limit: usize,
) -> Result<Vec<Lease>, Error> {
    let after = after.map(octets);
    let after = after.as_ref().map_or(&[][..], |octets| octets.as_slice());
    let rows =
        tx.query(LIST, &[network.as_bytes().into(), after.into(), self::limit(limit).into()])?;
    rows.iter().map(read).collect()
}

pub(crate) fn read(row: &Row) -> Result<Lease, Error> {
    Ok(Lease {
        network: NetworkId(row.array(0)?),
        address: row.address(1)?,
        pool: PoolId(row.array(2)?),
        owner: OwnerId(row.array(3)?),
        state: if row.integer(4)? == ACTIVE { LeaseState::Active } else { LeaseState::Quarantined },
        hold_until: row.integer(5)?,
        released_at: row.optional_integer(6)?,
        until: row.optional_integer(7)?,
    })
}

/// Ends an active lease.
pub(crate) fn quarantine(
    tx: &mut dyn Transaction,
    now: i64,
    lease: Lease,
    hold_seconds: i64,
) -> Result<Lease, Error> {
    let lease = Lease {
        state: LeaseState::Quarantined,
        hold_until: lease.hold_until.max(now.saturating_add(hold_seconds.max(0))),
        released_at: Some(now),
        until: None,
        ..lease
    };
    tx.queue(
        QUARANTINE,
        &[
            lease.hold_until.into(),
            now.into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
        ],
    )?;
    Ok(lease)
}

fn set_hold(tx: &mut dyn Transaction, lease: &Lease, hold_until: i64) -> Result<(), Error> {
    tx.queue(
        HOLD,
        &[
            hold_until.into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
        ],
    )
}
