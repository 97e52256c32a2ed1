//! How full pools are, in exact numbers.

use std::net::IpAddr;

use super::Space;
use crate::address::{Sum, difference, octets};
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, PoolId, interval, reservation};

pub(crate) const QUARANTINED: &str =
    "SELECT count(*) FROM alloc_lease WHERE pool = $1 AND state = 2";
pub(crate) const LEASED: &str = "SELECT count(*) FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND pool = $5";

/// How many reserved ranges are looked at together.
const PAGE: usize = 256;

/// The addresses of a pool or block, by what becomes of them. `capacity` is the sum of `free`,
/// `active`, `quarantined`, `reserved` and `blocks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// All its addresses. All of IPv6, the one range with 2¹²⁸, counts one less.
    pub capacity: u128,
    /// Those that can be given to anyone now.
    pub free: u128,
    /// Those that have an owner.
    pub active: u64,
    /// Those in quarantine.
    pub quarantined: u64,
    /// Those that are reserved and not leased.
    pub reserved: u128,
    /// Those in blocks of the pool, free or not.
    pub blocks: u128,
}

impl Usage {
    /// The share of addresses that are not free, from 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a share, for people")]
    pub fn utilisation(&self) -> f64 {
        1.0 - self.free as f64 / self.capacity as f64
    }
}

/// Counts the addresses of a pool or block. It reads the rows of its free space, of its quarantines,
/// of blocks in it and of what is reserved in it, not those of all leases: run it on a reader.
///
/// # Errors
///
/// [`Error::NoSuchPool`], and the engine's.
pub fn usage(tx: &mut dyn Transaction, pool: PoolId) -> Result<Usage, Error> {
    let space = Space::by_id(tx, pool)?.ok_or(Error::NoSuchPool { pool })?;
    let free = interval::count(tx, pool, space.range.first())?;
    let mut blocked = Vec::new();
    space.walk_blocks(tx, |block| blocked.push(block))?;
    let blocks = Sum::of(&blocked);
    let kept: Vec<_> = reservation::within(tx, space.network, space.range)?
        .iter()
        .filter_map(|kept| kept.range.intersection(&space.range))
        .collect();
    // What is reserved inside a block is the block's.
    let kept = difference(&kept, &blocked);
    let leased = leased(tx, &space, &kept)?;
    let reserved = Sum::of(&kept);
    let quarantined = count(&tx.query(QUARANTINED, &[pool.as_bytes().into()])?)?;
    // Whatever else there is, has an owner.
    let mut rest = space.range.addresses();
    for part in [free.wrapped, blocks.wrapped, reserved.wrapped, quarantined.into()] {
        rest = rest.wrapping_sub(part);
    }
    let active = u64::try_from(rest.wrapping_add(leased.into())).unwrap_or(u64::MAX);
    Ok(Usage {
        capacity: space.range.capacity(),
        free: free.most,
        active,
        quarantined,
        reserved: reserved.most.saturating_sub(leased.into()),
        blocks: blocks.most,
    })
}

/// How many addresses of these ranges of a pool are leased.
fn leased(tx: &mut dyn Transaction, space: &Space, ranges: &[AddressRange]) -> Result<u64, Error> {
    let mut sum = 0_u64;
    for page in ranges.chunks(PAGE) {
        let ends: Vec<_> =
            page.iter().map(|range| (octets(range.first()), octets(range.last()))).collect();
        let sets: Vec<_> = ends
            .iter()
            .map(|(first, last)| {
                vec![
                    space.network.as_bytes().into(),
                    first.as_slice().into(),
                    last.as_slice().into(),
                    space.range.family().number().into(),
                    space.id.as_bytes().into(),
                ]
            })
            .collect();
        for rows in tx.query_each(LEASED, &sets)? {
            sum = sum.saturating_add(count(&rows)?);
        }
    }
    Ok(sum)
}

fn count(rows: &[Row]) -> Result<u64, Error> {
    let count = rows.first().map_or(Ok(0), |row| row.columns().integer())?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// What is free in a pool or block, in order: at most `limit` runs of addresses, from the one that has
/// `from` or is the next above it. Where several instances hold parts of a run, each part is one.
/// None for an unknown pool.
///
/// # Errors
///
/// The engine's.
pub fn free_ranges(
    tx: &mut dyn Transaction,
    pool: PoolId,
    from: IpAddr,
    limit: usize,
) -> Result<Vec<AddressRange>, Error> {
    let from = octets(from);
    let params =
        [pool.as_bytes().into(), from.as_slice().into(), crate::limits::limit(limit).into()];
    let rows = tx.query(interval::AT_OR_ABOVE, &params)?;
    rows.iter().map(run).collect()
}

/// Reads the columns `last` and `first`.
fn run(row: &Row) -> Result<AddressRange, Error> {
    let mut row = row.columns();
    let (last, first) = (row.address()?, row.address()?);
    Ok(AddressRange::new(first, last)?)
}

/// How many addresses of a pool or block are free: reads the rows of its free space. Zero for an
/// unknown one.
///
/// # Errors
///
/// The engine's.
pub fn free(tx: &mut dyn Transaction, pool: PoolId) -> Result<u128, Error> {
    match Space::by_id(tx, pool)? {
        Some(space) => Ok(interval::count(tx, pool, space.range.first())?.most),
        None => Ok(0),
    }
}
