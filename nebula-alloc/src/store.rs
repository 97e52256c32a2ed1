//! The seam: what the logic of this crate, and a caller's own, needs of a database.
//!
//! A statement is written once for all engines. Its parameters are `$1, $2, …`, numbered in the
//! order in which they first appear; integers are `BIGINT`, ids and addresses blobs. In the text
//! of a migration `{blob}` stands for the engine's type of blobs, `{identity}` for an integer
//! primary key that the engine counts up, and `{clustered}` after a table's closing parenthesis
//! for storage in the order of its primary key, where the engine has that.

mod engine;
pub mod migrate;
#[cfg(feature = "postgres")]
pub mod postgres;
mod row;
#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
pub(crate) mod sql_text;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod value;

use crate::Error;

pub(crate) use engine::{Begin, Begun, LAST_EVENT, Open};
pub use engine::{Engine, Subject};
pub use row::{Columns, Row};
pub use value::{Param, Query, Value};

/// An open transaction.
///
/// After an error a transaction is either usable, with the failed statement undone, or over:
/// then every further call answers [`Error::Unavailable`], so that nothing is stored piecemeal.
pub trait Transaction {
    /// Runs a statement that returns no rows, and answers how many rows it changed.
    ///
    /// # Errors
    ///
    /// [`Error::Unique`] when a unique key forbids it, [`Error::Statement`] before anything is
    /// changed when it returns rows (`RETURNING` belongs into [`query`](Self::query)) or would begin
    /// or end the transaction, and the engine's failures.
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error>;

    /// Runs a statement and collects its rows.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error>;

    /// Runs a statement whose count is not needed. An engine may send it later, at latest before
    /// the next statement that answers or the commit; its error then comes from there.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    fn queue(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.execute(sql, params).map(drop)
    }

    /// As [`queue`](Self::queue), of a statement that changes exactly one row.
    ///
    /// # Errors
    ///
    /// [`Error::Overtaken`] when it changed none, because another transaction was first, and as
    /// [`execute`](Self::execute).
    fn queue_one(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            changed => Err(not_one(changed, sql)),
        }
    }

    /// Sees that what was queued has been run.
    ///
    /// # Errors
    ///
    /// Those of what was queued.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Runs a query and locks its rows until the transaction ends. Rows that another transaction
    /// has locked are left out. The engine adds the clause, at the end of the text.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    fn query_skip_locked(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.query(sql, params)
    }

    /// The number under which this process keeps runs of free addresses to itself, where several
    /// allocate from one database.
    fn instance(&self) -> Option<i64> {
        None
    }

    /// Runs one query with each of the sets of parameters; an engine may do so in one round trip.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    fn query_each(&mut self, sql: &str, sets: &[Vec<Param<'_>>]) -> Result<Vec<Vec<Row>>, Error> {
        sets.iter().map(|params| self.query(sql, params)).collect()
    }

    /// [`query_skip_locked`](Self::query_skip_locked) with each of the sets of parameters; an engine
    /// may do so in one round trip.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    fn query_each_skip_locked(
        &mut self,
        sql: &str,
        sets: &[Vec<Param<'_>>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        sets.iter().map(|params| self.query_skip_locked(sql, params)).collect()
    }

    /// The transaction's time, in seconds since the Unix epoch, where the writer began it: what is
    /// done in it is done then.
    fn time(&self) -> Option<i64> {
        None
    }

    /// The id of the last event before which no other can appear any more, for followers of the events.
    /// Where several processes write, ids are taken before they are committed, and in another order.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); [`Error::Unavailable`] on a standby, which cannot know.
    fn last_settled_event(&mut self) -> Result<i64, Error> {
        Ok(i64::MAX)
    }

    /// Runs the statements of a migration, as part of the transaction.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    fn script(&mut self, sql: &str) -> Result<(), Error>;

    /// The names of the tables that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error>;
}

/// For engines: a statement of [`Transaction::queue_one`] changed another number of rows.
pub(crate) fn not_one(changed: u64, sql: &str) -> Error {
    let verb = sql.split_whitespace().next().unwrap_or_default().to_owned();
    Error::Overtaken { verb, changed }
}
