//! That this process is there: its row in the table of instances, by whose number it keeps runs of
//! free addresses to itself.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::pipeline::number;
use super::session::Session;
use super::value::Bound;
use crate::Error;

/// How old the row's time may grow while there is work.
const INTERVAL: Duration = Duration::from_secs(10);

/// The caller's clock, else the server's.
const INSERT: &str = "INSERT INTO alloc_instance (seen_at) VALUES
     (coalesce(CAST($1 AS BIGINT), CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)))
     RETURNING id";
const UPDATE: &str = "UPDATE alloc_instance SET seen_at =
     coalesce(CAST($1 AS BIGINT), CAST(extract(epoch FROM clock_timestamp()) AS BIGINT))
     WHERE id = $2 RETURNING id";

#[derive(Debug)]
pub(super) struct Heartbeat {
    number: Option<i64>,
    /// Of the server that gave the number.
    timeline: Option<u32>,
    shown: Option<Instant>,
}

impl Heartbeat {
    pub(super) fn on(timeline: Option<u32>) -> Self {
        Self { number: None, timeline, shown: None }
    }

    /// The number of this process, once it has shown itself.
    pub(super) fn number(&self) -> Option<i64> {
        self.number
    }

    /// Has the row looked at anew after connecting anew. A server that was promoted meanwhile may
    /// never have had it, and have given the number to another process: then it takes a new one.
    pub(super) fn doubt(&mut self, timeline: Option<u32>) {
        self.shown = None;
        if self.timeline != timeline {
            (self.number, self.timeline) = (None, timeline);
        }
    }

    /// Brings the row up to date when it is due, and makes it anew when somebody took this process
    /// for gone. In a transaction of its own, so that it stays whatever becomes of the next.
    pub(super) fn show(&mut self, session: &mut Session, now: Option<i64>) -> Result<(), Error> {
        if self.shown.is_some_and(|shown| shown.elapsed() < INTERVAL) {
            return Ok(());
        }
        let now = Bound::Param(now.into());
        if let Some(known) = self.number {
            self.number =
                number(&session.one(UPDATE, &[now.clone(), Bound::Param(known.into())])?)?;
        }
        if self.number.is_none() {
            self.number = number(&session.one(INSERT, &[now])?)?;
        }
        self.shown = Some(Instant::now());
        Ok(())
    }
}
