//! The steps on a disk that installing consists of, so that a test can stop between any two.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;

use crate::Error;
use crate::error::DiskAction;

/// What changes a disk. Each step is done or not, as far as a killed process goes; what is on the disk
/// after a loss of power is decided by [`sync`](Self::sync).
pub(super) trait Disk {
    /// Makes a directory of mode 0700, unless there is one.
    fn create_directory(&mut self, path: &Path) -> Result<(), Error>;
    /// Writes a new file of mode 0600, and waits until it is on the disk.
    fn write(&mut self, path: &Path, contents: &str) -> Result<(), Error>;
    /// Waits until a directory's entries are on the disk.
    fn sync(&mut self, directory: &Path) -> Result<(), Error>;
    /// Gives a file, a directory or a link another name, in place of what has it.
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Error>;
    /// Makes a symbolic link.
    fn link(&mut self, target: &Path, at: &Path) -> Result<(), Error>;
    /// Removes a file, a link, or a directory with all that is in it.
    fn remove(&mut self, path: &Path) -> Result<(), Error>;
}

/// The real one.
pub(super) struct Real;

impl Disk for Real {
    fn create_directory(&mut self, path: &Path) -> Result<(), Error> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other.map_err(refused(DiskAction::CreateDirectory, path)),
        }
    }

    fn write(&mut self, path: &Path, contents: &str) -> Result<(), Error> {
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let written = open.and_then(|mut file| {
            file.write_all(contents.as_bytes())?;
            file.sync_all()
        });
        written.map_err(refused(DiskAction::Write, path))
    }

    fn sync(&mut self, directory: &Path) -> Result<(), Error> {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(refused(DiskAction::Sync, directory))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Error> {
        std::fs::rename(from, to).map_err(refused(DiskAction::Rename, to))
    }

    fn link(&mut self, target: &Path, at: &Path) -> Result<(), Error> {
        symlink(target, at).map_err(refused(DiskAction::Link, at))
    }

    fn remove(&mut self, path: &Path) -> Result<(), Error> {
        let removed = match path.symlink_metadata() {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
            Ok(_) => std::fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(refused(DiskAction::Remove, path))
    }
}

/// The system's refusal as an error.
pub(super) fn refused(action: DiskAction, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::Disk { action, path: path.to_owned(), kind: error.kind() }
}
