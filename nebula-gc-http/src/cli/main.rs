//! `nebula-gc`: the server, and what belongs to it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod arguments;
mod secrets;
mod serve;

use std::error::Error;
use std::process::ExitCode;

use clap::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let done = match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("secrets", matches)) => secrets::run(matches),
        // clap asks for one of them.
        _ => Ok(ExitCode::FAILURE),
    };
    done.unwrap_or_else(|error: Box<dyn Error>| {
        eprintln!("nebula-gc: {error}");
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
        .subcommand(secrets::command())
}
