//! Do nodes reach each other with the real Nebula? Apart, because what they do is timed.
#![cfg(target_os = "linux")]
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
#[allow(dead_code, reason = "the other tests use the rest")]
mod support;

mod agent;
mod nat;
mod native_overlay;
mod networks;
mod overlay;
mod tunnel;
