//! SQLite. One file, one writer; readers beside it.

mod open;
mod readers;
#[cfg(test)]
mod tests;
mod transaction;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

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

/// In bytes; <https://sqlite.org/fileformat2.html#pages>.
const SMALLEST_PAGE: u64 = 512;

/// Bytes of the log held in memory while it is written again.
const REWRITTEN_AT_ONCE: u64 = 1 << 20;

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

    /// A fresh connection, the log written once more, and the whole database read.
    fn recover(&mut self) -> Result<(), Error> {
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

fn unavailable(error: std::io::Error) -> Error {
    Error::Unavailable { reason: error.to_string() }
}

/// Makes the file if need be and resolves links, so that a file has one name and one lock.
fn create(path: &Path) -> std::io::Result<PathBuf> {
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

/// SQLite takes a file without a first page for a new database, and throws away the log beside it.
/// The first page is on the disk before there is a log.
fn refuse_stump(path: &Path) -> std::io::Result<()> {
    let length = path.metadata()?.len();
    let log = log_of(path).metadata().map_or(0, |log| log.len());
    if length < SMALLEST_PAGE && (length > 0 || log > 0) {
        let reason = format!("the database is cut off after {length} bytes, its log has {log}");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    Ok(())
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Let go of explicitly: closing the file does not do so as long as a program that was started
/// meanwhile has it, which is until it has replaced this one's image.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // If that fails, closing is the other way.
        let _ = self.0.unlock();
    }
}

fn lock(path: &Path) -> Result<Lock, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".writer");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(name).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Error::SecondWriter { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
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

fn rewrite(path: &Path) -> std::io::Result<()> {
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

/// What writing and reading connections have in common.
fn prepare(connection: &Connection) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failure)?;
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
