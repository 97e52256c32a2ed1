//! SQLite. One file, one writer; readers beside it.

mod disk;
mod open;
mod readers;
#[cfg(test)]
mod tests;
mod transaction;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use self::disk::{Lock, create, lock, log_of, rewrite, try_room, unavailable};
use self::open::OpenSqlite;
pub use self::readers::Readers;
pub use self::transaction::SqliteTransaction;
use self::transaction::failure;
use crate::Error;
use crate::schema::COMPONENT;
use crate::store::Transaction;
use crate::store::migrate::{Component, migrate};
use crate::store::writer::{Begin, Begun, LAST_EVENT, Open, Subject};

/// Enough for every statement of this crate and of a control plane on top.
const STATEMENTS: usize = 256;

/// How long a statement waits for a lock of another connection (a backup, a checkpoint).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The one writing connection to a database file.
///
/// As long as it lives no other process, and nobody else in this one, can open the same file for
/// writing through this crate: it holds a lock on a file beside it (the same name and `.writer`),
/// which ends with the process.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
    components: Vec<Component>,
    _lock: Lock,
}

impl Sqlite {
    /// Opens the database, makes it (readable by its owner only) when it is not there, and brings
    /// this crate's tables to the current version.
    ///
    /// Write-ahead log, full synchronisation and foreign keys are set and read back.
    ///
    /// # Errors
    ///
    /// [`Error::SecondWriter`]; those of [`migrate`]; [`Error::Setting`] when a setting did not
    /// take; [`Error::Unavailable`] when the file cannot be used.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = create(path.as_ref()).map_err(unavailable)?;
        let lock = lock(&path)?;
        let connection = connect(&path)?;
        let mut store = Self { path, connection, components: Vec::new(), _lock: lock };
        store.migrate(&COMPONENT)?;
        Ok(store)
    }

    /// Brings a caller's own tables to the current version, in one transaction.
    ///
    /// # Errors
    ///
    /// As [`migrate`].
    pub fn migrate(&mut self, component: &Component) -> Result<(), Error> {
        self.transaction(|tx| migrate(tx, component))?;
        self.components.push(*component);
        Ok(())
    }

    /// Runs `work` in one transaction, which is committed when it succeeds and else leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of `work`, and the engine's; [`Error::OutcomeUnknown`] when the commit failed.
    pub fn transaction<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut open = self.open_transaction()?;
        let output = work(&mut open)?;
        open.commit().map_err(|error| match error {
            Error::Contended { .. } => error,
            other => Error::OutcomeUnknown { reason: other.to_string() },
        })?;
        Ok(output)
    }

    /// Read-only connections to the same file, `count` of them (at least one).
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the file cannot be opened.
    pub fn readers(&self, count: usize) -> Result<Readers, Error> {
        Readers::connect(&self.path, count)
    }

    /// The database file, with links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_transaction(&mut self) -> Result<OpenSqlite<'_>, Error> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").map_err(failure)?;
        }
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(failure)?;
        Ok(OpenSqlite::new(&self.connection))
    }
}

impl Begin for Sqlite {
    type Open<'a> = OpenSqlite<'a>;

    /// The file has one writer: nobody else is at work on anything.
    fn begin(&mut self, _: i64, _: &[&Subject]) -> Result<Begun<OpenSqlite<'_>>, Error> {
        let mut open = self.open_transaction()?;
        let last = open.query(LAST_EVENT, &[])?.first().map(|row| row.integer(0)).transpose()?;
        Ok(Begun { open, last_event: last, elsewhere: Vec::new() })
    }

    /// A fresh connection, the log written once more, and the whole database read. Where the disk
    /// is full it all ends here: what the last commit took of it would let some more through, and
    /// refuse others, for as long as it lasts.
    fn recover(&mut self, _: i64) -> Result<(), Error> {
        try_room(&self.path).map_err(unavailable)?;
        // The old one is closed first, so that what it believed about the file goes with it.
        self.connection = Connection::open_in_memory().map_err(failure)?;
        self.connection = connect(&self.path)?;
        let verdict: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failure)?;
        if verdict != "ok" {
            return Err(Error::Unavailable { reason: verdict });
        }
        for component in self.components.clone() {
            self.transaction(|tx| migrate(tx, &component))?;
        }
        Ok(())
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failure)?;
    // What cannot be opened for writing SQLite opens for reading, and never tries again.
    if connection.is_readonly("main").map_err(failure)? {
        return Err(Error::Unavailable { reason: "the database file cannot be written".into() });
    }
    prepare(&connection)?;
    set(&connection, "journal_mode", "WAL", "wal")?;
    set(&connection, "synchronous", "FULL", "2")?;
    set(&connection, "foreign_keys", "ON", "1")?;
    rewrite_log(&connection, path)?;
    Ok(connection)
}

/// Writes what the log holds once more. Linux takes pages whose synchronisation failed for written:
/// this process and the next still read them, no later synchronisation brings them to the disk, and
/// after a loss of power what was committed behind them would be gone as well.
fn rewrite_log(connection: &Connection, path: &Path) -> Result<(), Error> {
    // Nobody appends meanwhile.
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failure)?;
    let rewritten = rewrite(&log_of(path)).map_err(unavailable);
    connection.execute_batch("ROLLBACK").map_err(failure)?;
    rewritten
}

/// What writing and reading connections have in common.
fn prepare(connection: &Connection) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failure)?;
    // Pages have no checksums; what contradicts itself in one is found when the page is first read.
    connection.execute_batch("PRAGMA cell_size_check = ON").map_err(failure)?;
    // Without it a cached `column = $n` in an ordered range query is planned anew on every run.
    let stable =
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failure)?;
    if !stable {
        return Err(Error::Setting { name: "qpsg", expected: "1".into(), found: "0".into() });
    }
    Ok(())
}

fn set(
    connection: &Connection,
    name: &'static str,
    value: &str,
    expected: &str,
) -> Result<(), Error> {
    // `pragma_update` refuses the row that `journal_mode` answers; reading is asked for anyway.
    connection.execute_batch(&format!("PRAGMA {name} = {value}")).map_err(failure)?;
    let found: rusqlite::types::Value =
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).map_err(failure)?;
    let found = match found {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    };
    if found == expected {
        Ok(())
    } else {
        Err(Error::Setting { name, expected: expected.into(), found })
    }
}
