//! Times as people read them: relative ones under a week, dates beyond.

use crate::clock::time;

/// A week, in seconds.
pub(crate) const WEEK: i64 = 7 * 86_400;

/// How long ago a time was, both in seconds since the Unix epoch; `now` within a second, a date beyond a
/// week.
pub(crate) fn ago(now: i64, at: i64) -> String {
    match now.saturating_sub(at) {
        ..1 => "now".to_owned(),
        past if past > WEEK => day(at),
        past => format!("{} ago", span(past)),
    }
}

/// A time of so many seconds, in one unit.
pub(crate) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ ..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// The date of a time, as `2026-12-08`.
pub(crate) fn day(at: i64) -> String {
    time(at).chars().take(10).collect()
}
