//! Pauses between attempts.

use std::time::Duration;

/// The longest pause that a server can ask for: what it asks beyond that is not believed.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// Pauses between attempts. Each is up to twice as long as the one before; half of each is random, so
/// that clients that failed together don't come back together.
///
/// ```
/// use std::time::Duration;
/// use nebula_gc_http::client::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// let first = backoff.next(None);
/// assert!(first >= Duration::from_millis(500) && first <= Duration::from_secs(1));
/// // What a server asks for with `Retry-After` is the least.
/// assert!(backoff.next(Some(Duration::from_secs(10))) >= Duration::from_secs(10));
/// backoff.reset();
/// assert!(backoff.next(None) <= Duration::from_secs(1));
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    upcoming: Duration,
}

impl Backoff {
    /// Pauses from `first / 2..=first`, growing up to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, upcoming: first.min(longest) }
    }

    /// The next pause. What the server asked for (at most an hour is believed) is waited in any
    /// case, plus a random part of the pause.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let mut random = [0; 2];
        // Without randomness the pause is only longer.
        if getrandom::fill(&mut random).is_err() {
            random = [u8::MAX; 2];
        }
        let pause = between(asked, self.upcoming, u16::from_le_bytes(random));
        self.upcoming = self.upcoming.saturating_mul(2).min(self.longest);
        pause
    }

    /// After a success: begins with the first pause again.
    pub fn reset(&mut self) {
        self.upcoming = self.first.min(self.longest);
    }
}

/// From half of the pause to all of it, or from what was asked to half a pause beyond it.
fn between(asked: Option<Duration>, pause: Duration, random: u16) -> Duration {
    let half = pause / 2;
    let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
    let part = half.saturating_mul(u32::from(random)) / u32::from(u16::MAX);
    asked.max(half).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_random_by_half() {
        let second = Duration::from_secs(1);
        assert_eq!(between(None, second, 0), second / 2);
        assert_eq!(between(None, second, u16::MAX), second);
        let mut backoff = Backoff::new(second, 5 * second);
        for longest in [1, 2, 4, 5, 5] {
            let (pause, longest) = (backoff.next(None), longest * second);
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?} of {longest:?}");
        }
    }

    #[test]
    fn what_a_server_asks_for_is_waited_but_not_for_ever() {
        let second = Duration::from_secs(1);
        assert_eq!(between(Some(9 * second), second, 0), 9 * second);
        assert!(between(Some(9 * second), second, u16::MAX) <= 10 * second);
        assert_eq!(between(Some(Duration::MAX), second, 0), LONGEST_ASKED);
    }
}
