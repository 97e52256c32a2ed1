//! The machine's clock.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

/// A time, given in seconds since the Unix epoch, in the form of RFC 3339.
pub(crate) fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> Result<i64, Box<dyn Error>> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}
