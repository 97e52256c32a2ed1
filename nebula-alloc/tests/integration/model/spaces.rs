//! Pools, blocks and reservations of the model.

use std::net::IpAddr;

use nebula_alloc::block::Block;
use nebula_alloc::lease::LeaseState;
use nebula_alloc::pool::Pool;
use nebula_alloc::reservation::{Purpose, Reservation};
use nebula_alloc::{AddressRange, Error, Family, NetworkId, PoolId};

use super::state::{Model, addresses};

impl Model {
    pub fn create_pool(&mut self, pool: Pool) -> Result<(), Error> {
        if self.pools.contains(&pool) {
            return Ok(());
        }
        self.check_overlap(&pool)?;
        self.check_id(pool.id)?;
        self.pools.push(pool);
        Ok(())
    }

    pub fn resize_pool(&mut self, id: PoolId, range: AddressRange) -> Result<Pool, Error> {
        let old = self.pool(id)?;
        let family = old.range.family();
        if range.family() != family {
            return Err(Error::WrongFamily { address: range.first(), family });
        }
        let pool = Pool { range, ..old };
        self.check_overlap(&pool)?;
        // What it loses at its beginning, then what it loses at its end.
        let lost: Vec<_> =
            addresses(old.range).filter(|address| !range.contains(*address)).collect();
        let below = |address: &&IpAddr| **address < range.first();
        for part in [
            lost.iter().filter(below).collect::<Vec<_>>(),
            lost.iter().filter(|address| !below(address)).collect(),
        ] {
            if let (Some(first), Some(last)) = (part.first(), part.last()) {
                self.check_vacant(&old, AddressRange::new(**first, **last).unwrap())?;
            }
        }
        self.pools.retain(|other| other.id != id);
        self.pools.push(pool);
        Ok(pool)
    }

    pub fn delete_pool(&mut self, id: PoolId) -> Result<(), Error> {
        let pool = self.pool(id)?;
        self.check_vacant(&pool, pool.range)?;
        self.pools.retain(|other| other.id != id);
        Ok(())
    }

    /// Removes some of what a network has, and answers whether there may be more.
    pub fn remove_some(&mut self, network: NetworkId, limit: usize) -> bool {
        let mut leases: Vec<_> =
            self.leases.keys().filter(|(of, _)| *of == network).copied().collect();
        // In the order of their bytes, of whichever family.
        leases.sort_by_key(|(_, address)| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        });
        leases.truncate(limit);
        if !leases.is_empty() {
            self.leases.retain(|place, _| !leases.contains(place));
            return true;
        }
        for family in [Family::V4, Family::V6] {
            let reserved = self
                .reservations
                .iter()
                .filter(|(of, kept)| *of == network && kept.range.family() == family);
            let mut reserved: Vec<_> = reserved.map(|(_, kept)| kept.range).collect();
            reserved.sort_by_key(AddressRange::first);
            reserved.truncate(limit);
            if !reserved.is_empty() {
                self.reservations
                    .retain(|(of, kept)| *of != network || !reserved.contains(&kept.range));
                return true;
            }
        }
        let blocks = self.blocks.iter().filter(|block| block.network == network);
        let blocks = lowest(blocks.map(|block| block.id), limit);
        if !blocks.is_empty() {
            self.blocks.retain(|block| !blocks.contains(&block.id));
            return true;
        }
        let pools = self.pools.iter().filter(|pool| pool.network == network);
        let pools = lowest(pools.map(|pool| pool.id), limit);
        self.pools.retain(|pool| !pools.contains(&pool.id));
        !pools.is_empty()
    }

    pub fn create_block(&mut self, block: Block) -> Result<(), Error> {
        if self.blocks.contains(&block) {
            return Ok(());
        }
        let Block { id, network, pool, range, .. } = block;
        let parent = self.pool(pool)?;
        if parent.network != network {
            return Err(Error::NoSuchPool { pool });
        }
        if !addresses(range).all(|address| parent.range.contains(address)) {
            return Err(Error::OutsidePool { pool, range });
        }
        self.check_no_block(pool, range)?;
        self.check_unleased(network, range)?;
        self.check_id(id)?;
        let same = |other: &Block| {
            (other.network, other.range.family(), &other.name)
                == (network, range.family(), &block.name)
        };
        if self.blocks.iter().any(same) {
            return Err(Error::Unique);
        }
        self.blocks.push(block);
        Ok(())
    }

    /// The pool of a block, or of the block that is not there.
    pub fn parent(&self, block: PoolId) -> PoolId {
        self.blocks.iter().find(|one| one.id == block).map_or(block, |one| one.pool)
    }

    /// What it loses, then what it gains, each at its beginning and at its end.
    pub fn resize_block(&mut self, id: PoolId, range: AddressRange) -> Result<Block, Error> {
        let place = self.blocks.iter().position(|block| block.id == id);
        let place = place.ok_or(Error::NoSuchPool { pool: id })?;
        let old = self.blocks[place].clone();
        let parent = self.pool(old.pool)?;
        if !addresses(range).all(|address| parent.range.contains(address)) {
            return Err(Error::OutsidePool { pool: parent.id, range });
        }
        for (had, has) in [(old.range, range), (range, old.range)] {
            let moved: Vec<_> = addresses(had).filter(|address| !has.contains(*address)).collect();
            let below = |address: &&IpAddr| **address < has.first();
            for part in [
                moved.iter().filter(below).collect::<Vec<_>>(),
                moved.iter().filter(|address| !below(address)).collect(),
            ] {
                if let (Some(first), Some(last)) = (part.first(), part.last()) {
                    let part = AddressRange::new(**first, **last).unwrap();
                    self.check_no_other_block(&old, part)?;
                    self.check_unleased(old.network, part)?;
                }
            }
        }
        self.blocks[place].range = range;
        Ok(self.blocks[place].clone())
    }

    fn check_no_other_block(&self, block: &Block, range: AddressRange) -> Result<(), Error> {
        let mut others = self.clone();
        others.blocks.retain(|other| other.id != block.id);
        others.check_no_block(block.pool, range)
    }

    pub fn move_pool(&mut self, id: PoolId, position: i64) -> Result<Pool, Error> {
        let pool = Pool { position, ..self.pool(id)? };
        self.pools.retain(|other| other.id != id);
        self.pools.push(pool);
        Ok(pool)
    }

    pub fn delete_block(&mut self, id: PoolId) -> Result<Block, Error> {
        let place = self.blocks.iter().position(|block| block.id == id);
        let place = place.ok_or(Error::NoSuchPool { pool: id })?;
        self.check_unleased(self.blocks[place].network, self.blocks[place].range)?;
        Ok(self.blocks.remove(place))
    }

    /// The highest run of so many free addresses, beginning at a multiple of a power of two.
    pub fn find_room(&self, pool: PoolId, size: u8) -> Result<Option<AddressRange>, Error> {
        let space = self.space(pool).ok_or(Error::NoSuchPool { pool })?;
        let free = self.free(pool);
        let all: Vec<_> = addresses(space.range).collect();
        let number = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let mut runs = all.windows(usize::from(size).max(1)).filter(|run| {
            size > 0
                && run.iter().all(|address| free.contains(address))
                && (!size.is_power_of_two() || number(run[0]) % u128::from(size) == 0)
        });
        Ok(runs.next_back().map(|run| AddressRange::new(run[0], run[run.len() - 1]).unwrap()))
    }

    pub fn reserve(&mut self, network: NetworkId, new: Reservation) -> Result<(), Error> {
        let range = new.range;
        if self.reservations.contains(&(network, new.clone())) {
            return Ok(());
        }
        let mut overlapping: Vec<_> = self
            .reservations
            .iter()
            .filter(|(of, kept)| *of == network && kept.range.intersection(&range).is_some())
            .map(|(_, kept)| kept.range)
            .collect();
        overlapping.sort_by_key(AddressRange::first);
        if let Some(other) = overlapping.first() {
            return Err(Error::ReservationOverlaps { network, range, other: *other });
        }
        if let Purpose::Owner(owner) = new.purpose {
            if range.first() != range.last() {
                return Err(Error::RangeForOwner { range });
            }
            let pinned = |(of, kept): &(NetworkId, Reservation)| {
                *of == network
                    && kept.purpose == new.purpose
                    && kept.range.family() == range.family()
            };
            if self.reservations.iter().any(pinned) {
                return Err(Error::PinnedAlready { network, owner });
            }
        }
        let mut standing = self.leased(network, range);
        standing.retain(|address| {
            let lease = self.leases[&(network, *address)];
            lease.state == LeaseState::Active
                && new.purpose != Purpose::Asking
                && new.purpose != Purpose::Owner(lease.owner)
        });
        if !standing.is_empty() {
            return Err(Error::LeasesStand { network, addresses: standing, more: false });
        }
        self.reservations.push((network, new));
        Ok(())
    }

    pub fn unreserve(
        &mut self,
        network: NetworkId,
        range: AddressRange,
    ) -> Result<Reservation, Error> {
        let mut all = self.reservations.iter();
        let place = all.position(|(of, kept)| *of == network && kept.range == range);
        let place = place.ok_or(Error::NoSuchReservation { network, range })?;
        Ok(self.reservations.remove(place).1)
    }

    fn check_overlap(&self, pool: &Pool) -> Result<(), Error> {
        let mut others: Vec<_> = self
            .pools
            .iter()
            .filter(|other| other.id != pool.id && other.network == pool.network)
            .filter(|other| other.range.intersection(&pool.range).is_some())
            .collect();
        others.sort_by_key(|other| other.range.first());
        let (network, range) = (pool.network, pool.range);
        others
            .first()
            .map_or(Ok(()), |other| Err(Error::Overlap { network, pool: other.id, range }))
    }

    fn check_id(&self, id: PoolId) -> Result<(), Error> {
        if self.space(id).is_some() { Err(Error::Unique) } else { Ok(()) }
    }

    fn check_vacant(&self, pool: &Pool, range: AddressRange) -> Result<(), Error> {
        self.check_unleased(pool.network, range)?;
        self.check_no_block(pool.id, range)
    }

    fn check_no_block(&self, pool: PoolId, range: AddressRange) -> Result<(), Error> {
        let mut blocks: Vec<_> = self
            .blocks
            .iter()
            .filter(|block| block.pool == pool && block.range.intersection(&range).is_some())
            .collect();
        blocks.sort_by_key(|block| block.range.first());
        let stands = |block: &&Block| Error::BlockStands { block: block.id, range: block.range };
        blocks.first().map_or(Ok(()), |block| Err(stands(block)))
    }

    fn check_unleased(&self, network: NetworkId, range: AddressRange) -> Result<(), Error> {
        let addresses = self.leased(network, range);
        if addresses.is_empty() {
            return Ok(());
        }
        Err(Error::LeasesStand { network, addresses, more: false })
    }
}

/// The lowest ids.
fn lowest(ids: impl Iterator<Item = PoolId>, limit: usize) -> Vec<PoolId> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.truncate(limit);
    ids
}
