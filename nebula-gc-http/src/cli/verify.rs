//! `nebula-gc verify`.

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use nebula_gc_http::server::DataDirectory;

use crate::{arguments, now, terminal};

pub(crate) fn command() -> Command {
    let command = Command::new("verify")
        .about("Check that everything stored keeps the rules that always hold")
        .long_about(
            "Check that everything stored keeps the rules that always hold\n\n\
             That no address, name or key has two holders, that each certificate is in the ledger \
             as it was signed and says what its node's rows say, that who is kept out is blocked, \
             that released addresses are kept for as long as they must. It only reads, also while \
             a server runs. Prints what is wrong, and ends with 1 where anything is.",
        )
        .after_help("Example:\n  nebula-gc verify --data nebula-gc-data");
    arguments::with_settings(command, &["data", "database"])
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, _) = arguments::settings(matches)?;
    let url = settings.database.as_ref().map(|url| url.expose());
    let found = DataDirectory::at(settings.data).verify(url, now()?)?;
    let lines: String = found.iter().map(|violation| format!("{violation}\n")).collect();
    terminal::print(&lines)?;
    if found.is_empty() {
        terminal::print("Nothing is wrong.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
