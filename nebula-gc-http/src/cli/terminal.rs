//! Writes to the standard output and the standard error, whose readers may be gone.

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};

use nebula_gc_http::client::{ClientError, printable};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::program_name::{NAME, own_commands};

/// Writes to the standard output.
///
/// # Errors
/// [`io::ErrorKind::BrokenPipe`] when its reader has read enough, which [`has_read_enough`] tells.
pub(crate) fn print(text: &str) -> io::Result<()> {
    print_bytes(text.as_bytes())
}

/// As [`print()`], for data that need not be text.
pub(crate) fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// As [`print()`], as JSON over several lines.
pub(crate) fn print_json(value: &Value) -> Result<(), Box<dyn Error>> {
    Ok(print(&(safe_json(&serde_json::to_string_pretty(value)?) + "\n"))?)
}

/// The same JSON, safe to print on a terminal. Control characters of ASCII are escaped already.
pub(crate) fn safe_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || printable(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8() {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe += &format!("\\u{unit:04x}");
            }
        }
    }
    safe
}

/// Whether a command ended because its output is no longer read (`| head`), which is no failure.
pub(crate) fn has_read_enough(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// How many columns of a terminal a text takes.
pub(crate) fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// A text with spaces behind it, so that it takes this many columns.
pub(crate) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Whether what goes to the standard error may be coloured: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn has_colour() -> bool {
    let refuses = std::env::var_os("NO_COLOR").is_some_and(|said| !said.is_empty());
    io::stderr().is_terminal() && !refuses
}

/// Writes a line to the standard error, if that is open.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// As [`note`], for a warning or an error.
pub(crate) fn warn(line: &str) {
    note(&format!("{NAME}: {line}"));
}

/// Reports why a command failed. The text may contain a server's, which is made safe to print.
pub(crate) fn report_error(error: &(dyn Error + 'static)) {
    warn(&said(error));
}

/// Why a command failed, safe to print.
pub(crate) fn said(error: &(dyn Error + 'static)) -> String {
    // There is one server, which the user has named.
    let problem = error.downcast_ref::<ClientError>().and_then(ClientError::problem);
    let said = problem.map_or_else(|| error.to_string(), ToString::to_string);
    let lines: Vec<_> = own_commands(&said).lines().map(printable).collect();
    lines.join("\n")
}
