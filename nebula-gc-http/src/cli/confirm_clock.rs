//! `nebula-gc confirm-clock`.

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use nebula_gc_http::server::DataDirectory;

use crate::{arguments, now, terminal, time};

pub(crate) fn command() -> Command {
    let command = Command::new("confirm-clock")
        .about("Say that the clock is right, although events say that it was later already")
        .long_about(
            "Say that the clock is right, although events say that it was later already\n\n\
             A server does not start, or is not ready, while the last event in its database is more \
             than an hour ahead of the clock: one of the two is wrong. Put the clock right if it is \
             that. If it was wrong before, this makes time go on from now. Without --database, stop \
             the server first.",
        )
        .after_help("Example:\n  nebula-gc confirm-clock --data nebula-gc-data");
    arguments::with_settings(command, &["data", "database"])
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, _) = arguments::settings(matches)?;
    let url = settings.database.as_ref().map(|url| url.expose());
    let now = now()?;
    terminal::print(&match DataDirectory::at(settings.data).confirm_clock(url, now)? {
        Some(last) => {
            format!("Time goes on from {}; the last event is of {}.\n", time(now), time(last))
        }
        None => {
            "There was nothing to confirm: the last event is not ahead of the clock.\n".to_owned()
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
