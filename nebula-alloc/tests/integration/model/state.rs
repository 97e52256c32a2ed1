//! The model: lists of pools, blocks and reservations and a map of leases. What is free is whatever
//! nothing else is said about; there are no intervals, and nothing is fast.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nebula_alloc::block::Block;
use nebula_alloc::lease::{Lease, LeaseState};
use nebula_alloc::pool::{Pool, Usage};
use nebula_alloc::reservation::Reservation;
use nebula_alloc::{AddressRange, Error, Family, LeaseId, NetworkId, OwnerId, PoolId};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    pub pools: Vec<Pool>,
    pub blocks: Vec<Block>,
    pub reservations: Vec<(NetworkId, Reservation)>,
    pub leases: Leases,
    /// The names of all leases there ever were.
    pub names: Vec<LeaseId>,
    /// The number that the library gave the lease which begins next, if that is known.
    pub number: Option<i64>,
    /// Answers the lowest address where it is free to choose.
    pub exact: bool,
}

pub type Leases = BTreeMap<(NetworkId, IpAddr), Lease>;

/// A pool or a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    pub id: PoolId,
    pub network: NetworkId,
    pub range: AddressRange,
    pub is_block: bool,
}

impl Space {
    fn of_pool(pool: &Pool) -> Self {
        Self { id: pool.id, network: pool.network, range: pool.range, is_block: false }
    }

    fn of_block(block: &Block) -> Self {
        Self { id: block.id, network: block.network, range: block.range, is_block: true }
    }
}

/// All addresses of a range, of which there are few.
pub fn addresses(range: AddressRange) -> impl Iterator<Item = IpAddr> {
    let mut next = Some(range.first());
    std::iter::from_fn(move || {
        let address = next?;
        next = if address == range.last() { None } else { Some(above(address)) };
        Some(address)
    })
}

fn above(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::from((v4.to_bits() + 1).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((v6.to_bits() + 1).to_be_bytes()),
    }
}

impl Model {
    pub fn spaces(&self) -> impl Iterator<Item = Space> {
        let pools = self.pools.iter().map(Space::of_pool);
        pools.chain(self.blocks.iter().map(Space::of_block))
    }

    pub fn space(&self, id: PoolId) -> Option<Space> {
        self.spaces().find(|space| space.id == id)
    }

    pub fn pool(&self, id: PoolId) -> Result<Pool, Error> {
        let found = self.pools.iter().find(|pool| pool.id == id);
        found.copied().ok_or(Error::NoSuchPool { pool: id })
    }

    /// The block that has the address, else the pool.
    pub fn space_of(&self, network: NetworkId, address: IpAddr) -> Option<Space> {
        let mut spaces: Vec<_> = self
            .spaces()
            .filter(|space| space.network == network && space.range.contains(address))
            .collect();
        spaces.sort_by_key(|space| space.is_block);
        spaces.pop()
    }

    /// The network's pools of a family in the order of their use.
    pub fn in_order(&self, network: NetworkId, family: Family) -> Vec<PoolId> {
        let mut pools: Vec<_> = self
            .pools
            .iter()
            .filter(|pool| pool.network == network && pool.range.family() == family)
            .map(|pool| (pool.position, pool.id))
            .collect();
        pools.sort_unstable();
        pools.into_iter().map(|(_, id)| id).collect()
    }

    pub fn reservation(&self, network: NetworkId, address: IpAddr) -> Option<&Reservation> {
        let mut all = self.reservations.iter();
        all.find(|(of, kept)| *of == network && kept.range.contains(address)).map(|(_, kept)| kept)
    }

    /// What anyone can be given from a pool or block, lowest first.
    pub fn free(&self, id: PoolId) -> BTreeSet<IpAddr> {
        let Some(space) = self.space(id) else { return BTreeSet::new() };
        addresses(space.range)
            .filter(|address| {
                let own = self.space_of(space.network, *address).map(|owner| owner.id) == Some(id);
                own && self.reservation(space.network, *address).is_none()
                    && !self.leases.contains_key(&(space.network, *address))
            })
            .collect()
    }

    /// An owner's leases, active ones first, then in address order.
    pub fn of_owner(&self, network: NetworkId, owner: OwnerId) -> Vec<Lease> {
        let mut leases: Vec<_> = self
            .leases
            .values()
            .filter(|lease| lease.network == network && lease.owner == owner)
            .copied()
            .collect();
        leases.sort_by_key(|lease| (lease.state != LeaseState::Active, lease.address));
        leases
    }

    pub fn active(&self, network: NetworkId, owner: OwnerId, family: Family) -> Option<Lease> {
        let leases = self.of_owner(network, owner);
        leases.into_iter().find(|one| one.state == LeaseState::Active && one.family() == family)
    }

    /// The lease begins anew, under a number that this owner and address did not have before.
    pub fn begin_anew(&mut self, lease: Lease) -> Lease {
        let lease = Lease { number: self.number.unwrap_or_default(), ..lease };
        let LeaseId { network, address, owner, number } = lease.id();
        let same =
            |one: &&LeaseId| (one.network, one.address, one.owner) == (network, address, owner);
        let before = self.names.iter().filter(same).map(|one| one.number).max();
        assert!(self.number.is_none() || before < Some(number), "{before:?} and then {number}");
        self.names.push(lease.id());
        self.put(lease)
    }

    /// One that is or was there, mostly a late one.
    pub fn name(&self, choice: u8) -> LeaseId {
        let missing = LeaseId {
            network: NetworkId([1; 16]),
            address: [0, 0, 0, 2].into(),
            owner: OwnerId([1; 16]),
            number: 1,
        };
        let back = usize::from(choice) % self.names.len().clamp(1, 20);
        self.names.iter().rev().nth(back).copied().unwrap_or(missing)
    }

    pub fn put(&mut self, lease: Lease) -> Lease {
        self.leases.insert((lease.network, lease.address), lease);
        lease
    }

    /// The leased addresses of a range, in order.
    pub fn leased(&self, network: NetworkId, range: AddressRange) -> Vec<IpAddr> {
        addresses(range).filter(|address| self.leases.contains_key(&(network, *address))).collect()
    }

    pub fn usage(&self, space: Space) -> Usage {
        let of = |state| {
            let here = |lease: &&Lease| lease.pool == space.id && lease.state == state;
            u64::try_from(self.leases.values().filter(here).count()).unwrap()
        };
        let count = |addresses: usize| u128::try_from(addresses).unwrap();
        let blocks: Vec<_> = self.blocks.iter().filter(|block| block.pool == space.id).collect();
        let blocked = |address| blocks.iter().any(|block| block.range.contains(address));
        let reserved = addresses(space.range).filter(|address| {
            !blocked(*address)
                && self.reservation(space.network, *address).is_some()
                && !self.leases.contains_key(&(space.network, *address))
        });
        Usage {
            capacity: count(addresses(space.range).count()),
            free: count(self.free(space.id).len()),
            active: of(LeaseState::Active),
            quarantined: of(LeaseState::Quarantined),
            reserved: count(reserved.count()),
            blocks: count(addresses(space.range).filter(|address| blocked(*address)).count()),
        }
    }
}
