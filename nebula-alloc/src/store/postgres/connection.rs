//! What the transactions of a connection rely on: that its settings stay as they are, and that all of
//! them reach the same server process.

use std::time::Duration;

use super::pipeline::Reply;
use super::session::Session;
use super::target::Target;
use super::text::misuse;
use super::value;
use crate::error::{Error, Misuse};
use crate::store::Row;

const SETTINGS: &str =
    "SELECT current_setting('search_path'), current_setting('synchronous_commit'),
     current_setting('session_replication_role'),
     current_setting('idle_in_transaction_session_timeout')";
const PROCESS: &str = "SELECT pg_backend_pid()";

/// How long a second connection may take: a pooler without room for one does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The settings that nobody may change, as they are now.
pub(super) fn settings(session: &mut Session) -> Result<Option<Row>, Error> {
    let Reply::Rows(rows) = session.one(SETTINGS, &[])? else { return Ok(None) };
    rows.first().map(value::row).transpose()
}

/// Refuses a statement that changed one of the settings: where the tables are, or how durable a
/// commit is, would change for the rest of the batch and for all that comes after it. The change is
/// undone with the transaction.
pub(super) fn check_settings(session: &mut Session, sql: &str) -> Result<(), Error> {
    let now = settings(session)?;
    if now == session.kept { Ok(()) } else { Err(misuse(Misuse::ChangesSettings, sql)) }
}

/// Refuses a pooler that gives each transaction another connection: settings, prepared statements and
/// locks of the session would be somebody else's. It shows where the server process serves a second
/// connection while this one is open, or is no longer `pid`. A change after this is noticed when a
/// transaction begins.
///
/// # Errors
///
/// [`Error::Setting`].
pub(super) fn check_process(session: &mut Session, pid: i64, server: &Target) -> Result<(), Error> {
    // If the second connection is refused, there is nothing to compare.
    let other = Session::open(server, PATIENCE).and_then(|mut other| process(&mut other));
    let now = process(session)?;
    if now != pid || other.is_ok_and(|other| other == now) { Err(pooled()) } else { Ok(()) }
}

/// The process that serves a connection.
pub(super) fn process(session: &mut Session) -> Result<i64, Error> {
    match session.one(PROCESS, &[])? {
        Reply::Rows(rows) => {
            rows.first().map(value::row).transpose()?.map_or(Ok(0), |row| row.columns().integer())
        }
        Reply::Changed(_) => Ok(0),
    }
}

/// The connection is one of a pooler in transaction mode.
pub(super) fn pooled() -> Error {
    Error::Setting { name: "pool_mode", expected: "session", found: "transaction".into() }
}
