//! Up to which id the events are complete.
//!
//! An event has its id before its transaction commits, so a lower id may appear after a higher one. So
//! each transaction of this crate begins by taking a shared lock on the id of the last event that it
//! sees: its own events come after that. A follower looks at the locks; a transaction's lock is gone
//! once a later snapshot has what it wrote. Other transactions, which may be open for long, have none.
//!
//! The lock is of two numbers of 32 bits: one for all of a schema, and the low half of the event's.

use super::pipeline::{Message, Reply};
use super::session::Session;
use super::value::{self, Bound};
use crate::error::{Error, Outage};

/// What a transaction begins with: the time of the last event, and the lock on its number.
pub(super) const BEGINS_AFTER: &str = "SELECT last.at,
         CASE WHEN pg_advisory_xact_lock_shared(
             $1, CAST(CAST(coalesce(last.id, 0) AS BIT(32)) AS INT)) IS NULL THEN 1 ELSE 0 END
     FROM (SELECT 1) AS one
     LEFT JOIN (SELECT id, at FROM alloc_event ORDER BY id DESC LIMIT 1) AS last ON true";

/// Each number that is locked is the nearest at or below the last that there is.
const SETTLED: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE coalesce(
         min(last.id - ((last.id - CAST(held.objid AS BIGINT)) & 4294967295)), max(last.id)) END
     FROM (SELECT coalesce((SELECT id FROM alloc_event ORDER BY id DESC LIMIT 1), 0) AS id) AS last
     LEFT JOIN pg_catalog.pg_locks AS held
         ON held.locktype = 'advisory' AND held.objsubid = 2 AND held.granted
             AND CAST(held.classid AS BIGINT) = $1 AND held.pid <> pg_backend_pid()
             AND held.database = (SELECT oid FROM pg_catalog.pg_database
                 WHERE datname = current_database())";

/// The last event before which none can appear to a snapshot that is made later.
pub(super) fn last(session: &mut Session) -> Result<i64, Error> {
    let class = Bound::Param(class(session).into());
    read(&session.one(SETTLED, &[class])?)
}

/// The same where a transaction that has not read anything is open, in one round trip: found out
/// before it, with what begins it anew.
pub(super) fn before(session: &mut Session, begin: &str) -> Result<i64, Error> {
    let text = session.text(SETTLED);
    session.prepare([&text])?;
    let class = Bound::Param(class(session).into());
    let replies = session.send(vec![
        Message::Plain("ROLLBACK"),
        Message::Bound(text.check(1)?, vec![class]),
        Message::Plain(begin),
    ])?;
    let mut last = Ok(0);
    for reply in replies {
        match reply? {
            Reply::Changed(_) => {}
            rows @ Reply::Rows(_) => last = read(&rows),
        }
    }
    last
}

/// As the view of locks has it, without a sign.
fn class(session: &Session) -> i64 {
    i64::from(session.following.cast_unsigned())
}

fn read(reply: &Reply) -> Result<i64, Error> {
    let Reply::Rows(rows) = reply else { return Ok(0) };
    let last = rows
        .first()
        .map(|row| value::row(row)?.columns().optional_integer())
        .transpose()?
        .flatten();
    last.ok_or(Error::Unavailable(Outage::EventsOnStandby))
}
