//! Whether a pooler between here and the server gives each transaction another connection: settings,
//! prepared statements and locks of the session are then somebody else's.

use std::time::Duration;

use tokio_postgres::Config;

use super::pipeline::Reply;
use super::session::Session;
use super::value;
use crate::Error;

const PROCESS: &str = "SELECT pg_backend_pid()";

/// A pooler that has no room for a second connection says nothing for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Refuses a server whose process serves another connection while this one is open, or that is
/// another process than before. One that does so later is noticed as a transaction begins.
///
/// # Errors
///
/// [`Error::Setting`].
pub(super) fn check(session: &mut Session, pid: i64, server: &Config) -> Result<(), Error> {
    // It may be refused: then there is nothing to be compared.
    let other = Session::open(server, PATIENCE).and_then(|mut other| process(&mut other));
    let now = process(session)?;
    if now != pid || other.is_ok_and(|other| other == now) { Err(refused()) } else { Ok(()) }
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

/// The connection is a pooler's, in the wrong mode.
pub(super) fn refused() -> Error {
    Error::Setting { name: "pool_mode", expected: "session".into(), found: "transaction".into() }
}
