//! Lists of fingerprints in a file.

use std::ffi::OsStr;

use nebula_pki::{Blocklist, Error};

use crate::failure::Failure;
use crate::files;

/// Reads a list with one fingerprint per line; `#` begins a comment. No path is an empty list.
pub(crate) fn read(path: &OsStr) -> Result<Blocklist, Failure> {
    if path.is_empty() {
        return Ok(Blocklist::new());
    }
    let list =
        files::read(path).map_err(|error| error.failure("error while reading blocklist: "))?;
    let list = String::from_utf8_lossy(&list);
    list.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, entry)| !entry.is_empty())
        .map(|(line, entry)| entry.parse().map_err(|error| invalid(line, &error)))
        .collect()
}

/// A list of which a part is not understood would let through what it was to stop.
fn invalid(line: usize, error: &Error) -> Failure {
    Failure::new(error.code(), format!("error while parsing blocklist: line {line}: {error}"))
}
