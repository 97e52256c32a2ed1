//! Does a supervised Nebula run with what is wanted, whatever it refuses, ignores or dies of?

mod fake;
#[path = "../../../examples/tests/support/peers.rs"]
#[allow(dead_code, reason = "the examples' tests use the rest")]
mod peers;
mod place;
mod real;
mod reloads;
