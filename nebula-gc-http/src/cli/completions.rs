//! `nebula-gc completions`: what a shell completes.

use std::error::Error;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::terminal;

const SHELL: &str = "shell";

pub(crate) fn command() -> Command {
    Command::new("completions")
        .about("Print a script that completes commands and flags in a shell")
        .after_help(
            "Examples:\n  \
             nebula-gc completions bash > /etc/bash_completion.d/nebula-gc\n  \
             nebula-gc completions zsh > \"${fpath[1]}/_nebula-gc\"\n  \
             nebula-gc completions fish > ~/.config/fish/completions/nebula-gc.fish",
        )
        .arg(
            Arg::new(SHELL)
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell))
                .help("The shell"),
        )
}

pub(crate) fn run(matches: &ArgMatches, mut whole: Command) -> Result<ExitCode, Box<dyn Error>> {
    // clap requires it.
    let Some(shell) = matches.get_one::<Shell>(SHELL) else { return Ok(ExitCode::FAILURE) };
    let name = whole.get_name().to_owned();
    let mut script = vec![];
    clap_complete::generate(*shell, &mut whole, name, &mut script);
    let mut script = String::from_utf8(script)?;
    if *shell == Shell::Bash {
        // clap_complete 4.6 has two spellings of a program's name with a hyphen, so that nothing below
        // the first level is completed.
        script = script.replace("nebula__subcmd__gc", "nebula__gc");
    }
    terminal::print(&script)?;
    Ok(ExitCode::SUCCESS)
}
