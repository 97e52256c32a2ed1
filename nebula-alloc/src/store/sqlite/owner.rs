//! Which file a log belongs to.
//!
//! A log left by a killed program beside a database that is not its own would be copied into that one.
//! SQLite's log does not identify its database, so while a database is open a record beside it (the
//! same name and `.writer`) has the ids of the database, the log and the record itself. If log and
//! record still match it and the database does not, another was put in its place. If all were copied,
//! the record shows nothing.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use rusqlite::Connection;

use super::disk::{beside, log_of, unavailable};
use super::file_id::FileId;
use super::transaction::failure;
use crate::error::{EngineFault, Error, Outage};

/// Refuses a log whose record says that it belongs to another file.
pub(super) fn refuse_anothers_log(path: &Path) -> Result<(), Error> {
    let (Some(database), Some(log)) = (FileId::at(path), FileId::at(&log_of(path))) else {
        return Ok(());
    };
    let record = record_of(path);
    let (Ok(said), Some(own)) = (std::fs::read_to_string(&record), FileId::at(&record)) else {
        return Ok(());
    };
    let ids: Vec<&str> = said.split_whitespace().collect();
    let is = |place: usize, id: FileId| ids.get(place).is_some_and(|said| **said == id.inode());
    if ids.len() == 3 && is(1, log) && is(2, own) && !is(0, database) && !is_empty(path) {
        return Err(anothers(path, None));
    }
    Ok(())
}

/// Refuses what a log and a database contradict each other in.
pub(super) fn refuse_contradictions(connection: &Connection, path: &Path) -> Result<(), Error> {
    let sql = "PRAGMA integrity_check(1)";
    let verdict: String = connection.query_row(sql, [], |row| row.get(0)).map_err(failure)?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(anothers(path, Some(EngineFault::uncoded(&verdict))))
}

/// Writes the record, durably.
pub(super) fn record(path: &Path) -> Result<(), Error> {
    let record = record_of(path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&record).map_err(unavailable)?;
    let ids = [FileId::at(path), FileId::at(&log_of(path)), FileId::at(&record)];
    let said: Vec<_> = ids.into_iter().flatten().map(FileId::inode).collect();
    let said = said.join(" ") + "\n";
    if std::fs::read(&record).is_ok_and(|found| found == said.as_bytes()) {
        return Ok(());
    }
    write(&file, said.as_bytes()).map_err(unavailable)
}

/// With the log goes the record, where it is not the lock, too.
pub(super) fn forget(path: &Path) {
    if super::lock::ON_ITSELF {
        // One that stays says nothing without the log.
        let _ = std::fs::remove_file(record_of(path));
    }
}

/// Whether there is nothing in the log.
pub(super) fn is_empty(path: &Path) -> bool {
    log_of(path).metadata().map_or(true, |log| log.len() == 0)
}

fn write(mut file: &File, said: &[u8]) -> std::io::Result<()> {
    file.write_all(said)?;
    file.set_len(u64::try_from(said.len()).unwrap_or_default())?;
    file.sync_all()
}

fn record_of(path: &Path) -> std::path::PathBuf {
    beside(path, ".writer")
}

fn anothers(path: &Path, verdict: Option<EngineFault>) -> Error {
    Error::Unavailable(Outage::LogOfAnother { log: log_of(path), verdict })
}
