//! Granting specific addresses: asked for by name, pinned, or held before.

use std::net::IpAddr;

use super::grant::{activate, insert};
use super::hold::{Hold, quarantine};
use super::{BY_OWNER, Lease, LeaseState, Request, columns, in_order, read, record};
use crate::address::octets;
use crate::error::Contention;
use crate::error::Keeper;
use crate::event::{Actor, kind};
use crate::reservation::{self, Purpose};
use crate::store::{Row, Transaction};
use crate::{Error, Family, NetworkId, PoolId, interval};

/// What there is at an address: its lease (state 1 or 2), the pool and the block that have it (3; the
/// block's number is 1), and the reservation (4; its number is its kind).
pub(crate) const AT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease WHERE network = $1 AND address = $2
     UNION ALL
     SELECT 3, 0, id, first, id, network, 0, NULL, NULL, NULL, NULL
     FROM (SELECT network, first, id FROM alloc_pool
         WHERE network = $1 AND family = $3 AND parent IS NULL AND last >= $2
         ORDER BY last LIMIT 1) AS pool
     WHERE first <= $2
     UNION ALL
     SELECT 3, 1, id, first, id, network, 0, NULL, NULL, NULL, NULL
     FROM (SELECT network, first, id FROM alloc_pool
         WHERE network = $1 AND family = $3 AND parent IS NOT NULL AND last >= $2
         ORDER BY last LIMIT 1) AS block
     WHERE first <= $2
     UNION ALL
     SELECT 4, kind, owner, first, last, network, 0, NULL, NULL, NULL, NULL
     FROM (SELECT network, first, last, owner, kind FROM alloc_reservation
         WHERE network = $1 AND family = $3 AND last >= $2 ORDER BY last LIMIT 1) AS nearest
     WHERE first <= $2"
);

/// One statement, so that it sees leases and free space at one moment: others may take the address
/// and free it again as fast as it could look at one after the other.
pub(crate) const SOMEWHERE: &str = "SELECT 1 FROM alloc_lease WHERE network = $1 AND address = $2
     UNION ALL
     SELECT 1 FROM (SELECT first FROM alloc_interval
         WHERE last >= $2 AND pool = $3 ORDER BY last LIMIT 1) AS nearest WHERE first <= $2";

/// Who asks, and in which place of a batch.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) index: usize,
    pub(super) actor: &'a Actor<'a>,
    pub(super) request: &'a Request,
    /// The number of the lease, if it begins now; known once it was read what the owner has.
    pub(super) number: i64,
    /// The owner moves: it gives up an address that is not as it asks, into a quarantine of this
    /// length.
    pub(super) moves: Option<Hold>,
    /// The lease that it gives up with the new one.
    pub(super) gives_up: Option<Lease>,
}

impl Asking<'_> {
    /// Ends the lease that the owner moves away from: just before the new one is written, and when
    /// nothing can be in the way of that any more.
    pub(super) fn leave(&self, tx: &mut dyn Transaction, now: i64) -> Result<(), Error> {
        match (self.gives_up, self.moves) {
            (Some(lease), Some(hold)) => {
                quarantine(tx, now, self.actor, lease, hold, kind::RELEASED).map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// How an address can be granted.
enum Grant {
    /// To the owner that has it in quarantine.
    Return(Lease),
    /// To another: that quarantine has ended.
    Inherit(Lease),
    /// Out of the free space of this pool.
    Take(PoolId),
    /// In this pool, where a reservation keeps it.
    Reserved(PoolId),
}

/// Grants each owner its address, if it may have it. Owners have no active address of the family;
/// owners and addresses are distinct, so that no grant changes what is read for another.
pub(super) fn grant_requested(
    tx: &mut dyn Transaction,
    now: i64,
    asked: &[(Asking<'_>, IpAddr)],
) -> Result<Vec<Result<Lease, Error>>, Error> {
    let places: Vec<_> =
        asked.iter().map(|(asking, address)| (asking.request.network, *address)).collect();
    let grants: Vec<_> = asked
        .iter()
        .zip(Found::at(tx, &places)?)
        .map(|((asking, address), found)| found.grant(now, asking.request, *address))
        .collect();
    let wanted: Vec<_> = grants
        .iter()
        .zip(asked)
        .filter_map(|(grant, (_, address))| match grant {
            Ok(Grant::Take(pool)) => Some((*pool, *address)),
            _ => None,
        })
        .collect();
    let mut taken = interval::take_given(tx, &wanted)?.into_iter();
    let mut answers = Vec::with_capacity(asked.len());
    let mut given = Vec::with_capacity(asked.len());
    for ((asking, address), grant) in asked.iter().zip(grants) {
        let Asking { request, number, .. } = *asking;
        let grant = match grant {
            Ok(Grant::Take(pool)) if taken.next() != Some(true) => {
                answers.push(Err(missing(tx, request.network, pool, *address)?));
                continue;
            }
            Ok(grant) => grant,
            Err(refusal) => {
                answers.push(Err(refusal));
                continue;
            }
        };
        asking.leave(tx, now)?;
        let (kind, lease) = match grant {
            Grant::Return(former) => (kind::RETURNED, activate(tx, former, request, number)?),
            Grant::Inherit(former) => (kind::ALLOCATED, activate(tx, former, request, number)?),
            Grant::Take(pool) | Grant::Reserved(pool) => {
                (kind::ALLOCATED, insert(tx, pool, *address, request, number)?)
            }
        };
        given.push((asking.actor, kind, lease));
        answers.push(Ok(lease));
    }
    // Rows of one table follow each other, so that an engine can store them at once.
    for (actor, kind, lease) in given {
        record(tx, now, actor, kind, &lease, None)?;
    }
    Ok(answers)
}

/// Why a free address could not be taken: another process has taken it, or is working on the
/// addresses around it.
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
        false => Error::Contended(Contention::Around(address)),
    })
}

/// Why an owner without an address of the family would not get this one now.
pub(super) fn grantable(
    tx: &mut dyn Transaction,
    now: i64,
    request: &Request,
    address: IpAddr,
) -> Result<Option<Error>, Error> {
    let found = Found::at(tx, &[(request.network, address)])?.pop().unwrap_or_default();
    Ok(found.grant(now, request, address).err())
}

/// Why the owners would not get the addresses they ask for by name, each if it asked now.
pub(crate) fn refusals(
    tx: &mut dyn Transaction,
    now: i64,
    requests: &[(Request, IpAddr)],
) -> Result<Vec<Option<Error>>, Error> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let owners: Vec<_> = requests
        .iter()
        .map(|(request, _)| {
            vec![request.network.as_bytes().into(), request.owner.as_bytes().into()]
        })
        .collect();
    let owned = tx.query_each(BY_OWNER, &owners)?;
    let places: Vec<_> =
        requests.iter().map(|(request, address)| (request.network, *address)).collect();
    let found = Found::at(tx, &places)?;
    let mut refusals = Vec::with_capacity(requests.len());
    for ((request, asked), (rows, found)) in requests.iter().zip(owned.iter().zip(found)) {
        let Request { network, owner, family, .. } = *request;
        let held = in_order(rows)?
            .into_iter()
            .find(|lease| lease.state == LeaseState::Active && lease.family() == family)
            .map(|lease| lease.address);
        refusals.push(match held {
            Some(held) if held == *asked => None,
            Some(held) => Some(Error::OwnerHasAnother { network, owner, held, asked: *asked }),
            None => found.grant(now, request, *asked).err(),
        });
    }
    Ok(refusals)
}

/// What there is at an address.
#[derive(Default)]
struct Found {
    lease: Option<Lease>,
    /// The block that has it, else the pool, and whether it is a block.
    space: Option<(PoolId, bool)>,
    reservation: Option<Purpose>,
}

impl Found {
    fn at(tx: &mut dyn Transaction, places: &[(NetworkId, IpAddr)]) -> Result<Vec<Self>, Error> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let octets: Vec<_> = places.iter().map(|(_, address)| octets(*address)).collect();
        let sets: Vec<_> = places
            .iter()
            .zip(&octets)
            .map(|((network, address), octets)| {
                let family = Family::of(*address).number();
                vec![network.as_bytes().into(), octets.as_slice().into(), family.into()]
            })
            .collect();
        tx.query_each(AT, &sets)?.iter().map(|rows| Self::read(rows)).collect()
    }

    fn read(rows: &[Row]) -> Result<Self, Error> {
        let mut found = Self::default();
        for row in rows {
            let mut columns = row.columns();
            match columns.integer()? {
                3 => {
                    let is_block = columns.integer()? != 0;
                    if is_block || found.space.is_none() {
                        found.space = Some((PoolId(columns.array()?), is_block));
                    }
                }
                4 => found.reservation = Some(reservation::purpose(&mut columns)?),
                _ => found.lease = Some(read(row)?),
            }
        }
        Ok(found)
    }

    /// How the address can be granted to the owner that asks for it, or why not.
    fn grant(self, now: i64, request: &Request, address: IpAddr) -> Result<Grant, Error> {
        let Request { network, owner, family, pool, .. } = *request;
        if Family::of(address) != family {
            return Err(Error::WrongFamily { address, family });
        }
        if self.lease.is_some_and(|lease| lease.state == LeaseState::Active) {
            return Err(Error::AddressTaken { network, address });
        }
        let Some((space, is_block)) = self.space else {
            return Err(Error::AddressOutsidePools { network, address });
        };
        match pool {
            Some(pool) if pool != space => {
                return Err(Error::AddressInAnotherPool { address, pool });
            }
            None if is_block => {
                return Err(Error::AddressReserved { network, address, by: Keeper::Block });
            }
            _ => {}
        }
        let by = match self.reservation {
            Some(Purpose::Nobody) => Some(Keeper::Exclusion),
            Some(Purpose::Owner(other)) if other != owner => Some(Keeper::Pin),
            Some(Purpose::Asking | Purpose::Owner(_)) | None => None,
        };
        if let Some(by) = by {
            return Err(Error::AddressReserved { network, address, by });
        }
        match self.lease {
            Some(lease) if lease.owner == owner => Ok(Grant::Return(lease)),
            Some(lease) if lease.hold_until <= now => Ok(Grant::Inherit(lease)),
            Some(Lease { hold_until: until, .. }) => {
                Err(Error::AddressQuarantined { network, address, until })
            }
            None if self.reservation.is_some() => Ok(Grant::Reserved(space)),
            None => Ok(Grant::Take(space)),
        }
    }
}
