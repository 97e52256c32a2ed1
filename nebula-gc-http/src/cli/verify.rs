//! `nebula-gc verify`.

use std::error::Error;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use nebula_gc_http::server::DataDirectory;

use crate::{arguments, now, terminal};

const REPAIR: &str = "repair";

pub(crate) fn command() -> Command {
    let command = Command::new("verify")
        .about("Check that everything stored keeps the rules that always hold")
        .long_about(
            "Check that everything stored keeps the rules that always hold\n\n\
             That no address, name or key has two holders, that each certificate is in the ledger \
             as it was signed and says what its node's rows say, that who is kept out is blocked, \
             that released addresses are kept for as long as they must. It only reads, also while \
             a server runs, unless it is to repair. Prints what is wrong, and ends with 1 where \
             anything is.",
        )
        .arg(Arg::new(REPAIR).long(REPAIR).action(ArgAction::SetTrue).help(
            "First block again what is valid and was taken away, and put back what a clock that \
             was ahead let expire. Without --database, stop the server first",
        ))
        .after_help("Example:\n  nebula-gc verify --data nebula-gc-data");
    arguments::with_settings(command, &["data", "database"])
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, _) = arguments::settings(matches)?;
    let url = settings.database.as_ref().map(|url| url.expose());
    let directory = DataDirectory::at(settings.data);
    if matches.get_flag(REPAIR) {
        terminal::print(&match directory.repair(url, now()?)? {
            0 => "There was nothing to repair.
"
            .to_owned(),
            1 => "1 certificate was repaired.
"
            .to_owned(),
            more => format!(
                "{more} certificates were repaired.
"
            ),
        })?;
    }
    let found = directory.verify(url, now()?)?;
    let lines: String = found
        .iter()
        .map(|violation| {
            format!(
                "{violation}
"
            )
        })
        .collect();
    terminal::print(&lines)?;
    if found.is_empty() {
        terminal::print("Nothing is wrong.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
