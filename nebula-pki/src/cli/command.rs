//! Finds the mode and runs it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::failure::{Failure, Failures, Refusal, as_json};
use crate::flags::{Flag, Kind, Mode, Values};
use crate::modes::{self, MODES};
use crate::{files, usage};

/// The release of the reference that this program replaces.
const RELEASE: &str = "1.11.0";

const GLOBAL_FLAGS: [Flag; 4] =
    [global("h"), global("help"), global("version"), global("implementation")];

const fn global(name: &'static str) -> Flag {
    Flag { name, kind: Kind::Switch, about: "", beyond: "", values: &[] }
}

/// Runs the program with the arguments that follow its name.
pub(crate) fn run(program: &str, arguments: &[OsString]) -> ExitCode {
    let values = match Values::parse(&GLOBAL_FLAGS, arguments) {
        Ok(values) => values,
        // `-h` is defined here, so this cannot be a request for help.
        Err(Refusal::Help) => return fail(program, ""),
        Err(Refusal::Invalid(message)) => return fail(program, &message),
    };
    // By default the output is the reference's.
    let implementation = match values.switch("implementation") {
        true => concat!("Implementation: nebula-pki ", env!("CARGO_PKG_VERSION"), "\n"),
        false => "",
    };
    if values.switch("version") || !implementation.is_empty() {
        return match files::print(format!("Version: {RELEASE}\n{implementation}").as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let help = values.switch("h") || values.switch("help");
    let Some((name, arguments)) = values.rest.split_first() else {
        if help {
            say(&usage::program(program, MODES));
            return ExitCode::SUCCESS;
        }
        return fail(program, "Error: No mode was provided\n");
    };
    let name = name.to_string_lossy();
    let mode = modes::find(&name);
    if help {
        if let Some(mode) = mode {
            say(&usage::mode(program, mode));
        }
        return ExitCode::SUCCESS;
    }
    match mode.map_or_else(|| Err(unknown(&name).into()), |mode| start(mode, arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failures) => {
            let usage = || mode.map(|mode| usage::mode(program, mode)).unwrap_or_default();
            ExitCode::from(failures.report(&name, usage))
        }
    }
}

fn start(mode: &Mode, arguments: &[OsString]) -> Result<(), Failures> {
    let values = Values::parse(mode.flags, arguments).map_err(Failure::flags)?;
    (mode.run)(&values)
}

fn unknown(name: &str) -> Failure {
    Failure::new("usage", format!("unknown mode: {name}"))
}

/// The program was called without a mode, or with a flag before it that there is not.
fn fail(program: &str, message: &str) -> ExitCode {
    if as_json() {
        let message = message.trim_start_matches("Error: ").trim_end();
        let failures = Failures::from(Failure::new("usage", message));
        return ExitCode::from(failures.report("", String::new));
    }
    say(&format!("{message}\n{}", usage::program(program, MODES)));
    ExitCode::FAILURE
}

fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
