//! What allocation promises, as its users see it: one module for each question.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here is a failed test"
)]
#![allow(unreachable_pub, reason = "they are for the modules here")]

#[path = "../shared/mod.rs"]
#[allow(dead_code, reason = "the control plane's tests use the rest")]
mod shared;
mod support;

mod broken_disk;
mod callers_transaction;
mod conformance;
mod damaged_file;
mod kill;
mod linearizable;
#[cfg(feature = "postgres")]
mod meanwhile;
mod model;
mod one_file;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_failover;
#[cfg(feature = "postgres")]
mod postgres_faults;
#[cfg(feature = "postgres")]
mod postgres_neighbours;
#[cfg(feature = "postgres")]
mod postgres_paused;
#[cfg(feature = "postgres")]
mod postgres_processes;
#[cfg(feature = "postgres")]
mod postgres_runs;
#[cfg(feature = "postgres")]
mod postgres_trips;
mod power_loss;
mod schema_of_file;
mod second_writer;
mod sql;
mod version_1;
