//! `nebula-gc manual`: man pages.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_mangen::Man;

use crate::terminal;

const OUT: &str = "out";

pub(crate) fn command() -> Command {
    Command::new("manual")
        .about("Write the manual as man pages")
        .after_help(
            "Examples:\n  \
             nebula-gc manual > nebula-gc.1 && man ./nebula-gc.1\n  \
             nebula-gc manual --out /usr/local/share/man/man1",
        )
        .arg(
            Arg::new(OUT)
                .short('o')
                .long(OUT)
                .value_name("DIRECTORY")
                .value_parser(value_parser!(PathBuf))
                .help(
                    "Write a page for each command into this directory; default: the page of \
                     nebula-gc, to the standard output",
                ),
        )
}

pub(crate) fn run(matches: &ArgMatches, mut whole: Command) -> Result<ExitCode, Box<dyn Error>> {
    whole.build();
    match matches.get_one::<PathBuf>(OUT) {
        None => terminal::print_bytes(&page(&whole)?)?,
        Some(directory) => {
            std::fs::create_dir_all(directory)
                .map_err(|error| format!("{}: {error}", directory.display()))?;
            write_all(&whole, directory)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The pages of a command and of those below it: `nebula-gc-admin-nodes-list.1`.
fn write_all(command: &Command, directory: &Path) -> Result<(), Box<dyn Error>> {
    let path = directory.join(format!("{}.1", file_name(command)));
    nebula_pki::files::replace(&path, &page(command)?, 0o666)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        write_all(below, directory)?;
    }
    Ok(())
}

fn file_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut page = vec![];
    Man::new(command.clone().name(file_name(command).to_owned()))
        .source(concat!("nebula-gc ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    Ok(page)
}
