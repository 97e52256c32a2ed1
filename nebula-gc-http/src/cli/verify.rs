//! `nebula-gc verify`.

use std::error::Error;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::clock::now;
use crate::{arguments, terminal};

const REPAIR: &str = "repair";

pub(crate) fn command() -> Command {
    let command = Command::new("verify")
        .about("Check the database for inconsistencies")
        .long_about(
            "Check the database for inconsistencies\n\n\
             Checks that no address, name or key has two holders, that every certificate is in the \
             ledger as it was signed and matches its node, that the certificates of suspended, revoked \
             and released nodes are blocked, and that released addresses stay in quarantine long \
             enough. It only reads, and may run beside a server, unless --repair is given. Prints what \
             is wrong; the exit code is 1 if anything is.",
        )
        .arg(Arg::new(REPAIR).long(REPAIR).action(ArgAction::SetTrue).help(
            "First repair what a clock that was ahead has caused: block revoked certificates that are \
             still valid, and restore those marked as expired too early. Without --database, stop the \
             server first",
        ))
        .after_help("Example:\n  nebula-gc verify --data nebula-gc-data");
    arguments::with_settings(command, &["data", "database"])
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, _) = arguments::settings(matches)?;
    let url = settings.database.as_ref().map(|url| url.expose());
    let directory = arguments::data_directory(&settings);
    if matches.get_flag(REPAIR) {
        terminal::print(&match directory.repair(url, now()?)? {
            0 => "Nothing to repair.\n".to_owned(),
            1 => "1 certificate was repaired.\n".to_owned(),
            more => format!("{more} certificates were repaired.\n"),
        })?;
    }
    let found = directory.verify(url, now()?)?;
    let lines: String = found.iter().map(|violation| format!("{violation}\n")).collect();
    terminal::print(&lines)?;
    if found.is_empty() {
        terminal::print("No inconsistencies found.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
