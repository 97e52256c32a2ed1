//! What owners have already, and which address they should get before any other.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;

use super::requested::{Asking, grant_requested};
use super::{Lease, Request, columns, read};
use crate::store::{Param, Row, Transaction};
use crate::{Error, limits};

/// What an owner has: its active lease (state 1), those in quarantine (2) and what is pinned to it
/// (3). And (0) the number of a lease that begins now, as
/// [`NEXT_NUMBER`](super::transfer::NEXT_NUMBER). See the schema for the form of `network`.
pub(crate) const OWNED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE substr(network, 1) = $1 AND owner = $2 AND family = $3 AND state = 1
     UNION ALL
     SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE substr(network, 1) = $1 AND owner = $2 AND family = $3 AND state = 2
     UNION ALL
     SELECT 3, 0, owner, first, owner, network, 0, NULL, NULL, NULL, NULL FROM alloc_reservation
     WHERE owner = $2 AND network = $1 AND family = $3
     UNION ALL
     SELECT 0, (SELECT coalesce(max(id), 0) + 1 FROM alloc_event), $2, $2, $2, $1, 0,
         NULL, NULL, NULL, NULL"
);
/// What each of these owners has, as rows.
pub(super) fn owned<'a>(
    tx: &mut dyn Transaction,
    requests: impl Iterator<Item = &'a Request>,
) -> Result<Vec<Vec<Row>>, Error> {
    let keys: Vec<Vec<Param<'_>>> = requests
        .map(|request| {
            vec![
                request.network.as_bytes().into(),
                request.owner.as_bytes().into(),
                request.family.number().into(),
            ]
        })
        .collect();
    tx.query_each(OWNED, &keys)
}

/// Why an owner is given an address that is not just the lowest free one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It asks for it by name.
    Named,
    /// It is pinned to it.
    Pinned,
    /// It had it.
    Former,
}

/// What an owner has that matters to its request.
pub(super) struct Owned {
    pub(super) active: Option<Lease>,
    /// The number of a lease that begins now.
    pub(super) number: i64,
    /// The best first.
    pub(super) claims: VecDeque<(IpAddr, Claim)>,
    /// Whether it asks for one more by name, or by moving, than it may have in quarantine.
    pub(super) is_full: bool,
}

impl Owned {
    /// Who `moves` does not get what it has.
    pub(super) fn read(rows: &[Row], request: &Request, moves: bool) -> Result<Self, Error> {
        let mut active: Option<Lease> = None;
        let mut number = 0;
        let mut claims = VecDeque::new();
        let mut released = Vec::new();
        for row in rows {
            let mut columns = row.columns();
            match columns.integer()? {
                0 => number = columns.integer()?,
                1 => active = Some(read(row)?),
                3 => {
                    columns.skip();
                    columns.skip();
                    claims.push_back((columns.address()?, Claim::Pinned));
                }
                _ => released.push(read(row)?),
            }
        }
        if let Some(address) = request.address {
            let is_full = released.len() >= limits::QUARANTINED
                && released.iter().all(|lease| lease.address != address);
            let claims = VecDeque::from([(address, Claim::Named)]);
            return Ok(Self { active, number, claims, is_full });
        }
        let is_full = moves && released.len() >= limits::QUARANTINED;
        if let Some(held) = active.filter(|_| moves) {
            claims.retain(|(pinned, _)| *pinned != held.address);
        }
        released.retain(|lease| request.pool.is_none_or(|pool| pool == lease.pool));
        released.sort_unstable_by_key(|lease| Reverse((lease.released_at, lease.address)));
        let is_full = is_full && released.is_empty();
        let former = released.iter().take(limits::FORMER);
        claims.extend(former.map(|lease| (lease.address, Claim::Former)));
        Ok(Self { active, number, claims, is_full })
    }
}

/// An owner and the addresses it has a claim to, the best first.
pub(super) type Claiming<'a> = (Asking<'a>, VecDeque<(IpAddr, Claim)>);

/// What an owner's claims came to: `None` when any other address is as good.
pub(super) type Claimed<'a> = (Asking<'a>, Option<Result<Lease, Error>>);

/// Grants each owner the first of its claims that succeeds, or says why the address that it asked for
/// is refused. The first claims of all are tried together, then the next claims of those that are
/// left; claims to the same address are tried one after the other. Answers in the order of their
/// places.
pub(super) fn claim<'a>(
    tx: &mut dyn Transaction,
    now: i64,
    mut claiming: Vec<Claiming<'a>>,
) -> Result<Vec<Claimed<'a>>, Error> {
    let mut done = Vec::with_capacity(claiming.len());
    while !claiming.is_empty() {
        let (mut asked, mut kinds, mut later) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (asking, mut claims) in claiming {
            match claims.front().copied() {
                None => done.push((asking, None)),
                Some((address, _)) if !seen.insert((asking.request.network, address)) => {
                    later.push((asking, claims));
                }
                Some((address, claim)) => {
                    claims.pop_front();
                    asked.push((asking, address));
                    kinds.push((claim, claims));
                }
            }
        }
        let answers = grant_requested(tx, now, &asked)?;
        for ((asking, _), ((claim, claims), answer)) in
            asked.into_iter().zip(kinds.into_iter().zip(answers))
        {
            match answer {
                Err(error) if is_elsewhere(&error, claim) => later.push((asking, claims)),
                answer => done.push((asking, Some(answer))),
            }
        }
        claiming = later;
    }
    done.sort_unstable_by_key(|(asking, _)| asking.index);
    Ok(done)
}

/// Whether the address is not in the pool asked for, or not for this owner any more.
pub(super) fn is_elsewhere(error: &Error, claim: Claim) -> bool {
    match error {
        Error::AddressInAnotherPool { .. }
        | Error::AddressOutsidePools { .. }
        | Error::AddressReserved { .. } => claim != Claim::Named,
        // With several instances another may have it by now.
        Error::AddressTaken { .. } | Error::AddressQuarantined { .. } => claim == Claim::Former,
        _ => false,
    }
}
