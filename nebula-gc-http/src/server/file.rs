//! Reading and writing files that hold secrets.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::ServerError;

/// Writes a secret atomically and durably: after a crash the file is either the new one or the old one.
/// An existing file keeps its owner, because root may write it for a server that is not root.
pub(super) fn write_durably(path: &Path, contents: &[u8]) -> Result<(), ServerError> {
    nebula_pki::files::replace(path, contents, 0o600).map_err(|error| path_error(path, &error))
}

/// Reads a file of at most `limit` bytes. It must be a regular file: reading a pipe, a terminal or a
/// device could block forever.
pub(super) fn read_regular(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let read = || {
        // Opening a pipe would block until a writer opens it.
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
        // A buffer that grows would leave copies of the secret in memory.
        let length = usize::try_from(found.len()).unwrap_or_default();
        let mut contents = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
        file.take(limit).read_to_end(&mut contents)?;
        Ok(contents)
    };
    read().map_err(|error| path_error(path, &error))
}

/// The directory that contains a file.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Refuses a directory that anyone but its owner may access, and a file that anyone but its owner may
/// write or anyone but its owner and group may read: container platforms share secrets with a group.
pub(super) fn refuse_others(path: &Path) -> Result<(), ServerError> {
    let found = fs::metadata(path).map_err(|error| path_error(path, &error))?;
    let mode = found.permissions().mode();
    let (barred, own) = if found.is_dir() { (0o077, "700") } else { (0o037, "600") };
    if mode & barred == 0 {
        return Ok(());
    }
    let reason =
        format!("is accessible to other users (mode {:03o}); run chmod {own} on it", mode & 0o777);
    Err(path_error(path, &reason))
}

pub(super) fn path_error(path: &Path, reason: &dyn std::fmt::Display) -> ServerError {
    ServerError::Path { path: path.to_owned(), reason: reason.to_string() }
}
