//! Failures of the command, and how they are reported.

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use nebula_pki::{Error, Fingerprint, Validity, Version};

use crate::quote::json;
use crate::{clock, wording};

/// Set to `json`, this variable makes errors machine-readable: one JSON object per line on standard
/// error, without usage texts. A variable, because a script sets it once for all its calls, and the
/// reference ignores it.
pub(crate) const FORMAT_VARIABLE: &str = "NEBULA_CERT_ERRORS";

/// One thing that went wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Names the kind of failure, for programs.
    pub(crate) code: &'static str,
    /// Says what happened, in the reference's words where it has some.
    pub(crate) message: String,
    /// The certificate it is about.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// When that is valid, if that is what is wrong with it.
    validity: Option<Validity>,
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    /// Followed by the mode's usage.
    Usage,
    /// The usage alone: it was asked for.
    Help,
    /// Printed twice, as the reference does when a flag cannot be read.
    Flag,
    /// The reader is gone: nothing is printed.
    Silent,
}

/// Why the flags could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `-h` or `-help` was given.
    Help,
    /// In the words of Go's `flag` package.
    Invalid(String),
}

/// The reason why a command failed, or several.
pub(crate) struct Failures(pub(crate) Vec<Failure>);

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            fingerprint: None,
            validity: None,
            style: Style::Plain,
        }
    }

    /// The library refused a certificate of this version; `doing` begins the message.
    pub(crate) fn library(doing: &str, error: &Error, version: Version) -> Self {
        Self::new(error.code(), format!("{doing}{}", wording::of(error, version))).timed(error)
    }

    /// The command was called wrongly: its usage is shown too.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { style: Style::Usage, ..Self::new("usage", message) }
    }

    pub(crate) fn flags(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Help => Self { style: Style::Help, ..Self::new("help", "") },
            Refusal::Invalid(message) => Self { style: Style::Flag, ..Self::new("usage", message) },
        }
    }

    /// A required flag is missing or empty.
    pub(crate) fn required(flag: &str) -> Self {
        Self::usage(format!("-{flag} is required"))
    }

    /// The reader of our output went away.
    pub(crate) fn silent() -> Self {
        Self { style: Style::Silent, ..Self::new("broken_pipe", "") }
    }

    /// With the times of an error that is about time.
    pub(crate) fn timed(self, error: &Error) -> Self {
        let validity = match *error {
            Error::Expired { not_before, not_after }
            | Error::NotYetValid { not_before, not_after }
            | Error::CaExpired { not_before, not_after, .. }
            | Error::CaNotYetValid { not_before, not_after, .. } => {
                Some(Validity { not_before, not_after })
            }
            _ => None,
        };
        Self { validity, ..self }
    }

    pub(crate) fn about(self, fingerprint: Fingerprint) -> Self {
        Self { fingerprint: Some(fingerprint), ..self }
    }
}

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Self {
        Self(vec![failure])
    }
}

impl Failures {
    /// Tells the user, and gives the exit status.
    pub(crate) fn report(&self, mode: &str, usage: impl FnOnce() -> String) -> u8 {
        let style = self.0.first().map_or(Style::Plain, |failure| failure.style);
        if style == Style::Silent {
            // What a shell says of a program that the signal SIGPIPE ended.
            return 141;
        }
        let mut text = String::new();
        let code = u8::from(style != Style::Help);
        if style != Style::Help && as_json() {
            for failure in &self.0 {
                text.push_str(&failure.to_json(&format!("\"mode\":{}", json(mode))));
                text.push('\n');
            }
        } else {
            self.write_text(&mut text, style, usage);
        }
        // A failure to write to standard error cannot be reported anywhere.
        let _ = io::stderr().write_all(text.as_bytes());
        code
    }

    fn write_text(&self, text: &mut String, style: Style, usage: impl FnOnce() -> String) {
        let mut prefix = "Error: ";
        for failure in &self.0 {
            if style == Style::Flag {
                let _ = writeln!(text, "{}", failure.message);
            }
            if style != Style::Help {
                let _ = writeln!(text, "{prefix}{}", failure.message);
            }
            prefix = "";
        }
        if matches!(style, Style::Usage | Style::Help) {
            text.push_str(&usage());
        }
    }
}

impl Failure {
    /// Prints a warning, which does not change the exit status.
    pub(crate) fn warn(&self) {
        let text = match as_json() {
            true => self.to_json("\"warning\":true"),
            false => format!("Warning: {}", self.message),
        };
        let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
    }

    fn to_json(&self, first: &str) -> String {
        let mut text =
            format!("{{{first},\"code\":{},\"message\":{}", json(self.code), json(&self.message));
        if let Some(fingerprint) = self.fingerprint {
            let _ = write!(text, ",\"fingerprint\":\"{fingerprint}\"");
        }
        if let Some(Validity { not_before, not_after }) = self.validity {
            for (name, time) in [("notBefore", not_before), ("notAfter", not_after)] {
                let _ = write!(text, ",\"{name}\":{}", json(&clock::in_utc(time)));
            }
        }
        text.push('}');
        text
    }
}

/// Whether errors are to be machine-readable.
pub(crate) fn as_json() -> bool {
    env::var_os(FORMAT_VARIABLE).is_some_and(|format| format == "json")
}
