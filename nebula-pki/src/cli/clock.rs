//! The system's clock and time zone.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time: Unix seconds, and nanoseconds within the second.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) seconds: i64,
    nanoseconds: i64,
}

impl Now {
    pub(crate) fn read() -> Self {
        // A clock before 1970 is no clock; no certificate is valid then.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos().into(),
        }
    }

    /// This time and so many nanoseconds.
    pub(crate) fn plus(self, nanoseconds: i64) -> Self {
        let second = crate::flags::SECOND;
        let sum = self.nanoseconds + nanoseconds.rem_euclid(second);
        Self {
            seconds: self
                .seconds
                .saturating_add(nanoseconds.div_euclid(second))
                .saturating_add(sum.div_euclid(second)),
            nanoseconds: sum.rem_euclid(second),
        }
    }

    /// Whether it is later than the beginning of this second.
    pub(crate) fn is_after(self, seconds: i64) -> bool {
        (self.seconds, self.nanoseconds) > (seconds, 0)
    }
}

/// Gives the offset from UTC, in seconds east, of the process's time zone at a Unix time.
///
/// As in Go the variable TZ names a file of the zone database, or one by its path; what cannot be
/// read is UTC.
pub(crate) fn zone() -> impl Fn(i64) -> i32 {
    let zone = match std::env::var("TZ") {
        Err(std::env::VarError::NotPresent) => TimeZone::try_system().ok(),
        Err(std::env::VarError::NotUnicode(_)) => None,
        Ok(name) => match name.strip_prefix(':').unwrap_or(&name) {
            "" => None,
            path if path.starts_with('/') => {
                std::fs::read(path).ok().and_then(|file| TimeZone::tzif(path, &file).ok())
            }
            name => TimeZone::get(name).ok(),
        },
    }
    .unwrap_or(TimeZone::UTC);
    move |unix| {
        // Times beyond the year 9999 are never shown, whatever their zone.
        Timestamp::from_second(unix).map_or(0, |time| zone.to_offset(time).seconds())
    }
}
