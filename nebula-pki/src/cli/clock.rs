//! The system's clock and time zone.

#[cfg(unix)]
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Nanoseconds, as in Go's `time.Duration`.
pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const HOUR: i64 = 3_600 * SECOND;

/// A time: Unix seconds, and nanoseconds within the second.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) seconds: i64,
    nanoseconds: i64,
}

impl Now {
    pub(crate) fn read() -> Self {
        // A clock before 1970 is wrong; no certificate is valid then.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos().into(),
        }
    }

    /// This time and so many nanoseconds.
    pub(crate) fn plus(self, nanoseconds: i64) -> Self {
        let sum = self.nanoseconds + nanoseconds.rem_euclid(SECOND);
        Self {
            seconds: self
                .seconds
                .saturating_add(nanoseconds.div_euclid(SECOND))
                .saturating_add(sum.div_euclid(SECOND)),
            nanoseconds: sum.rem_euclid(SECOND),
        }
    }

    /// Whether it is later than the beginning of this second.
    pub(crate) fn is_after(self, seconds: i64) -> bool {
        (self.seconds, self.nanoseconds) > (seconds, 0)
    }
}

/// A Unix time as people write it, in UTC; the number of its seconds if it has no such form.
pub(crate) fn in_utc(unix: i64) -> String {
    Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |time| time.to_string())
}

/// Gives the offset from UTC, in seconds east, of the process's time zone at a Unix time.
pub(crate) fn zone() -> impl Fn(i64) -> i32 {
    let zone = local().unwrap_or(TimeZone::UTC);
    move |unix| {
        // Times beyond the year 9999 are never shown, whatever their zone.
        Timestamp::from_second(unix).map_or(0, |time| zone.to_offset(time).seconds())
    }
}

/// The zone that Go's package `time` takes for the local one, and from the same files: jiff, asked for
/// it, would first list all there are. The variable TZ names a file of the zone database, or one by
/// its path; without it there is `/etc/localtime`. What cannot be read is UTC.
#[cfg(unix)]
fn local() -> Option<TimeZone> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let Some(variable) = std::env::var_os("TZ") else { return read(Path::new("/etc/localtime")) };
    let name = variable.as_bytes();
    let name = OsStr::from_bytes(name.strip_prefix(b":").unwrap_or(name));
    if name.is_empty() || name == "UTC" {
        return None;
    }
    // What begins with a slash replaces the directory.
    DATABASES.iter().find_map(|directory| read(&Path::new(directory).join(name)))
}

/// Where Unix systems keep the zone database.
#[cfg(unix)]
const DATABASES: [&str; 4] =
    ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"];

#[cfg(unix)]
fn read(path: &Path) -> Option<TimeZone> {
    TimeZone::tzif("local", &std::fs::read(path).ok()?).ok()
}

#[cfg(not(unix))]
fn local() -> Option<TimeZone> {
    TimeZone::try_system().ok()
}
