//! The time that is stored.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nebula_alloc::Clock;

use crate::error::time;

/// The time for everything that is stored. After a jump it goes on as if there had been none, so
/// that no address is free before its time; starting the server anew confirms the clock.
pub(super) fn watched_clock() -> impl Fn() -> i64 + Send + Sync + 'static {
    let clock = Clock::new(unix_now, since_boot);
    let told = AtomicBool::new(false);
    move || {
        let jump = clock.jump();
        if let Some(seconds) = jump.filter(|_| !told.load(Ordering::Relaxed)) {
            tracing::error!(
                clock = time(unix_now()),
                believed = time(unix_now().saturating_sub(seconds)),
                "the clock jumped and is not believed; put it right, or restart to confirm it"
            );
        }
        told.store(jump.is_some(), Ordering::Relaxed);
        clock.now()
    }
}

/// Seconds since the Unix epoch; a clock before it counts as the epoch.
fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What no setting of the clock changes, the machine's sleep included.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
}
