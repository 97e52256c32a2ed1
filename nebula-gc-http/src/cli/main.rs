//! The program `nebula-gc`: the server, the operators' commands, and joining devices to networks.

mod admin;
mod agent;
mod arguments;
mod completions;
mod confirm_clock;
mod join;
mod leave;
mod machine;
mod manual;
mod operator_key;
mod secrets;
mod serve;
mod status;
mod terminal;
mod times;
mod update;
mod verify;

use std::error::Error;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Command;
use mimalloc::MiMalloc;
use nebula_gc_http::server::forbid_dumps;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory when it is freed: keys and tokens pass through buffers of libraries that do not wipe
/// them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    // Every command reads keys or tokens.
    forbid_dumps();
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let done = match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("secrets", matches)) => secrets::run(matches),
        Some(("operator-key", matches)) => operator_key::run(matches),
        Some(("admin", matches)) => admin::run(matches),
        Some(("join", matches)) => join::run(matches),
        Some(("agent", matches)) => agent::run(matches),
        Some(("leave", matches)) => leave::run(matches),
        Some(("update", matches)) => update::run(matches),
        Some(("status", matches)) => status::run(matches),
        Some(("verify", matches)) => verify::run(matches),
        Some(("confirm-clock", matches)) => confirm_clock::run(matches),
        Some(("completions", matches)) => completions::run(matches, command()),
        Some(("manual", matches)) => manual::run(matches, command()),
        // clap requires one of them.
        _ => Ok(ExitCode::FAILURE),
    };
    done.unwrap_or_else(|error: Box<dyn Error>| {
        if terminal::has_read_enough(&*error) {
            return ExitCode::SUCCESS;
        }
        terminal::report_error(&*error);
        ExitCode::FAILURE
    })
}

/// Prints what is wrong with the arguments, or the help that they ask for. The exit codes of `status` say
/// how the networks are, so that wrong usage has another.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let is_status = std::env::args_os().nth(1).is_some_and(|word| word == "status");
    match error.exit_code() {
        2 if is_status => ExitCode::from(64),
        code => ExitCode::from(u8::try_from(code).unwrap_or(1)),
    }
}

fn command() -> Command {
    Command::new("nebula-gc")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The control plane for Nebula overlay networks")
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command())
        .subcommand(admin::command())
        .subcommand(join::command())
        .subcommand(agent::command())
        .subcommand(update::command())
        .subcommand(status::command())
        .subcommand(leave::command())
        .subcommand(secrets::command())
        .subcommand(operator_key::command())
        .subcommand(verify::command())
        .subcommand(confirm_clock::command())
        .subcommand(completions::command())
        .subcommand(manual::command())
}

/// A time, given in seconds since the Unix epoch, in the form of RFC 3339.
fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// Seconds since the Unix epoch.
fn now() -> Result<i64, Box<dyn Error>> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}
