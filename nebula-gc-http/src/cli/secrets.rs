//! `nebula-gc secrets`.

use std::error::Error;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::{arguments, terminal};

const STAGE: &str = "stage";

pub(crate) fn command() -> Command {
    let rotate = Command::new("rotate").about("Add new keys for everything that is written from now on").long_about(
        "Add new keys for everything that is written from now on\n\n\
         A server uses them from its next start: it seals the CA keys again, and hashes each bearer \
         secret again when it is next used. The former keys stay for what was written under them, \
         until `nebula-gc secrets prune`.\n\n\
         Several servers over one PostgreSQL need the same file: run `rotate --stage` on one of them, \
         copy the file to all and restart them; then `rotate`, copy and restart once more. That way no \
         server writes with a key that another does not know.",
    ).after_help("Example:\n  nebula-gc secrets rotate --data nebula-gc-data");
    let stage = Arg::new(STAGE).long(STAGE).action(ArgAction::SetTrue).help(
        "Only add the keys, so that all servers can learn of them; the next rotate puts them to use",
    );
    let prune = Command::new("prune")
        .about("Delete the keys that nothing uses any more")
        .long_about(
            "Delete the keys that nothing uses any more\n\n\
         Prints what still uses the others. Without --database, stop the server first; with it, \
         restart all servers after the last rotation first.",
        )
        .after_help("Example:\n  nebula-gc secrets prune --data nebula-gc-data");
    Command::new("secrets")
        .about("Manage the server's own keys, which hash bearer secrets and seal CA keys")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(arguments::with_settings(rotate.arg(stage), &["data", "secrets-file"]))
        .subcommand(arguments::with_settings(prune, &["data", "database", "secrets-file"]))
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    match matches.subcommand() {
        Some(("rotate", matches)) => rotate(matches),
        Some(("prune", matches)) => prune(matches),
        // clap requires one of them.
        _ => Ok(ExitCode::FAILURE),
    }
}

fn rotate(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, _) = arguments::settings(matches)?;
    let file = arguments::data_directory(&settings).secrets();
    let path = file.path().display();
    if matches.get_flag(STAGE) {
        file.change(|secrets| Ok(secrets.stage()?))?;
        terminal::print(&format!(
            "{path}: new keys are staged. Copy the file to every server, restart them, then rotate\n"
        ))?;
    } else {
        file.change(|secrets| Ok(secrets.rotate()?))?;
        terminal::print(&format!("{path}: new keys are in use from the server's next start\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn prune(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, _) = arguments::settings(matches)?;
    let directory = arguments::data_directory(&settings);
    for line in directory.prune_secrets(settings.database.as_ref().map(|url| url.expose()))? {
        terminal::print(&format!("{line}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
