//! When a certificate is valid.

/// When a certificate is valid: signed Unix seconds, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase")
)]
pub struct Validity {
    /// The first valid second.
    pub not_before: i64,
    /// The last valid second.
    pub not_after: i64,
}

impl Validity {
    /// When two thirds of it are over, in Unix seconds: time to renew, with a third left for
    /// retries.
    #[must_use]
    pub fn renew_at(self) -> i64 {
        let lifetime = self.not_after.saturating_sub(self.not_before).max(0);
        self.not_after.saturating_sub(lifetime / 3)
    }

    /// Whether a certificate should be replaced now, in Unix seconds, by one with the next validity:
    /// two thirds of it are over, or it has not begun because a clock was wrong, and the next ends
    /// later. Under a CA that ends soon, which caps both, nothing is gained by it.
    #[must_use]
    pub fn is_due(self, now: i64, next: Self) -> bool {
        (now >= self.renew_at() || now < self.not_before) && next.not_after > self.not_after
    }
}

/// Seconds since the year 1, as Go's `time.Unix` counts: near the ends of the range the sum wraps,
/// and a certificate that seems to last forever reads as expired.
pub(crate) fn go_time(unix: i64) -> i64 {
    unix.wrapping_add(62_135_596_800)
}
