//! `nebula-gc operator-key`.

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::clock::now;
use crate::{arguments, terminal};

pub(crate) fn command() -> Command {
    let new = Command::new("new")
        .about("Create another root operator key, if all others are lost")
        .long_about(
            "Create another root operator key, if all others are lost\n\n\
             Writes it to operator.key (mode 0600) in the data directory; the file must not exist. \
             Without --database, stop the server first; with it, no restart is needed. Existing keys \
             stay valid: revoke those that others may have.",
        )
        .after_help("Example:\n  nebula-gc operator-key new --data nebula-gc-data");
    Command::new("operator-key")
        .about("Regain access with the server's data when no operator key is left")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(arguments::with_settings(new, &["data", "database", "secrets-file"]))
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    // clap requires the only one.
    let Some(("new", matches)) = matches.subcommand() else { return Ok(ExitCode::FAILURE) };
    let (settings, _) = arguments::settings(matches)?;
    let directory = arguments::data_directory(&settings);
    directory.new_operator_key(settings.database.as_ref().map(|url| url.expose()), now()?)?;
    terminal::print(&format!(
        "A new root operator key is in {}. Existing keys stay valid; list them with\n  \
         nebula-gc admin operator-keys list\n",
        directory.operator_key().display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
