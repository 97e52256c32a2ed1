//! What becomes of a network's addresses: who has them, until when they are kept, what is free.

use std::collections::HashMap;
use std::net::IpAddr;

use nebula_alloc::lease::{self, Lease, LeaseState, Reason};
use nebula_alloc::pool;
use nebula_alloc::reservation::{Purpose, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::{AddressRange, NetworkId, PoolId};

use super::reservations::{ReservationDetails, details};
use crate::service::access::authorize;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::principal::Action;
use crate::store::{damaged, node};
use crate::{Error, NetworkRef, NodeId};

/// Some addresses of a network, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressEntry {
    /// Which.
    pub range: AddressRange,
    /// What becomes of them.
    pub held: Held,
    /// The node that has them, had them last, or is to have them; and its name.
    pub node: Option<(NodeId, Option<String>)>,
    place: Place,
}

/// What becomes of addresses. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A node has it.
    Leased,
    /// A node had it.
    Quarantined {
        /// When its node gave it up.
        since: i64,
        /// From when on another can get it; earlier once all have applied that its certificates are
        /// blocked.
        until: i64,
        /// Why it is kept.
        reason: Option<Reason>,
    },
    /// They are not given to whoever comes next.
    Reserved {
        /// For whom they are.
        purpose: Purpose,
        /// The device that they are for, by its own id.
        device: Option<String>,
        /// Why.
        note: Option<String>,
    },
    /// The next one may get it.
    Free,
}

/// Where a list of addresses goes on: first come leases, then reservations, then what is free of each
/// pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Lease(IpAddr),
    Reservation(IpAddr),
    Free(PoolId, IpAddr),
}

/// The bytes of a [place](AddressEntry::place).
pub(crate) const PLACE: usize = 33;

impl Place {
    fn bytes(self) -> [u8; PLACE] {
        let (part, pool, address) = match self {
            Self::Lease(address) => (0, [0; 16], address),
            Self::Reservation(address) => (1, [0; 16], address),
            Self::Free(pool, address) => (2, *pool.as_bytes(), address),
        };
        let address = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let mut bytes = [part; PLACE];
        let rest = pool.iter().chain(&address);
        bytes.iter_mut().skip(1).zip(rest).for_each(|(to, from)| *to = *from);
        bytes
    }

    fn of(bytes: [u8; PLACE]) -> Self {
        let (mut pool, mut address) = ([0; 16], [0; 16]);
        let to = pool.iter_mut().chain(&mut address);
        to.zip(bytes.iter().skip(1)).for_each(|(to, from)| *to = *from);
        let address = IpAddr::from(address).to_canonical();
        match bytes.first() {
            Some(0) => Self::Lease(address),
            Some(1) => Self::Reservation(address),
            _ => Self::Free(pool.into(), address),
        }
    }
}

impl AddressEntry {
    /// Where a list goes on after it.
    pub(crate) fn place(&self) -> Vec<u8> {
        self.place.bytes().to_vec()
    }

    fn of_lease(lease: &Lease) -> Result<Self, Error> {
        let held = match lease.state {
            LeaseState::Quarantined => Held::Quarantined {
                since: lease.released_at.unwrap_or_default(),
                until: lease.hold_until,
                reason: lease.reason,
            },
            _ => Held::Leased,
        };
        let node = Some((NodeId::from(lease.owner.0), None));
        let place = Place::Lease(lease.address);
        let range = AddressRange::new(lease.address, lease.address);
        Ok(Self { range: range.map_err(|_| damaged("lease"))?, held, node, place })
    }

    fn of_reservation(details: ReservationDetails) -> Self {
        let ReservationDetails { reservation, node, device } = details;
        let Reservation { range, purpose, note } = reservation;
        let place = Place::Reservation(range.last());
        Self { range, held: Held::Reserved { purpose, device, note }, node, place }
    }
}

impl Service {
    /// What becomes of a network's addresses, after this place, at most `limit`: its leases and
    /// quarantines, then its reservations, then what is free of each pool.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub(crate) async fn addresses(
        &self,
        context: Context,
        network: NetworkRef,
        after: Option<[u8; PLACE]>,
        limit: i64,
    ) -> Result<Vec<AddressEntry>, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            let limit = usize::try_from(limit).unwrap_or_default();
            let mut found = list(tx, network.id, after.map(Place::of), limit)?;
            name_nodes(tx, &mut found)?;
            Ok(found)
        })
        .await
    }
}

fn list(
    tx: &mut dyn Transaction,
    network: NetworkId,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<AddressEntry>, Error> {
    let mut found = vec![];
    if let None | Some(Place::Lease(_)) = after {
        let last = match after {
            Some(Place::Lease(address)) => Some(address),
            _ => None,
        };
        let leases = lease::list(tx, network, last, limit)?;
        for lease in &leases {
            found.push(AddressEntry::of_lease(lease)?);
        }
    }
    if !matches!(after, Some(Place::Free(..))) && found.len() < limit {
        let last = match after {
            Some(Place::Reservation(address)) => Some(address),
            _ => None,
        };
        let reservations = super::reservations::after(tx, network, last, limit - found.len())?;
        let reservations = details(tx, reservations)?;
        found.extend(reservations.into_iter().map(AddressEntry::of_reservation));
    }
    let last = match after {
        Some(Place::Free(pool, address)) => Some((pool, address)),
        _ => None,
    };
    list_free(tx, network, last, limit, &mut found)?;
    Ok(found)
}

fn list_free(
    tx: &mut dyn Transaction,
    network: NetworkId,
    last: Option<(PoolId, IpAddr)>,
    limit: usize,
    found: &mut Vec<AddressEntry>,
) -> Result<(), Error> {
    let mut pools = vec![];
    if let Some((id, _)) = last {
        pools.extend(pool::by_id(tx, id)?.filter(|pool| pool.network == network));
    }
    let mut end = last.map(|(id, _)| id);
    while found.len() < limit {
        if pools.is_empty() {
            pools = pool::by_network(tx, network, end, POOLS)?;
            if pools.is_empty() {
                break;
            }
        }
        let pool = pools.remove(0);
        end = Some(pool.id);
        let passed = last.filter(|(id, _)| *id == pool.id).map(|(_, address)| address);
        let from = passed.unwrap_or_else(|| pool.range.first());
        // The one that ends there was answered before.
        let ranges = pool::free_ranges(tx, pool.id, from, limit - found.len() + 1)?;
        let new = ranges.into_iter().filter(|range| Some(range.last()) != passed);
        let room = limit - found.len();
        found.extend(new.take(room).map(|range| AddressEntry {
            range,
            held: Held::Free,
            node: None,
            place: Place::Free(pool.id, range.last()),
        }));
    }
    Ok(())
}

/// How many pools are read at a time.
const POOLS: usize = 100;

fn name_nodes(tx: &mut dyn Transaction, found: &mut [AddressEntry]) -> Result<(), Error> {
    let ids: Vec<NodeId> = found.iter().filter_map(|entry| Some(entry.node.as_ref()?.0)).collect();
    let names: HashMap<NodeId, String> = node::names(tx, &ids)?;
    for (id, name) in found.iter_mut().filter_map(|entry| entry.node.as_mut()) {
        *name = names.get(id).cloned();
    }
    Ok(())
}
