//! `nebula-gc`: the server, its operators' commands, and how a device joins.

mod admin;
mod arguments;
mod confirm_clock;
mod join;
mod operator_key;
mod secrets;
mod serve;
mod terminal;
mod verify;

use std::error::Error;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Command;
use mimalloc::MiMalloc;
use nebula_gc_http::server::forbid_dumps;
use zeroizing_alloc::ZeroAlloc;

/// Keys and tokens are in requests and answers, and so in buffers of libraries that know nothing of
/// them: whatever is freed is wiped.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    // Keys and tokens are read by all that it does.
    forbid_dumps();
    let matches = command().get_matches();
    let done = match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("secrets", matches)) => secrets::run(matches),
        Some(("operator-key", matches)) => operator_key::run(matches),
        Some(("admin", matches)) => admin::run(matches),
        Some(("join", matches)) => join::run(matches),
        Some(("verify", matches)) => verify::run(matches),
        Some(("confirm-clock", matches)) => confirm_clock::run(matches),
        // clap asks for one of them.
        _ => Ok(ExitCode::FAILURE),
    };
    done.unwrap_or_else(|error: Box<dyn Error>| {
        if terminal::has_read_enough(&*error) {
            return ExitCode::SUCCESS;
        }
        terminal::complain(&*error);
        ExitCode::FAILURE
    })
}

fn command() -> Command {
    Command::new("nebula-gc")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The control plane for Nebula overlay networks")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command())
        .subcommand(admin::command())
        .subcommand(join::command())
        .subcommand(secrets::command())
        .subcommand(operator_key::command())
        .subcommand(verify::command())
        .subcommand(confirm_clock::command())
}

/// Seconds since the Unix epoch.
/// As RFC 3339 writes it.
fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

fn now() -> Result<i64, Box<dyn Error>> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}
