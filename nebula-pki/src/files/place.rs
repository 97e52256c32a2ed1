//! Where a replacement is written, and the file that it replaces.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Whether two paths lead to one file, however they are spelled, so that what is written to one
/// replaces what was written to the other. Also for files that are not there yet.
///
/// Devices, pipes and terminals take what comes one after the other, and are never one file.
#[must_use]
pub fn is_one_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(first), Ok(second)) if !first.is_file() || !second.is_file() => false,
        #[cfg(unix)]
        (Ok(first), Ok(second)) => is_same(&first, &second),
        #[cfg(not(unix))]
        (Ok(_), Ok(_)) => one.canonicalize().ok() == other.canonicalize().ok(),
        // What can't be looked at can't be written to either.
        (Err(_), Err(_)) => future_place(one).is_some_and(|one| Some(one) == future_place(other)),
        _ => false,
    }
}

/// Where a path leads: links are followed, the last one to a file that is not there too.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many as the kernel follows.
    for _ in 0..40 {
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            // The name of a pipe, as `/dev/stdout` leads to, can't be opened.
            Ok(found) if !found.is_file() => return Ok(path),
            Ok(found) => return Ok(canonical(&path, &found).unwrap_or(path)),
        }
        match fs::read_link(&path) {
            Ok(target) => path = directory(&path).join(target),
            Err(_) => break,
        }
    }
    Ok(path)
}

/// Its one path. None for a file that has no name any more, such as `/proc/self/fd/3` may lead to:
/// that link's text may be the name of another.
fn canonical(path: &Path, found: &Metadata) -> Option<PathBuf> {
    let canonical = path.canonicalize().ok()?;
    is_same(&fs::metadata(&canonical).ok()?, found).then_some(canonical)
}

/// Whether it is a file that has a name, which another can take.
#[cfg(unix)]
pub(super) fn is_named(file: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.is_file() && file.nlink() > 0
}

#[cfg(not(unix))]
pub(super) fn is_named(file: &Metadata) -> bool {
    file.is_file()
}

/// The directory that a file is in.
pub(super) fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The directory and name that a new file gets.
fn future_place(path: &Path) -> Option<PathBuf> {
    let path = resolve(path).ok()?;
    Some(directory(&path).canonicalize().ok()?.join(path.file_name()?))
}

/// Whether they are of one file.
#[cfg(unix)]
pub(super) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Here nothing tells.
#[cfg(not(unix))]
pub(super) fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
