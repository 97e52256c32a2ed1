//! Reservations: addresses that automatic allocation does not give out.
//!
//! They belong to a network, whatever pools it has: a pool that is made or grown over a reservation
//! respects it.

use std::net::IpAddr;

use crate::address::{next, octets, previous};
use crate::event::{self, Actor, kind};
use crate::limits::limit;
use crate::pool::{Space, check_others, leased};
use crate::store::{Columns, Row, Transaction};
use crate::{AddressRange, Error, Family, NetworkId, OwnerId, interval, limits};

pub(crate) const INSERT: &str = "INSERT INTO alloc_reservation
     (network, family, last, first, kind, owner, note) VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(crate) const DELETE: &str = "DELETE FROM alloc_reservation
     WHERE network = $1 AND family = $2 AND last = $3 AND first = $4";
pub(crate) const SET_FIRST: &str = "UPDATE alloc_reservation SET first = $1
     WHERE network = $2 AND family = $3 AND last = $4 AND first = $5";
pub(crate) const AT_OR_ABOVE: &str = "SELECT first, last, kind, owner, note FROM alloc_reservation
     WHERE network = $1 AND family = $2 AND last >= $3 ORDER BY last LIMIT $4";
pub(crate) const PINNED: &str = "SELECT first FROM alloc_reservation
     WHERE owner = $1 AND network = $2 AND family = $3";

/// How many rows a walk over reservations reads at a time.
const PAGE: usize = 256;

/// What addresses are reserved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// For owners that ask for one of them by name. Automatic allocation skips them; existing leases
    /// stay.
    Asking,
    /// For this owner, which gets the address when it asks for any. One address only.
    Owner(OwnerId),
    /// Excluded: they exist elsewhere.
    Nobody,
}

/// Addresses of a network that are reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Which.
    pub range: AddressRange,
    /// What for.
    pub purpose: Purpose,
    /// Why, for people.
    pub note: Option<String>,
}

/// Reserves addresses, whether they are in a pool or not. What is reserved already, for the same and
/// with the same note, is no error and no change.
///
/// # Errors
///
/// [`Error::ReservationOverlaps`]; [`Error::RangeForOwner`] when more than one address is for an
/// owner; [`Error::PinnedAlready`]; [`Error::UnusableText`]; [`Error::LeasesStand`] when others have
/// active leases there, unless the addresses are for [asking](Purpose::Asking); [`Error::TooMany`]
/// pools, blocks or runs of free addresses there: reserve a part at a time. What is in quarantine
/// there is not given to anyone else when that ends.
pub fn make(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    reservation: &Reservation,
) -> Result<(), Error> {
    actor.admit(tx, now)?;
    limits::check("note", reservation.note.as_deref().unwrap_or_default(), limits::NOTE)?;
    let Reservation { range, purpose, .. } = *reservation;
    if let Some(other) = first_within(tx, network, range, 1)?.first() {
        if other == reservation {
            return Ok(());
        }
        return Err(Error::ReservationOverlaps { network, range, other: other.range });
    }
    if let Purpose::Owner(owner) = purpose {
        if range.first() != range.last() {
            return Err(Error::RangeForOwner { range });
        }
        if pinned(tx, network, owner, range.family())?.is_some() {
            return Err(Error::PinnedAlready { network, owner });
        }
    }
    match purpose {
        Purpose::Asking => {}
        Purpose::Owner(owner) => check_others(tx, network, range, Some(owner))?,
        Purpose::Nobody => check_others(tx, network, range, None)?,
    }

    let spaces = Space::within(tx, network, range, limits::STANDING + 1)?;
    if spaces.len() > limits::STANDING {
        return Err(Error::TooMany { what: "pools and blocks in it", limit: limits::STANDING });
    }
    let parts: Vec<_> = spaces
        .iter()
        .filter_map(|space| Some((space.id, space.range.intersection(&range)?)))
        .collect();
    parts.iter().try_for_each(|(space, part)| interval::check_runs(tx, *space, *part))?;
    parts.iter().try_for_each(|(space, part)| interval::take_range(tx, *space, *part))?;
    let (first, last) = (octets(range.first()), octets(range.last()));
    let (number, owner) = stored(&purpose);
    tx.queue_one(
        INSERT,
        &[
            network.as_bytes().into(),
            range.family().number().into(),
            last.as_slice().into(),
            first.as_slice().into(),
            number.into(),
            owner.map(OwnerId::as_bytes).into(),
            reservation.note.as_deref().into(),
        ],
    )?;
    record(tx, now, actor, network, reservation, kind::RESERVED)
}

/// What became of a reservation that was lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the rest is still reserved"]
pub struct Lifted {
    /// What is no longer reserved.
    pub reservation: Reservation,
    /// What is still reserved, to [`remove`] next: some, if the range has more leases, reservations and
    /// blocks than one step may walk over, [`limits::STANDING`].
    pub rest: Option<AddressRange>,
}

/// Lifts the reservation of exactly this range, or as much of it from below as one step may. What is
/// not leased there is free then.
///
/// # Errors
///
/// [`Error::NoSuchReservation`].
pub fn remove(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    range: AddressRange,
) -> Result<Lifted, Error> {
    actor.admit(tx, now)?;
    let found = covering(tx, network, range.first())?.filter(|kept| kept.range == range);
    let reservation = found.ok_or(Error::NoSuchReservation { network, range })?;
    let spaces = Space::within(tx, network, range, limits::STANDING + 1)?;
    let leased = leased(tx, network, range, limits::STANDING + 1)?;

    let mut standing: Vec<_> = spaces.iter().map(|space| space.range.first()).collect();
    standing.extend(&leased);
    standing.sort_unstable();
    // A pool and a block in it may begin below the range, nothing else: all of it is lifted, or more
    // than nothing.
    let beyond = standing.get(limits::STANDING).copied();
    let lifted = match beyond.and_then(previous) {
        Some(last) => AddressRange::new(range.first(), last)?,
        None => range,
    };
    let rest = beyond.map(|first| AddressRange::new(first, range.last())).transpose()?;

    let (family, last) = (range.family().number().into(), octets(range.last()));
    let first = octets(range.first());
    match beyond.map(octets) {
        Some(beyond) => tx.queue_one(
            SET_FIRST,
            &[
                beyond.as_slice().into(),
                network.as_bytes().into(),
                family,
                last.as_slice().into(),
                first.as_slice().into(),
            ],
        )?,
        None => tx.queue_one(
            DELETE,
            &[network.as_bytes().into(), family, last.as_slice().into(), first.as_slice().into()],
        )?,
    }
    for space in &spaces {
        let Some(part) = space.range.intersection(&lifted) else { continue };
        let blocks = spaces.iter().filter(|block| block.parent == Some(space.id));
        let mut taken: Vec<_> = blocks.map(|block| block.range).collect();
        taken.extend(leased.iter().copied().map(AddressRange::single));
        interval::fill(tx, space.id, part, &part.without(taken))?;
    }
    let reservation = Reservation { range: lifted, ..reservation };
    record(tx, now, actor, network, &reservation, kind::UNRESERVED)?;
    Ok(Lifted { reservation, rest })
}

/// The network's reservations of one family in address order, at most `limit` of them, from the one
/// that has `from` or is the next above it.
///
/// # Errors
///
/// The engine's.
pub fn list(
    tx: &mut dyn Transaction,
    network: NetworkId,
    from: IpAddr,
    limit: usize,
) -> Result<Vec<Reservation>, Error> {
    let octets = octets(from);
    let rows = tx.query(
        AT_OR_ABOVE,
        &[
            network.as_bytes().into(),
            Family::of(from).number().into(),
            octets.as_slice().into(),
            self::limit(limit).into(),
        ],
    )?;
    rows.iter().map(read).collect()
}

/// The reservation that has this address.
///
/// # Errors
///
/// The engine's.
pub fn covering(
    tx: &mut dyn Transaction,
    network: NetworkId,
    address: IpAddr,
) -> Result<Option<Reservation>, Error> {
    let nearest = list(tx, network, address, 1)?.pop();
    Ok(nearest.filter(|kept| kept.range.contains(address)))
}

/// Whether each of these addresses is reserved.
pub(crate) fn are_kept(
    tx: &mut dyn Transaction,
    places: &[(NetworkId, IpAddr)],
) -> Result<Vec<bool>, Error> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let octets: Vec<_> = places.iter().map(|(_, address)| octets(*address)).collect();
    let sets: Vec<_> = places
        .iter()
        .zip(&octets)
        .map(|((network, address), octets)| {
            let family = Family::of(*address).number();
            vec![network.as_bytes().into(), family.into(), octets.as_slice().into(), 1.into()]
        })
        .collect();
    let nearest = tx.query_each(AT_OR_ABOVE, &sets)?;
    let has = |(rows, (_, address)): (Vec<Row>, &(NetworkId, IpAddr))| match rows.first() {
        Some(row) => Ok(read(row)?.range.contains(*address)),
        None => Ok(false),
    };
    nearest.into_iter().zip(places).map(has).collect()
}

/// The address that is pinned to an owner.
///
/// # Errors
///
/// The engine's.
pub fn pinned(
    tx: &mut dyn Transaction,
    network: NetworkId,
    owner: OwnerId,
    family: Family,
) -> Result<Option<IpAddr>, Error> {
    let params = [owner.as_bytes().into(), network.as_bytes().into(), family.number().into()];
    tx.query(PINNED, &params)?.first().map(|row| row.columns().address()).transpose()
}

/// The lowest reservations that have some of these addresses, at most `limit`.
pub(crate) fn first_within(
    tx: &mut dyn Transaction,
    network: NetworkId,
    range: AddressRange,
    limit: usize,
) -> Result<Vec<Reservation>, Error> {
    let mut found = list(tx, network, range.first(), limit)?;
    found.retain(|kept| kept.range.first() <= range.last());
    Ok(found)
}

/// The reservations that have some of these addresses.
pub(crate) fn within(
    tx: &mut dyn Transaction,
    network: NetworkId,
    range: AddressRange,
) -> Result<Vec<Reservation>, Error> {
    let mut found = Vec::new();
    let mut from = Some(range.first());
    while let Some(at) = from.take() {
        let page = list(tx, network, at, PAGE)?;
        let full = page.len() == PAGE;
        let before = found.len();
        found.extend(page.into_iter().take_while(|kept| kept.range.first() <= range.last()));
        if full && found.len() - before == PAGE {
            from = found.last().and_then(|kept| next(kept.range.last()));
        }
    }
    Ok(found)
}

fn record(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    network: NetworkId,
    reservation: &Reservation,
    kind: &'static str,
) -> Result<(), Error> {
    let purpose = match reservation.purpose {
        Purpose::Asking => "for asking",
        Purpose::Owner(_) => "for its owner",
        Purpose::Nobody => "for nobody",
    };
    let note = reservation.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
    event::record(
        tx,
        now,
        actor,
        &event::Entry {
            kind,
            network: Some(&network),
            subject: match &reservation.purpose {
                Purpose::Owner(owner) => Some(owner.as_bytes()),
                Purpose::Asking | Purpose::Nobody => None,
            },
            address: None,
            detail: Some(&format!("{} {purpose}{note}", reservation.range)),
        },
    )
}

fn stored(purpose: &Purpose) -> (i64, Option<&OwnerId>) {
    match purpose {
        Purpose::Asking => (1, None),
        Purpose::Owner(owner) => (2, Some(owner)),
        Purpose::Nobody => (3, None),
    }
}

/// Reads the columns `kind` and `owner`.
pub(crate) fn purpose(columns: &mut Columns<'_>) -> Result<Purpose, Error> {
    Ok(match columns.integer()? {
        2 => Purpose::Owner(OwnerId(columns.array()?)),
        kind => {
            columns.skip();
            if kind == 1 { Purpose::Asking } else { Purpose::Nobody }
        }
    })
}

fn read(row: &Row) -> Result<Reservation, Error> {
    let mut row = row.columns();
    Ok(Reservation {
        range: AddressRange::new(row.address()?, row.address()?)?,
        purpose: purpose(&mut row)?,
        note: row.optional_text()?.map(str::to_owned),
    })
}
