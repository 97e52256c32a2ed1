//! The writer's transactions.

use rusqlite::Connection;

use super::files::{Files, Lengths};
use super::lock::Lock;
use super::log::{Log, save};
use super::transaction::{SqliteTransaction, failure};
use crate::Error;
use crate::store::Open;
use crate::store::{Param, Row, Transaction};

/// A transaction of the writing connection; rolled back when dropped.
#[derive(Debug)]
pub struct OpenSqlite<'a> {
    inner: SqliteTransaction<'a>,
    files: &'a Files,
    lock: &'a Lock,
    log: &'a mut Log,
}

impl<'a> OpenSqlite<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        files: &'a Files,
        lock: &'a Lock,
        log: &'a mut Log,
    ) -> Self {
        Self { inner: SqliteTransaction::of(connection), files, lock, log }
    }
}

impl Open for OpenSqlite<'_> {
    fn only_read(&mut self, yes: bool) {
        self.inner.only_read(yes);
    }

    fn aborted_by(&self) -> Option<Error> {
        self.inner.check().err()
    }

    fn commit(self) -> Result<(), Error> {
        self.inner.check()?;
        // A commit that was merely busy leaves the transaction open; dropping it rolls it back.
        self.inner.connection().execute_batch("COMMIT").map_err(failure)?;
        // What went into a file that nobody will find was not stored.
        self.log.note(check(self.files, self.lock, self.inner.connection())?);
        Ok(())
    }
}

impl Drop for OpenSqlite<'_> {
    fn drop(&mut self) {
        if !self.inner.connection().is_autocommit() {
            // `begin` tries once more, and its failure is reported.
            let _ = self.inner.connection().execute_batch("ROLLBACK");
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

/// [`Files::check`], outside a transaction. What was acknowledged should not depend on a log that may
/// be lost with this process.
pub(super) fn check(files: &Files, lock: &Lock, connection: &Connection) -> Result<Lengths, Error> {
    files.check(lock).inspect_err(|_| {
        if files.has_no_other_log() {
            save(connection);
        }
    })
}
