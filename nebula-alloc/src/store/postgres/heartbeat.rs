//! The heartbeat of this process: its row in the table of instances, under whose number it holds runs
//! of free addresses.

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

    /// The number of this process, once it has a row.
    pub(super) fn number(&self) -> Option<i64> {
        self.number
    }

    /// Has the row checked again after reconnecting. A server that was promoted meanwhile may never have
    /// had it, and may have given the number to another process: then this one takes a new number.
    pub(super) fn reconnected(&mut self, timeline: Option<u32>) {
        self.shown = None;
        if self.timeline != timeline {
            (self.number, self.timeline) = (None, timeline);
        }
    }

    /// Updates the row when it is due, and inserts it again if it was deleted because this process
    /// seemed gone. In a transaction of its own, so that it stays whatever becomes of the next.
    pub(super) fn beat(&mut self, session: &mut Session, now: Option<i64>) -> Result<(), Error> {
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
