//! How a step about everything gets exclusive access.
//!
//! Steps about keys share the gate; a step about everything holds it exclusively. While one waits in
//! the server's queue no other process gets in, so it cannot starve under load: batches end in
//! milliseconds. But a process that stalls inside its transaction keeps the gate until the server ends
//! its connection, 10 seconds later, and would block all others. So the wait is short, followed by a
//! rest nine times as long in which the gate is only tried. Each failed wait is twice as long as the
//! one before, for disks on which a commit takes long.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);

/// Less than the lock timeout of those who queue behind.
const LONGEST: Duration = Duration::from_millis(800);

/// How often a wait fits into the rest after it.
const REST: u32 = 9;

#[derive(Debug)]
pub(super) struct Gate {
    wait: Duration,
    rest_until: Option<Instant>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { wait: FIRST, rest_until: None }
    }
}

impl Gate {
    /// How long to wait in the queue now. `None`: only look.
    pub(super) fn wait(&self) -> Option<Duration> {
        let resting = self.rest_until.is_some_and(|end| Instant::now() < end);
        (!resting).then_some(self.wait)
    }

    /// A wait failed.
    pub(super) fn missed(&mut self) {
        self.rest_until = Some(Instant::now() + self.wait * REST);
        self.wait = LONGEST.min(self.wait * 2);
    }

    /// It got in.
    pub(super) fn entered(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_is_followed_by_a_rest_and_then_by_a_longer_one() {
        let mut gate = Gate::default();
        for wait in [100, 200, 400, 800, 800] {
            assert_eq!(gate.wait(), Some(Duration::from_millis(wait)));
            gate.missed();
            assert_eq!(gate.wait(), None);
            let rest = gate.rest_until.unwrap() - Instant::now();
            assert!(rest > Duration::from_millis(wait * 8), "{rest:?}");
            gate.rest_until = Some(Instant::now());
        }
        gate.entered();
        assert_eq!(gate.wait(), Some(FIRST));
    }
}
