//! The transaction as steps see it.

use super::prefetch::Prefetched;
use crate::error::{Error, Misuse};
use crate::store::sql_text::reads;
use crate::store::{Open, Param, Row, Transaction};

/// It keeps plans from writing, and notices failures that concern the whole batch, whatever a step
/// makes of them.
pub(super) struct GuardedTx<T> {
    pub(super) inner: T,
    now: i64,
    planning: bool,
    pub(super) fault: Option<Error>,
    /// The reads of the step at work that were made before.
    pub(super) prefetched: Prefetched,
}

impl<T: Open> GuardedTx<T> {
    pub(super) fn new(mut inner: T, now: i64) -> Self {
        inner.only_read(true);
        Self { inner, now, planning: true, fault: None, prefetched: Prefetched::default() }
    }

    /// From now on steps may write.
    pub(super) fn planned(&mut self) {
        self.planning = false;
        self.inner.only_read(false);
    }
}

impl<T> GuardedTx<T> {
    fn note<V>(&mut self, result: Result<V, Error>) -> Result<V, Error> {
        if let Err(error) = &result
            && is_of_all(error)
            && self.fault.is_none()
        {
            self.fault = Some(error.clone());
        }
        result
    }

    /// Before something is written.
    fn check(&mut self, sql: &str) -> Result<(), Error> {
        if self.planning {
            return Err(Error::Statement { misuse: Misuse::Writes, sql: sql.to_owned() });
        }
        self.prefetched.forget();
        Ok(())
    }
}

impl<T: Transaction> Transaction for GuardedTx<T> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.check(sql)?;
        let result = self.inner.execute(sql, params);
        self.note(result)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        if let Some(rows) = self.prefetched.take(sql, params) {
            return Ok(rows);
        }
        if !self.prefetched.is_empty() && !reads(sql) {
            self.prefetched.forget();
        }
        let result = self.inner.query(sql, params);
        self.note(result)
    }

    fn queue(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.check(sql)?;
        let result = self.inner.queue(sql, params);
        self.note(result)
    }

    fn queue_one(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.check(sql)?;
        let result = self.inner.queue_one(sql, params);
        self.note(result)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let result = self.inner.flush();
        self.note(result)
    }

    fn query_skip_locked(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let result = self.inner.query_skip_locked(sql, params);
        self.note(result)
    }

    fn instance(&self) -> Option<i64> {
        self.inner.instance()
    }

    fn query_each(&mut self, sql: &str, sets: &[Vec<Param<'_>>]) -> Result<Vec<Vec<Row>>, Error> {
        let result = self.inner.query_each(sql, sets);
        self.note(result)
    }

    fn query_each_skip_locked(
        &mut self,
        sql: &str,
        sets: &[Vec<Param<'_>>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        let result = self.inner.query_each_skip_locked(sql, sets);
        self.note(result)
    }

    fn time(&self) -> Option<i64> {
        Some(self.now)
    }

    fn last_settled_event(&mut self) -> Result<i64, Error> {
        let result = self.inner.last_settled_event();
        self.note(result)
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.check(sql)?;
        let result = self.inner.script(sql);
        self.note(result)
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        let result = self.inner.tables(prefix);
        self.note(result)
    }
}

/// Whether an error concerns the whole batch, whichever step met it.
pub(super) fn is_of_all(error: &Error) -> bool {
    error.is_contention() || matches!(error, Error::Unavailable(_))
}
