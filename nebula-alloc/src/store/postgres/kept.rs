//! The settings that all who share a connection rely on. A step that changed where the tables are, or
//! how durable a commit is, would do so for the others of its batch and for all that come after it.

use super::pipeline::Reply;
use super::session::Session;
use super::text::misuse;
use super::value;
use crate::error::{Error, Misuse};
use crate::store::Row;

const ASK: &str = "SELECT current_setting('search_path'), current_setting('synchronous_commit'),
     current_setting('session_replication_role'),
     current_setting('idle_in_transaction_session_timeout')";

/// What they are now.
pub(super) fn ask(session: &mut Session) -> Result<Option<Row>, Error> {
    let Reply::Rows(rows) = session.one(ASK, &[])? else { return Ok(None) };
    rows.first().map(value::row).transpose()
}

/// Refuses a text after which they are others than they were when the connection was made. What it
/// set is undone with the transaction.
pub(super) fn check(session: &mut Session, sql: &str) -> Result<(), Error> {
    let now = ask(session)?;
    if now == session.kept { Ok(()) } else { Err(misuse(Misuse::ChangesSettings, sql)) }
}
