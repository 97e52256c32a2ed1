use std::time::Duration;

use crate::certificate::go_time;
use crate::{Certificate, Error};

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
    /// From a time, in Unix seconds, for so long, as far as the CA is valid itself: a CA signs nothing
    /// that begins before it or ends after it. Parts of a second do not count.
    ///
    /// ```
    /// # use nebula_pki::{Certificate, Error, Validity};
    /// # fn example(ca: &Certificate, now: i64) -> Result<(), Error> {
    /// let two_weeks = std::time::Duration::from_secs(14 * 86_400);
    /// // A little before now, for nodes whose clocks are behind.
    /// let validity = Validity::starting(now - 300, two_weeks, ca)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::CaExpired`] or [`Error::CaNotYetValid`] when the CA is not valid at any time of it.
    pub fn starting(not_before: i64, lifetime: Duration, ca: &Certificate) -> Result<Self, Error> {
        let of_ca = ca.unverified_details().validity();
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let not_after = not_before.saturating_add(lifetime);
        let issuer = ca.fingerprint();
        // Of what is asked for nothing wraps: it is to end with the CA.
        let time = |unix: i64| unix.saturating_add(go_time(0));
        if go_time(of_ca.not_after) < time(not_before) {
            let Self { not_before, not_after } = of_ca;
            return Err(Error::CaExpired { issuer, not_before, not_after });
        }
        if go_time(of_ca.not_before) > time(not_after) {
            let Self { not_before, not_after } = of_ca;
            return Err(Error::CaNotYetValid { issuer, not_before, not_after });
        }
        Ok(Self {
            not_before: not_before.max(of_ca.not_before),
            not_after: not_after.min(of_ca.not_after),
        })
    }

    /// When two thirds of it are over, in Unix seconds: time to renew, with a third left for whatever
    /// may go wrong.
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
