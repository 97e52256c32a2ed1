//! What pools and blocks have in common: a range with free intervals of its own.

use std::net::IpAddr;

use crate::address::{next, octets};
use crate::limits::limit;
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, Family, NetworkId, OwnerId, PoolId};

/// Free addresses and those whose quarantine has ended; a macro, because `concat!` takes no constants.
macro_rules! more {
    ($now:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM alloc_interval AS free WHERE free.pool = pool.id)
             OR EXISTS (SELECT 1 FROM alloc_lease AS lease
                 WHERE lease.pool = pool.id AND lease.state = 2 AND lease.hold_until <= ",
            $now,
            ")"
        )
    };
}

pub(crate) const BY_ID: &str =
    "SELECT id, network, parent, first, last FROM alloc_pool WHERE id = $1";
/// Those that end inside the range, at most so many, and the one that ends with it or behind it.
macro_rules! within {
    ($which:literal) => {
        concat!(
            "SELECT id, network, parent, first, last FROM (
                 SELECT id, network, parent, first, last FROM alloc_pool
                 WHERE network = $1 AND family = $2 AND ",
            $which,
            " AND last >= $3 AND last < $4 ORDER BY last LIMIT $5) AS inside
             UNION ALL
             SELECT id, network, parent, first, last FROM (
                 SELECT id, network, parent, first, last FROM alloc_pool
                 WHERE network = $1 AND family = $2 AND ",
            $which,
            " AND last >= $4 ORDER BY last LIMIT 1) AS beyond WHERE first <= $4"
        )
    };
}

pub(crate) const WITHIN: &str =
    concat!(within!("parent IS NULL"), " UNION ALL ", within!("parent IS NOT NULL"));
pub(crate) const BLOCKS: &str = "SELECT id, network, parent, first, last FROM alloc_pool
     WHERE parent = $1 AND parent IS NOT NULL AND last >= $2 ORDER BY last LIMIT $3";
pub(crate) const LEASED: &str = "SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4
     ORDER BY address LIMIT $5";

/// One statement, so that it sees all pools, free space and leases at one moment.
pub(crate) const MORE_OF_FAMILY: &str = concat!(
    "SELECT 1 FROM alloc_pool AS pool
     WHERE pool.network = $1 AND pool.family = $2 AND pool.parent IS NULL AND (",
    more!("$3"),
    ") LIMIT 1"
);
pub(crate) const MORE_OF_ONE: &str =
    concat!("SELECT 1 FROM alloc_pool AS pool WHERE pool.id = $1 AND (", more!("$2"), ") LIMIT 1");

/// `$5` is one owner, or nobody: an empty blob.
pub(crate) const OF_OTHERS: &str = "SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4
         AND state = 1 AND owner <> $5
     ORDER BY address LIMIT $6";

/// How many conflicting leases an error names.
const NAMED: usize = 100;

/// How many blocks a walk over them reads at a time.
const PAGE: usize = 256;

/// A pool or a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) id: PoolId,
    pub(crate) network: NetworkId,
    pub(crate) range: AddressRange,
    /// The pool that a block is in.
    pub(crate) parent: Option<PoolId>,
}

impl Space {
    pub(crate) fn by_id(tx: &mut dyn Transaction, id: PoolId) -> Result<Option<Self>, Error> {
        tx.query(BY_ID, &[id.as_bytes().into()])?.first().map(Self::read).transpose()
    }

    /// The pools and blocks of a network that have some of these addresses, at least the `limit`
    /// lowest of either, in the order of their first addresses.
    pub(crate) fn within(
        tx: &mut dyn Transaction,
        network: NetworkId,
        range: AddressRange,
        limit: usize,
    ) -> Result<Vec<Self>, Error> {
        let (first, last) = (octets(range.first()), octets(range.last()));
        let rows = tx.query(
            WITHIN,
            &[
                network.as_bytes().into(),
                range.family().number().into(),
                first.as_slice().into(),
                last.as_slice().into(),
                self::limit(limit).into(),
            ],
        )?;
        let mut spaces = rows.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
        spaces.sort_unstable_by_key(|space| (space.range.first(), space.parent));
        Ok(spaces)
    }

    /// Whether there is an address that can be given to anyone, in this pool or block or in any pool
    /// of the network and family; also one that another transaction is at work on.
    pub(crate) fn any_has_more(
        tx: &mut dyn Transaction,
        now: i64,
        network: NetworkId,
        family: Family,
        pool: Option<PoolId>,
    ) -> Result<bool, Error> {
        let rows = match pool {
            Some(pool) => tx.query(MORE_OF_ONE, &[pool.as_bytes().into(), now.into()])?,
            None => {
                let network = network.as_bytes().into();
                tx.query(MORE_OF_FAMILY, &[network, family.number().into(), now.into()])?
            }
        };
        Ok(!rows.is_empty())
    }

    /// The blocks in it that end at this address or above, in order, at most `limit`.
    pub(crate) fn blocks(
        &self,
        tx: &mut dyn Transaction,
        from: IpAddr,
        limit: usize,
    ) -> Result<Vec<Self>, Error> {
        let from = octets(from);
        let params = [self.id.as_bytes().into(), from.as_slice().into(), self::limit(limit).into()];
        tx.query(BLOCKS, &params)?.iter().map(Self::read).collect()
    }

    /// Calls `visit` with the range of each block in it, in order.
    pub(crate) fn walk_blocks(
        &self,
        tx: &mut dyn Transaction,
        mut visit: impl FnMut(AddressRange),
    ) -> Result<(), Error> {
        let mut from = Some(self.range.first());
        while let Some(at) = from.take() {
            let page = self.blocks(tx, at, PAGE)?;
            page.iter().for_each(|block| visit(block.range));
            if page.len() == PAGE {
                from = page.last().and_then(|block| next(block.range.last()));
            }
        }
        Ok(())
    }

    /// That no block in it has one of these addresses.
    pub(crate) fn check_unblocked(
        &self,
        tx: &mut dyn Transaction,
        range: AddressRange,
    ) -> Result<(), Error> {
        match self.blocks(tx, range.first(), 1)?.first() {
            Some(block) if block.range.first() <= range.last() => {
                Err(Error::BlockStands { block: block.id, range: block.range })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn read(row: &Row) -> Result<Self, Error> {
        let mut row = row.columns();
        Ok(Self {
            id: PoolId(row.array()?),
            network: NetworkId(row.array()?),
            parent: row.optional_array()?.map(PoolId),
            range: AddressRange::new(row.address()?, row.address()?)?,
        })
    }
}

/// The leased addresses of a range in order, those in quarantine too, at most `limit`.
pub(crate) fn leased(
    tx: &mut dyn Transaction,
    network: NetworkId,
    range: AddressRange,
    limit: usize,
) -> Result<Vec<IpAddr>, Error> {
    let (first, last) = (octets(range.first()), octets(range.last()));
    let rows = tx.query(
        LEASED,
        &[
            network.as_bytes().into(),
            first.as_slice().into(),
            last.as_slice().into(),
            Family::of(range.first()).number().into(),
            self::limit(limit).into(),
        ],
    )?;
    rows.iter().map(|row| row.columns().address()).collect()
}

/// That no lease, in whatever state, is in this range.
pub(crate) fn check_unleased(
    tx: &mut dyn Transaction,
    network: NetworkId,
    range: AddressRange,
) -> Result<(), Error> {
    let addresses = leased(tx, network, range, NAMED + 1)?;
    refuse(network, addresses)
}

/// That nobody but this owner has an active lease in this range.
pub(crate) fn check_others(
    tx: &mut dyn Transaction,
    network: NetworkId,
    range: AddressRange,
    owner: Option<OwnerId>,
) -> Result<(), Error> {
    let (first, last) = (octets(range.first()), octets(range.last()));
    let rows = tx.query(
        OF_OTHERS,
        &[
            network.as_bytes().into(),
            first.as_slice().into(),
            last.as_slice().into(),
            Family::of(range.first()).number().into(),
            owner.as_ref().map_or(&[][..], |owner| owner.as_bytes()).into(),
            limit(NAMED + 1).into(),
        ],
    )?;
    refuse(network, rows.iter().map(|row| row.columns().address()).collect::<Result<_, _>>()?)
}

/// Refuses because of leases at these addresses, if there are any.
fn refuse(network: NetworkId, mut addresses: Vec<IpAddr>) -> Result<(), Error> {
    if addresses.is_empty() {
        return Ok(());
    }
    let more = addresses.len() > NAMED;
    addresses.truncate(NAMED);
    Err(Error::LeasesStand { network, addresses, more })
}
