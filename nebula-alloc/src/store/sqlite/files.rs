//! The files of an open database, by what they are and not by what they are called.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::disk::log_of;
use super::file_id::{FileId, names};
use super::lock::Lock;
use crate::error::{Error, FileFault, Outage, Remedy};

/// Lengths in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    pub(super) database: u64,
    pub(super) log: u64,
}

/// The database and its log, as they were found when the database was opened.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    log: PathBuf,
    database_id: FileId,
    log_id: FileId,
    log_is_cut: bool,
}

impl Files {
    /// Those of a database that is open.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let log = log_of(path);
        let (database_id, log_id) = (id_of(path)?, id_of(&log)?);
        Ok(Self { path: path.to_owned(), log, database_id, log_id, log_is_cut: false })
    }

    /// That the database is still the file at its path, under one name, and its log the one beside
    /// it: else what is written is lost, or another program writes to the same file.
    pub(super) fn check(&self, lock: &Lock) -> Result<Lengths, Error> {
        let database = self.check_database()?;
        lock.check()?;
        if self.log_is_cut {
            return Err(changed(&self.log, FileFault::CutOff, Remedy::Restart));
        }
        match self.log.metadata() {
            Ok(log) if FileId::of(&log) == self.log_id => {
                Ok(Lengths { database: database.len(), log: log.len() })
            }
            Ok(_) => Err(changed(&self.log, FileFault::Replaced, Remedy::Restart)),
            Err(error) => Err(unusable(&self.log, &error, Remedy::Restart)),
        }
    }

    fn check_database(&self) -> Result<Metadata, Error> {
        match self.path.metadata() {
            Ok(found) if FileId::of(&found) == self.database_id => {
                check_names(&self.path, &found).map(|()| found)
            }
            Ok(_) => Err(changed(&self.path, FileFault::Replaced, Remedy::PutBack)),
            Err(error) => Err(unusable(&self.path, &error, Remedy::PutBack)),
        }
    }

    /// What was in the log is lost, and stays so.
    pub(super) fn note_cut_log(&mut self) {
        self.log_is_cut = true;
    }

    /// Whether these are of the same database file.
    pub(super) fn is_same_database(&self, other: &Self) -> bool {
        self.database_id == other.database_id
    }

    /// Whether the log is where it was, or there is none there that has anything in it.
    pub(super) fn has_no_other_log(&self) -> bool {
        self.log.metadata().map_or(true, |log| FileId::of(&log) == self.log_id || log.len() == 0)
    }

    /// How much is in the log, whosever it is.
    pub(super) fn log_length(&self) -> u64 {
        self.log.metadata().map_or(0, |log| log.len())
    }
}

/// That the file has no second name, under which it would have another log.
pub(super) fn check_names(path: &Path, found: &Metadata) -> Result<(), Error> {
    match names(found) {
        0 | 1 => Ok(()),
        more => Err(changed(path, FileFault::Names(more), Remedy::RemoveNames)),
    }
}

/// That the file is not mounted by itself, as a container may have it: then its directory is another
/// than under its own name, and so is its log.
pub(super) fn refuse_mount(path: &Path) -> Result<(), Error> {
    // Where there is no such list, there is nothing to be known.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounts.lines().filter_map(|mount| mount.split(' ').nth(4)).any(|at| is_named(path, at)) {
        return Err(changed(path, FileFault::Mounted, Remedy::MountDirectory));
    }
    Ok(())
}

/// Whether this is the path as the list of mounts has it: spaces and the like as `\040`.
fn is_named(path: &Path, mount: &str) -> bool {
    let Some(path) = path.to_str() else { return false };
    let name = path.replace('\\', "\\134");
    [(' ', "\\040"), ('\t', "\\011"), ('\n', "\\012")]
        .iter()
        .fold(name, |name, (letter, escaped)| name.replace(*letter, escaped))
        == mount
}

fn id_of(path: &Path) -> Result<FileId, Error> {
    let found = path.metadata().map_err(|error| unusable(path, &error, Remedy::Restart))?;
    Ok(FileId::of(&found))
}

fn unusable(path: &Path, error: &std::io::Error, remedy: Remedy) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => changed(path, FileFault::Gone, remedy),
        _ => changed(path, FileFault::Unreadable(error.to_string()), remedy),
    }
}

fn changed(path: &Path, fault: FileFault, remedy: Remedy) -> Error {
    Error::Unavailable(Outage::File { path: path.to_owned(), fault, remedy })
}
