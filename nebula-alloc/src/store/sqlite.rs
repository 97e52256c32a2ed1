//! SQLite. One file, one writer; readers beside it.

mod readers;

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, ToSql, ffi};

pub use self::readers::Readers;
use crate::Error;
use crate::schema::COMPONENT;
use crate::store::migrate::{Component, migrate};
use crate::store::writer::{Engine, Open};
use crate::store::{Param, Row, Transaction, Value};

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
    _lock: File,
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
        let mut open = self.begin()?;
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
        Readers::open(&self.path, count)
    }

    /// The database file, with links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Engine for Sqlite {
    type Open<'a> = OpenSqlite<'a>;

    fn begin(&mut self) -> Result<OpenSqlite<'_>, Error> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").map_err(failure)?;
        }
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(failure)?;
        Ok(OpenSqlite { inner: SqliteTransaction::of(&self.connection) })
    }

    /// A fresh connection; the checkpoint writes what the log holds into the database file once
    /// more, because pages of the log whose synchronisation failed may never reach the disk.
    fn recover(&mut self) -> Result<(), Error> {
        self.connection = connect(&self.path)?;
        let verdict: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failure)?;
        if verdict != "ok" {
            return Err(Error::Unavailable { reason: verdict });
        }
        let busy: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))
            .map_err(failure)?;
        if busy != 0 {
            return Err(Error::Unavailable { reason: "a reader holds the log".into() });
        }
        for component in self.components.clone() {
            self.transaction(|tx| migrate(tx, &component))?;
        }
        Ok(())
    }
}

/// A transaction of the writing connection; rolled back when dropped.
pub(crate) struct OpenSqlite<'a> {
    inner: SqliteTransaction<'a>,
}

impl Open for OpenSqlite<'_> {
    fn is_open(&self) -> bool {
        self.inner.ended.is_none()
    }

    fn commit(self) -> Result<(), Error> {
        if let Some(reason) = &self.inner.ended {
            return Err(Error::Unavailable { reason: reason.clone() });
        }
        self.inner.connection.execute_batch("COMMIT").map_err(failure)
        // A commit that was merely busy leaves the transaction open; dropping it rolls it back.
    }
}

impl Drop for OpenSqlite<'_> {
    fn drop(&mut self) {
        if !self.inner.connection.is_autocommit() {
            // `begin` tries once more, and its failure is reported.
            let _ = self.inner.connection.execute_batch("ROLLBACK");
        }
    }
}

impl Transaction for OpenSqlite<'_> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.inner.execute(sql, params)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.inner.query(sql, params)
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.inner.script(sql)
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        self.inner.tables(prefix)
    }
}

/// The seam over a `rusqlite` transaction, for callers that have one of their own: what is done
/// through it is committed or rolled back with the caller's rows.
///
/// The caller's connection decides about durability (`journal_mode`, `synchronous`) and must have
/// `foreign_keys` on. The transaction should be an immediate one. Set
/// `SQLITE_DBCONFIG_ENABLE_QPSG` on the connection: without it SQLite plans some of the cached
/// statements anew each time they run.
#[derive(Debug)]
pub struct SqliteTransaction<'a> {
    connection: &'a Connection,
    ended: Option<String>,
}

impl<'a> SqliteTransaction<'a> {
    /// The seam over this transaction.
    #[must_use]
    pub fn new(transaction: &'a rusqlite::Transaction<'_>) -> Self {
        Self::of(transaction)
    }

    fn of(connection: &'a Connection) -> Self {
        Self { connection, ended: None }
    }

    fn prepare(&mut self, sql: &str) -> Result<CachedStatement<'a>, Error> {
        if let Some(reason) = &self.ended {
            return Err(Error::Unavailable { reason: reason.clone() });
        }
        self.connection.prepare_cached(sql).map_err(|error| self.failed(error))
    }

    /// Full disks, failed input or output, and lack of memory end the whole transaction, after
    /// which each further statement would be stored by itself.
    fn failed(&mut self, error: rusqlite::Error) -> Error {
        let error = failure(error);
        if self.connection.is_autocommit() {
            let reason = format!("the transaction is over: {error}");
            self.ended = Some(reason.clone());
            return Error::Unavailable { reason };
        }
        error
    }
}

impl Transaction for SqliteTransaction<'_> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        let mut statement = self.prepare(sql)?;
        if statement.column_count() != 0 {
            return Err(misuse("returns rows, which need a query", sql));
        }
        bind(&mut statement, sql, params)?;
        let changed = statement.raw_execute().map_err(|error| self.failed(error))?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let mut statement = self.prepare(sql)?;
        bind(&mut statement, sql, params)?;
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut result = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            let mut values = Vec::with_capacity(columns);
            for index in 0..columns {
                let value = row.get_ref(index).map_err(failure)?;
                values.push(self::value(index, value)?);
            }
            result.push(Row::new(values));
        }
        Ok(result)
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        if let Some(reason) = &self.ended {
            return Err(Error::Unavailable { reason: reason.clone() });
        }
        let sql = sql
            .replace("{blob}", "BLOB")
            .replace("{identity}", "INTEGER PRIMARY KEY")
            .replace("{clustered}", "WITHOUT ROWID");
        self.connection.execute_batch(&sql).map_err(|error| self.failed(error))
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        let rows = self.query(
            "SELECT name FROM sqlite_schema
             WHERE type = 'table' AND substr(name, 1, length($1)) = $1 ORDER BY name",
            &[prefix.into()],
        )?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }
}

/// SQLite takes `$2` for a name and numbers names as they appear, so that a text with `$2` before
/// `$1` would silently swap the values. The texts are few and cached; looking is cheap.
fn bind(statement: &mut CachedStatement<'_>, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
    if statement.parameter_count() != params.len() {
        return Err(misuse("has more or fewer parameters than values", sql));
    }
    let mut expected = String::with_capacity(4);
    for (index, param) in (1_usize..).zip(params) {
        expected.clear();
        let _ = write!(expected, "${index}");
        if statement.parameter_name(index) != Some(expected.as_str()) {
            return Err(misuse("does not number its parameters as they appear", sql));
        }
        statement.raw_bind_parameter(index, Bound(*param)).map_err(failure)?;
    }
    Ok(())
}

struct Bound<'a>(Param<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Param::Null => ValueRef::Null,
            Param::Integer(value) => ValueRef::Integer(value),
            Param::Text(value) => ValueRef::Text(value.as_bytes()),
            Param::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

fn value(index: usize, value: ValueRef<'_>) -> Result<Value, Error> {
    let unexpected = |expected, found| Error::Column { index, expected, found };
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(value) => Ok(Value::Integer(value)),
        ValueRef::Text(value) => match str::from_utf8(value) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => Err(unexpected("a text", "a text that is not UTF-8")),
        },
        ValueRef::Blob(value) => Ok(Value::Blob(value.to_vec())),
        ValueRef::Real(_) => Err(unexpected("an integer, text, blob or null", "a real")),
    }
}

fn misuse(reason: &'static str, sql: &str) -> Error {
    Error::Statement { reason, sql: sql.to_owned() }
}

/// SQLite's codes as variants; <https://sqlite.org/rescode.html>.
fn failure(error: rusqlite::Error) -> Error {
    let reason = error.to_string();
    let Some(code) = error.sqlite_error() else {
        return Error::Database { code: "client".into(), message: reason };
    };
    match code.code {
        ErrorCode::ConstraintViolation
            if matches!(
                code.extended_code,
                ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            ) =>
        {
            Error::Unique
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Contended { reason },
        ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::OutOfMemory
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase => Error::Unavailable { reason },
        _ => Error::Database { code: code.extended_code.to_string(), message: reason },
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
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        // The new name itself must outlast a power loss.
        File::open(directory)?.sync_all()?;
    }
    Ok(path)
}

fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".writer");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(name).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
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
    prepare(&connection)?;
    set(&connection, "journal_mode", "WAL", "wal")?;
    set(&connection, "synchronous", "FULL", "2")?;
    set(&connection, "foreign_keys", "ON", "1")?;
    Ok(connection)
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
