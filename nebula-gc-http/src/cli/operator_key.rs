//! `nebula-gc operator-key`.

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use nebula_gc_http::server::DataDirectory;

use crate::{arguments, now, terminal};

pub(crate) fn command() -> Command {
    let new = Command::new("new")
        .about("Make another root operator key, where none is at hand any more")
        .long_about(
            "Make another root operator key, where none is at hand any more\n\n\
             Writes it to operator.key (0600) in the data directory, which must not be there. Without \
             --database, stop the server first; it needs no restart with it. The keys that there were \
             go on: revoke what others may have.",
        )
        .after_help("Example:\n  nebula-gc operator-key new --data nebula-gc-data");
    Command::new("operator-key")
        .about("A way back in for who has the server's data and no operator key")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(arguments::with_settings(new, &["data", "database", "secrets-file"]))
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    // clap asks for the one there is.
    let Some(("new", matches)) = matches.subcommand() else { return Ok(ExitCode::FAILURE) };
    let (settings, _) = arguments::settings(matches)?;
    let mut directory = DataDirectory::at(&settings.data);
    if let Some(path) = &settings.secrets_file {
        directory = directory.with_secrets_file(path);
    }
    directory.new_operator_key(settings.database.as_ref().map(|url| url.expose()), now()?)?;
    terminal::print(&format!(
        "A new root operator key is in {}. The former keys go on; see them with\n  \
         nebula-gc admin operator-keys list\n",
        directory.operator_key().display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
