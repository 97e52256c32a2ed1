//! `nebula-gc update`: one round for one network, for machines without an agent.

use std::error::Error;
use std::path::PathBuf;
use std::process::{self, ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command};
use nebula_gc_http::agent::{AgentError, Node, ProblemKind, RoundOptions, RoundOutcome};
use nebula_gc_http::client::printable;

use crate::clock::now;
use crate::program_name::NAME;
use crate::{join, machine, terminal};

const DIRECTORY: &str = "directory";
const NEW_KEY: &str = "new-key";
const NEW_TOKEN: &str = "new-token";
const ACCEPT_OLDER: &str = "accept-older";
const RELOAD_BY: &str = "reload";
const RESTART_BY: &str = "restart";
/// Nebula is to be reloaded.
const RELOAD: u8 = 10;
/// Nebula is to be restarted.
const RESTART: u8 = 11;
/// An agent or another command uses the directory.
const IN_USE: u8 = 12;

pub(crate) fn command() -> Command {
    Command::new("update")
        .about("Bring one network of this machine up to date, without an agent")
        .long_about(
            "Bring one network of this machine up to date, without an agent\n\n\
             Renews the certificate if that is due, fetches the bundle, installs it if nebula (where there \
             is one) accepts it, runs --reload or --restart if nebula has to read it, and reports. Run it \
             every hour. Without --reload and --restart, reload or restart nebula yourself, as the exit \
             code says; the next round reports it, and until then operators see this node as behind.",
        )
        .after_help(
            format!("Example:\n  {NAME} update /etc/nebula-gc/nodes/home --restart 'systemctl restart nebula@home'\n\n\
             Exit codes:\n  \
             0   nothing has changed\n  \
             1   it failed and changed nothing, or the command given failed\n  \
             2   wrong usage\n  \
             10  nebula must be reloaded (SIGHUP), or --reload did it\n  \
             11  nebula must be started or restarted, or --restart did it\n  \
             12  nothing was done: an agent or another command uses the directory"),
        )
        .arg(
            Arg::new(DIRECTORY)
                .value_name("DIR")
                .required(true)
                .help(format!("The network's directory, as {NAME} join made it")),
        )
        .arg(
            Arg::new(NEW_KEY)
                .long(NEW_KEY)
                .action(ArgAction::SetTrue)
                .help("Renew the certificate now, for a new private key"),
        )
        .arg(
            Arg::new(NEW_TOKEN)
                .long(NEW_TOKEN)
                .action(ArgAction::SetTrue)
                .help("Replace the node's token by a new one"),
        )
        .arg(Arg::new(ACCEPT_OLDER).long(ACCEPT_OLDER).action(ArgAction::SetTrue).help(
            "Install what the server gives although it is older than what is installed: after its database \
             was restored from a copy. Revocations since that copy are undone by it",
        ))
        .arg(Arg::new(RELOAD_BY).long(RELOAD_BY).value_name("COMMAND").help(
            "Reload nebula with this command, which sh runs, where that is enough; such as 'systemctl reload nebula@home'",
        ))
        .arg(Arg::new(RESTART_BY).long(RESTART_BY).value_name("COMMAND").help(
            "Start or restart nebula with this command, which sh runs, where that is needed; such as 'systemctl restart nebula@home'",
        ))
        .arg(machine::nebula_argument())
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let path = matches.get_one::<String>(DIRECTORY).map(PathBuf::from).unwrap_or_default();
    machine::become_owner_of(&path)?;
    let (mut node, exposed) = match Node::open(&path) {
        Err(AgentError::Locked { path }) => {
            terminal::print(&format!(
                "{} is in use by an agent or another command; nothing to do\n",
                path.display()
            ))?;
            return Ok(ExitCode::from(IN_USE));
        }
        opened => opened?,
    };
    join::warn_of(&exposed);
    let options = RoundOptions {
        new_key: matches.get_flag(NEW_KEY),
        new_token: matches.get_flag(NEW_TOKEN),
        accept_older: matches.get_flag(ACCEPT_OLDER),
        repeat_awaited: matches.contains_id(RELOAD_BY) || matches.contains_id(RESTART_BY),
        nebula: machine::nebula(matches),
    };
    let outcome = machine::runtime()?.block_on(node.round(&options, now()?));
    let outcome = outcome.map_err(|error| join::explained(error, None))?;
    let (code, line) = match outcome {
        RoundOutcome::Nothing => (0, "nothing has changed".to_owned()),
        RoundOutcome::Reload => (RELOAD, "nebula must be reloaded".to_owned()),
        RoundOutcome::Restart { reason } => {
            (RESTART, format!("nebula must be restarted ({reason})"))
        }
        RoundOutcome::RolledBack => (
            RELOAD,
            "nebula refuses the new configuration, and must be reloaded with the former one"
                .to_owned(),
        ),
        RoundOutcome::TrustOnly => {
            let problem = node.state.problems.get(&ProblemKind::Local);
            let detail = problem.map_or("a file in local.d can't be used", |it| it.detail.as_str());
            terminal::warn(&format!(
                "{}; only revocations and CAs are installed",
                printable(detail)
            ));
            (RELOAD, "nebula must be reloaded".to_owned())
        }
        RoundOutcome::Refused => return Err(refused(&node).into()),
    };
    let network = printable(&node.membership.network);
    let revision = node.applied.as_ref().map_or(0, |applied| applied.revision);
    terminal::print(&format!("{network}: revision {revision}; {}\n", printable(&line)))?;
    let command = match code {
        RELOAD => matches.get_one::<String>(RELOAD_BY),
        RESTART => matches.get_one::<String>(RESTART_BY),
        _ => None,
    };
    if let Some(command) = command {
        terminal::print(&format!("running: {}\n", printable(command)))?;
        carry_out(command)?;
        machine::runtime()?.block_on(node.report_taken(now()?))?;
    }
    Ok(ExitCode::from(code))
}

/// Why there is nothing to start.
fn refused(node: &Node) -> String {
    let problem = node.state.problems.get(&ProblemKind::NebulaRefused);
    let detail = problem.map_or("nebula refuses the configuration", |problem| &problem.detail);
    let configuration = node.configuration();
    format!(
        "{}, and there is no former one to go back to; nebula -test -config {} says why",
        printable(detail),
        nebula_gc_http::shell_word(&configuration.to_string_lossy())
    )
}

/// Runs a command line of the user's own.
fn carry_out(command: &str) -> Result<(), Box<dyn Error>> {
    let status = process::Command::new("sh").args(["-c", command]).status();
    match status.map_err(|error| format!("sh: {error}"))? {
        status if status.success() => Ok(()),
        status => Err(format!("{command}: {status}; the next round runs it again").into()),
    }
}
