//! The clock that stored times come from: the system's, as long as it does not jump.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nebula_alloc::Clock;

use crate::error::time;

/// The current time for everything that is stored, in seconds since the Unix epoch. After a jump of the
/// system clock it continues as if there had been none, so that no address is freed early; restarting
/// the server confirms the system clock.
pub(super) fn watched_clock() -> impl Fn() -> i64 + Send + Sync + 'static {
    let clock = Clock::new(unix_now, since_boot);
    let logged = AtomicBool::new(false);
    move || {
        let jump = clock.jump();
        if let Some(seconds) = jump.filter(|_| !logged.load(Ordering::Relaxed)) {
            tracing::error!(
                clock = time(unix_now()),
                believed = time(unix_now().saturating_sub(seconds)),
                "the system clock jumped and is ignored; correct it, or restart the server to confirm it"
            );
        }
        logged.store(jump.is_some(), Ordering::Relaxed);
        clock.now()
    }
}

/// Seconds since the Unix epoch; a clock before it counts as the epoch.
fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Time since boot: unaffected by setting the clock, and counting the time that the machine was suspended.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
}
