//! Durable address allocation for overlay networks.
//!
//! Free space is stored as intervals, so that a pool costs the same for a /30, a /8 and an IPv6
//! /64, and an address is taken or given back by touching a constant number of rows. An address has
//! one holder because the database's own unique key says so; what is answered is on disk.
//!
//! ```
//! use nebula_alloc::lease::Request;
//! use nebula_alloc::pool::Pool;
//! use nebula_alloc::{
//!     Allocator, Family, NetworkId, OwnerId, PoolId, Sqlite, Writer, WriterOptions, usable,
//! };
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("addresses.db");
//! # let clock = || 1_800_000_000;
//! let store = Sqlite::open(&path)?;
//! let writer = Writer::start(store, clock, WriterOptions::default())?;
//! let allocator = Allocator::new(writer, "example");
//!
//! // Ids are the caller's, 16 bytes each; UUIDv7 is a good choice.
//! let (network, pool, owner) = (NetworkId([1; 16]), PoolId([2; 16]), OwnerId([3; 16]));
//! let range = usable("10.42.0.0/16".parse()?).ok_or("not a Nebula prefix")?;
//! allocator.create_pool(Pool { id: pool, network, range, position: 0 }).wait()?;
//!
//! let request = Request {
//!     network,
//!     owner,
//!     family: Family::V4,
//!     address: None,
//!     pool: None,
//!     hold_until: 1_800_086_400,
//!     until: None,
//! };
//! let lease = allocator.allocate(request).wait()?;
//! assert_eq!(lease.address.to_string(), "10.42.0.1");
//! assert_eq!(allocator.allocate(request).wait()?, lease); // asking again is safe
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`lease`] and [`pool`] are the operations, written once over the [`store::Transaction`]
//!   seam: they take part in a transaction of the caller's, see
//!   [`SqliteTransaction`](store::sqlite::SqliteTransaction).
//! * [`Writer`] makes many callers share a commit; [`Allocator`] is the short way to use it.
//! * [`reclaim`] returns what has ended, [`removal`] ends a whole network, [`verify`] checks the stored state, [`event`] is the audit
//!   log.
//!
//! Times are seconds since the Unix epoch and arguments: the crate reads no clock.

#![forbid(unsafe_code)]

mod address;
mod allocator;
pub mod block;
pub mod clock;
mod error;
pub mod event;
mod fullness;
pub mod guide;
mod id;
pub mod import;
mod interval;
pub mod lease;
pub mod limits;
pub mod pool;
pub mod reclaim;
pub mod removal;
pub mod reservation;
mod schema;
pub mod store;
mod utc;
pub mod verify;
pub mod writer;

pub use address::{AddressRange, Family, InvalidRange, usable};
pub use allocator::Allocator;
pub use clock::Clock;
pub use error::{
    Contention, Doubt, EngineFault, Error, FileFault, Keeper, Misuse, Outage, Remedy, SchemaFault,
};
pub use event::Actor;
pub use id::{LeaseId, NetworkId, OwnerId, PoolId};
/// The version whose transactions this crate takes part in.
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use schema::COMPONENT;
#[cfg(feature = "postgres")]
pub use store::postgres::{Postgres, PostgresReaders, Protection};
#[cfg(feature = "sqlite")]
pub use store::sqlite::{Readers, Sqlite};
pub use writer::{Writer, WriterOptions};

/// The package's front page, so that it is tested.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
mod front_page {}
