//! Giving out addresses. One request is a batch of one.

use std::collections::{HashMap, VecDeque};

use super::grant::insert;
use super::hold::Hold;
use super::owned::{Owned, claim, owned};
use super::renew::prolong;
use super::requested::Asking;
use super::{Lease, Request, record};
use crate::error::Contention;
use crate::event::{Actor, kind};
use crate::fullness;
use crate::pool::Space;
use crate::store::Transaction;
use crate::{Error, Family, NetworkId, PoolId, event, interval, limits, reclaim};

/// Quarantines that have ended are returned this many at a time when a pool runs short.
const RECLAIM_AT_LEAST: usize = 64;

/// How many pools are looked up at a time, once the first one has too little.
const POOLS: usize = 16;

/// Gives the owner an address: the one it holds, else the one asked for, else the one pinned to it,
/// else the one it released last that the request allows, else the lowest free one of the network's
/// pools in their order.
///
/// Asking again answers the same lease; only its `hold_until` and `until` move forward. One that has
/// ended begins anew at the same address: it ends when the request says.
///
/// # Errors
///
/// * [`Error::PoolExhausted`], [`Error::NoPool`], [`Error::NoSuchPool`]
/// * [`Error::OwnerHoldsElsewhere`] when it holds an address that is not from the pool asked for
/// * for a given or pinned address: [`Error::OwnerHasAnother`], [`Error::AddressTaken`],
///   [`Error::AddressQuarantined`], [`Error::AddressReserved`], [`Error::AddressOutsidePools`],
///   [`Error::AddressInAnotherPool`], [`Error::WrongFamily`]; [`Error::TooMany`] when the owner has as
///   many others in quarantine as [`limits::QUARANTINED`]
/// * [`Error::Contended`] when other processes are taking the pool's last addresses: ask again
/// * the engine's.
pub fn allocate(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    request: &Request,
) -> Result<Lease, Error> {
    one(tx, now, Wanted { actor: *actor, request: *request, moves: None })
}

/// As [`allocate`] for each request. The number of statements grows with the owners; the number of
/// round trips only with the pools they look in, with how many claim one address, and with how many
/// claims of one owner fail. Addresses asked for by name are taken before others are handed out, so
/// the order of a batch does not matter; several requests of one owner, network and family count as
/// one asking again.
///
/// # Errors
///
/// The outer error is the engine's: the transaction must be rolled back. Inner ones are refusals
/// of that request alone, as in [`allocate`].
pub fn allocate_many(
    tx: &mut dyn Transaction,
    now: i64,
    requests: &[(Actor<'_>, Request)],
) -> Result<Vec<Result<Lease, Error>>, Error> {
    let wanted: Vec<_> =
        requests.iter().map(|&(actor, request)| Wanted { actor, request, moves: None }).collect();
    grant_many(tx, now, &wanted)
}

/// A request, and whether its owner moves with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) actor: Actor<'a>,
    pub(crate) request: Request,
    /// An address of the owner that is not as it asks is given up, into a quarantine of this length.
    pub(crate) moves: Option<Hold>,
}

pub(super) fn one(tx: &mut dyn Transaction, now: i64, wanted: Wanted<'_>) -> Result<Lease, Error> {
    let Request { network, family, .. } = wanted.request;
    let answer = grant_many(tx, now, &[wanted])?.pop();
    answer.unwrap_or(Err(Error::PoolExhausted { network, family }))
}

/// As [`allocate_many`], also for owners that move.
pub(crate) fn grant_many(
    tx: &mut dyn Transaction,
    now: i64,
    requests: &[Wanted<'_>],
) -> Result<Vec<Result<Lease, Error>>, Error> {
    event::at_its_time(tx, now)?;
    let mut answers = Answers(requests.iter().map(|_| None).collect());
    let mut sound = Vec::with_capacity(requests.len());
    for (index, Wanted { actor, request, moves }) in requests.iter().enumerate() {
        let asking = Asking { index, actor, request, number: 0, moves: *moves, gives_up: None };
        match actor.check() {
            Ok(()) => sound.push(asking),
            Err(error) => answers.give(asking, Err(error)),
        }
    }
    for round in rounds(sound) {
        self::round(tx, now, round, &mut answers)?;
    }
    tx.flush()?;
    // Each index was in one round, and a round answers all of its requests.
    Ok(answers.0.into_iter().flatten().collect())
}

/// Parts in which no owner asks twice: its second request is in the second, where it asks again.
fn rounds(requests: Vec<Asking<'_>>) -> Vec<Vec<Asking<'_>>> {
    let mut rounds: Vec<Vec<_>> = Vec::new();
    let mut times = HashMap::with_capacity(requests.len());
    for asking in requests {
        let Request { network, owner, family, .. } = *asking.request;
        let time = times.entry((network, owner, family)).or_insert(0);
        match rounds.get_mut(*time) {
            Some(round) => round.push(asking),
            None => rounds.push(vec![asking]),
        }
        *time += 1;
    }
    rounds
}

struct Answers(Vec<Option<Result<Lease, Error>>>);

impl Answers {
    fn give(&mut self, asking: Asking<'_>, answer: Result<Lease, Error>) {
        if let Some(slot) = self.0.get_mut(asking.index) {
            *slot = Some(answer);
        }
    }
}

/// Where requests without an address of their own look for one.
type Source = (NetworkId, Family, Option<PoolId>);

/// Requests that look in the same place, in the order in which they began to.
#[derive(Default)]
struct Looking<'a> {
    sources: Vec<(Source, VecDeque<Asking<'a>>)>,
    places: HashMap<Source, usize>,
}

impl<'a> Looking<'a> {
    fn push(&mut self, asking: Asking<'a>) {
        let Request { network, family, pool, .. } = *asking.request;
        let source = (network, family, pool);
        let place = *self.places.entry(source).or_insert_with(|| {
            self.sources.push((source, VecDeque::new()));
            self.sources.len() - 1
        });
        if let Some((_, members)) = self.sources.get_mut(place) {
            members.push_back(asking);
        }
    }
}

/// Requests of different owners.
fn round(
    tx: &mut dyn Transaction,
    now: i64,
    requests: Vec<Asking<'_>>,
    answers: &mut Answers,
) -> Result<(), Error> {
    let owned = owned(tx, requests.iter().map(|asking| asking.request))?;
    let mut claiming = Vec::new();
    let mut looking = Looking::default();
    for (asking, rows) in requests.into_iter().zip(owned) {
        let moves = asking.moves.is_some();
        let Owned { active, number, claims, is_full } = Owned::read(&rows, asking.request, moves)?;
        let gives_up = active.filter(|lease| moves && !is_as_asked(lease, asking.request));
        let asking = Asking { number, gives_up, ..asking };
        if let Some(lease) = active.filter(|_| gives_up.is_none()) {
            answers.give(asking, keep(tx, now, asking, lease)?);
        } else if is_full {
            let (what, limit) = ("addresses that the owner has in quarantine", limits::QUARANTINED);
            answers.give(asking, Err(Error::TooMany { what, limit }));
        } else if claims.is_empty() {
            looking.push(asking);
        } else {
            claiming.push((asking, claims));
        }
    }

    // What an owner had comes before what others ask for.
    let (named, own): (Vec<_>, _) =
        claiming.into_iter().partition(|(asking, _)| asking.request.address.is_some());
    for claiming in [own, named] {
        for (asking, answer) in claim(tx, now, claiming)? {
            match answer {
                Some(answer) => answers.give(asking, answer),
                None => looking.push(asking),
            }
        }
    }

    // The others, one take per source.
    for (source, members) in looking.sources {
        take(tx, now, source, members, answers)?;
    }
    Ok(())
}

/// Serves requests from the pools of a source, in their order.
fn take(
    tx: &mut dyn Transaction,
    now: i64,
    source: Source,
    mut waiting: VecDeque<Asking<'_>>,
    answers: &mut Answers,
) -> Result<(), Error> {
    let (network, family, pool) = source;
    let exhausted = match pool {
        None => {
            take_in_order(tx, now, (network, family), &mut waiting, answers)?;
            let is_none = !waiting.is_empty() && !fullness::any(tx, network, family)?;
            match is_none {
                true => Error::NoPool { network, family },
                false => Error::PoolExhausted { network, family },
            }
        }
        Some(pool) => match Space::by_id(tx, pool)? {
            Some(space) if space.network == network && space.range.family() == family => {
                take_lowest(tx, now, pool, &mut waiting, answers)?;
                take_ended(tx, now, pool, &mut waiting, answers)?;
                Error::PoolExhausted { network, family }
            }
            _ => Error::NoSuchPool { pool },
        },
    };
    // What other processes are at work on was left out, and what one of them freed between two looks
    // was in neither place.
    let contended = !waiting.is_empty()
        && matches!(exhausted, Error::PoolExhausted { .. })
        && tx.instance().is_some()
        && Space::any_has_more(tx, now, network, family, pool)?;
    for asking in waiting {
        let error =
            if contended { Error::Contended(Contention::LastAddresses) } else { exhausted.clone() };
        answers.give(asking, Err(error));
    }
    Ok(())
}

/// Serves requests from any of the network's pools. Those that are known to be full are passed over.
fn take_in_order(
    tx: &mut dyn Transaction,
    now: i64,
    (network, family): (NetworkId, Family),
    waiting: &mut VecDeque<Asking<'_>>,
    answers: &mut Answers,
) -> Result<(), Error> {
    let (mut behind, mut count) = (None, 1);
    loop {
        let pools = fullness::open(tx, network, family, behind, count)?;
        for (_, pool) in &pools {
            take_lowest(tx, now, *pool, waiting, answers)?;
            if waiting.is_empty() {
                return Ok(());
            }
            fullness::found_empty(tx, *pool)?;
        }
        if pools.len() < count {
            break;
        }
        // Mostly the first has what is asked for.
        (behind, count) = (pools.last().copied(), POOLS);
    }
    behind = None;
    loop {
        let pools = fullness::with_ended(tx, now, (network, family), behind, POOLS)?;
        for (_, pool) in &pools {
            take_ended(tx, now, *pool, waiting, answers)?;
        }
        if waiting.is_empty() || pools.len() < POOLS {
            return Ok(());
        }
        behind = pools.last().copied();
    }
}

/// Serves requests from what a pool has in quarantines that have ended.
fn take_ended(
    tx: &mut dyn Transaction,
    now: i64,
    pool: PoolId,
    waiting: &mut VecDeque<Asking<'_>>,
    answers: &mut Answers,
) -> Result<(), Error> {
    // Again when all of it was reserved.
    while let Some(first) = waiting.front() {
        let short = waiting.len().max(RECLAIM_AT_LEAST);
        if reclaim::of_pool(tx, now, first.actor, pool, short)? == 0 {
            break;
        }
        take_lowest(tx, now, pool, waiting, answers)?;
    }
    Ok(())
}

/// Serves the first of `waiting` from a pool, as far as it reaches.
fn take_lowest(
    tx: &mut dyn Transaction,
    now: i64,
    pool: PoolId,
    waiting: &mut VecDeque<Asking<'_>>,
    answers: &mut Answers,
) -> Result<(), Error> {
    if waiting.is_empty() {
        return Ok(());
    }
    let taken = interval::take_lowest(tx, pool, waiting.len())?;
    let mut given = Vec::with_capacity(taken.len());
    for address in taken {
        if let Some(asking) = waiting.pop_front() {
            asking.leave(tx, now)?;
            let lease = insert(tx, pool, address, asking.request, asking.number)?;
            answers.give(asking, Ok(lease));
            given.push((asking.actor, lease));
        }
    }
    // Rows of one table follow each other, so that an engine can store them at once.
    for (actor, lease) in given {
        record(tx, now, actor, kind::ALLOCATED, &lease, None)?;
    }
    Ok(())
}

/// Whether a lease is at the address and from the pool that are asked for.
pub(super) fn is_as_asked(lease: &Lease, request: &Request) -> bool {
    request.address.is_none_or(|address| address == lease.address)
        && request.pool.is_none_or(|pool| pool == lease.pool)
}

/// An owner with an active lease asks again.
fn keep(
    tx: &mut dyn Transaction,
    now: i64,
    asking: Asking<'_>,
    held: Lease,
) -> Result<Result<Lease, Error>, Error> {
    let Request { network, owner, .. } = *asking.request;
    if let Some(asked) = asking.request.address
        && asked != held.address
    {
        return Ok(Err(Error::OwnerHasAnother { network, owner, held: held.address, asked }));
    }
    if let Some(pool) = asking.request.pool
        && pool != held.pool
    {
        let held = held.address;
        return Ok(Err(Error::OwnerHoldsElsewhere { network, owner, held, pool }));
    }
    let request = asking.request;
    let (until, number) = match held.until {
        // It has ended, expired or not: this is a new one.
        Some(end) if end <= now => (request.until, asking.number),
        // A lease without end stays one; else the later end.
        end => (end.map(|end| end.max(request.until.unwrap_or(end))), held.number),
    };
    let hold_until = held.hold_until.max(request.hold_until);
    let lease = Lease { hold_until, until, number, ..held };
    prolong(tx, now, asking.actor, held, lease).map(Ok)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::OwnerId;

    #[test]
    fn no_owner_asks_twice_in_a_round_and_many_times_cost_no_more_than_that_many() {
        const TIMES: usize = 100_000;
        let request = |owner| Request {
            network: NetworkId([1; 16]),
            owner: OwnerId([owner; 16]),
            family: Family::V4,
            address: None,
            pool: None,
            hold_until: 0,
            until: None,
        };
        let (actor, requests) = (Actor::named("test"), [request(1), request(2)]);
        let mut all = Vec::new();
        for index in 0..TIMES {
            for request in requests.iter().take(if index < 2 { 2 } else { 1 }) {
                all.push(Asking {
                    index,
                    actor: &actor,
                    request,
                    number: 0,
                    moves: None,
                    gives_up: None,
                });
            }
        }
        let begin = Instant::now();
        let rounds = rounds(all);
        // It took 2 minutes for a tenth of them when each round looked at all that were left.
        assert!(begin.elapsed() < Duration::from_secs(10));
        let sizes: Vec<_> = rounds.iter().map(Vec::len).take(3).collect();
        assert_eq!((rounds.len(), sizes), (TIMES, vec![2, 2, 1]));
    }
}
