//! `nebula-gc agent`: keeps the networks of this machine.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use nebula_gc_http::agent::{self, KeepOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::program_name::NAME;
use crate::{machine, terminal};

const NEW_KEYS: &str = "new-keys";
const LOG: &str = "log";
const TOKEN_AGE: &str = "token-age";
const POLL: &str = "poll";

pub(crate) fn command() -> Command {
    Command::new("agent")
        .about("Keep the networks of this machine: run nebula, renew, apply what changes")
        .long_about(format!(
            "Keep the networks of this machine\n\n\
             Runs nebula for each network that {NAME} join has added below --dir, also later: waits for \
             changes, checks and installs them, reloads or restarts nebula, goes back to the former \
             configuration where nebula refuses one, renews certificates in time, and reports. With the \
             servers away it goes on with what it has. {NAME} status shows how it is.",
        ))
        .after_help(format!("Example:\n  {NAME} agent --new-keys"))
        .arg(machine::nodes_argument())
        .arg(machine::nebula_argument())
        .arg(
            Arg::new(NEW_KEYS)
                .long(NEW_KEYS)
                .action(ArgAction::SetTrue)
                .help("Make a new private key for each renewal of a certificate"),
        )
        .arg(
            Arg::new(TOKEN_AGE)
                .long(TOKEN_AGE)
                .value_name("SECONDS")
                .default_value("2592000")
                .value_parser(clap::value_parser!(u64).range(1..))
                .help("Replace a node's token when it is this old, in seconds"),
        )
        .arg(
            Arg::new(POLL)
                .long(POLL)
                .value_name("SECONDS")
                .default_value("25")
                .value_parser(clap::value_parser!(u64).range(1..=60))
                .help(
                    "How long a request waits for changes, in seconds: shorter than any proxy on the way to \
                     the server lets a connection be idle",
                ),
        )
        .arg(
            Arg::new(LOG)
                .long(LOG)
                .value_name("FILTER")
                .default_value("info")
                .help("What is logged, as in info or nebula_gc_http=debug"),
        )
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let filter = matches.get_one::<String>(LOG).map_or("info", String::as_str);
    let filter: Targets = filter.parse().map_err(|error| format!("--log: {error}"))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal::has_colour());
    tracing_subscriber::registry().with(lines).with(filter).init();
    let options = KeepOptions {
        new_keys: matches.get_flag(NEW_KEYS),
        token_age: Duration::from_secs(matches.get_one::<u64>(TOKEN_AGE).copied().unwrap_or(1)),
        nebula: machine::nebula(matches),
        poll: Duration::from_secs(matches.get_one::<u64>(POLL).copied().unwrap_or(25)),
        ..KeepOptions::default()
    };
    let nodes = machine::nodes(matches);
    machine::become_owner_of(&nodes)?;
    machine::runtime()?.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                tracing::info!("SIGHUP: nothing to reload; changes are noticed as they come");
            }
        });
        let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let running = agent::run(&nodes, options, stopped);
        tokio::pin!(running);
        let [terminate, interrupt] = &mut signals;
        tokio::select! {
            ended = &mut running => ended?,
            _ = terminate.recv() => {
                let _ = stop.send(true);
                running.await?;
            }
            _ = interrupt.recv() => {
                let _ = stop.send(true);
                running.await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
