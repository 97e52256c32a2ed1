//! Times as people read them.

const DAY: i64 = 86_400;
/// The first second after the year 9999.
const END: i64 = 253_402_300_800;

/// A time in seconds since the Unix epoch as RFC 3339 writes it, `2026-11-29T11:20:11Z`; before 1970 and
/// after the year 9999 the number.
pub(crate) fn utc(at: i64) -> String {
    if !(0..END).contains(&at) {
        return format!("{at} s since 1970");
    }
    // Years that begin in March end with the leap day, and 400 of them are always 146,097 days: Howard
    // Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let days = at / DAY + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * era + year + next;
    let (hour, minute, second) = (at % DAY / 3_600, at / 60 % 60, at % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_centuries_and_ends_of_years() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_796_123_338, "2026-12-01T11:08:58Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (END - 1, "9999-12-31T23:59:59Z"),
            (-1, "-1 s since 1970"),
            (END, "253402300800 s since 1970"),
        ] {
            assert_eq!(utc(at), text);
        }
    }
}
