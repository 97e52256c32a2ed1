//! Whether a pool is covered exactly, from its first address to its last.

use std::net::IpAddr;

use super::violation::{PAGE, Violation};
use crate::address::{advance, difference, next, octets};
use crate::interval;
use crate::limits::limit;
use crate::pool::Space;
use crate::store::Transaction;
use crate::{AddressRange, Error, reservation};

pub(crate) const LEASED: &str = "SELECT address FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND pool = $5
     ORDER BY address LIMIT $6";

pub(super) fn check(
    tx: &mut dyn Transaction,
    space: &Space,
    found: &mut Vec<Violation>,
) -> Result<(), Error> {
    let reserved: Vec<_> = reservation::within(tx, space.network, space.range)?
        .iter()
        .filter_map(|kept| kept.range.intersection(&space.range))
        .collect();
    let mut tiles: Vec<AddressRange> = Vec::new();
    let mut misplaced = None;
    interval::walk(tx, space.id, space.range.first(), |first, last| {
        match AddressRange::new(first, last) {
            Ok(free) => tiles.push(free),
            Err(error) => misplaced = Some(error),
        }
    })?;
    if let Some(error) = misplaced {
        return Err(error.into());
    }
    let mut blocked = Vec::new();
    space.walk_blocks(tx, |block| blocked.push(block))?;
    // What is reserved inside a block is the block's.
    tiles.extend(difference(&reserved, &blocked));
    tiles.extend(blocked);
    tiles.sort_unstable_by_key(AddressRange::first);

    let mut tiles = tiles.into_iter().peekable();
    let mut kept = reserved.into_iter().peekable();
    let mut leases =
        Leases { space: *space, page: Vec::new().into_iter(), from: Some(space.range.first()) };
    let mut leased = leases.next(tx)?;
    let mut expected = Some(space.range.first());
    loop {
        if let Some(address) = leased {
            while kept.next_if(|kept| kept.last() < address).is_some() {}
            if kept.peek().is_some_and(|kept| kept.contains(address)) {
                // It was asked for by name; the reservation covers it.
                leased = leases.next(tx)?;
                continue;
            }
        }
        let tile = match (leased, tiles.peek()) {
            (None, None) => break,
            (Some(address), tile) if tile.is_none_or(|tile| address <= tile.first()) => {
                leased = leases.next(tx)?;
                AddressRange::single(address)
            }
            _ => match tiles.next() {
                Some(tile) => tile,
                None => break,
            },
        };
        match expected {
            Some(expected) if tile.first() > expected => {
                found.push(Violation::Lost { pool: space.id, first: expected });
            }
            Some(expected) if tile.first() == expected => {}
            _ => found.push(Violation::Doubled { pool: space.id, address: tile.first() }),
        }
        if expected.is_some_and(|expected| tile.last() >= expected) {
            expected = next(tile.last());
        }
    }
    if let Some(expected) = expected
        && expected <= space.range.last()
    {
        found.push(Violation::Lost { pool: space.id, first: expected });
    }
    Ok(())
}

/// The leased addresses of a pool, in order.
struct Leases {
    space: Space,
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
                self.space.network.as_bytes().into(),
                octets(from).as_slice().into(),
                octets(self.space.range.last()).as_slice().into(),
                self.space.range.family().number().into(),
                self.space.id.as_bytes().into(),
                limit(PAGE).into(),
            ],
        )?;
        let page = rows.iter().map(|row| row.columns().address()).collect::<Result<Vec<_>, _>>()?;
        if page.len() == PAGE {
            self.from = page.last().and_then(|last| advance(*last, 1));
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}
