//! The seam over SQLite.

use std::fmt::Write as _;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, StatementStatus, ToSql, ffi};

use crate::error::{Contention, EngineFault, Error, Misuse, Outage};
use crate::store::sql_text::controls;
use crate::store::{Param, Row, Transaction, Value};

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
    ended: Option<Box<Error>>,
    /// Whether what may write is refused.
    reading: bool,
}

impl<'a> SqliteTransaction<'a> {
    /// The seam over this transaction.
    #[must_use]
    pub fn new(transaction: &'a rusqlite::Transaction<'_>) -> Self {
        Self::of(transaction)
    }

    /// The seam over this savepoint, for callers whose transaction has several: what is done through
    /// it goes with the savepoint.
    #[must_use]
    pub fn in_savepoint(savepoint: &'a rusqlite::Savepoint<'_>) -> Self {
        Self::of(savepoint)
    }

    pub(super) fn of(connection: &'a Connection) -> Self {
        Self { connection, ended: None, reading: false }
    }

    pub(super) fn only_read(&mut self, yes: bool) {
        self.reading = yes;
    }

    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// The error that ended the transaction, if one did.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.ended {
            Some(cause) => Err(Error::Unavailable(Outage::TransactionOver(cause.clone()))),
            None => Ok(()),
        }
    }

    /// That this is no plan, and no snapshot of [readers](super::Readers).
    fn writable(&self, sql: &str) -> Result<(), Error> {
        if self.reading { Err(misuse(Misuse::Writes, sql)) } else { Ok(()) }
    }

    fn prepare(&mut self, sql: &str) -> Result<CachedStatement<'a>, Error> {
        self.check()?;
        let statement = self.connection.prepare_cached(sql).map_err(|error| self.failed(error))?;
        // SQLite takes a `COMMIT` for one that reads, without columns.
        if statement.readonly() && statement.column_count() == 0 && controls(sql) {
            return Err(misuse(Misuse::ControlsTransaction, sql));
        }
        Ok(statement)
    }

    /// Full disks, failed input or output, and lack of memory end the whole transaction, after
    /// which each further statement would be stored by itself.
    fn failed(&mut self, error: rusqlite::Error) -> Error {
        let error = failure(error);
        if self.connection.is_autocommit() {
            let cause = Box::new(error);
            self.ended = Some(cause.clone());
            return Error::Unavailable(Outage::TransactionOver(cause));
        }
        error
    }
}

impl Transaction for SqliteTransaction<'_> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.writable(sql)?;
        let mut statement = self.prepare(sql)?;
        if statement.column_count() != 0 {
            return Err(misuse(Misuse::ReturnsRows, sql));
        }
        bind(&mut statement, sql, params)?;
        let changed = statement.raw_execute().map_err(|error| self.failed(error))?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let mut statement = self.prepare(sql)?;
        bind(&mut statement, sql, params)?;
        let columns = statement.column_count();
        // Without columns it is a `COMMIT` or the like, which SQLite takes for reading.
        if self.reading && !(statement.readonly() && columns > 0) {
            return Err(misuse(Misuse::Writes, sql));
        }
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
        self.check()?;
        self.writable(sql)?;
        if controls(sql) {
            return Err(misuse(Misuse::ControlsTransaction, sql));
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
        rows.iter().map(|row| row.columns().text().map(str::to_owned)).collect()
    }
}

fn bind(statement: &mut CachedStatement<'_>, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
    if statement.parameter_count() != params.len() {
        return Err(misuse(Misuse::ParameterCount, sql));
    }
    // What it is called does not change once it is prepared.
    if statement.get_status(StatementStatus::Run) == 0 {
        check_names(statement, sql)?;
    }
    for (index, param) in (1_usize..).zip(params) {
        statement.raw_bind_parameter(index, Bound(*param)).map_err(failure)?;
    }
    Ok(())
}

/// SQLite takes `$2` for a name and numbers names as they appear, so that a text with `$2` before
/// `$1` would silently swap the values.
fn check_names(statement: &CachedStatement<'_>, sql: &str) -> Result<(), Error> {
    let mut expected = String::with_capacity(4);
    for index in 1..=statement.parameter_count() {
        expected.clear();
        let _ = write!(expected, "${index}");
        if statement.parameter_name(index) != Some(expected.as_str()) {
            return Err(misuse(Misuse::ParameterOrder, sql));
        }
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

fn misuse(misuse: Misuse, sql: &str) -> Error {
    Error::Statement { misuse, sql: sql.to_owned() }
}

/// SQLite's codes as variants; <https://sqlite.org/rescode.html>.
pub(super) fn failure(error: rusqlite::Error) -> Error {
    let mut fault = EngineFault::uncoded(&error);
    let Some(code) = error.sqlite_error() else { return Error::Database(fault) };
    fault.code = Some(code.extended_code.to_string());
    match code.code {
        ErrorCode::ConstraintViolation
            if matches!(
                code.extended_code,
                ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            ) =>
        {
            Error::Unique
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Error::Contended(Contention::Engine(fault))
        }
        ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::OutOfMemory
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase => Error::Unavailable(Outage::Engine(fault)),
        _ => Error::Database(fault),
    }
}
