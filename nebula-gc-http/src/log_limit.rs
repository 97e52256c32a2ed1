//! Limits how many log lines clients can cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many lines are written at most in each period.
const LINES: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);

/// Limits the log lines about one kind of event that clients can cause: a database that is down, or a
/// client that reconnects in a loop, must not fill a disk.
pub(crate) struct LogLimit(Mutex<Option<Period>>);

struct Period {
    start: Instant,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether a line may be written now; if so, how many were left out in the previous period.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let period = held.get_or_insert(Period { start: now, lines: 0, left_out: 0 });
        let mut left_out = 0;
        if now.saturating_duration_since(period.start) >= PERIOD {
            left_out = period.left_out;
            *period = Period { start: now, lines: 0, left_out: 0 };
        }
        if period.lines < LINES {
            period.lines += 1;
            Some(left_out)
        } else {
            period.left_out += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_the_limit_are_counted_and_reported_with_the_next() {
        let (limit, begun) = (LogLimit::new(), Instant::now());
        for _ in 0..LINES {
            assert_eq!(limit.admit(begun), Some(0));
        }
        assert_eq!(limit.admit(begun), None);
        assert_eq!(limit.admit(begun + PERIOD / 2), None);
        assert_eq!(limit.admit(begun + PERIOD), Some(2));
        assert_eq!(limit.admit(begun + PERIOD * 3), Some(0));
    }
}
