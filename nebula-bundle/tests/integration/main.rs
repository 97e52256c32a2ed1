//! The integration tests of this crate: one module for each question.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failure here is a failed test; `support::peers` is of another crate's tests, too"
)]

mod archives;
mod checking;
mod determinism;
mod inline;
mod installing;
mod rendering;
mod snapshot;
mod support;
mod unpacking;
