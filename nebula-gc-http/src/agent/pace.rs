//! How often an agent may ask its server: one that answers each poll at once keeps no machine busy.

use std::time::Duration;

use tokio::time::Instant;

/// How many turns there may be at once, and how long it takes to get another one.
const TURNS: (u32, Duration) = (20, Duration::from_secs(1));

/// The turns that are left, which come back with time.
#[derive(Debug)]
pub(super) struct Pace {
    left: u32,
    since: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { left: TURNS.0, since: Instant::now() }
    }
}

impl Pace {
    /// Takes a turn; how long to rest after it.
    pub(super) fn pause(&mut self) -> Duration {
        let passed = self.since.elapsed().as_secs() / TURNS.1.as_secs();
        if passed > 0 {
            self.since = Instant::now();
        }
        let back = u32::try_from(passed).unwrap_or(TURNS.0).min(TURNS.0);
        self.left = (self.left + back).min(TURNS.0).saturating_sub(1);
        if self.left == 0 { TURNS.1 } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_turns_at_once_are_followed_by_one_each_second() {
        let mut pace = Pace::default();
        let mut turns = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            turns += 1;
            // A server that answers at once, some milliseconds away.
            tokio::time::sleep(pace.pause() + Duration::from_millis(2)).await;
        }
        assert!((70..90).contains(&turns), "{turns} turns in a minute");
        // After a quiet time there are as many at once again.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!((0..10).all(|_| pace.pause().is_zero()));
    }
}
