//! Reading beside the writer.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::transaction::{SqliteTransaction, failure};
use super::{BUSY_TIMEOUT, prepare};
use crate::Error;
use crate::schema::COMPONENT;
use crate::store::Transaction;
use crate::store::migrate::check;

/// A few read-only connections. They never wait for the writer, nor it for them.
///
/// A snapshot that is held keeps the log from being cut back: read what is needed and return.
#[derive(Debug)]
pub struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Readers {
    /// Opens `count` of them (at least one) on a database file that another process may be writing:
    /// for programs that only look.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the file cannot be read; those of [`check`] for this crate's
    /// tables.
    pub fn open(path: impl AsRef<Path>, count: usize) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = Self::with(count, || connect(path.as_ref(), flags))?;
        readers.read(|tx| check(tx, &COMPONENT))?;
        Ok(readers)
    }

    /// Beside the writer. Whoever is the last to close the file removes its log, which takes a
    /// connection that may write; these are told not to.
    pub(super) fn beside(path: &Path, count: usize) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::with(count, || {
            let connection = connect(path, flags)?;
            connection.execute_batch("PRAGMA query_only = ON").map_err(failure)?;
            Ok(connection)
        })
    }

    fn with(count: usize, open: impl Fn() -> Result<Connection, Error>) -> Result<Self, Error> {
        let idle = (0..count.max(1)).map(|_| open()).collect::<Result<_, Error>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new() })
    }

    /// Runs `work` on one consistent snapshot. Writing fails.
    ///
    /// # Errors
    ///
    /// Those of `work`; [`Error::Unavailable`] when all connections stay in use for 5 seconds, or
    /// the file cannot be read.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.borrow()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            connection.execute_batch("BEGIN DEFERRED").map_err(failure)?;
            work(&mut SqliteTransaction::of(&connection))
        }));
        self.put_back(connection);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn borrow(&self) -> Result<Connection, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut idle, _) = self
            .returned
            .wait_timeout_while(idle, BUSY_TIMEOUT, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        idle.pop().ok_or_else(|| Error::Unavailable { reason: "all readers are in use".into() })
    }

    fn put_back(&self, connection: Connection) {
        if !connection.is_autocommit() {
            // It read only; if this fails, the next `BEGIN` on the connection fails and tells.
            let _ = connection.execute_batch("ROLLBACK");
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        self.returned.notify_one();
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags).map_err(failure)?;
    prepare(&connection)?;
    Ok(connection)
}
