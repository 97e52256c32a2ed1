//! The append-only audit log. Every operation of this crate writes its own events, in the same
//! transaction; those about leases explain which owner has which address, see
//! [`verify`](crate::verify::verify).

mod forget;
mod search;

use std::net::IpAddr;

pub use self::forget::{Forgotten, forget, forget_owner, has_leases};
pub use self::search::{Found, Search, search};
use crate::address::octets;
use crate::limits::{CLOCK_TOLERANCE, limit};
use crate::store::LAST_EVENT;
use crate::store::{Row, Transaction};
use crate::{Error, NetworkId, address, limits};

pub(crate) const INSERT: &str = "INSERT INTO alloc_event
     (at, network, kind, actor, source_address, request_id, subject, address, detail)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const AFTER: &str = "SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
const OF_NETWORK: &str = "SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event
     WHERE network = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4";

/// Who asks for a change, as its events name them. Every operation that is given texts it cannot store
/// (see [`limits`](mod@crate::limits)) refuses with [`Error::UnusableText`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor<'a> {
    /// The name.
    pub name: &'a str,
    /// From where the request came.
    pub source_address: Option<&'a str>,
    /// What the request is called elsewhere: in answers and logs.
    pub request_id: Option<&'a str>,
}

impl<'a> Actor<'a> {
    /// An actor with nothing but a name.
    #[must_use]
    pub const fn named(name: &'a str) -> Self {
        Self { name, source_address: None, request_id: None }
    }

    /// That it may do something now: asked before anything is written.
    pub(crate) fn admit(&self, tx: &dyn Transaction, now: i64) -> Result<(), Error> {
        at_its_time(tx, now)?;
        self.check()
    }

    /// That its events can be stored.
    pub(crate) fn check(&self) -> Result<(), Error> {
        limits::check("actor", self.name, limits::NAME)?;
        limits::check("source address", self.source_address.unwrap_or_default(), limits::NAME)?;
        limits::check("request id", self.request_id.unwrap_or_default(), limits::NAME)
    }
}

/// What events of this crate are called. Those about leases end their `detail` with the times of the
/// lease as they are then.
pub mod kind {
    /// An owner got a free address.
    pub const ALLOCATED: &str = "lease.allocated";
    /// An owner got the address back that it had in quarantine.
    pub const RETURNED: &str = "lease.returned";
    /// The end of a lease, or what it is held for, moved.
    pub const RENEWED: &str = "lease.renewed";
    /// An owner gave an address up; its quarantine began.
    pub const RELEASED: &str = "lease.released";
    /// A lease ended by itself; its quarantine began.
    pub const EXPIRED: &str = "lease.expired";
    /// A lease has another owner, in the same state.
    pub const TRANSFERRED: &str = "lease.transferred";
    /// The end of a quarantine moved.
    pub const HELD: &str = "lease.held";
    /// A quarantine ended; the address is free.
    pub const FREED: &str = "lease.freed";
    /// A lease ended at once, without a quarantine, because its network is being removed.
    pub const REMOVED: &str = "lease.removed";
    /// What was written about leases before this does not explain them all. Of no network.
    pub const HISTORY_BEGINS: &str = "lease.history_begins";
    /// A lease is there since before its history begins. `detail` is its state.
    pub const RECORDED: &str = "lease.recorded";
    /// A pool was made.
    pub const POOL_CREATED: &str = "pool.created";
    /// A pool has another range.
    pub const POOL_RESIZED: &str = "pool.resized";
    /// A pool has another position.
    pub const POOL_MOVED: &str = "pool.moved";
    /// A pool is gone.
    pub const POOL_DELETED: &str = "pool.deleted";
    /// A block was made.
    pub const BLOCK_CREATED: &str = "block.created";
    /// A block has another range.
    pub const BLOCK_RESIZED: &str = "block.resized";
    /// A block has another name.
    pub const BLOCK_RENAMED: &str = "block.renamed";
    /// A block is gone; its addresses are its pool's again.
    pub const BLOCK_DELETED: &str = "block.deleted";
    /// Addresses are reserved.
    pub const RESERVED: &str = "reservation.made";
    /// Addresses are no longer reserved.
    pub const UNRESERVED: &str = "reservation.removed";
    /// Time is counted from here on, although it was later already. Of no network.
    pub const CLOCK_CONFIRMED: &str = "clock.confirmed";
}

/// An event of this crate, borrowed.
pub(crate) struct Entry<'a> {
    pub(crate) kind: &'static str,
    pub(crate) network: Option<&'a NetworkId>,
    pub(crate) subject: Option<&'a [u8; 16]>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) detail: Option<&'a str>,
}

/// Refuses another time than the transaction's: by what was written at a wrong one, later ones are
/// judged.
pub(crate) fn at_its_time(tx: &dyn Transaction, now: i64) -> Result<(), Error> {
    match tx.time() {
        Some(time) if time != now => Err(Error::AnotherTime { given: now, time }),
        _ => Ok(()),
    }
}

/// The same in a transaction without a time of its own: not long before the last event.
fn not_of_long_ago(tx: &mut dyn Transaction, now: i64) -> Result<(), Error> {
    at_its_time(tx, now)?;
    if tx.time().is_some() {
        return Ok(());
    }
    let last = tx.query(LAST_EVENT, &[])?.first().map(|row| row.columns().integer()).transpose()?;
    match last {
        Some(last) if now < last && last.abs_diff(now) > CLOCK_TOLERANCE => {
            Err(Error::AnotherTime { given: now, time: last })
        }
        _ => Ok(()),
    }
}

/// Appends an event of this crate.
pub(crate) fn record(
    tx: &mut dyn Transaction,
    now: i64,
    actor: &Actor<'_>,
    entry: &Entry<'_>,
) -> Result<(), Error> {
    at_its_time(tx, now)?;
    let address = entry.address.map(octets);
    tx.queue_one(
        INSERT,
        &[
            now.into(),
            entry.network.map(NetworkId::as_bytes).into(),
            entry.kind.into(),
            actor.name.into(),
            actor.source_address.into(),
            actor.request_id.into(),
            entry.subject.into(),
            address.as_ref().map(address::Octets::as_slice).into(),
            entry.detail.into(),
        ],
    )
}

/// What happened, to what, at whose request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in seconds since the Unix epoch: the time of its transaction. That of a record of
    /// something else belongs into `detail`.
    pub at: i64,
    /// In which network, if in one.
    pub network: Option<NetworkId>,
    /// What: a stable word, such as `lease.allocated`.
    pub kind: String,
    /// Who asked.
    pub actor: String,
    /// From where.
    pub source_address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// The id of what it is about: an owner, a node.
    pub subject: Option<Vec<u8>>,
    /// The address it is about.
    pub address: Option<IpAddr>,
    /// Anything else, for people.
    pub detail: Option<String>,
}

impl Event {
    /// An event with nothing but time, kind and actor.
    #[must_use]
    pub fn new(at: i64, kind: impl Into<String>, actor: impl Into<String>) -> Self {
        Self {
            at,
            network: None,
            kind: kind.into(),
            actor: actor.into(),
            source_address: None,
            request_id: None,
            subject: None,
            address: None,
            detail: None,
        }
    }
}

/// What the kinds of this crate's own events begin with.
const RESERVED: [&str; 5] = ["lease.", "pool.", "block.", "reservation.", "clock."];

/// Appends an event of a caller's. Kinds that begin with `lease.`, `pool.`, `block.`, `reservation.`
/// and `clock.` are this crate's: the stored state is judged by them.
///
/// # Errors
///
/// [`Error::ReservedKind`], [`Error::UnusableText`], and the engine's; [`Error::AnotherTime`] when
/// the event is not of the transaction's time. In a transaction that a writer did not begin that is
/// the caller's word, but not more than an hour before the last event.
pub fn append(tx: &mut dyn Transaction, event: &Event) -> Result<(), Error> {
    if RESERVED.iter().any(|reserved| event.kind.starts_with(reserved)) {
        return Err(Error::ReservedKind { kind: event.kind.clone() });
    }
    not_of_long_ago(tx, event.at)?;
    let Event { source_address, request_id, .. } = event;
    let (source_address, request_id) = (source_address.as_deref(), request_id.as_deref());
    Actor { name: &event.actor, source_address, request_id }.check()?;
    limits::check("kind", &event.kind, limits::NAME)?;
    limits::check("detail", event.detail.as_deref().unwrap_or_default(), limits::DETAIL)?;
    let address = event.address.map(octets);
    tx.queue_one(
        INSERT,
        &[
            event.at.into(),
            event.network.as_ref().map(NetworkId::as_bytes).into(),
            event.kind.as_str().into(),
            event.actor.as_str().into(),
            event.source_address.as_deref().into(),
            event.request_id.as_deref().into(),
            event.subject.as_deref().into(),
            address.as_ref().map(address::Octets::as_slice).into(),
            event.detail.as_deref().into(),
        ],
    )
}

/// The events after the one of this id (0 for all), oldest first, at most `limit` of them, each
/// with its id. Of one network, or of all and of none.
///
/// Going on after the last of them misses none. On PostgreSQL an event has its id before its commit,
/// so the answer ends before events that an open transaction of this crate may still precede: for
/// milliseconds, or for 10 seconds if a process stalls. Other transactions do not matter, however long
/// they are open. On a reader call this first: in a snapshot that was made already it answers what was
/// known to be complete when the transaction began.
///
/// # Errors
///
/// The engine's; [`Error::Unavailable`] on a PostgreSQL standby, which cannot know.
pub fn after(
    tx: &mut dyn Transaction,
    network: Option<NetworkId>,
    id: i64,
    limit: usize,
) -> Result<Vec<(i64, Event)>, Error> {
    let limit = self::limit(limit);
    let last = tx.last_settled_event()?;
    let rows = match &network {
        Some(network) => {
            let network = network.as_bytes().into();
            tx.query(OF_NETWORK, &[network, id.into(), last.into(), limit.into()])?
        }
        None => tx.query(AFTER, &[id.into(), last.into(), limit.into()])?,
    };
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<(i64, Event), Error> {
    let mut row = row.columns();
    let id = row.integer()?;
    let event = Event {
        at: row.integer()?,
        network: row.optional_array()?.map(NetworkId),
        kind: row.text()?.to_owned(),
        actor: row.text()?.to_owned(),
        source_address: row.optional_text()?.map(str::to_owned),
        request_id: row.optional_text()?.map(str::to_owned),
        subject: row.optional_blob()?.map(<[u8]>::to_vec),
        address: row.optional_address()?,
        detail: row.optional_text()?.map(str::to_owned),
    };
    Ok((id, event))
}

/// The texts of this module, for tests of their plans.
#[cfg(test)]
pub(crate) mod statements {
    pub(crate) use super::search::{
        BY_ID, KIND_DOWN, KIND_UP, NETWORK_DOWN, NETWORK_UP, NETWORKS, SUBJECT_DOWN, SUBJECT_UP,
    };
}
