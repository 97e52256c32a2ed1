use std::time::Duration;

/// How long to wait before the next start: longer with each failure.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// For how long a run has to last so that what was before it doesn't count.
    healthy: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration, healthy: Duration) -> Self {
        Self { first, longest, healthy, failures: 0 }
    }

    /// After a failure: how long to wait. `ran` is for how long it had been active.
    pub(super) fn failed(&mut self, ran: Duration) -> Duration {
        if ran >= self.healthy {
            self.failures = 0;
        }
        let doublings = self.failures.min(20);
        self.failures = self.failures.saturating_add(1);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// What is started next is another.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures there were in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn it_doubles_up_to_the_longest() {
        let mut backoff = Backoff::new(seconds(1), seconds(60), seconds(300));
        let waits: Vec<u64> = (0..9).map(|_| backoff.failed(seconds(299)).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        for _ in 0..100 {
            assert_eq!(backoff.failed(Duration::ZERO), seconds(60));
        }
    }

    #[test]
    fn five_minutes_of_health_begin_anew() {
        let mut backoff = Backoff::new(seconds(1), seconds(60), seconds(300));
        for _ in 0..9 {
            backoff.failed(Duration::ZERO);
        }
        assert_eq!(backoff.failed(seconds(300)), seconds(1));
        assert_eq!((backoff.failed(Duration::ZERO), backoff.failures()), (seconds(2), 2));
        backoff.reset();
        assert_eq!(backoff.failed(Duration::ZERO), seconds(1));
    }
}
