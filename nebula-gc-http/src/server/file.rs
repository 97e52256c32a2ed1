//! Files that hold secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::ServerError;

/// Writes a secret so that after a crash there is either all of it or the former file. A former file
/// keeps its owner: whoever writes may be root, for a server that is not.
pub(super) fn write_durably(path: &Path, contents: &[u8]) -> Result<(), ServerError> {
    nebula_pki::files::replace(path, contents, 0o600).map_err(|error| path_error(path, &error))
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Refuses what anyone but its owner may use.
pub(super) fn refuse_others(path: &Path) -> Result<(), ServerError> {
    let mode = fs::metadata(path).map_err(|error| path_error(path, &error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let own = if path.is_dir() { "700" } else { "600" };
    let reason = format!("is open to others (mode {:03o}); run chmod {own} on it", mode & 0o777);
    Err(path_error(path, &reason))
}

pub(super) fn path_error(path: &Path, reason: &dyn std::fmt::Display) -> ServerError {
    ServerError::Path { path: path.to_owned(), reason: reason.to_string() }
}
