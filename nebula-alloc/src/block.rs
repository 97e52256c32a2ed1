//! Blocks: contiguous addresses of a pool that are kept for a group. Only who names the block in its
//! [request](crate::lease::Request) gets one of them, and never one of the rest of the pool instead.

use std::net::IpAddr;

use crate::address::{self, number, octets};
use crate::event::{self, Actor, kind};
use crate::limits::limit;
use crate::pool::{self, Space};
use crate::store::{Row, Transaction};
use crate::{AddressRange, Error, Family, NetworkId, PoolId, interval, limits};

pub(crate) const BY_NAME: &str = "SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE network = $1 AND family = $2 AND name = $3 AND name IS NOT NULL";
pub(crate) const BY_ID: &str = "SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE id = $1 AND parent IS NOT NULL";
pub(crate) const BY_POOL: &str = "SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE parent = $1 AND parent IS NOT NULL AND last > $2 ORDER BY last LIMIT $3";
/// As for pools: see [`pool::by_network`].
pub(crate) const BY_NETWORK: &str = "SELECT id, network, parent, name, first, last FROM alloc_pool
     WHERE parent IS NOT NULL AND (network, id) > ($1, $2) ORDER BY network, id LIMIT $3";

/// A named part of a pool. Its id is a pool's: requests, leases and free space name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its id, unique among pools and blocks of all networks.
    pub id: PoolId,
    /// The network it belongs to.
    pub network: NetworkId,
    /// The pool that it is a part of.
    pub pool: PoolId,
    /// What it is called; unique in its network and family.
    pub name: String,
    /// Its addresses.
    pub range: AddressRange,
}

/// Makes a block. Like a pool it costs the same for each size; if the same block exists already,
/// nothing is changed.
///
/// # Errors
///
/// [`Error::NoSuchPool`], [`Error::OutsidePool`], [`Error::BlockStands`] when another block has some
/// of its addresses, [`Error::LeasesStand`] (those in quarantine too), [`Error::UnusableText`],
/// [`Error::TooMany`] reservations or runs of free addresses there, [`Error::Unique`] when its id or
/// name is in use.
pub fn create(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    block: &Block,
) -> Result<(), Error> {
    actor.admit(tx, now)?;
    limits::check("name", &block.name, limits::NAME)?;
    if by_id(tx, block.id)?.as_ref() == Some(block) {
        return Ok(());
    }
    let &Block { id, network, pool, range, .. } = block;
    let parent = Space::by_id(tx, pool)?
        .filter(|parent| parent.parent.is_none() && parent.network == network)
        .ok_or(Error::NoSuchPool { pool })?;
    if !parent.range.includes(&range) {
        return Err(Error::OutsidePool { pool, range });
    }
    parent.check_unblocked(tx, range)?;
    pool::check_unleased(tx, network, range)?;
    interval::check_runs(tx, pool, range)?;

    let free = pool::vacant(tx, network, range)?;

    let space = Space { id, network, range, parent: Some(pool) };
    pool::insert(tx, &space, 0, Some(&block.name))?;
    interval::take_range(tx, pool, range)?;
    interval::fill(tx, id, range, &free)?;
    record(tx, now, actor, block, kind::BLOCK_CREATED)
}

pub(crate) const RENAME: &str =
    "UPDATE alloc_pool SET name = $1 WHERE id = $2 AND parent IS NOT NULL AND name = $3";

/// Gives a block another name, and answers it as it is then. One that has the name already is not
/// changed.
///
/// # Errors
///
/// [`Error::NoSuchPool`], [`Error::UnusableText`], [`Error::Unique`] when another block of its network
/// and family has the name.
pub fn rename(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    id: PoolId,
    name: &str,
) -> Result<Block, Error> {
    actor.admit(tx, now)?;
    limits::check("name", name, limits::NAME)?;
    let old = by_id(tx, id)?.ok_or(Error::NoSuchPool { pool: id })?;
    if old.name == name {
        return Ok(old);
    }
    if by_name(tx, old.network, old.range.family(), name)?.is_some() {
        return Err(Error::Unique);
    }
    tx.queue_one(RENAME, &[name.into(), id.as_bytes().into(), old.name.as_str().into()])?;
    let block = Block { name: name.to_owned(), ..old };
    record(tx, now, actor, &block, kind::BLOCK_RENAMED)?;
    Ok(block)
}

/// Gives a block another range inside its pool: grows it, shrinks it, or both. Answers it as it is
/// then.
///
/// # Errors
///
/// [`Error::NoSuchPool`], [`Error::OutsidePool`], [`Error::WrongFamily`]; [`Error::LeasesStand`] (those
/// in quarantine too) in what it would lose, and in what it would gain; [`Error::BlockStands`] when
/// another block has some of that; [`Error::TooMany`] reservations, or free runs.
pub fn resize(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    id: PoolId,
    range: AddressRange,
) -> Result<Block, Error> {
    actor.admit(tx, now)?;
    let old = by_id(tx, id)?.ok_or(Error::NoSuchPool { pool: id })?;
    let (network, pool, family) = (old.network, old.pool, old.range.family());
    if range == old.range {
        return Ok(old);
    }
    if range.family() != family {
        return Err(Error::WrongFamily { address: range.first(), family });
    }
    let parent = Space::by_id(tx, pool)?.ok_or(Error::NoSuchPool { pool })?;
    if !parent.range.includes(&range) {
        return Err(Error::OutsidePool { pool, range });
    }

    // All is judged before anything is written.
    let (lost, gained) = (old.range.without(vec![range]), range.without(vec![old.range]));
    let mut moved = Vec::new();
    for (part, from, to) in lost
        .into_iter()
        .map(|part| (part, id, pool))
        .chain(gained.into_iter().map(|part| (part, pool, id)))
    {
        if from == pool {
            parent.check_unblocked(tx, part)?;
        }
        pool::check_unleased(tx, network, part)?;
        interval::check_runs(tx, from, part)?;
        moved.push((part, from, to, pool::vacant(tx, network, part)?));
    }

    for (part, from, to, free) in moved {
        interval::take_range(tx, from, part)?;
        interval::fill(tx, to, part, &free)?;
    }
    pool::set_range(tx, id, range)?;
    let block = Block { range, ..old };
    record(tx, now, actor, &block, kind::BLOCK_RESIZED)?;
    Ok(block)
}

/// Gives a block's addresses back to its pool and answers what it was.
///
/// # Errors
///
/// [`Error::NoSuchPool`]; [`Error::LeasesStand`] (those in quarantine too) as long as there are any;
/// [`Error::TooMany`] reservations.
pub fn delete(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    id: PoolId,
) -> Result<Block, Error> {
    actor.admit(tx, now)?;
    let block = by_id(tx, id)?.ok_or(Error::NoSuchPool { pool: id })?;
    pool::check_unleased(tx, block.network, block.range)?;
    let free = pool::vacant(tx, block.network, block.range)?;
    pool::remove(tx, id)?;
    interval::fill(tx, block.pool, block.range, &free)?;
    record(tx, now, actor, &block, kind::BLOCK_DELETED)?;
    Ok(block)
}

/// The block of this id.
///
/// # Errors
///
/// The engine's.
pub fn by_id(tx: &mut dyn Transaction, id: PoolId) -> Result<Option<Block>, Error> {
    tx.query(BY_ID, &[id.as_bytes().into()])?.first().map(read).transpose()
}

/// The block of this name.
///
/// # Errors
///
/// The engine's.
pub fn by_name(
    tx: &mut dyn Transaction,
    network: NetworkId,
    family: Family,
    name: &str,
) -> Result<Option<Block>, Error> {
    if limits::check("name", name, limits::NAME).is_err() {
        return Ok(None);
    }
    let params = [network.as_bytes().into(), family.number().into(), name.into()];
    tx.query(BY_NAME, &params)?.first().map(read).transpose()
}

/// The blocks of a pool in address order, at most `limit` of them, from the one after the block that
/// ends at `after`.
///
/// # Errors
///
/// The engine's.
pub fn by_pool(
    tx: &mut dyn Transaction,
    pool: PoolId,
    after: Option<IpAddr>,
    limit: usize,
) -> Result<Vec<Block>, Error> {
    let after = after.map(octets);
    let after = after.as_ref().map_or(&[][..], |octets| octets.as_slice());
    let params = [pool.as_bytes().into(), after.into(), self::limit(limit).into()];
    tx.query(BY_POOL, &params)?.iter().map(read).collect()
}

/// The blocks of a network in the order of their ids, at most `limit` of them, from the one after
/// `after`.
///
/// # Errors
///
/// The engine's.
pub fn by_network(
    tx: &mut dyn Transaction,
    network: NetworkId,
    after: Option<PoolId>,
    limit: usize,
) -> Result<Vec<Block>, Error> {
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let params = [network.as_bytes().into(), after.into(), self::limit(limit).into()];
    let mut blocks =
        tx.query(BY_NETWORK, &params)?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    blocks.retain(|block| block.network == network);
    Ok(blocks)
}

/// The highest run of `size` free addresses of a pool: where a block is least in the way. It begins
/// at a multiple of `size` when that is a power of two, so that it is a prefix. Reads the pool's
/// free space from above, until there is one.
///
/// # Errors
///
/// [`Error::NoSuchPool`]; [`Error::TooMany`] when the highest [`limits::RUNS`] runs of free addresses
/// are too short: name the addresses.
pub fn find_room(
    tx: &mut dyn Transaction,
    pool: PoolId,
    size: u128,
) -> Result<Option<AddressRange>, Error> {
    Space::by_id(tx, pool)?.ok_or(Error::NoSuchPool { pool })?;
    let mut above: Option<(IpAddr, IpAddr)> = None;
    interval::find_from_above(tx, pool, |first, last| {
        // What different instances hold is one run all the same.
        let joined = above.filter(|(start, _)| address::next(last) == Some(*start));
        let last = joined.map_or(last, |(_, end)| end);
        above = Some((first, last));
        room(first, last, size)
    })
}

/// The highest `size` of these addresses.
fn room(first: IpAddr, last: IpAddr, size: u128) -> Option<AddressRange> {
    let below = number(last).saturating_sub(number(first));
    let wanted = size.checked_sub(1).filter(|wanted| *wanted <= below)?;
    let mut skipped = below - wanted;
    if size.is_power_of_two() {
        let misaligned = number(first).wrapping_add(skipped) % size;
        skipped = skipped.checked_sub(misaligned)?;
    }
    let start = address::advance(first, skipped)?;
    AddressRange::new(start, address::advance(start, wanted)?).ok()
}

fn record(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    block: &Block,
    kind: &'static str,
) -> Result<(), Error> {
    event::record(
        tx,
        now,
        actor,
        &event::Entry {
            kind,
            network: Some(&block.network),
            subject: Some(block.id.as_bytes()),
            address: None,
            detail: Some(&format!("{} {}", block.name, block.range)),
        },
    )
}

fn read(row: &Row) -> Result<Block, Error> {
    let mut row = row.columns();
    Ok(Block {
        id: PoolId(row.array()?),
        network: NetworkId(row.array()?),
        pool: PoolId(row.array()?),
        name: row.text()?.to_owned(),
        range: AddressRange::new(row.address()?, row.address()?)?,
    })
}
