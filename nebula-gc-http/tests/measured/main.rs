//! What is measured, so that nothing else may run meanwhile: ratios to a quiet server, and memory.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a failure here is a failed test"
)]

mod under_load;
mod waiting;

use nebula_gc_http::server::raise_file_limit;
use tokio::sync::{Mutex, MutexGuard};

/// As `nebula-gc` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn alone() -> MutexGuard<'static, ()> {
    let turn = ALONE.lock().await;
    raise_file_limit();
    turn
}
