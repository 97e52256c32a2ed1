//! What can go wrong, as one enum.

mod cause;
mod code;

use std::net::IpAddr;
use std::path::PathBuf;

pub use self::cause::{
    Contention, Doubt, EngineFault, FileFault, Keeper, Misuse, Outage, Remedy, SchemaFault,
};
use crate::address::{AddressRange, Family, InvalidRange};
use crate::utc::utc;
use crate::{LeaseId, NetworkId, OwnerId, PoolId};

/// Why a request was refused or could not be carried out.
///
/// Values compare equal when variant and fields do, so that tests match variants, not texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Every address of the network's pools of this family is leased or in quarantine.
    #[error("no free {family} address in network {network}")]
    PoolExhausted {
        /// The network asked.
        network: NetworkId,
        /// The family asked for.
        family: Family,
    },
    /// The network has no pool of this family.
    #[error("network {network} has no {family} pool")]
    NoPool {
        /// The network asked.
        network: NetworkId,
        /// The family asked for.
        family: Family,
    },
    /// The address asked for has an active holder.
    #[error("address {address} of network {network} is taken")]
    AddressTaken {
        /// The network asked.
        network: NetworkId,
        /// The address asked for.
        address: IpAddr,
    },
    /// The address asked for is in quarantine for another owner.
    #[error("address {address} of network {network} is in quarantine until {}", utc(*until))]
    AddressQuarantined {
        /// The network asked.
        network: NetworkId,
        /// The address asked for.
        address: IpAddr,
        /// End of the quarantine, in seconds since the Unix epoch.
        until: i64,
    },
    /// The address asked for lies in no pool of the network.
    #[error("address {address} lies in no pool of network {network}")]
    AddressOutsidePools {
        /// The network asked.
        network: NetworkId,
        /// The address asked for.
        address: IpAddr,
    },
    /// The address asked for is reserved for others, or excluded.
    #[error("address {address} of network {network} is {by}")]
    AddressReserved {
        /// The network asked.
        network: NetworkId,
        /// The address asked for.
        address: IpAddr,
        /// What keeps it.
        by: Keeper,
    },
    /// The address asked for lies in another pool than the one asked for.
    #[error("address {address} does not lie in pool {pool}")]
    AddressInAnotherPool {
        /// The address asked for.
        address: IpAddr,
        /// The pool asked for.
        pool: PoolId,
    },
    /// The owner asked a pool or block while it holds an address of the same family from another.
    #[error("owner {owner} holds {held} in network {network}, which is not from pool {pool}")]
    OwnerHoldsElsewhere {
        /// The network asked.
        network: NetworkId,
        /// The owner asking.
        owner: OwnerId,
        /// The address it holds.
        held: IpAddr,
        /// The pool it asked for.
        pool: PoolId,
    },
    /// The owner has no active lease in the network.
    #[error("owner {owner} has no lease in network {network}")]
    NoLease {
        /// The network asked.
        network: NetworkId,
        /// The owner.
        owner: OwnerId,
    },
    /// The lease that a request names is over, or another owner has it.
    #[error(
        "lease {} of {} is no longer that of owner {} in network {}",
        lease.number, lease.address, lease.owner, lease.network
    )]
    LeaseEnded {
        /// Its name.
        lease: LeaseId,
    },
    /// There is no such pool or block.
    #[error("there is no pool {pool}")]
    NoSuchPool {
        /// Its id.
        pool: PoolId,
    },
    /// There is no reservation of exactly this range.
    #[error("network {network} has no reservation of {range}")]
    NoSuchReservation {
        /// The network asked.
        network: NetworkId,
        /// The range asked for.
        range: AddressRange,
    },
    /// Leases are in the way of the change.
    #[error("{} of network {network} stand in the way: {}", count(addresses, *more), list(addresses, *more))]
    LeasesStand {
        /// The network.
        network: NetworkId,
        /// Their addresses, in order; the first 100.
        addresses: Vec<IpAddr>,
        /// Whether there are more.
        more: bool,
    },
    /// A block is in the way of the change.
    #[error("block {block} with {range} stands in the way")]
    BlockStands {
        /// Its id.
        block: PoolId,
        /// Its range.
        range: AddressRange,
    },
    /// A block is not inside its pool.
    #[error("{range} does not lie inside pool {pool}")]
    OutsidePool {
        /// The pool.
        pool: PoolId,
        /// The block's range.
        range: AddressRange,
    },
    /// A reservation would share addresses with one that is there.
    #[error("reservation {range} overlaps reservation {other} of network {network}")]
    ReservationOverlaps {
        /// The network.
        network: NetworkId,
        /// The new one.
        range: AddressRange,
        /// The one that is there.
        other: AddressRange,
    },
    /// An owner can have one pinned address per network and family.
    #[error("owner {owner} has an address pinned in network {network} already")]
    PinnedAlready {
        /// The network.
        network: NetworkId,
        /// The owner.
        owner: OwnerId,
    },
    /// The address asked for is of another family than the request.
    #[error("address {address} is not {family}")]
    WrongFamily {
        /// The address asked for.
        address: IpAddr,
        /// The family of the request.
        family: Family,
    },
    /// The owner asked for a given address while it holds another of the same family.
    #[error("owner {owner} holds {held} in network {network}, not {asked}")]
    OwnerHasAnother {
        /// The network asked.
        network: NetworkId,
        /// The owner asking.
        owner: OwnerId,
        /// The address it holds.
        held: IpAddr,
        /// The address it asked for.
        asked: IpAddr,
    },
    /// A new pool would share addresses with one that its network already has.
    #[error("pool {range} overlaps pool {pool} of network {network}")]
    Overlap {
        /// The network of both.
        network: NetworkId,
        /// The pool that is there.
        pool: PoolId,
        /// The range of the new one.
        range: AddressRange,
    },
    /// A text is too long, or has a NUL character, which PostgreSQL cannot store.
    #[error("{field} has more than {limit} bytes, or a NUL character")]
    UnusableText {
        /// What it was given as.
        field: &'static str,
        /// How many bytes it may have.
        limit: usize,
    },
    /// It would be more than one step may do, see [`limits`](crate::limits).
    #[error("there are more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// An owner can have one reserved address of a family, not a range.
    #[error("only one address can be reserved for an owner, not {range}")]
    RangeForOwner {
        /// What was to be reserved.
        range: AddressRange,
    },
    /// The two ends are of different families, or in the wrong order.
    #[error(transparent)]
    InvalidRange(#[from] InvalidRange),

    /// An operation or event was given another time than its transaction has. What happened at
    /// another time says so in its event's `detail`.
    #[error("time {given} is not the transaction's, {time}")]
    AnotherTime {
        /// What was given, in seconds since the Unix epoch.
        given: i64,
        /// The transaction's time: what the writer gave its step, or of a transaction of a caller's
        /// own the last event's, which is more than an hour later.
        time: i64,
    },
    /// An event of a caller's is called as those of this crate.
    #[error("events of kind {kind} are nebula-alloc's own")]
    ReservedKind {
        /// The kind.
        kind: String,
    },

    /// A row with the same unique key exists already.
    #[error("a row with this key is already there")]
    Unique,
    /// Another transaction was in the way; the same request may succeed at once.
    #[error("contended: {0}")]
    Contended(Contention),
    /// A row that [`queue_one`](crate::store::Transaction::queue_one) was to change was changed by
    /// another first; the same request may succeed at once.
    #[error("overtaken: {verb} changed {changed} rows instead of one")]
    Overtaken {
        /// What kind of statement it was.
        verb: String,
        /// How many rows it changed.
        changed: u64,
    },
    /// The store cannot serve now (full disk, failed input or output, shut down). Nothing of the
    /// request was stored.
    #[error("store unavailable: {0}")]
    Unavailable(Outage),
    /// The commit failed in a way that leaves open whether it took place. Asking again is safe.
    #[error("outcome unknown: {0}")]
    OutcomeUnknown(Doubt),
    /// The engine refused a statement, for a reason that is a defect of the program.
    #[error("database error: {0}")]
    Database(EngineFault),
    /// An earlier error of a statement aborted the transaction: nothing more can be done in it.
    #[error("transaction aborted by an earlier error: {0}")]
    Aborted(Box<Error>),
    /// A column does not hold what the program expects there.
    #[error("column {index} is {found}, expected {expected}")]
    Column {
        /// The column's index in the row, from 0.
        index: usize,
        /// What was expected.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A statement's parameters are not `$1, $2, …` in the order of their first appearance, are
    /// more or fewer than the values given, or the statement was given to the wrong method.
    #[error("unusable statement ({misuse}): {sql}")]
    Statement {
        /// What is wrong with it.
        misuse: Misuse,
        /// The text.
        sql: String,
    },
    /// The stored rows contradict each other; [`verify`](crate::verify::verify) shows where.
    #[error("stored state is inconsistent at {address} of pool {pool}")]
    Inconsistent {
        /// The pool.
        pool: PoolId,
        /// Where it was noticed.
        address: IpAddr,
    },

    /// The writer's queue is full.
    #[error("the writer's queue of {capacity} is full")]
    QueueFull {
        /// How many requests it holds.
        capacity: usize,
    },
    /// Code that a writer runs, a step or what is called with an answer, waited for an answer of a
    /// writer, which could wait for ever. What was queued is under way all the same.
    #[error("code that the writer runs must not wait for an answer; return, and wait outside")]
    WaitsInside,
    /// The request's own code panicked. Nothing of the request was stored.
    #[error("request panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// Another writer has the database open.
    #[error("{} is open in another writer", path.display())]
    SecondWriter {
        /// The database file.
        path: PathBuf,
    },
    /// The schema was written by a newer program and this one is too old to run on it.
    #[error("schema of {component} needs version {oldest} or newer, this program has {supported}")]
    SchemaTooNew {
        /// Whose tables.
        component: String,
        /// The oldest program version that may run on the schema.
        oldest: i64,
        /// This program's version.
        supported: i64,
    },
    /// The schema has to be migrated before it can be read: open the database for writing once.
    #[error("schema of {component} is of version {version}, this program reads {needed}")]
    SchemaTooOld {
        /// Whose tables.
        component: String,
        /// Their version; 0 when there are none.
        version: i64,
        /// The version that this program reads.
        needed: i64,
    },
    /// There are tables of the component's name that it did not make.
    #[error("schema of {component} is foreign: {fault}")]
    ForeignSchema {
        /// Whose tables.
        component: String,
        /// What is wrong with it.
        fault: SchemaFault,
    },
    /// The role that connects may not do what is needed. `GRANT` it, or connect as the owner of what
    /// it is about.
    #[error("role {role} needs {right} on {object}")]
    MissingRight {
        /// The role.
        role: String,
        /// What it needs: privileges as `GRANT` names them, or to be the owner.
        right: String,
        /// On which schema, table or sequence.
        object: String,
    },
    /// A setting that this crate relies on has another value.
    #[error("database setting {name} is {found}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

fn count(addresses: &[IpAddr], more: bool) -> String {
    format!("{}{} leases", if more { "more than " } else { "" }, addresses.len())
}

fn list(addresses: &[IpAddr], more: bool) -> String {
    let shown: Vec<_> = addresses.iter().take(10).map(IpAddr::to_string).collect();
    let dots = if more || addresses.len() > shown.len() { ", …" } else { "" };
    format!("{}{dots}", shown.join(", "))
}

impl Error {
    /// Whether an operation of this crate refused by what it read, before it wrote anything: the
    /// caller's transaction can go on and be committed. After any other error it must be rolled
    /// back; the writer and the engines' own `transaction` do so.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Error::PoolExhausted { .. }
            | Error::NoPool { .. }
            | Error::AddressTaken { .. }
            | Error::AddressQuarantined { .. }
            | Error::AddressOutsidePools { .. }
            | Error::AddressReserved { .. }
            | Error::AddressInAnotherPool { .. }
            | Error::OwnerHoldsElsewhere { .. }
            | Error::NoLease { .. }
            | Error::LeaseEnded { .. }
            | Error::NoSuchPool { .. }
            | Error::NoSuchReservation { .. }
            | Error::LeasesStand { .. }
            | Error::BlockStands { .. }
            | Error::OutsidePool { .. }
            | Error::ReservationOverlaps { .. }
            | Error::PinnedAlready { .. }
            | Error::WrongFamily { .. }
            | Error::OwnerHasAnother { .. }
            | Error::Overlap { .. }
            | Error::UnusableText { .. }
            | Error::TooMany { .. }
            | Error::InvalidRange(_)
            | Error::RangeForOwner { .. }
            | Error::AnotherTime { .. }
            | Error::ReservedKind { .. } => true,
            Error::Unique
            | Error::Contended(_)
            | Error::Overtaken { .. }
            | Error::Unavailable(_)
            | Error::OutcomeUnknown(_)
            | Error::Database(_)
            | Error::Aborted(_)
            | Error::Column { .. }
            | Error::Statement { .. }
            | Error::Inconsistent { .. }
            | Error::QueueFull { .. }
            | Error::WaitsInside
            | Error::Panicked { .. }
            | Error::SecondWriter { .. }
            | Error::SchemaTooNew { .. }
            | Error::SchemaTooOld { .. }
            | Error::ForeignSchema { .. }
            | Error::MissingRight { .. }
            | Error::Setting { .. } => false,
        }
    }

    /// Whether the same request may succeed later although nobody changes it or what it asks for:
    /// the store is busy, unavailable, or did not learn the outcome.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Error::Contended(_)
                | Error::Overtaken { .. }
                | Error::Unavailable(_)
                | Error::OutcomeUnknown(_)
                | Error::QueueFull { .. }
        )
    }

    /// Whether another transaction was in the way, so that the same may be tried again at once.
    pub(crate) fn is_contention(&self) -> bool {
        matches!(self, Error::Contended(_) | Error::Overtaken { .. })
    }
}
