//! The commands for a machine's nodes, which both programs have.

use clap::{ArgMatches, Command};

use crate::program::Outcome;
use crate::{agent, join, leave, status, update};

/// In the order of the help.
pub(crate) fn all() -> [Command; 5] {
    [join::command(), agent::command(), update::command(), status::command(), leave::command()]
}

/// Runs one of them; nothing for another name.
pub(crate) fn run(name: &str, matches: &ArgMatches) -> Option<Outcome> {
    match name {
        "join" => Some(join::run(matches)),
        "agent" => Some(agent::run(matches)),
        "update" => Some(update::run(matches)),
        "status" => Some(status::run(matches)),
        "leave" => Some(leave::run(matches)),
        _ => None,
    }
}
