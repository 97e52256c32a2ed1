//! The program `nebula-gc`: the server, the operators' commands, and joining devices to networks.

mod admin;
mod agent;
mod arguments;
mod clock;
mod completions;
mod confirm_clock;
mod join;
mod leave;
mod machine;
mod manual;
mod node_commands;
mod operator_key;
mod plain_http;
mod program;
mod program_name;
mod secrets;
mod serve;
mod status;
mod terminal;
mod times;
mod update;
mod verify;

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

use self::admin::Form;

/// Wipes all memory when it is freed: keys and tokens pass through buffers of libraries that do not wipe
/// them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    program::run(parse, |name, matches| match name {
        "serve" => Some(serve::run(matches)),
        "secrets" => Some(secrets::run(matches)),
        "operator-key" => Some(operator_key::run(matches)),
        "admin" => Some(admin::run(matches)),
        "verify" => Some(verify::run(matches)),
        "confirm-clock" => Some(confirm_clock::run(matches)),
        "completions" => Some(completions::run(matches, command(Form::Shown))),
        "manual" => Some(manual::run(matches, command(Form::Shown))),
        name => node_commands::run(name, matches),
    })
}

fn parse() -> Result<ArgMatches, clap::Error> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let form = admin::form(&arguments, command(Form::Counted))?;
    command(form).try_get_matches_from(arguments)
}

fn command(form: Form) -> Command {
    program::command()
        .about("The control plane for Nebula overlay networks")
        .subcommand(serve::command())
        .subcommand(admin::command(form))
        .subcommands(node_commands::all())
        .subcommand(secrets::command())
        .subcommand(operator_key::command())
        .subcommand(verify::command())
        .subcommand(confirm_clock::command())
        .subcommand(completions::command())
        .subcommand(manual::command())
}
