//! Giving out addresses. One request is a batch of one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use super::{Lease, LeaseState, Request, by_address, columns, read};
use crate::address::octets;
use crate::store::{Param, Transaction};
use crate::{Error, Family, NetworkId, PoolId, interval, pool, reclaim};

/// The active lease of an owner, and those that it has in quarantine, these in all networks; see
/// the schema for the reason.
pub(crate) const OWNED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE network = $1 AND owner = $2 AND family = $3 AND state = 1
     UNION ALL
     SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE owner = $2 AND family = $3 AND state = 2"
);
pub(crate) const INSERT: &str = "INSERT INTO alloc_lease
     (network, address, family, pool, owner, state, hold_until, released_at, until)
     VALUES ($1, $2, $3, $4, $5, 1, $6, NULL, $7)";
pub(crate) const PROLONG: &str = "UPDATE alloc_lease SET hold_until = $1, until = $2
     WHERE network = $3 AND address = $4 AND state = 1";
pub(crate) const ACTIVATE: &str = "UPDATE alloc_lease
     SET state = 1, owner = $1, hold_until = $2, released_at = NULL, until = $3
     WHERE network = $4 AND address = $5 AND state = 2";

/// Quarantines that have ended are returned this many at a time when a pool runs short.
const RECLAIM_AT_LEAST: usize = 64;

/// Gives the owner an address: the one it holds, else the one asked for, else the one it released
/// last, else the lowest free one of the network's pools in their order.
///
/// Asking again answers the same lease; only its `hold_until` and `until` move forward.
///
/// # Errors
///
/// * [`Error::PoolExhausted`], [`Error::NoPool`]
/// * for a given address: [`Error::OwnerHasAnother`], [`Error::AddressTaken`],
///   [`Error::AddressQuarantined`], [`Error::AddressOutsidePools`], [`Error::AddressNotFree`],
///   [`Error::WrongFamily`]
/// * the engine's.
pub fn allocate(tx: &mut dyn Transaction, now: i64, request: &Request) -> Result<Lease, Error> {
    match allocate_many(tx, now, std::slice::from_ref(request))?.pop() {
        Some(answer) => answer,
        None => Err(Error::PoolExhausted { network: request.network, family: request.family }),
    }
}

/// As [`allocate`] for each request, with a constant number of round trips. Given addresses are
/// taken before others are handed out, so that a batch has no order to get wrong; several requests
/// of one owner, network and family count as one asking again.
///
/// # Errors
///
/// The outer error is the engine's: the transaction must be rolled back. Inner ones are refusals
/// of that request alone, as in [`allocate`].
pub fn allocate_many(
    tx: &mut dyn Transaction,
    now: i64,
    requests: &[Request],
) -> Result<Vec<Result<Lease, Error>>, Error> {
    let mut answers: Vec<Option<Result<Lease, Error>>> = requests.iter().map(|_| None).collect();
    let mut waiting: Vec<(usize, &Request)> = requests.iter().enumerate().collect();
    // A second request of the same owner is a round of its own, in which it asks again.
    while !waiting.is_empty() {
        let mut seen = HashSet::with_capacity(waiting.len());
        let (round, later) = waiting.into_iter().partition(|(_, request)| {
            seen.insert((request.network, request.owner, request.family))
        });
        waiting = later;
        self::round(tx, now, round, &mut answers)?;
    }
    // Each index was in one round, and a round answers all of its requests.
    Ok(answers.into_iter().flatten().collect())
}

/// Requests, each with its index, for the next addresses of one network and family.
type Group<'a> = ((NetworkId, Family), VecDeque<(usize, &'a Request)>);

/// Requests of different owners.
fn round(
    tx: &mut dyn Transaction,
    now: i64,
    requests: Vec<(usize, &Request)>,
    answers: &mut [Option<Result<Lease, Error>>],
) -> Result<(), Error> {
    let mut answer = |index: usize, result: Result<Lease, Error>| {
        if let Some(slot) = answers.get_mut(index) {
            *slot = Some(result);
        }
    };

    // What owners already have.
    let keys: Vec<Vec<Param<'_>>> = requests
        .iter()
        .map(|(_, request)| {
            vec![
                request.network.as_bytes().into(),
                request.owner.as_bytes().into(),
                request.family.number().into(),
            ]
        })
        .collect();
    let owned = tx.query_each(OWNED, &keys)?;
    let mut given = Vec::new();
    let mut next: Vec<Group<'_>> = Vec::new();
    let mut groups = HashMap::new();
    for ((index, request), rows) in requests.into_iter().zip(owned) {
        let owned = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if let Some(lease) = owned.iter().find(|lease| lease.state == LeaseState::Active) {
            answer(index, keep(tx, *lease, request)?);
        } else if request.address.is_some() {
            given.push((index, request));
        } else if let Some(lease) = last_released(&owned, request.network) {
            answer(index, Ok(activate(tx, *lease, request, true)?));
        } else {
            let key = (request.network, request.family);
            let group = *groups.entry(key).or_insert_with(|| {
                next.push((key, VecDeque::new()));
                next.len() - 1
            });
            if let Some((_, members)) = next.get_mut(group) {
                members.push_back((index, request));
            }
        }
    }

    // Addresses asked for by name, one by one: each may meet the one before.
    for (index, request) in given {
        answer(index, self::given(tx, now, request)?);
    }

    // The others, one take per network and family.
    for ((network, family), mut members) in next {
        let pools = pool::by_family(tx, network, family)?;
        take_lowest(tx, &pools, &mut members, &mut answer)?;
        for pool in &pools {
            let short = members.len();
            if short == 0 {
                break;
            }
            if reclaim::of_pool(tx, now, *pool, short.max(RECLAIM_AT_LEAST))? > 0 {
                take_lowest(tx, std::slice::from_ref(pool), &mut members, &mut answer)?;
            }
        }
        for (index, _) in members {
            answer(
                index,
                Err(if pools.is_empty() {
                    Error::NoPool { network, family }
                } else {
                    Error::PoolExhausted { network, family }
                }),
            );
        }
    }
    Ok(())
}

fn last_released(owned: &[Lease], network: NetworkId) -> Option<&Lease> {
    owned
        .iter()
        .filter(|lease| lease.network == network)
        .max_by_key(|lease| (lease.released_at, lease.address))
}

/// Serves the first of `waiting` from the pools, as far as they reach.
fn take_lowest(
    tx: &mut dyn Transaction,
    pools: &[PoolId],
    waiting: &mut VecDeque<(usize, &Request)>,
    answer: &mut impl FnMut(usize, Result<Lease, Error>),
) -> Result<(), Error> {
    for pool in pools {
        if waiting.is_empty() {
            break;
        }
        for address in interval::take_lowest(tx, *pool, waiting.len())? {
            if let Some((index, request)) = waiting.pop_front() {
                answer(index, Ok(insert(tx, *pool, address, request)?));
            }
        }
    }
    Ok(())
}

/// An owner with an active lease asks again.
fn keep(
    tx: &mut dyn Transaction,
    held: Lease,
    request: &Request,
) -> Result<Result<Lease, Error>, Error> {
    if let Some(asked) = request.address
        && asked != held.address
    {
        let Request { network, owner, .. } = *request;
        return Ok(Err(Error::OwnerHasAnother { network, owner, held: held.address, asked }));
    }
    let lease = Lease {
        hold_until: held.hold_until.max(request.hold_until),
        // A lease without end stays one; else the later end, `None` being less than any.
        until: held.until.map(|until| until.max(request.until.unwrap_or(until))),
        ..held
    };
    if lease != held {
        tx.queue(
            PROLONG,
            &[
                lease.hold_until.into(),
                lease.until.into(),
                lease.network.as_bytes().into(),
                octets(lease.address).as_slice().into(),
            ],
        )?;
    }
    Ok(Ok(lease))
}

/// A given address for an owner that has none of this family.
fn given(
    tx: &mut dyn Transaction,
    now: i64,
    request: &Request,
) -> Result<Result<Lease, Error>, Error> {
    let Request { network, owner, family, .. } = *request;
    let Some(address) = request.address else {
        return Ok(Err(Error::PoolExhausted { network, family }));
    };
    if Family::of(address) != family {
        return Ok(Err(Error::WrongFamily { address, family }));
    }
    match by_address(tx, network, address)? {
        Some(lease) if lease.state == LeaseState::Active => {
            return Ok(Err(Error::AddressTaken { network, address }));
        }
        Some(lease) if lease.owner == owner => return activate(tx, lease, request, true).map(Ok),
        Some(lease) if lease.hold_until <= now => {
            return activate(tx, lease, request, false).map(Ok);
        }
        Some(lease) => {
            let until = lease.hold_until;
            return Ok(Err(Error::AddressQuarantined { network, address, until }));
        }
        None => {}
    }
    let Some(pool) = pool::containing(tx, network, address)? else {
        return Ok(Err(Error::AddressOutsidePools { network, address }));
    };
    if !interval::take_given(tx, pool, address)? {
        return Ok(Err(Error::AddressNotFree { network, address }));
    }
    insert(tx, pool, address, request).map(Ok)
}

/// From quarantine to the requester. What still names the address and its own past holder counts
/// on; a new owner begins afresh.
fn activate(
    tx: &mut dyn Transaction,
    lease: Lease,
    request: &Request,
    returning: bool,
) -> Result<Lease, Error> {
    let hold_until =
        if returning { lease.hold_until.max(request.hold_until) } else { request.hold_until };
    let lease = Lease {
        owner: request.owner,
        state: LeaseState::Active,
        hold_until,
        released_at: None,
        until: request.until,
        ..lease
    };
    let changed = tx.execute(
        ACTIVATE,
        &[
            lease.owner.as_bytes().into(),
            lease.hold_until.into(),
            lease.until.into(),
            lease.network.as_bytes().into(),
            octets(lease.address).as_slice().into(),
        ],
    )?;
    match changed {
        0 => Err(Error::Contended { reason: format!("{} left its quarantine", lease.address) }),
        _ => Ok(lease),
    }
}

fn insert(
    tx: &mut dyn Transaction,
    pool: PoolId,
    address: IpAddr,
    request: &Request,
) -> Result<Lease, Error> {
    let Request { network, owner, family, hold_until, until, .. } = *request;
    tx.queue(
        INSERT,
        &[
            network.as_bytes().into(),
            octets(address).as_slice().into(),
            family.number().into(),
            pool.as_bytes().into(),
            owner.as_bytes().into(),
            hold_until.into(),
            until.into(),
        ],
    )?;
    Ok(Lease {
        network,
        address,
        pool,
        owner,
        state: LeaseState::Active,
        hold_until,
        released_at: None,
        until,
    })
}
