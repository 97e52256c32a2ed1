//! Whether the stored rows make sense together: for operators, and for tests after each of their
//! steps.

mod history;
mod reserved;
mod tiles;
mod violation;

use std::net::IpAddr;

use self::violation::PAGE;
pub use self::violation::Violation;
use crate::limits::limit;
use crate::pool::Space;
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId, PoolId};

pub(crate) const SPACES: &str = "SELECT id, network, parent, first, last FROM alloc_pool
     WHERE id > $1 ORDER BY id LIMIT $2";
pub(crate) const POOLS: &str = "SELECT id, network, family, first, last FROM alloc_pool
     WHERE parent IS NULL AND (network, family, last, first, id) > ($1, $2, $3, $4, $5)
     ORDER BY network, family, last, first, id LIMIT $6";
pub(crate) const PASSED_OVER: &str = "SELECT id FROM alloc_pool AS pool
     WHERE pool.is_full = 1 AND EXISTS (SELECT 1 FROM alloc_interval WHERE pool = pool.id)";
pub(crate) const STRAY: &str = "SELECT lease.network, lease.address FROM alloc_lease AS lease
     LEFT JOIN alloc_pool AS pool ON pool.id = lease.pool
     WHERE pool.id IS NULL OR pool.network <> lease.network OR pool.family <> lease.family
        OR length(lease.address) <> length(pool.first)
        OR lease.address < pool.first OR lease.address > pool.last";
pub(crate) const ORPHANS: &str = "SELECT free.pool, free.first FROM alloc_interval AS free
     LEFT JOIN alloc_pool AS pool ON pool.id = free.pool
     WHERE pool.id IS NULL OR length(free.first) <> length(pool.first)
        OR free.first < pool.first OR free.last > pool.last";
pub(crate) const STRAY_BLOCKS: &str = "SELECT block.id FROM alloc_pool AS block
     LEFT JOIN alloc_pool AS pool ON pool.id = block.parent
     WHERE block.parent IS NOT NULL AND (pool.id IS NULL OR pool.parent IS NOT NULL
        OR pool.network <> block.network OR pool.family <> block.family
        OR length(pool.first) <> length(block.first)
        OR block.first < pool.first OR block.last > pool.last)";
pub(crate) const MANY: &str = "SELECT substr(network, 1), owner FROM alloc_lease WHERE state = 1
     GROUP BY owner, substr(network, 1), family HAVING count(*) > 1";

/// Checks everything: in each pool and block, leases, free intervals, reservations and blocks cover
/// the range exactly, once; each row is inside its pool; an owner has one active lease per family,
/// and none that is reserved for others; the events of each address lead to what is stored, its times
/// included, and ended no quarantine early. Events of older programs do not have the times.
///
/// Reads all rows, a page at a time: run it on a [reader](crate::store::sqlite::Readers). It keeps
/// about 150 bytes for each lease in memory.
///
/// # Errors
///
/// The engine's; what is found is not an error.
pub fn verify(tx: &mut dyn Transaction) -> Result<Vec<Violation>, Error> {
    let mut found = Vec::new();
    let mut last = Vec::new();
    loop {
        let rows = tx.query(SPACES, &[(&last).into(), limit(PAGE).into()])?;
        for row in &rows {
            tiles::check(tx, &Space::read(row)?, &mut found)?;
        }
        let Some(row) = rows.last().filter(|_| rows.len() == PAGE) else { break };
        last = row.columns().blob()?.to_vec();
    }
    overlaps(tx, &mut found)?;
    for row in tx.query(PASSED_OVER, &[])? {
        found.push(Violation::PassedOver { pool: PoolId(row.columns().array()?) });
    }
    for row in tx.query(STRAY, &[])? {
        let mut row = row.columns();
        let (network, address) = (NetworkId(row.array()?), row.address()?);
        found.push(Violation::StrayLease { network, address });
    }
    for row in tx.query(ORPHANS, &[])? {
        let mut row = row.columns();
        let (pool, first) = (PoolId(row.array()?), row.address()?);
        found.push(Violation::StrayInterval { pool, first });
    }
    for row in tx.query(STRAY_BLOCKS, &[])? {
        found.push(Violation::StrayBlock { block: PoolId(row.columns().array()?) });
    }
    for row in tx.query(MANY, &[])? {
        let mut row = row.columns();
        let (network, owner) = (NetworkId(row.array()?), OwnerId(row.array()?));
        found.push(Violation::ManyActive { network, owner });
    }
    let passed_on = history::check(tx, &mut found)?;
    reserved::check(tx, &passed_on, &mut found)?;
    Ok(found)
}

/// In the order of their last addresses, one that overlaps any overlaps the one before it.
fn overlaps(tx: &mut dyn Transaction, found: &mut Vec<Violation>) -> Result<(), Error> {
    let [mut id, mut network, mut first, mut last] = [const { Vec::new() }; 4];
    let mut family = 0;
    let mut before: Option<(PoolId, NetworkId, IpAddr)> = None;
    loop {
        let params = [
            (&network).into(),
            family.into(),
            (&last).into(),
            (&first).into(),
            (&id).into(),
            limit(PAGE).into(),
        ];
        let rows = tx.query(POOLS, &params)?;
        for row in &rows {
            let mut row = row.columns();
            let (pool, network) = (PoolId(row.array()?), NetworkId(row.array()?));
            row.skip(); // the family, which the addresses show
            let (first, last) = (row.address()?, row.address()?);
            if let Some((before, other, end)) = before
                && other == network
                && end.is_ipv4() == first.is_ipv4()
                && first <= end
            {
                found.push(Violation::OverlappingPools { pool: before, other: pool });
            }
            before = Some((pool, network, last));
        }
        let Some(end) = rows.last().filter(|_| rows.len() == PAGE) else { return Ok(()) };
        let mut end = end.columns();
        (id, network, family) = (end.blob()?.to_vec(), end.blob()?.to_vec(), end.integer()?);
        (first, last) = (end.blob()?.to_vec(), end.blob()?.to_vec());
    }
}
