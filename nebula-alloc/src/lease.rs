//! Leases: one address held by one owner, active, then in quarantine, then free.

mod allocate;
mod detail;
mod grant;
mod hold;
mod one;
mod owned;
mod relocate;
mod renew;
mod requested;
mod stored;
mod transfer;

use std::net::IpAddr;

pub(crate) use self::allocate::{Wanted, grant_many};
pub use self::allocate::{allocate, allocate_many};
pub(crate) use self::detail::LeaseDetail;
pub use self::hold::{Hold, extend_hold, release, shorten_hold};
pub(crate) use self::hold::{quarantine, set_hold};
pub use self::one::{release_one, renew_one, take_over_one, transfer_one};
pub use self::relocate::{refusal, relocate};
pub use self::renew::{heartbeat, renew};
pub(crate) use self::requested::refusals;
pub use self::stored::{Lease, LeaseState, Reason};
pub(crate) use self::stored::{columns, read};
pub use self::transfer::{take_over, transfer};
use crate::address::octets;
use crate::event::{self, Actor};
use crate::limits::limit;
use crate::store::Query;
use crate::store::{Row, Transaction};
use crate::{Error, Family, NetworkId, OwnerId, PoolId};

/// A request for an address. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Where.
    pub network: NetworkId,
    /// For whom. An owner holds at most one active lease per network and family.
    pub owner: OwnerId,
    /// Of which family.
    pub family: Family,
    /// A given address. Else it is the one pinned to the owner, its old one, or the lowest that is
    /// free.
    pub address: Option<IpAddr>,
    /// From this pool or block only. Else from any pool of the network, and from no block.
    pub pool: Option<PoolId>,
    /// After release the address stays in quarantine at least until then: from this second on
    /// nothing that names it (a certificate) is valid any more. Only moves forward.
    pub hold_until: i64,
    /// When the lease ends by itself. `None` is never for a new lease or one that has ended, and no
    /// change for one that has not; only moves forward.
    pub until: Option<i64>,
}

pub(crate) const BY_ADDRESS: &str =
    concat!("SELECT ", columns!(), " FROM alloc_lease WHERE network = $1 AND address = $2");
/// See the schema for the form of `network`.
pub(crate) const BY_OWNER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease WHERE substr(network, 1) = $1 AND owner = $2 AND state = 1
     UNION ALL
     SELECT ",
    columns!(),
    " FROM alloc_lease WHERE substr(network, 1) = $1 AND owner = $2 AND state = 2"
);
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE network = $1 AND address > $2 ORDER BY address LIMIT $3"
);
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
    let rows = tx.query(BY_OWNER, &[network.as_bytes().into(), owner.as_bytes().into()])?;
    in_order(&rows)
}

/// What [`by_owner`] reads, for [`Step::prefetch`](crate::writer::Step::prefetch).
#[must_use]
pub fn owner_query(network: NetworkId, owner: OwnerId) -> Query {
    Query::new(BY_OWNER, &[network.as_bytes().into(), owner.as_bytes().into()])
}

/// All leases of each of these owners, as [`by_owner`]: on PostgreSQL in one round trip.
///
/// # Errors
///
/// The engine's.
pub fn by_owners(
    tx: &mut dyn Transaction,
    network: NetworkId,
    owners: &[OwnerId],
) -> Result<Vec<Vec<Lease>>, Error> {
    let network = network.as_bytes();
    let keys: Vec<_> =
        owners.iter().map(|owner| vec![network.into(), owner.as_bytes().into()]).collect();
    tx.query_each(BY_OWNER, &keys)?.iter().map(|rows| in_order(rows)).collect()
}

fn in_order(rows: &[Row]) -> Result<Vec<Lease>, Error> {
    let mut leases = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    leases.sort_by_key(|lease| (lease.state != LeaseState::Active, lease.address));
    Ok(leases)
}

/// The network's leases, active and in quarantine, in the byte order of their addresses, at most
/// `limit` of them, from the one after `after`. In a network of both families IPv4 and IPv6 addresses are mixed.
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

/// Appends the event of something that happened to a lease: with a note, and its times as they are
/// then, by which [`verify`](crate::verify::verify) follows them.
pub(crate) fn record(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    kind: &'static str,
    lease: &Lease,
    note: Option<&str>,
) -> Result<(), Error> {
    let times = LeaseDetail::of(lease);
    let detail = match note {
        Some(note) => format!("{note}, {times}"),
        None => times.to_string(),
    };
    event::record(
        tx,
        now,
        actor,
        &event::Entry {
            kind,
            network: Some(&lease.network),
            subject: Some(lease.owner.as_bytes()),
            address: Some(lease.address),
            detail: Some(&detail),
        },
    )
}

/// The texts of this module, for tests of their plans.
#[cfg(test)]
pub(crate) mod statements {
    pub(crate) use super::grant::{ACTIVATE, INSERT};
    pub(crate) use super::hold::{HOLD, QUARANTINE};
    pub(crate) use super::owned::OWNED;
    pub(crate) use super::renew::PROLONG;
    pub(crate) use super::requested::AT;
    pub(crate) use super::transfer::{NEXT_NUMBER, PASS_ON};
    pub(crate) use super::{BY_ADDRESS, BY_OWNER, LIST};
}
