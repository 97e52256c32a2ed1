//! Whether the stored rows make sense together: for operators, and for tests after each of their
//! steps.

use std::fmt;
use std::net::IpAddr;

use crate::address::{advance, next, octets};
use crate::interval::{self, limit};
use crate::pool::{self, Pool};
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId, PoolId};

const POOLS: &str = "SELECT id FROM alloc_pool ORDER BY network, family, first";
const LEASED: &str = "SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4
     ORDER BY address LIMIT $5";
const STRAY: &str = "SELECT lease.network, lease.address FROM alloc_lease AS lease
     LEFT JOIN alloc_pool AS pool ON pool.id = lease.pool
     WHERE pool.id IS NULL OR pool.network <> lease.network OR pool.family <> lease.family
        OR length(lease.address) <> length(pool.first)
        OR lease.address < pool.first OR lease.address > pool.last";
const ORPHANS: &str = "SELECT free.pool, free.first FROM alloc_interval AS free
     LEFT JOIN alloc_pool AS pool ON pool.id = free.pool
     WHERE pool.id IS NULL OR length(free.first) <> length(pool.first)
        OR free.first < pool.first OR free.last > pool.last";
const MANY: &str = "SELECT network, owner FROM alloc_lease WHERE state = 1
     GROUP BY network, owner, family HAVING count(*) > 1";

const PAGE: usize = 1024;

/// Two rows that contradict each other, or a row that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Addresses that are neither leased nor free.
    Lost {
        /// The pool.
        pool: PoolId,
        /// The first of them.
        first: IpAddr,
    },
    /// An address that is leased and free, or free twice.
    Doubled {
        /// The pool.
        pool: PoolId,
        /// The address.
        address: IpAddr,
    },
    /// Two free intervals that should be one.
    Unmerged {
        /// The pool.
        pool: PoolId,
        /// The first address of the upper one.
        at: IpAddr,
    },
    /// Two pools of one network share addresses.
    OverlappingPools {
        /// The one.
        pool: PoolId,
        /// The other.
        other: PoolId,
    },
    /// A lease that is not inside the pool it names.
    StrayLease {
        /// Its network.
        network: NetworkId,
        /// Its address.
        address: IpAddr,
    },
    /// A free interval that is not inside the pool it names.
    StrayInterval {
        /// The pool it names.
        pool: PoolId,
        /// Its first address.
        first: IpAddr,
    },
    /// An owner with several active leases of one family.
    ManyActive {
        /// The network.
        network: NetworkId,
        /// The owner.
        owner: OwnerId,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { pool, first } => write!(f, "{first} of pool {pool} is lost"),
            Self::Doubled { pool, address } => write!(f, "{address} of pool {pool} is there twice"),
            Self::Unmerged { pool, at } => write!(f, "free space of pool {pool} is split at {at}"),
            Self::OverlappingPools { pool, other } => write!(f, "pools {pool} and {other} overlap"),
            Self::StrayLease { network, address } => {
                write!(f, "the lease of {address} in network {network} is outside its pool")
            }
            Self::StrayInterval { pool, first } => {
                write!(f, "free space from {first} is outside its pool {pool}")
            }
            Self::ManyActive { network, owner } => {
                write!(f, "owner {owner} has several active leases in network {network}")
            }
        }
    }
}

/// Checks everything: in each pool leases and free intervals cover the range exactly, once, with as
/// few intervals as possible; each row is inside its pool; an owner has one active lease per
/// family. Reads all rows, a page at a time: run it on a [reader](crate::store::sqlite::Readers).
///
/// # Errors
///
/// The engine's; what is found is not an error.
pub fn verify(tx: &mut dyn Transaction) -> Result<Vec<Violation>, Error> {
    let mut found = Vec::new();
    let mut before: Option<Pool> = None;
    for row in tx.query(POOLS, &[])? {
        let Some(pool) = pool::by_id(tx, PoolId(row.array(0)?))? else { continue };
        if let Some(before) = before
            && before.network == pool.network
            && before.range.contains(pool.range.first())
        {
            found.push(Violation::OverlappingPools { pool: before.id, other: pool.id });
        }
        cover(tx, &pool, &mut found)?;
        before = Some(pool);
    }
    for row in tx.query(STRAY, &[])? {
        let (network, address) = (NetworkId(row.array(0)?), row.address(1)?);
        found.push(Violation::StrayLease { network, address });
    }
    for row in tx.query(ORPHANS, &[])? {
        let (pool, first) = (PoolId(row.array(0)?), row.address(1)?);
        found.push(Violation::StrayInterval { pool, first });
    }
    for row in tx.query(MANY, &[])? {
        let (network, owner) = (NetworkId(row.array(0)?), OwnerId(row.array(1)?));
        found.push(Violation::ManyActive { network, owner });
    }
    Ok(found)
}

/// One pool, from its first address to its last: what is there must be exactly what comes next.
fn cover(tx: &mut dyn Transaction, pool: &Pool, found: &mut Vec<Violation>) -> Result<(), Error> {
    let mut intervals = Vec::new();
    interval::walk(tx, pool.id, pool.range.first(), |first, last| intervals.push((first, last)))?;
    let mut intervals = intervals.into_iter().peekable();
    let mut leases =
        Leases { pool: *pool, page: Vec::new().into_iter(), from: Some(pool.range.first()) };
    let mut leased = leases.next(tx)?;

    let mut expected = Some(pool.range.first());
    let mut after_interval = false;
    loop {
        let interval = intervals.peek().copied();
        let (first, last, is_interval) = match (leased, interval) {
            (None, None) => break,
            (Some(address), Some((first, _))) if address <= first => (address, address, false),
            (Some(address), None) => (address, address, false),
            (_, Some((first, last))) => (first, last, true),
        };
        match expected {
            Some(expected) if first > expected => {
                found.push(Violation::Lost { pool: pool.id, first: expected });
            }
            Some(expected) if first == expected => {
                if is_interval && after_interval {
                    found.push(Violation::Unmerged { pool: pool.id, at: first });
                }
            }
            _ => found.push(Violation::Doubled { pool: pool.id, address: first }),
        }
        if expected.is_some_and(|expected| last >= expected) {
            expected = next(last);
        }
        after_interval = is_interval;
        if is_interval {
            intervals.next();
        } else {
            leased = leases.next(tx)?;
        }
    }
    if let Some(expected) = expected
        && expected <= pool.range.last()
    {
        found.push(Violation::Lost { pool: pool.id, first: expected });
    }
    Ok(())
}

/// The leased addresses inside a pool's range, in order.
struct Leases {
    pool: Pool,
    page: std::vec::IntoIter<IpAddr>,
    from: Option<IpAddr>,
}

impl Leases {
    fn next(&mut self, tx: &mut dyn Transaction) -> Result<Option<IpAddr>, Error> {
        if let Some(address) = self.page.next() {
            return Ok(Some(address));
        }
        let Some(from) = self.from.take() else { return Ok(None) };
        let rows = tx.query(
            LEASED,
            &[
                self.pool.network.as_bytes().into(),
                octets(from).as_slice().into(),
                octets(self.pool.range.last()).as_slice().into(),
                self.pool.range.family().number().into(),
                limit(PAGE).into(),
            ],
        )?;
        let page = rows.iter().map(|row| row.address(0)).collect::<Result<Vec<_>, _>>()?;
        if page.len() == PAGE {
            self.from = page.last().and_then(|last| advance(*last, 1));
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}
