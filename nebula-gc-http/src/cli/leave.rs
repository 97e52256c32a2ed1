//! `nebula-gc leave`: takes this machine out of a network.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use nebula_gc_http::agent::{self, AgentError};
use nebula_gc_http::client::printable;
use nebula_gc_http::shell_word;

use crate::program_name::NAME;
use crate::{machine, terminal};

const NETWORK: &str = "network";
/// How long a running agent may take to stop its nebula.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn command() -> Command {
    Command::new("leave")
        .about("Take this machine out of a network")
        .long_about(
            "Take this machine out of a network\n\n\
             A running agent stops its nebula; a nebula that runs without an agent is not stopped. Then the \
             network's directory is removed, with the private key. The node keeps its address until an \
             operator releases it.",
        )
        .arg(
            Arg::new(NETWORK)
                .value_name("NETWORK")
                .required(true)
                .help("The network's name, or its directory"),
        )
        .arg(machine::nodes_argument())
        .after_help(format!(
            "Example:\n  {NAME} leave home\n\nExit codes: 0 it has left, 1 it could not, 2 wrong usage."
        ))
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let network = matches.get_one::<String>(NETWORK).cloned().unwrap_or_default();
    let path = machine::directory_of(&machine::nodes(matches), &network)?;
    machine::become_owner_of(&path)?;
    let begun = Instant::now();
    let left = loop {
        match agent::leave(&path) {
            // It has been told, and gives the directory back.
            Err(AgentError::Locked { .. }) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            left => break left?,
        }
    };
    let (network, name) = (printable(&left.network), printable(&left.name));
    terminal::print(&format!(
        "This machine has left {network}. Its node keeps its address until an operator releases it:\n  \
         nebula-gc admin nodes release {} {}\n",
        shell_word(&network),
        shell_word(&name)
    ))?;
    Ok(ExitCode::SUCCESS)
}
