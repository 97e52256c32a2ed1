//! How long the log may get, and how it is emptied.
//!
//! SQLite copies the log into the database once it has so many pages, but restarts it only when no
//! reader needs it at that moment: with overlapping readers it would grow without end. So when it has
//! outgrown the database, the writer waits briefly between two transactions until the present readers
//! are done; readers that begin meanwhile, in any process, do not need the log.
//!
//! The larger the database, the more its changes are spread over single pages: with a longer log more
//! of them are copied once instead of repeatedly.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ffi::SQLITE_IOERR_SHORT_READ;

use super::connection::BUSY_TIMEOUT;
use super::disk::{FRAME_HEADER, LOG_HEADER};
use super::files::Lengths;
use super::transaction::failure;
use crate::Error;

/// The log may have twice the length of the database, and between these, in bytes. The shortest is
/// still less than four times a database without rows.
const SHORTEST: u64 = 1 << 19;
const LONGEST: u64 = 1 << 26;

/// After how many pages of 4 KiB the log is copied, at least and at most.
const COPIED: (u64, u64) = (1000, 4000);

/// How long the writer waits for readers before it lets the log grow by a quarter.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long closing waits for other programs.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The log of the writing connection.
#[derive(Debug)]
pub(super) struct Log {
    lengths: Lengths,
    /// The length from which on emptying it is tried again; 0 unless that failed.
    again: u64,
    /// SQLite truncates the file to this when it restarts the log.
    kept: u64,
}

impl Log {
    pub(super) fn new(connection: &Connection, lengths: Lengths) -> Result<Self, Error> {
        let mut log = Self { lengths, again: 0, kept: 0 };
        log.keep(connection)?;
        Ok(log)
    }

    /// What was found after a commit.
    pub(super) fn note(&mut self, lengths: Lengths) {
        self.lengths = lengths;
    }

    /// Whether a part of the log that is still needed was cut off; its `length` is in bytes. Another
    /// program may also have copied it into the database and truncated it.
    pub(super) fn is_cut(&self, connection: &Connection, length: u64) -> bool {
        length < self.lengths.log && lacks_pages(connection, length)
    }

    /// Restarts the log if it is too long. Between two transactions.
    pub(super) fn bound(&mut self, connection: &Connection) -> Result<(), Error> {
        let Lengths { database, log } = self.lengths;
        if database / 2 > self.kept {
            self.keep(connection)?;
        }
        if log <= allowed(database).max(self.again) {
            return Ok(());
        }
        // What fails here fails again in the next transaction, and is reported there.
        let is_empty = checkpoint(connection, "RESTART", PATIENCE).unwrap_or(false);
        self.again = if is_empty { 0 } else { log.saturating_add(log / 4) };
        // What is left of the file shows after the next commit.
        self.lengths.log = 0;
        Ok(())
    }

    fn keep(&mut self, connection: &Connection) -> Result<(), Error> {
        let kept = self.lengths.database.clamp(SHORTEST, LONGEST);
        if kept != self.kept {
            let limit = format!("PRAGMA journal_size_limit = {kept}");
            connection.query_row(&limit, [], |_| Ok(())).map_err(failure)?;
            let (least, most) = COPIED;
            let pages = (kept / 4 / 4096).clamp(least, most);
            let every = format!("PRAGMA wal_autocheckpoint = {pages}");
            connection.query_row(&every, [], |_| Ok(())).map_err(failure)?;
            self.kept = kept;
        }
        Ok(())
    }
}

/// How long the log of a database of this length may be.
fn allowed(database: u64) -> u64 {
    database.saturating_mul(2).clamp(SHORTEST, LONGEST)
}

/// Copies the log into the database, and cuts it to nothing; answers whether it could: no longer than
/// a second it waits for others who read.
pub(super) fn empty(connection: &Connection) -> Result<bool, Error> {
    checkpoint(connection, "TRUNCATE", LAST_PATIENCE)
}

/// Copies of the log into the database what can be copied at once.
pub(super) fn save(connection: &Connection) {
    // The caller already has an error to report.
    let _ = checkpoint(connection, "PASSIVE", Duration::ZERO);
}

/// Whether the log has pages that are not in the database, as SQLite counts them, and is too short for
/// them.
fn lacks_pages(connection: &Connection, length: u64) -> bool {
    let counts = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    let page = connection.query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0));
    match (counts, page) {
        (Ok((pages, copied)), Ok(page)) => {
            // Negative where that could not be found out.
            let frames = u64::try_from(pages).unwrap_or_default();
            let frame = u64::try_from(page).unwrap_or_default() + FRAME_HEADER;
            copied < pages && length < frames.saturating_mul(frame).saturating_add(LOG_HEADER)
        }
        (Err(rusqlite::Error::SqliteFailure(error, _)), _) => {
            error.extended_code == SQLITE_IOERR_SHORT_READ
        }
        _ => false,
    }
}

fn checkpoint(connection: &Connection, how: &str, patience: Duration) -> Result<bool, Error> {
    connection.busy_timeout(patience).map_err(failure)?;
    let done = connection
        .query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get::<_, i64>(0))
        .map_err(failure);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failure)?;
    Ok(done? == 0)
}
