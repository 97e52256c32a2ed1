//! Reading beside the writer.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::connection::{BUSY_TIMEOUT, prepare};
use super::disk::unavailable;
use super::files::refuse_mount;
use super::owner::refuse_anothers_log;
use super::transaction::{SqliteTransaction, failure};
use crate::error::{Error, Outage};
use crate::schema::COMPONENT;
use crate::store::Transaction;
use crate::store::migrate::check;

/// A few read-only connections. They never wait for the writer, nor it for them.
///
/// A snapshot that is held keeps the log from being cut back: read what is needed and return.
#[derive(Debug)]
pub struct Readers {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    idle: Vec<Connection>,
    /// How many are in use.
    used: usize,
    closed: bool,
}

impl Readers {
    /// Opens `count` of them (at least one) on a database file that another process may be writing:
    /// for programs that only look.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the file cannot be read, is mounted by itself, or the log beside it
    /// belongs to another;
    /// those of [`check`] for this crate's tables.
    pub fn open(path: impl AsRef<Path>, count: usize) -> Result<Self, Error> {
        refuse_anothers_log(path.as_ref())?;
        refuse_mount(&path.as_ref().canonicalize().map_err(unavailable)?)?;
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
        let state = Mutex::new(State { idle, used: 0, closed: false });
        Ok(Self { state, returned: Condvar::new() })
    }

    /// Runs `work` on one consistent snapshot. Writing fails.
    ///
    /// # Errors
    ///
    /// Those of `work`; [`Error::Unavailable`] when all connections stay in use for 5 seconds, the
    /// file cannot be read, or they are [closed](Self::close).
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.borrow()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            connection.execute_batch("BEGIN DEFERRED").map_err(failure)?;
            let mut tx = SqliteTransaction::of(&connection);
            tx.only_read(true);
            work(&mut tx)
        }));
        self.put_back(connection);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Closes all connections, and blocks until those in use have returned, for 5 seconds at most;
    /// they are closed then. Before the writer is closed, so that it can remove the log.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.idle.clear();
        self.returned.notify_all();
        let waited = self.returned.wait_timeout_while(state, BUSY_TIMEOUT, |state| state.used > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn borrow(&self) -> Result<Connection, Error> {
        let none = |state: &mut State| state.idle.is_empty() && !state.closed;
        let (mut state, _) = self
            .returned
            .wait_timeout_while(self.state(), BUSY_TIMEOUT, none)
            .unwrap_or_else(PoisonError::into_inner);
        let cause = if state.closed { Outage::ReadersClosed } else { Outage::ReadersInUse };
        let connection = state.idle.pop();
        let connection = connection.ok_or(Error::Unavailable(cause))?;
        state.used += 1;
        Ok(connection)
    }

    fn put_back(&self, connection: Connection) {
        if !connection.is_autocommit() {
            // It only read; if this fails, the next `BEGIN` on the connection fails, too.
            let _ = connection.execute_batch("ROLLBACK");
        }
        let mut state = self.state();
        state.used = state.used.saturating_sub(1);
        if state.closed {
            drop(connection);
            self.returned.notify_all();
        } else {
            state.idle.push(connection);
            self.returned.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags).map_err(failure)?;
    prepare(&connection)?;
    Ok(connection)
}
