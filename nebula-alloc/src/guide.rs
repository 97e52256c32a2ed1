//! A section for each task, with examples that run as they are.
//!
//! The examples share these lines, which the first of them shows and the others hide:
//!
//! ```
//! use nebula_alloc::lease::Request;
//! use nebula_alloc::pool::Pool;
//! use nebula_alloc::{
//!     Allocator, Family, NetworkId, OwnerId, PoolId, Sqlite, Writer, WriterOptions, usable,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("addresses.db");
//! # let clock = || 1_800_000_000;
//! // `clock` returns seconds since the Unix epoch; ids are 16 bytes of the caller's choice.
//! let writer = Writer::start(Sqlite::open(path)?, clock, WriterOptions::default())?;
//! let allocator = Allocator::new(writer, "who the events name");
//! let (network, pool) = (NetworkId([1; 16]), PoolId([2; 16]));
//! let range = usable("10.42.0.0/16".parse()?).ok_or("not a Nebula prefix")?;
//! allocator.create_pool(Pool { id: pool, network, range, position: 0 }).wait()?;
//!
//! let request = |owner: u8| Request {
//!     network,
//!     owner: OwnerId([owner; 16]),
//!     family: Family::V4,
//!     address: None,
//!     pool: None,
//!     hold_until: 0,
//!     until: None,
//! };
//! # allocator.allocate(request(1)).wait()?;
//! # Ok(())
//! # }
//! ```
// Each section is only in the documentation of builds that have what it shows.
#![cfg_attr(feature = "sqlite", doc = include_str!("guide/lease.md"))]
#![cfg_attr(feature = "sqlite", doc = include_str!("guide/pools.md"))]
#![cfg_attr(feature = "sqlite", doc = include_str!("guide/reservations.md"))]
#![cfg_attr(feature = "sqlite", doc = include_str!("guide/transactions.md"))]
#![cfg_attr(feature = "sqlite", doc = include_str!("guide/engines.md"))]
#![cfg_attr(feature = "sqlite", doc = include_str!("guide/operation.md"))]
#![doc = include_str!("guide/limits.md")]
