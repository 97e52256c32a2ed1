//! The seam over SQLite, with a count of what it costs.

use nebula_alloc::store::sqlite::SqliteTransaction;
use nebula_alloc::store::{Param, Row, Transaction};
use nebula_alloc::{EngineFault, Error, Outage};
use rusqlite::StatementStatus;

/// The library's own seam, which adds up the steps of SQLite's virtual machine and the rows that
/// statements changed.
pub(crate) struct Counted<'a> {
    inner: SqliteTransaction<'a>,
    transaction: &'a rusqlite::Transaction<'a>,
    pub(crate) steps: u64,
    pub(crate) rows: u64,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(transaction: &'a rusqlite::Transaction<'a>) -> Self {
        let inner = SqliteTransaction::new(transaction);
        Self { inner, transaction, steps: 0, rows: 0 }
    }

    /// The seam runs statements from the connection's cache and puts them back there with their
    /// counters.
    fn count(&mut self, sql: &str) -> Result<(), Error> {
        let failed = |error: rusqlite::Error| {
            Error::Unavailable(Outage::from(EngineFault { code: None, message: error.to_string() }))
        };
        let statement = self.transaction.prepare_cached(sql).map_err(failed)?;
        let steps = statement.reset_status(StatementStatus::VmStep);
        self.steps += u64::try_from(steps).unwrap_or_default();
        Ok(())
    }
}

impl Transaction for Counted<'_> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        let changed = self.inner.execute(sql, params)?;
        self.rows += changed;
        self.count(sql)?;
        Ok(changed)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let rows = self.inner.query(sql, params)?;
        self.count(sql)?;
        Ok(rows)
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.inner.script(sql)
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        self.inner.tables(prefix)
    }
}
