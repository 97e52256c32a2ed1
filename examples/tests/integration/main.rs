//! Do the examples do what they show?
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here is a failed test"
)]
#![allow(unreachable_pub, reason = "they are for the modules here")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the overlay tests use the rest")]
mod support;

mod addresses;
mod certificates;
mod crash;
mod external_signer;
mod libraries;
mod load;
mod newcomer;
