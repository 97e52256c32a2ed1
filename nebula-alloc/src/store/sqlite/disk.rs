//! The files of a database: made, locked, written again after a fault.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::Error;

/// In bytes; <https://sqlite.org/fileformat2.html#pages>.
const SMALLEST_PAGE: u64 = 512;

/// In bytes; <https://sqlite.org/fileformat2.html#wal_file_format>. A frame's begins with the number
/// of its page.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// Bytes of the log held in memory while it is written again.
const REWRITTEN_AT_ONCE: u64 = 1 << 20;

/// Bytes that must be free on the disk before a database is written to again after a fault:
/// some 250 pages.
const ROOM: usize = 1 << 20;

pub(super) fn unavailable(error: std::io::Error) -> Error {
    Error::Unavailable { reason: error.to_string() }
}

/// Makes the file if need be and resolves links, so that a file has one name and one lock.
pub(super) fn create(path: &Path) -> std::io::Result<PathBuf> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let path = path.canonicalize()?;
    refuse_stump(&path)?;
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        // The new name itself must outlast a power loss.
        File::open(directory)?.sync_all()?;
    }
    Ok(path)
}

/// SQLite takes a file without a first page for a new database, and throws away the log beside it;
/// the first page is on the disk before there is a log. Of a page that is cut off it takes the rest
/// for zeros; that is right where the log has the page, because it was being copied from there, and
/// of a database that was being made, whose first page is but its header.
fn refuse_stump(path: &Path) -> std::io::Result<()> {
    let length = path.metadata()?.len();
    let log = log_of(path).metadata().map_or(0, |log| log.len());
    let is_stump = match length {
        0 => log > 0,
        1..SMALLEST_PAGE => true,
        _ => {
            let Header { page_size, pages } = Header::read(path)?;
            let is_being_made = length < page_size && pages <= 1 && log == 0;
            length % page_size != 0
                && !is_being_made
                && !is_in_log(&log_of(path), page_size, length / page_size + 1)?
        }
    };
    if is_stump {
        let reason = format!("the database is cut off after {length} bytes, its log has {log}");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    Ok(())
}

/// What a database tells of itself; <https://sqlite.org/fileformat2.html#the_database_header>.
struct Header {
    page_size: u64,
    pages: u32,
}

impl Header {
    fn read(path: &Path) -> std::io::Result<Self> {
        let (mut page_size, mut pages) = ([0; 2], [0; 4]);
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(16))?;
        file.read_exact(&mut page_size)?;
        file.seek(SeekFrom::Start(28))?;
        file.read_exact(&mut pages)?;
        let page_size = match u16::from_be_bytes(page_size) {
            1 => 1 << 16,
            // No database at all: SQLite says so.
            0 => 1,
            size => size.into(),
        };
        Ok(Self { page_size, pages: u32::from_be_bytes(pages) })
    }
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

/// Let go of explicitly: closing the file does not do so as long as a program that was started
/// meanwhile has it, which is until it has replaced this one's image.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // If that fails, closing is the other way.
        let _ = self.0.unlock();
    }
}

pub(super) fn lock(path: &Path) -> Result<Lock, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(beside(path, ".writer")).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::SecondWriter { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
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

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
