//! Many addresses taken or given back at once: the intervals around them are read and locked
//! together, changed in memory, and written as the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::row::{AT_OR_ABOVE, Interval, NOBODY, delete, insert, set_first, set_last};
use crate::address::{next, octets, previous};
use crate::store::Transaction;
use crate::{AddressRange, Error, PoolId, fullness};

/// Takes given addresses, each named once, of pools; returns, for each, whether it was free, and not
/// locked by another transaction.
pub(crate) fn take_given(
    tx: &mut dyn Transaction,
    wanted: &[(PoolId, IpAddr)],
) -> Result<Vec<bool>, Error> {
    let mut change = Change::read(tx, wanted, 1)?;
    let taken = wanted.iter().map(|(pool, address)| change.take(*pool, *address)).collect();
    change.write(tx)?;
    Ok(taken)
}

/// Makes consecutive addresses free and joins them to the runs they touch.
///
/// # Errors
///
/// [`Error::Inconsistent`] when one of them is free already.
pub(crate) fn give_back(
    tx: &mut dyn Transaction,
    given: &[(PoolId, AddressRange)],
) -> Result<(), Error> {
    let below = |address| previous(address).unwrap_or(address);
    let from: Vec<_> = given.iter().map(|(pool, range)| (*pool, below(range.first()))).collect();
    let mut change = Change::read(tx, &from, 2)?;
    for (pool, range) in given {
        change.give(*pool, *range)?;
    }
    change.write(tx)?;
    // In one order, so that of two who do so each waits for the other no longer than a commit.
    let pools: BTreeSet<_> = given.iter().map(|(pool, _)| *pool).collect();
    pools.into_iter().try_for_each(|pool| fullness::has_room(tx, pool))
}

/// Intervals by pool and last address: as they are stored, and as they are to be.
#[derive(Default)]
struct Change {
    before: BTreeMap<(PoolId, IpAddr), Interval>,
    after: BTreeMap<(PoolId, IpAddr), Interval>,
}

impl Change {
    /// The next `count` intervals at or above each of these addresses, locked; without those that
    /// another transaction has locked.
    fn read(
        tx: &mut dyn Transaction,
        addresses: &[(PoolId, IpAddr)],
        count: i64,
    ) -> Result<Self, Error> {
        let mut change = Self::default();
        if addresses.is_empty() {
            return Ok(change);
        }
        let octets: Vec<_> = addresses.iter().map(|(_, address)| octets(*address)).collect();
        let sets: Vec<_> = addresses
            .iter()
            .zip(&octets)
            .map(|((pool, _), octets)| {
                vec![pool.as_bytes().into(), octets.as_slice().into(), count.into()]
            })
            .collect();
        let rows = tx.query_each_skip_locked(AT_OR_ABOVE, &sets)?;
        for ((pool, _), rows) in addresses.iter().zip(rows) {
            for row in &rows {
                let interval = Interval::read(*pool, row)?;
                change.before.insert((*pool, interval.last), interval);
            }
        }
        change.after.clone_from(&change.before);
        Ok(change)
    }

    /// The interval that ends at this address or is the next above it.
    fn nearest(&self, pool: PoolId, address: IpAddr) -> Option<Interval> {
        let (key, interval) = self.after.range((pool, address)..).next()?;
        (key.0 == pool).then_some(*interval)
    }

    fn set(&mut self, pool: PoolId, interval: Interval) {
        self.after.insert((pool, interval.last), interval);
    }

    fn take(&mut self, pool: PoolId, address: IpAddr) -> bool {
        let nearest = self.nearest(pool, address).filter(|interval| interval.first <= address);
        let Some(interval) = nearest else { return false };
        self.after.remove(&(pool, interval.last));
        if address > interval.first
            && let Some(last) = previous(address)
        {
            self.set(pool, Interval { last, ..interval });
        }
        if address < interval.last
            && let Some(first) = next(address)
        {
            self.set(pool, Interval { first, ..interval });
        }
        true
    }

    fn give(&mut self, pool: PoolId, range: AddressRange) -> Result<(), Error> {
        let mut free = Interval { first: range.first(), last: range.last(), holder: NOBODY };
        if self.nearest(pool, free.first).is_some_and(|interval| interval.first <= free.last) {
            return Err(Error::Inconsistent { pool, address: free.first });
        }
        // What an instance holds stays as it is.
        let joined = |interval: &Interval| interval.holder == NOBODY;
        if let Some(below) = previous(free.first)
            && let Some(interval) = self.after.get(&(pool, below)).copied().filter(joined)
        {
            self.after.remove(&(pool, below));
            free.first = interval.first;
        }
        if let Some(above) = next(free.last)
            && let Some(interval) = self.nearest(pool, above).filter(joined)
            && interval.first == above
        {
            free.last = interval.last;
        }
        self.set(pool, free);
        Ok(())
    }

    /// Those that are gone first, so that none gets a key that is still another's.
    fn write(mut self, tx: &mut dyn Transaction) -> Result<(), Error> {
        for ((pool, last), before) in &self.before {
            if let Some(after) = self.after.remove(&(*pool, *last)) {
                if after.first != before.first {
                    set_first(tx, *pool, *last, after.first)?;
                }
                continue;
            }
            // One that begins as it did has only another end.
            let same = |interval: &Interval| {
                interval.first == before.first && interval.holder == before.holder
            };
            match self.nearest(*pool, before.first).filter(same) {
                Some(after) if !self.before.contains_key(&(*pool, after.last)) => {
                    self.after.remove(&(*pool, after.last));
                    set_last(tx, *pool, *last, after.last)?;
                }
                _ => delete(tx, *pool, *last)?,
            }
        }
        for ((pool, _), interval) in self.after {
            insert(tx, pool, interval)?;
        }
        Ok(())
    }
}
