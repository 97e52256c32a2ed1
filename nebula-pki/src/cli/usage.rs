//! Usage texts, in the form that Go's `flag` package gives them.

use std::fmt::Write;

use crate::clock::HOUR;
use crate::flags::{Flag, Kind, Mode};
use crate::quote::quote;

/// The usage of the program.
pub(crate) fn program(program: &str, modes: &[Mode]) -> String {
    let mut text = format!(
        "Usage of {program} <global flags> <mode>:\n  Global flags:\n    -version: Prints the \
         version\n    -implementation: Prints this implementation's name and version\n    -h, -help: Prints this help message\n\n  Modes:\n"
    );
    for mode in modes {
        let _ = writeln!(text, "    {}", summary(mode));
    }
    let _ = writeln!(text, "\n  To see usage for a given mode, use {program} <mode> -h");
    text
}

/// The usage of one of its modes.
pub(crate) fn mode(program: &str, mode: &Mode) -> String {
    let mut text = format!("Usage of {program} {}\n", summary(mode));
    if mode.flags.iter().any(|flag| matches!(flag.kind, Kind::Path(_))) {
        text.push_str("  Pass \"-\" to any path flag to read from stdin or write to stdout.\n");
    }
    let mut flags: Vec<_> = mode.flags.iter().collect();
    flags.sort_by_key(|flag| flag.name);
    for flag in flags {
        write_flag(&mut text, flag);
    }
    text
}

fn summary(mode: &Mode) -> String {
    let space = if mode.takes.is_empty() { "" } else { " " };
    format!("{}{space}{}: {}", mode.name, mode.takes, mode.about)
}

fn write_flag(text: &mut String, flag: &Flag) {
    let _ = write!(text, "  -{}", flag.name);
    if let Some(name) = flag.kind.type_name() {
        let _ = write!(text, " {name}");
    }
    let _ = write!(text, "\n    \t{}{}", flag.about, flag.beyond);
    if let Some(default) = flag.kind.shown_default() {
        let _ = write!(text, " (default {default})");
    }
    text.push('\n');
}

impl Kind {
    /// What usage texts call the value.
    pub(crate) fn type_name(self) -> Option<&'static str> {
        match self {
            Self::Switch => None,
            Self::Text(_) | Self::Path(_) => Some("string"),
            Self::Number(_) | Self::Versions => Some("uint"),
            Self::Duration(_) => Some("duration"),
        }
    }

    /// The default, unless it is zero or empty.
    pub(crate) fn shown_default(self) -> Option<String> {
        match self {
            Self::Text("") | Self::Path("") | Self::Switch | Self::Number(0) | Self::Versions => {
                None
            }
            Self::Text(text) | Self::Path(text) => Some(quote(text.as_bytes())),
            Self::Number(number) => Some(number.to_string()),
            Self::Duration(0) => None,
            // Only whole hours are defaults.
            Self::Duration(nanoseconds) => Some(format!("{}h0m0s", nanoseconds / HOUR)),
        }
    }
}
