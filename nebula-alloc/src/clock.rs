//! A clock whose jumps are not believed.
//!
//! An address that leaves its quarantine too early can have two holders. So when the machine's clock
//! jumps by an hour or more, time goes on as before, until an operator confirms the new time.
//!
//! A [`Clock`] notices jumps while the program runs. At the start the events are compared: if the last
//! one is more than an hour ahead of the clock, one of the two is wrong, and the
//! [`Writer`](crate::Writer) is not ready until the clock is corrected or
//! [confirmed](crate::Writer::confirm_clock). A clock ahead of the last event, by any time, looks like
//! that of a machine that was off.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, Outage};
use crate::event::{self, Actor, kind};
use crate::limits::CLOCK_TOLERANCE;
use crate::store::Transaction;

/// Believes that it is `now`, although events say that it was later already: from here on time is
/// counted from `now`. [`Writer::confirm_clock`](crate::Writer::confirm_clock) is this for a program
/// with a writer.
///
/// # Errors
///
/// The engine's.
pub fn confirm(tx: &mut dyn Transaction, now: i64, actor: &Actor<'_>) -> Result<(), Error> {
    event::record(
        tx,
        now,
        actor,
        &event::Entry {
            kind: kind::CLOCK_CONFIRMED,
            network: None,
            subject: None,
            address: None,
            detail: None,
        },
    )
}

/// The time of a transaction: never before the last event, which is not believed when it is too far
/// ahead of the clock.
pub(crate) fn after(last_event: Option<i64>, clock: i64) -> Result<i64, Error> {
    let last = last_event.unwrap_or(clock).max(clock);
    match last.abs_diff(clock) {
        0..=CLOCK_TOLERANCE => Ok(last),
        _ => Err(Error::Unavailable(Outage::ClockBehindEvents { last_event: last, clock })),
    }
}

/// A clock that is watched. Its copies are the same clock.
///
/// ```
/// use nebula_alloc::Clock;
/// use rustix::time::{ClockId, clock_gettime};
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
///
/// let wall = || {
///     let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
///     i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
/// };
/// // It goes on while the machine sleeps, which `Instant` does not on Linux.
/// let steady = || {
///     let since_boot = clock_gettime(ClockId::Boottime);
///     Duration::from_secs(u64::try_from(since_boot.tv_sec).unwrap_or_default())
/// };
/// let clock = Clock::new(wall, steady);
/// let watch = clock.clone();
/// let for_the_writer = move || clock.now();
/// # assert!(for_the_writer() > 1_700_000_000);
/// assert_eq!(watch.jump(), None);
/// ```
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    wall: Box<dyn Fn() -> i64 + Send + Sync>,
    steady: Box<dyn Fn() -> Duration + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// What the clock showed, or should have, when the steady one was at `at`.
    time: i64,
    at: Duration,
    /// By how many seconds the clock is off since it jumped.
    jump: Option<i64>,
}

impl Clock {
    /// Compares `wall`, which returns seconds since the Unix epoch and can be set, with `steady`, which
    /// cannot be set. The first value of `wall` is believed.
    #[must_use]
    pub fn new(
        wall: impl Fn() -> i64 + Send + Sync + 'static,
        steady: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let state = State { time: wall(), at: steady(), jump: None };
        let (wall, steady) = (Box::new(wall), Box::new(steady));
        Self(Arc::new(Inner { wall, steady, state: Mutex::new(state) }))
    }

    /// The time, in seconds since the Unix epoch: what the clock shows, or after a jump what it
    /// would.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.look().time
    }

    /// By how many seconds the clock jumped, forward if positive, as long as that was not
    /// confirmed. A clock that jumps back to where it should be needs no confirmation.
    #[must_use]
    pub fn jump(&self) -> Option<i64> {
        self.look().jump
    }

    /// Believes the clock as it is now. Answers by how many seconds time moves. When it moves back
    /// by more than an hour the writer wants to hear it, too:
    /// [`Writer::confirm_clock`](crate::Writer::confirm_clock).
    pub fn confirm(&self) -> i64 {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let time = (self.0.wall)();
        let at = (self.0.steady)();
        let moved = time.saturating_sub(state.expected(at));
        *state = State { time, at, jump: None };
        moved
    }

    fn look(&self) -> State {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, at) = ((self.0.wall)(), (self.0.steady)());
        let expected = state.expected(at);
        if time.abs_diff(expected) <= CLOCK_TOLERANCE {
            // A clock that is adjusted little by little goes where it likes.
            *state = State { time, at, jump: None };
            *state
        } else {
            state.jump = Some(time.saturating_sub(expected));
            State { time: expected, at, ..*state }
        }
    }
}

impl State {
    fn expected(&self, at: Duration) -> i64 {
        let passed = at.saturating_sub(self.at).as_secs();
        self.time.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Clock").field(&self.look()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;

    const START: i64 = 1_800_000_000;
    const HOUR: i64 = 3_600;

    /// A clock, and the hands of what it looks at.
    fn clock() -> (Clock, Arc<AtomicI64>, Arc<AtomicU64>) {
        let (wall, steady) = (Arc::new(AtomicI64::new(START)), Arc::new(AtomicU64::new(7)));
        let (shown, passed) = (Arc::clone(&wall), Arc::clone(&steady));
        let clock = Clock::new(
            move || shown.load(Ordering::Relaxed),
            move || Duration::from_secs(passed.load(Ordering::Relaxed)),
        );
        (clock, wall, steady)
    }

    #[test]
    fn time_passes_and_may_be_corrected_by_an_hour() {
        let (clock, wall, steady) = clock();
        steady.fetch_add(86_400, Ordering::Relaxed);
        wall.fetch_add(86_400 + HOUR, Ordering::Relaxed);
        assert_eq!((clock.now(), clock.jump()), (START + 86_400 + HOUR, None));
        wall.fetch_sub(HOUR, Ordering::Relaxed);
        assert_eq!((clock.now(), clock.jump()), (START + 86_400, None));
    }

    #[test]
    fn a_jump_is_not_believed_until_it_is_confirmed() {
        for by in [HOUR + 1, -HOUR - 1, 365 * 86_400] {
            let (clock, wall, steady) = clock();
            wall.fetch_add(by, Ordering::Relaxed);
            assert_eq!((clock.now(), clock.jump()), (START, Some(by)));
            steady.fetch_add(10, Ordering::Relaxed);
            wall.fetch_add(10, Ordering::Relaxed);
            assert_eq!((clock.now(), clock.jump()), (START + 10, Some(by)));
            assert_eq!(clock.clone().confirm(), by);
            assert_eq!((clock.now(), clock.jump()), (START + 10 + by, None));
        }
    }

    #[test]
    fn a_clock_that_was_put_right_needs_no_confirmation() {
        let (clock, wall, steady) = clock();
        wall.fetch_add(9 * HOUR, Ordering::Relaxed);
        assert_eq!(clock.jump(), Some(9 * HOUR));
        steady.fetch_add(5, Ordering::Relaxed);
        wall.store(START + 5, Ordering::Relaxed);
        assert_eq!((clock.now(), clock.jump()), (START + 5, None));
    }

    /// Nothing is free earlier because the machine's clock is wrong.
    #[cfg(feature = "sqlite")]
    #[test]
    fn a_jump_ends_no_quarantine() {
        use crate::lease::Request;
        use crate::pool::Pool;
        use crate::{
            Allocator, Error, Family, NetworkId, OwnerId, PoolId, Sqlite, Writer, WriterOptions,
            usable,
        };

        let (clock, wall, _) = clock();
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(directory.path().join("test.db")).unwrap();
        let watch = clock.clone();
        let writer = Writer::start(store, move || clock.now(), WriterOptions::default()).unwrap();
        let allocator = Allocator::new(writer, "test");
        let network = NetworkId([1; 16]);
        let range = usable("10.0.0.0/32".parse().unwrap()).unwrap();
        allocator
            .create_pool(Pool { id: PoolId([2; 16]), network, range, position: 0 })
            .wait()
            .unwrap();
        let request = |owner| Request {
            network,
            owner: OwnerId([owner; 16]),
            family: Family::V4,
            address: None,
            pool: None,
            hold_until: 0,
            until: None,
        };
        allocator.allocate(request(1)).wait().unwrap();
        allocator.release(network, OwnerId([1; 16]), 86_400).wait().unwrap();

        wall.fetch_add(86_400, Ordering::Relaxed);
        let refused = allocator.allocate(request(2)).wait();
        assert_eq!(refused, Err(Error::PoolExhausted { network, family: Family::V4 }));
        assert_eq!(allocator.reclaim().wait(), Ok(0));
        watch.confirm();
        assert_eq!(allocator.reclaim().wait(), Ok(1));
    }
}
