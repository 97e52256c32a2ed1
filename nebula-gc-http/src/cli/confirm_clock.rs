//! `nebula-gc confirm-clock`.

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::clock::{now, time};
use crate::{arguments, terminal};

pub(crate) fn command() -> Command {
    let command = Command::new("confirm-clock")
        .about("Confirm that the clock is right, although the last event is later")
        .long_about(
            "Confirm that the clock is right, although the last event is later\n\n\
             A server does not start, or is not ready, while the last event in its database is more \
             than an hour ahead of the clock: one of the two is wrong. If the clock is wrong, correct \
             it. If the clock was wrong before, this command makes time continue from now. Without \
             --database, stop the server first.",
        )
        .after_help("Example:\n  nebula-gc confirm-clock --data nebula-gc-data");
    arguments::with_settings(command, &["data", "database"])
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, _) = arguments::settings(matches)?;
    let url = settings.database.as_ref().map(|url| url.expose());
    let now = now()?;
    terminal::print(&match arguments::data_directory(&settings).confirm_clock(url, now)? {
        Some(last) => {
            format!("Time continues from {}; the last event is of {}.\n", time(now), time(last))
        }
        None => "Nothing to confirm: the last event is not ahead of the clock.\n".to_owned(),
    })?;
    Ok(ExitCode::SUCCESS)
}
