//! What the two programs, `nebula-gc` and `nebula-gc-agent`, have in common.

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use nebula_gc_http::forbid_dumps;

use crate::program_name::NAME;
use crate::terminal;

/// How a command ends.
pub(crate) type Outcome = Result<ExitCode, Box<dyn Error>>;

/// The program's command line, without its commands.
pub(crate) fn command() -> Command {
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// Runs the command that is asked for, by its name.
pub(crate) fn run(
    parse: impl FnOnce() -> Result<ArgMatches, clap::Error>,
    run: impl Fn(&str, &ArgMatches) -> Option<Outcome>,
) -> ExitCode {
    // Every command reads keys or tokens.
    forbid_dumps();
    let matches = match parse() {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    // clap requires one of them.
    let done = matches.subcommand().and_then(|(name, matches)| run(name, matches));
    done.unwrap_or(Ok(ExitCode::FAILURE)).unwrap_or_else(|error| {
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
