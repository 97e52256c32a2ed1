//! Files that hold secrets.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::ServerError;

/// Writes a secret so that after a crash there is either all of it or the former file. A former file
/// keeps its owner: whoever writes may be root, for a server that is not.
pub(super) fn write_durably(path: &Path, contents: &[u8]) -> Result<(), ServerError> {
    nebula_pki::files::replace(path, contents, 0o600).map_err(|error| path_error(path, &error))
}

/// Reads a file of at most `limit` bytes. Only a regular one: a pipe, a terminal or a device may have
/// nothing to say for ever, and must not keep waiting who reads it.
pub(super) fn read_regular(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let read = || {
        // Opening a pipe would wait for a writer.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        if found.len() > limit {
            return Err(io::Error::other(format!("is larger than {limit} bytes")));
        }
        // Growing would leave copies of what may be a secret.
        let length = usize::try_from(found.len()).unwrap_or_default();
        let mut contents = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
        file.take(limit).read_to_end(&mut contents)?;
        Ok(contents)
    };
    read().map_err(|error| path_error(path, &error))
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Refuses a directory that anyone but its owner may use, and a file that anyone but its owner may
/// change, or anyone but its owner and its group may read: container platforms give secrets to a group.
pub(super) fn refuse_others(path: &Path) -> Result<(), ServerError> {
    let found = fs::metadata(path).map_err(|error| path_error(path, &error))?;
    let mode = found.permissions().mode();
    let (barred, own) = if found.is_dir() { (0o077, "700") } else { (0o037, "600") };
    if mode & barred == 0 {
        return Ok(());
    }
    let reason = format!("is open to others (mode {:03o}); run chmod {own} on it", mode & 0o777);
    Err(path_error(path, &reason))
}

pub(super) fn path_error(path: &Path, reason: &dyn std::fmt::Display) -> ServerError {
    ServerError::Path { path: path.to_owned(), reason: reason.to_string() }
}
