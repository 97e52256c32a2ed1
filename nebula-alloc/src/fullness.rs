//! Which pools have room: those that are known to be full are passed over.

use crate::limits::limit;
use crate::store::{Row, Transaction};
use crate::{Error, Family, NetworkId, PoolId};

pub(crate) const OPEN: &str = "SELECT position, id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND is_full = 0
         AND (position, id) > ($3, $4)
     ORDER BY position, id LIMIT $5";
pub(crate) const ANY: &str = "SELECT id FROM alloc_pool
     WHERE network = $1 AND family = $2 AND parent IS NULL LIMIT 1";
pub(crate) const ANY_ENDED: &str =
    "SELECT 1 FROM alloc_lease WHERE state = 2 AND hold_until <= $1 ORDER BY hold_until LIMIT 1";
pub(crate) const WITH_ENDED: &str = "SELECT position, id FROM alloc_pool AS pool
     WHERE network = $1 AND family = $2 AND parent IS NULL AND EXISTS (
             SELECT 1 FROM alloc_lease AS lease
             WHERE lease.pool = pool.id AND lease.state = 2 AND lease.hold_until <= $3)
         AND (position, id) > ($4, $5)
     ORDER BY position, id LIMIT $6";
pub(crate) const LOCKED: &str =
    "SELECT id FROM alloc_pool WHERE id = $1 AND parent IS NULL AND is_full = 0";
pub(crate) const HAS_FREE: &str = "SELECT 1 FROM alloc_interval WHERE pool = $1 LIMIT 1";
pub(crate) const SET_FULL: &str =
    "UPDATE alloc_pool SET is_full = 1 WHERE id = $1 AND parent IS NULL";
pub(crate) const SET_OPEN: &str = "UPDATE alloc_pool SET is_full = 0 WHERE id = $1 AND is_full = 1";

/// The place of a pool among those of its network and family: pools are used in this order.
pub(crate) type Place = (i64, PoolId);

/// At most `count` pools of a network and family, the next behind this place, that are not known to
/// be full.
pub(crate) fn open(
    tx: &mut dyn Transaction,
    network: NetworkId,
    family: Family,
    behind: Option<Place>,
    count: usize,
) -> Result<Vec<Place>, Error> {
    let (position, id) = parts(behind.as_ref());
    let family = family.number();
    let params =
        [network.as_bytes().into(), family.into(), position.into(), id.into(), limit(count).into()];
    places(tx.query(OPEN, &params)?)
}

/// The same of those with quarantines that have ended: full or not, all of them are looked at.
pub(crate) fn with_ended(
    tx: &mut dyn Transaction,
    now: i64,
    (network, family): (NetworkId, Family),
    behind: Option<Place>,
    count: usize,
) -> Result<Vec<Place>, Error> {
    // Mostly there are none, in no network: maintenance was there before.
    if tx.query(ANY_ENDED, &[now.into()])?.is_empty() {
        return Ok(Vec::new());
    }
    let (position, id) = parts(behind.as_ref());
    let params = [
        network.as_bytes().into(),
        family.number().into(),
        now.into(),
        position.into(),
        id.into(),
        limit(count).into(),
    ];
    places(tx.query(WITH_ENDED, &params)?)
}

/// Whether the network has a pool of the family.
pub(crate) fn any(
    tx: &mut dyn Transaction,
    network: NetworkId,
    family: Family,
) -> Result<bool, Error> {
    let params = [network.as_bytes().into(), family.number().into()];
    Ok(!tx.query(ANY, &params)?.is_empty())
}

/// Nothing is left to take in a pool: it is passed over from now on.
///
/// Who frees an address while others are at work inserts an interval, and with it locks the row of
/// the pool that the interval refers to. So either this row is not to be had here, or what is freed
/// waits until it is passed over, and withdraws that.
pub(crate) fn found_empty(tx: &mut dyn Transaction, pool: PoolId) -> Result<(), Error> {
    let id = pool.as_bytes().into();
    if tx.instance().is_some()
        && (tx.query_skip_locked(LOCKED, &[id])?.is_empty()
            || !tx.query(HAS_FREE, &[id])?.is_empty())
    {
        return Ok(());
    }
    tx.queue(SET_FULL, &[id])
}

/// There is something to take in a pool again. After the interval was written: see [`found_empty`].
pub(crate) fn has_room(tx: &mut dyn Transaction, pool: PoolId) -> Result<(), Error> {
    tx.queue(SET_OPEN, &[pool.as_bytes().into()])
}

fn parts(place: Option<&Place>) -> (i64, &[u8]) {
    place.map_or((i64::MIN, &[]), |(position, id)| (*position, id.as_bytes()))
}

fn places(rows: Vec<Row>) -> Result<Vec<Place>, Error> {
    rows.iter().map(place).collect()
}

fn place(row: &Row) -> Result<Place, Error> {
    let mut row = row.columns();
    Ok((row.integer()?, PoolId(row.array()?)))
}
