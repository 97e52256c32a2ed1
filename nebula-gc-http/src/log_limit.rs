use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many lines are written…
const LINES: u32 = 20;
/// … in a stretch of this length.
const STRETCH: Duration = Duration::from_secs(10);

/// Bounds the log's lines about one thing that clients can bring about: a database that is away, or
/// somebody who connects again and again, must not fill a disk.
pub(crate) struct LogLimit(Mutex<Option<Stretch>>);

struct Stretch {
    begun: Instant,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether a line may be written now: then how many were left out in the stretch before.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stretch = held.get_or_insert(Stretch { begun: now, lines: 0, left_out: 0 });
        let mut left_out = 0;
        if now.saturating_duration_since(stretch.begun) >= STRETCH {
            left_out = stretch.left_out;
            *stretch = Stretch { begun: now, lines: 0, left_out: 0 };
        }
        if stretch.lines < LINES {
            stretch.lines += 1;
            Some(left_out)
        } else {
            stretch.left_out += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_the_bound_are_counted_and_told_with_the_next() {
        let (limit, begun) = (LogLimit::new(), Instant::now());
        for _ in 0..LINES {
            assert_eq!(limit.admit(begun), Some(0));
        }
        assert_eq!(limit.admit(begun), None);
        assert_eq!(limit.admit(begun + STRETCH / 2), None);
        assert_eq!(limit.admit(begun + STRETCH), Some(2));
        assert_eq!(limit.admit(begun + STRETCH * 3), Some(0));
    }
}
