//! The guide: a section for each task, with examples that run.
//!
//! Times are signed Unix seconds. The examples use `now`; a program reads its clock in one place:
//!
//! ```
//! use std::time::{SystemTime, UNIX_EPOCH};
//!
//! let now: i64 = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?;
//! # assert!(now > 1_700_000_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whole programs are in the repository's `examples`: `embed-ca`, `sign-received-key`,
//! `verify-peer`, and `replace-nebula-cert`, which shows each call beside the command line that it
//! replaces.
// A section is only in the documentation of builds that have the features it uses.
#![cfg_attr(feature = "system-random", doc = include_str!("guide/authorities.md"))]
#![cfg_attr(all(feature = "encryption", feature = "system-random"), doc = include_str!("guide/encrypted.md"))]
#![cfg_attr(feature = "system-random", doc = include_str!("guide/hosts.md"))]
#![cfg_attr(feature = "system-random", doc = include_str!("guide/trust.md"))]
#![cfg_attr(feature = "system-random", doc = include_str!("guide/show.md"))]
#![cfg_attr(all(feature = "qr", feature = "system-random"), doc = include_str!("guide/qr.md"))]
#![cfg_attr(feature = "system-random", doc = include_str!("guide/signers.md"))]
#![cfg_attr(feature = "pkcs11", doc = include_str!("guide/pkcs11.md"))]
#![doc = include_str!("guide/choices.md")]
#![doc = include_str!("guide/errors.md")]
#![doc = include_str!("guide/refusals.md")]
#![doc = include_str!("guide/limits.md")]

/// What the package's front page shows, so that it is tested too.
#[cfg(all(doctest, feature = "system-random"))]
#[doc = include_str!("../README.md")]
mod readme {}
