//! What a disk may have made of a database's files, and what is done about it. The database itself is
//! read through SQLite only: see [`lock`](super::lock).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::transaction::failure;
use crate::error::{EngineFault, Error, Outage};

/// In bytes; <https://sqlite.org/fileformat2.html#pages>.
const SMALLEST_PAGE: u64 = 512;

/// In bytes; <https://sqlite.org/fileformat2.html#wal_file_format>. A frame's begins with the number
/// of its page.
pub(super) const LOG_HEADER: u64 = 32;
pub(super) const FRAME_HEADER: u64 = 24;

/// Bytes of the log held in memory while it is written again.
const REWRITTEN_AT_ONCE: u64 = 1 << 20;

/// Bytes that must be free on the disk before a database is written to again after a fault:
/// some 250 pages.
const ROOM: usize = 1 << 20;

pub(super) fn unavailable(error: std::io::Error) -> Error {
    Error::Unavailable(Outage::Engine(EngineFault::uncoded(&error)))
}

/// SQLite takes a file without a first page for a new database, and throws away the log beside it;
/// the first page is on the disk before there is a log. Of a page that is cut off it takes the rest
/// for zeros; that is right where the log has the page, because it was being copied from there, and
/// of a database that was being made, whose first page is but its header.
///
/// `connection` has not read anything yet.
pub(super) fn refuse_stump(connection: &Connection, path: &Path) -> Result<(), Error> {
    let length = path.metadata().map_err(unavailable)?.len();
    let log = log_of(path).metadata().map_or(0, |log| log.len());
    let is_stump = match length {
        0 => log > 0,
        1..SMALLEST_PAGE => true,
        _ => {
            let page_size = number(connection, "PRAGMA page_size")?.max(1);
            // As the header has it, which is refused where the file has fewer.
            let is_being_made =
                length < page_size && log == 0 && number(connection, "PRAGMA page_count")? <= 1;
            length % page_size != 0
                && !is_being_made
                && !is_in_log(&log_of(path), page_size, length / page_size + 1)
                    .map_err(unavailable)?
        }
    };
    if is_stump {
        return Err(Error::Unavailable(Outage::CutOff { length, log }));
    }
    Ok(())
}

/// Refuses to make a database beside a log: one was there. The log is looked at first, since another
/// process that makes the database makes its log later.
pub(super) fn refuse_log_alone(path: &Path) -> Result<(), Error> {
    let has_log = log_of(path).metadata().is_ok_and(|log| log.len() > 0);
    if has_log && !path.try_exists().map_err(unavailable)? {
        return Err(Error::Unavailable(Outage::LogAlone { path: path.to_owned() }));
    }
    Ok(())
}

fn number(connection: &Connection, sql: &str) -> Result<u64, Error> {
    let number: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(failure)?;
    Ok(u64::try_from(number).unwrap_or_default())
}

/// Whether a frame of the log has this page, counted from 1.
fn is_in_log(log: &Path, page_size: u64, page: u64) -> std::io::Result<bool> {
    let mut log = match File::open(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        log => log?,
    };
    let length = log.metadata()?.len();
    let mut frame = LOG_HEADER;
    while frame + FRAME_HEADER + page_size <= length {
        let mut number = [0; 4];
        log.seek(SeekFrom::Start(frame))?;
        log.read_exact(&mut number)?;
        if u64::from(u32::from_be_bytes(number)) == page {
            return Ok(true);
        }
        frame += FRAME_HEADER + page_size;
    }
    Ok(false)
}

pub(super) fn log_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// Writes what a file holds once more, where it is, and synchronises it. Without a file, nothing.
pub(super) fn rewrite(path: &Path) -> std::io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut chunk = Vec::new();
    let mut done = 0;
    while (&file).take(REWRITTEN_AT_ONCE).read_to_end(&mut chunk)? > 0 {
        file.seek(SeekFrom::Start(done))?;
        file.write_all(&chunk)?;
        done = file.stream_position()?;
        chunk.clear();
    }
    if done > 0 { file.sync_all() } else { Ok(()) }
}

/// Whether the disk has room to go on: for a batch and more.
pub(super) fn try_room(path: &Path) -> std::io::Result<()> {
    let path = beside(path, ".room");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let tried = options.open(&path).and_then(|file| fill(&file));
    let removed = std::fs::remove_file(&path);
    // Where it could not even be made, that is the reason.
    tried.and(removed)
}

fn fill(mut file: &File) -> std::io::Result<()> {
    let chunk = vec![0; 1 << 16];
    for _ in 0..ROOM / chunk.len() {
        file.write_all(&chunk)?;
    }
    // Some file systems find out no earlier.
    file.sync_all()
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
