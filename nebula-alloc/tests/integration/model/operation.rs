//! What an operation is for the library, and what is asked of the model for the same.

use std::net::IpAddr;

use nebula_alloc::block::{self, Block};
use nebula_alloc::import::{self, Conflict};
use nebula_alloc::lease::{self, Lease, Request};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reservation::{self, Lifted, Purpose, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Actor, AddressRange, Error, Family, PoolId, reclaim, removal};

use super::state::{Leases, Model};
use super::step::{self, Kept, Operation, Wish, assignments, hold, network, owner, range};

/// How much a step of removing a network takes at most.
const REMOVED: usize = 3;
pub const ACTOR: Actor<'static> = Actor::named("model");

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Nothing,
    Pool(Pool),
    Block(Block),
    Reservation(Reservation),
    Room(Option<AddressRange>),
    Each(Vec<Result<Lease, Error>>),
    Leases(Vec<Lease>),
    Count(u64),
    Conflicts(Vec<Conflict>),
}

/// What the library made of an operation: where several outcomes are right, the model goes along.
pub struct Seen<'a> {
    pub answer: &'a Result<Answer, Error>,
    pub leases: &'a Leases,
}

impl Seen<'_> {
    /// The number of the lease in this place of the answer.
    pub fn number(&self, index: usize) -> Option<i64> {
        match self.answer {
            Ok(Answer::Each(answers)) => answers.get(index)?.as_ref().ok().map(|one| one.number),
            Ok(Answer::Leases(leases)) => leases.get(index).map(|lease| lease.number),
            _ => None,
        }
    }

    /// The address that the wish of this place was given.
    pub fn given(&self, index: usize) -> Option<IpAddr> {
        match self.answer {
            Ok(Answer::Each(answers)) => {
                answers.get(index)?.as_ref().ok().map(|lease| lease.address)
            }
            Ok(Answer::Leases(leases)) => leases.get(index).map(|lease| lease.address),
            _ => None,
        }
    }

    /// The address that an owner had been given when a later wish of its own was refused for it.
    pub fn had(&self, request: &Request) -> Option<IpAddr> {
        match self.answer {
            Err(
                Error::OwnerHasAnother { network, owner, held, .. }
                | Error::OwnerHoldsElsewhere { network, owner, held, .. },
            ) => Some(*held).filter(|held| {
                (*network, *owner, Family::of(*held))
                    == (request.network, request.owner, request.family)
            }),
            _ => None,
        }
    }
}

impl Operation {
    /// Whether it is one of the library's: that refuses or is done, and nothing between.
    pub fn is_one(&self) -> bool {
        !matches!(self, Self::AllocateAll(_) | Self::AllocatePair(_) | Self::Relocate(..))
    }

    pub fn run(&self, tx: &mut dyn Transaction, now: i64, model: &Model) -> Result<Answer, Error> {
        match self {
            Self::CreatePool { .. } => {
                pool::create(tx, now, &ACTOR, &self.pool()).map(|()| Answer::Nothing)
            }
            Self::ResizePool { id, .. } => {
                pool::resize(tx, now, &ACTOR, step::pool(*id), self.resized(model))
                    .map(Answer::Pool)
            }
            Self::DeletePool(id) => {
                pool::delete(tx, now, &ACTOR, step::pool(*id)).map(|()| Answer::Nothing)
            }
            Self::Remove { network: of, steps } => {
                let mut done = 0;
                while done < u64::from(*steps)
                    && removal::remove(tx, now, &ACTOR, network(*of), REMOVED)?
                {
                    done += 1;
                }
                Ok(Answer::Count(done))
            }
            Self::CreateBlock { .. } => {
                block::create(tx, now, &ACTOR, &self.block(model)).map(|()| Answer::Nothing)
            }
            Self::ResizeBlock { id, part } => {
                let range = in_pool(model, model.parent(step::pool(*id)), *part);
                block::resize(tx, now, &ACTOR, step::pool(*id), range).map(Answer::Block)
            }
            Self::MovePool { id, position } => {
                pool::set_position(tx, now, &ACTOR, step::pool(*id), *position).map(Answer::Pool)
            }
            Self::DeleteBlock(id) => {
                block::delete(tx, now, &ACTOR, step::pool(*id)).map(Answer::Block)
            }
            Self::FindRoom { pool, size } => {
                block::find_room(tx, step::pool(*pool), u128::from(*size)).map(Answer::Room)
            }
            Self::Reserve { network: of, .. } => {
                reservation::make(tx, now, &ACTOR, network(*of), &self.reservation())
                    .map(|()| Answer::Nothing)
            }
            Self::Unreserve(choice) => {
                let (of, range) = chosen(*choice, model);
                let Lifted { reservation, rest } = reservation::remove(tx, now, &ACTOR, of, range)?;
                assert_eq!(rest, None);
                Ok(Answer::Reservation(reservation))
            }
            Self::Allocate(wishes) => {
                lease::allocate_many(tx, now, &asked(requests(wishes, now))).map(Answer::Each)
            }
            Self::AllocateAll(wishes) => all(tx, now, requests(wishes, now)),
            Self::AllocatePair(wish) => all(tx, now, wish.pair(now)),
            Self::Relocate(wish, seconds, reason) => {
                let (wish, hold) = (wish.request(now), hold(*seconds, *reason));
                let foreseen = lease::refusal(tx, now, &wish)?;
                let moved = lease::relocate(tx, now, &ACTOR, &wish, hold);
                if model.exact {
                    // Reserved addresses whose quarantine has ended look like room.
                    let seems_to_have_room =
                        foreseen.is_none() && matches!(moved, Err(Error::PoolExhausted { .. }));
                    assert!(seems_to_have_room || foreseen == moved.clone().err(), "{foreseen:?}");
                }
                moved.map(one)
            }
            Self::Release { network: of, owner: by, hold: seconds, reason } => {
                let hold = hold(*seconds, *reason);
                lease::release(tx, now, &ACTOR, network(*of), owner(*by), hold).map(Answer::Leases)
            }
            Self::ReleaseOne { lease: choice, hold: seconds, reason } => {
                let (name, hold) = (model.name(*choice), hold(*seconds, *reason));
                lease::release_one(tx, now, &ACTOR, &name, hold).map(one)
            }
            Self::RenewOne { lease: choice, until } => {
                let (name, until) = (model.name(*choice), until.map(|until| now + until));
                lease::renew_one(tx, now, &ACTOR, &name, until).map(one)
            }
            Self::TransferOne { lease: choice, to } => {
                let name = model.name(*choice);
                lease::transfer_one(tx, now, &ACTOR, &name, owner(*to)).map(one)
            }
            Self::Renew { network: of, owner: by, until } => {
                let until = until.map(|until| now + until);
                lease::renew(tx, now, &ACTOR, network(*of), owner(*by), until).map(Answer::Leases)
            }
            Self::Heartbeat { network: of, owner: by, seconds } => {
                lease::heartbeat(tx, now, &ACTOR, network(*of), owner(*by), *seconds)
                    .map(Answer::Leases)
            }
            Self::Transfer { network: of, from, to } => {
                lease::transfer(tx, now, &ACTOR, network(*of), owner(*from), owner(*to))
                    .map(Answer::Leases)
            }
            Self::TakeOver { network: of, from, to } => {
                lease::take_over(tx, now, &ACTOR, network(*of), owner(*from), owner(*to))
                    .map(Answer::Count)
            }
            Self::ExtendHold { network: of, owner: by, until } => {
                lease::extend_hold(tx, now, &ACTOR, network(*of), owner(*by), now + until)
                    .map(Answer::Count)
            }
            Self::ShortenHold { network: of, owner: by, seconds } => {
                lease::shorten_hold(tx, now, &ACTOR, network(*of), owner(*by), *seconds)
                    .map(Answer::Count)
            }
            Self::Expire { network: of, hold, limit } => {
                reclaim::expire(tx, now, &ACTOR, network(*of), *hold, *limit).map(Answer::Leases)
            }
            Self::Reclaim(limit) => reclaim::reclaim(tx, now, &ACTOR, *limit).map(Answer::Count),
            Self::Import { network: of, assignments: list, until, anyway } => {
                let list = assignments(*of, list, now, *until);
                let conflicts = import::conflicts(tx, now, network(*of), &list)?;
                if !conflicts.is_empty() && !anyway {
                    return Ok(Answer::Conflicts(conflicts));
                }
                import::take_over(tx, now, &ACTOR, network(*of), &list).map(Answer::Leases)
            }
        }
    }

    /// Carries the operation out in the model. After a refusal the model is not to be used.
    pub fn expected(&self, model: &mut Model, now: i64, seen: &Seen<'_>) -> Result<Answer, Error> {
        match self {
            Self::CreatePool { .. } => model.create_pool(self.pool()).map(|()| Answer::Nothing),
            Self::ResizePool { id, .. } => {
                let range = self.resized(model);
                model.resize_pool(step::pool(*id), range).map(Answer::Pool)
            }
            Self::DeletePool(id) => model.delete_pool(step::pool(*id)).map(|()| Answer::Nothing),
            Self::Remove { network: of, steps } => {
                let mut done = 0;
                while done < u64::from(*steps) && model.remove_some(network(*of), REMOVED) {
                    done += 1;
                }
                Ok(Answer::Count(done))
            }
            Self::CreateBlock { .. } => {
                let block = self.block(model);
                model.create_block(block).map(|()| Answer::Nothing)
            }
            Self::ResizeBlock { id, part } => {
                let range = in_pool(model, model.parent(step::pool(*id)), *part);
                model.resize_block(step::pool(*id), range).map(Answer::Block)
            }
            Self::MovePool { id, position } => {
                model.move_pool(step::pool(*id), *position).map(Answer::Pool)
            }
            Self::DeleteBlock(id) => model.delete_block(step::pool(*id)).map(Answer::Block),
            Self::FindRoom { pool, size } => {
                model.find_room(step::pool(*pool), *size).map(Answer::Room)
            }
            Self::Reserve { network: of, .. } => {
                model.reserve(network(*of), self.reservation()).map(|()| Answer::Nothing)
            }
            Self::Unreserve(choice) => {
                let (of, range) = chosen(*choice, model);
                model.unreserve(of, range).map(Answer::Reservation)
            }
            Self::Allocate(wishes) => {
                Ok(Answer::Each(model.allocate(now, &requests(wishes, now), seen)))
            }
            Self::AllocateAll(wishes) => model.allocate_all(now, &requests(wishes, now), seen),
            Self::AllocatePair(wish) => model.allocate_all(now, &wish.pair(now), seen),
            Self::Relocate(wish, seconds, reason) => {
                let hold = hold(*seconds, *reason);
                model.relocate(now, &wish.request(now), hold, seen).map(one)
            }
            Self::Release { network: of, owner: by, hold: seconds, reason } => {
                let hold = hold(*seconds, *reason);
                Ok(Answer::Leases(model.release(now, network(*of), owner(*by), hold)))
            }
            Self::ReleaseOne { lease: choice, hold: seconds, reason } => {
                let name = model.name(*choice);
                model.release_one(now, name, hold(*seconds, *reason)).map(one)
            }
            Self::RenewOne { lease: choice, until } => {
                let name = model.name(*choice);
                model.renew_one(name, until.map(|until| now + until)).map(one)
            }
            Self::TransferOne { lease: choice, to } => {
                let name = model.name(*choice);
                model.number = seen.number(0);
                model.transfer_one(name, owner(*to)).map(one)
            }
            Self::Renew { network: of, owner: by, until } => {
                let until = until.map(|until| now + until);
                model.renew(network(*of), owner(*by), |_| until).map(Answer::Leases)
            }
            Self::Heartbeat { network: of, owner: by, seconds } => {
                let seconds = (*seconds).max(0);
                // Moved when more than a quarter has passed.
                let beat = |end: Option<i64>| {
                    end.map(
                        |end| if end - now <= seconds - seconds / 4 { now + seconds } else { end },
                    )
                };
                model.renew(network(*of), owner(*by), beat).map(Answer::Leases)
            }
            Self::Transfer { network: of, from, to } => {
                model.transfer(network(*of), owner(*from), owner(*to), seen).map(Answer::Leases)
            }
            Self::TakeOver { network: of, from, to } => {
                Ok(Answer::Count(model.take_over(network(*of), owner(*from), owner(*to))))
            }
            Self::ExtendHold { network: of, owner: by, until } => {
                Ok(Answer::Count(model.extend_hold(network(*of), owner(*by), now + until)))
            }
            Self::ShortenHold { network: of, owner: by, seconds } => {
                Ok(Answer::Count(model.shorten_hold(network(*of), owner(*by), *seconds)))
            }
            Self::Expire { network: of, hold, limit } => {
                Ok(Answer::Leases(model.expire(now, network(*of), *hold, *limit, seen)))
            }
            Self::Reclaim(limit) => Ok(Answer::Count(model.reclaim(now, *limit, seen))),
            Self::Import { network: of, assignments: list, until, anyway } => {
                let list = assignments(*of, list, now, *until);
                let conflicts = model.conflicts(now, network(*of), &list);
                if !conflicts.is_empty() && !anyway {
                    return Ok(Answer::Conflicts(conflicts));
                }
                let whole = conflicts.is_empty();
                let taken = model.import(now, network(*of), &list, seen);
                assert!(!whole || taken.is_ok(), "nothing was in the way: {taken:?}");
                taken
            }
        }
    }

    fn pool(&self) -> Pool {
        let Self::CreatePool { network: of, id, family, part, position } = *self else {
            unreachable!("asked of another operation")
        };
        let range = range(of, family, part);
        Pool { id: step::pool(id), network: network(of), range, position }
    }

    fn resized(&self, model: &Model) -> AddressRange {
        let Self::ResizePool { id, part, family } = *self else {
            unreachable!("asked of another operation")
        };
        let pool = model.pool(step::pool(id));
        let old = pool.as_ref().map_or(Family::V4, |pool| pool.range.family());
        let of = pool.map_or(1, |pool| pool.network.0[0]);
        range(of, family.unwrap_or(old), part)
    }

    /// Its range begins somewhere in its pool.
    fn block(&self, model: &Model) -> Block {
        let Self::CreateBlock { id, pool, network: of, part: (skipped, more), name } = *self else {
            unreachable!("asked of another operation")
        };
        let pool = step::pool(pool);
        let own = model.space(pool).map_or(1, |parent| parent.network.0[0]);
        Block {
            id: step::pool(id),
            network: network(of.unwrap_or(own)),
            pool,
            name: format!("block {name}"),
            range: in_pool(model, pool, (skipped, more)),
        }
    }

    fn reservation(&self) -> Reservation {
        let Self::Reserve { network, family, part: (first, more), purpose } = *self else {
            unreachable!("asked of another operation")
        };
        let (purpose, more) = match purpose {
            Kept::Asking => (Purpose::Asking, more),
            Kept::Nobody => (Purpose::Nobody, more),
            // Rarely several addresses, which is refused.
            Kept::Owner(of) => (Purpose::Owner(owner(of)), u8::from(more == 3)),
        };
        let note = (more == 0).then(|| format!("{purpose:?}"));
        Reservation { range: range(network, family, (first, more)), purpose, note }
    }
}

/// So many addresses from the beginning of a pool on, so many more.
fn in_pool(model: &Model, pool: PoolId, (skipped, more): (u8, u8)) -> AddressRange {
    let parent = model.space(pool);
    let own = parent.map_or(1, |parent| parent.network.0[0]);
    let family = parent.map_or(Family::V4, |parent| parent.range.family());
    let first = parent.map_or(0, |parent| {
        let offset = |offset: &u8| step::address(own, family, *offset) == parent.range.first();
        (0..step::ADDRESSES).find(offset).unwrap()
    });
    range(own, family, ((first + skipped).min(step::ADDRESSES - 1), more))
}

fn one(lease: Lease) -> Answer {
    Answer::Leases(vec![lease])
}

fn requests(wishes: &[Wish], now: i64) -> Vec<Request> {
    wishes.iter().map(|wish| wish.request(now)).collect()
}

fn asked(requests: Vec<Request>) -> Vec<(Actor<'static>, Request)> {
    requests.into_iter().map(|request| (ACTOR, request)).collect()
}

fn all(tx: &mut dyn Transaction, now: i64, requests: Vec<Request>) -> Result<Answer, Error> {
    let answers = lease::allocate_many(tx, now, &asked(requests))?;
    answers.into_iter().collect::<Result<_, _>>().map(Answer::Leases)
}

/// One of the reservations that are there, or one that is not.
fn chosen(choice: u8, model: &Model) -> (nebula_alloc::NetworkId, AddressRange) {
    let index = usize::from(choice) % (model.reservations.len() + 1);
    match model.reservations.get(index) {
        Some((network, kept)) => (*network, kept.range),
        None => (network(1), range(1, Family::V4, (choice % step::ADDRESSES, 9))),
    }
}
