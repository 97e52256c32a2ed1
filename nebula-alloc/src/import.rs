//! Taking over addresses that were assigned elsewhere: first a report of what is in the way, then the
//! leases, all or none.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use crate::error::Contention;
use crate::event::Actor;
use crate::lease::{self, Lease, Request};
use crate::store::Transaction;
use crate::{Error, Family, NetworkId, OwnerId, PoolId};

/// An address and its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Who.
    pub owner: OwnerId,
    /// Which.
    pub address: IpAddr,
    /// The pool or block that it is from: named as in [`Request::pool`] where it is a block.
    pub pool: Option<PoolId>,
    /// As in [`Request::hold_until`].
    pub hold_until: i64,
    /// As in [`Request::until`].
    pub until: Option<i64>,
}

/// For an export: a [`list`](lease::list) of leases, to be taken over in another database, where pools
/// and blocks have the same ids. For one where they have others, set `pool` to those, or to `None`
/// for what is in no block.
///
/// Leave out what is in quarantine: taken over, it would be an active lease of its former owner.
impl From<&Lease> for Assignment {
    fn from(lease: &Lease) -> Self {
        let Lease { owner, address, pool, hold_until, until, .. } = *lease;
        Self { owner, address, pool: Some(pool), hold_until, until }
    }
}

/// Why an assignment cannot be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Its place among the assignments, from 0.
    pub index: usize,
    /// Which it is.
    pub assignment: Assignment,
    /// What is in the way.
    pub obstacle: Obstacle,
}

/// What is in the way of an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// An earlier assignment, the one of this place, has the same address.
    SameAddress(usize),
    /// An earlier assignment, the one of this place, is of the same owner and family.
    SameOwner(usize),
    /// What the network has already: the error that asking for the address gets.
    Refused(Error),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, assignment: Assignment { owner, address, .. }, obstacle } = self;
        write!(f, "assignment {index} ({address} to {owner}): ")?;
        match obstacle {
            Obstacle::SameAddress(other) => write!(f, "assignment {other} has the same address"),
            Obstacle::SameOwner(other) => write!(f, "assignment {other} is of the same owner"),
            Obstacle::Refused(error) => write!(f, "{error}"),
        }
    }
}

/// How many assignments are taken over in one transaction at most, so that it is short.
pub const STEP: usize = 256;

/// What is in the way of these assignments, in their order; nothing when all can be taken over. An
/// owner that has its address already is no conflict. It only reads: run it on a reader.
///
/// # Errors
///
/// The engine's.
pub fn conflicts(
    tx: &mut dyn Transaction,
    now: i64,
    network: NetworkId,
    assignments: &[Assignment],
) -> Result<Vec<Conflict>, Error> {
    let mut addresses = HashMap::new();
    let mut owners = HashMap::new();
    let mut obstacles = Vec::with_capacity(assignments.len());
    let mut asked = Vec::with_capacity(assignments.len());
    for (index, assignment) in assignments.iter().enumerate() {
        let key = (assignment.owner, Family::of(assignment.address));
        let same_address = addresses.get(&assignment.address).copied().map(Obstacle::SameAddress);
        let obstacle = same_address.or_else(|| owners.get(&key).copied().map(Obstacle::SameOwner));
        if obstacle.is_none() {
            asked.push((request(network, assignment), assignment.address));
        }
        obstacles.push(obstacle);
        addresses.entry(assignment.address).or_insert(index);
        owners.entry(key).or_insert(index);
    }
    let mut refusals = Vec::with_capacity(asked.len());
    for part in asked.chunks(STEP) {
        refusals.extend(lease::refusals(tx, now, part)?);
    }
    let mut refusals = refusals.into_iter();
    let mut found = Vec::new();
    for (index, (assignment, obstacle)) in assignments.iter().zip(obstacles).enumerate() {
        let obstacle = obstacle.or_else(|| refusals.next().flatten().map(Obstacle::Refused));
        if let Some(obstacle) = obstacle {
            found.push(Conflict { index, assignment: *assignment, obstacle });
        }
    }
    Ok(found)
}

/// Takes assignments over, all or none, at most [`STEP`] of them: with more, call it for one part
/// after the other. Doing so again is safe.
///
/// # Errors
///
/// [`Error::TooMany`]; the first of the [`conflicts`], which are looked for again: what happened since the report counts.
/// [`Error::Contended`] when another process was first with one of the addresses.
pub fn take_over(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    assignments: &[Assignment],
) -> Result<Vec<Lease>, Error> {
    actor.admit(tx, now)?;
    if assignments.len() > STEP {
        return Err(Error::TooMany { what: "assignments at a time", limit: STEP });
    }
    let found = conflicts(tx, now, network, assignments)?;
    if let Some(error) = found.into_iter().find_map(|one| one.refusal(network, assignments)) {
        return Err(error);
    }
    let requests: Vec<_> =
        assignments.iter().map(|assignment| (*actor, request(network, assignment))).collect();
    let answers = lease::allocate_many(tx, now, &requests)?.into_iter();
    // Others were taken over by now: this is no refusal to go on after.
    answers.collect::<Result<_, _>>().map_err(|error| match error.is_refusal() {
        true => Error::Contended(Contention::First(Box::new(error))),
        false => error,
    })
}

impl Conflict {
    /// What asking for the address after the assignments before it is answered; `None` where that is
    /// the same once more.
    fn refusal(self, network: NetworkId, assignments: &[Assignment]) -> Option<Error> {
        let Assignment { owner, address, .. } = self.assignment;
        match self.obstacle {
            Obstacle::Refused(error) => Some(error),
            Obstacle::SameAddress(other) if assignments.get(other)?.owner == owner => None,
            Obstacle::SameAddress(_) => Some(Error::AddressTaken { network, address }),
            Obstacle::SameOwner(other) => {
                let held = assignments.get(other)?.address;
                Some(Error::OwnerHasAnother { network, owner, held, asked: address })
            }
        }
    }
}

fn request(network: NetworkId, assignment: &Assignment) -> Request {
    let Assignment { owner, address, pool, hold_until, until } = *assignment;
    let family = Family::of(address);
    Request { network, owner, family, address: Some(address), pool, hold_until, until }
}
