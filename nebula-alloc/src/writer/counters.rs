//! What the writer has done, as numbers to export.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a [`Writer`](super::Writer) has done since it started. Each number is exact; numbers read
/// together may be of moments a little apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests taken into the queue.
    pub accepted: u64,
    /// Requests refused with [`Error::QueueFull`](crate::Error::QueueFull).
    pub full: u64,
    /// Accepted requests that have their answer, of whatever kind.
    pub answered: u64,
    /// Accepted requests without an answer as yet, waiting or in hand.
    pub queued: u64,
    /// Attempts at a batch, each a transaction.
    pub batches: u64,
    /// Commits that took place.
    pub commits: u64,
    /// Commits of unknown outcome.
    pub failed_commits: u64,
    /// Batches tried again because another process was in the way.
    pub retries: u64,
    /// Requests put off to a later batch because another process was at work on their subject.
    pub deferrals: u64,
    /// Batches halved because one of their requests failed.
    pub splits: u64,
    /// Requests that panicked.
    pub panics: u64,
    /// How often the database was reopened and found consistent.
    pub recoveries: u64,
    /// How often it waited for the database's server while it tried them.
    pub round_trips: u64,
    /// The most requests that shared a batch.
    pub largest_batch: u64,
    /// The longest attempt at a batch, in microseconds.
    pub longest_batch: u64,
}

#[derive(Debug, Default)]
pub(super) struct Meters {
    pub(super) accepted: Meter,
    pub(super) full: Meter,
    pub(super) answered: Meter,
    pub(super) batches: Meter,
    pub(super) commits: Meter,
    pub(super) failed_commits: Meter,
    pub(super) retries: Meter,
    pub(super) deferrals: Meter,
    pub(super) splits: Meter,
    pub(super) panics: Meter,
    pub(super) recoveries: Meter,
    pub(super) round_trips: Meter,
    pub(super) largest_batch: Meter,
    pub(super) longest_batch: Meter,
}

#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    pub(super) fn count(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    fn most(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Meters {
    /// Before it is tried, so that it is counted by the time it is answered.
    pub(super) fn batch(&self, size: usize) {
        self.batches.count();
        self.largest_batch.most(u64::try_from(size).unwrap_or(u64::MAX));
    }

    pub(super) fn took(&self, time: Duration) {
        self.longest_batch.most(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn read(&self) -> Counters {
        // In this order, so that what is answered was accepted.
        let answered = self.answered.read();
        let accepted = self.accepted.read();
        Counters {
            accepted,
            full: self.full.read(),
            answered,
            queued: accepted.saturating_sub(answered),
            batches: self.batches.read(),
            commits: self.commits.read(),
            failed_commits: self.failed_commits.read(),
            retries: self.retries.read(),
            deferrals: self.deferrals.read(),
            splits: self.splits.read(),
            panics: self.panics.read(),
            recoveries: self.recoveries.read(),
            round_trips: self.round_trips.read(),
            largest_batch: self.largest_batch.read(),
            longest_batch: self.longest_batch.read(),
        }
    }
}
