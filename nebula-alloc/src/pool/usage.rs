//! How full pools are, in exact numbers.

use super::Space;
use crate::address::octets;
use crate::store::Transaction;
use crate::{Error, PoolId, interval};

pub(crate) const COUNT: &str = "SELECT state, count(*) FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND pool = $5
     GROUP BY state";

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

/// Counts the addresses of a pool or block. It reads all rows of its free space and leases: run it
/// on a reader.
///
/// # Errors
///
/// [`Error::NoSuchPool`], and the engine's.
pub fn usage(tx: &mut dyn Transaction, pool: PoolId) -> Result<Usage, Error> {
    let space = Space::by_id(tx, pool)?.ok_or(Error::NoSuchPool { pool })?;
    let (first, last) = (octets(space.range.first()), octets(space.range.last()));
    let params = [
        space.network.as_bytes().into(),
        first.as_slice().into(),
        last.as_slice().into(),
        space.range.family().number().into(),
        pool.as_bytes().into(),
    ];
    let (mut active, mut quarantined) = (0, 0);
    for row in tx.query(COUNT, &params)? {
        let count = u64::try_from(row.integer(1)?).unwrap_or_default();
        match row.integer(0)? {
            1 => active = count,
            _ => quarantined = count,
        }
    }
    let capacity = space.range.capacity();
    let free = interval::count(tx, pool, space.range.first())?;
    let blocks = space.blocks(tx, space.range)?.iter().map(|block| block.range.capacity()).sum();
    // Whatever else there is, is reserved.
    let rest = [free, blocks, active.into(), quarantined.into()];
    let reserved = rest.into_iter().fold(capacity, u128::saturating_sub);
    Ok(Usage { capacity, free, active, quarantined, reserved, blocks })
}

/// How many addresses of a pool or block are free. Zero for an unknown one.
///
/// # Errors
///
/// The engine's.
pub fn free(tx: &mut dyn Transaction, pool: PoolId) -> Result<u128, Error> {
    match Space::by_id(tx, pool)? {
        Some(space) => interval::count(tx, pool, space.range.first()),
        None => Ok(0),
    }
}
