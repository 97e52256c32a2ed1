//! How long certificates last.

use nebula_pki::{
    Certificate, Error, HostParameters, Issuer, Validity, VerifiedCertificate, Version,
};

use crate::authority::CaKey;
use crate::clock::Now;

/// How long a certificate is to be valid.
pub(crate) struct Terms {
    pub(crate) validity: Validity,
    /// Whether that is longer than its CA, if only by a fraction of a second. Certificates know whole
    /// seconds, but without this it would depend on chance whether a host's can last as long as that
    /// of a CA made a moment before.
    outlives_ca: bool,
}

impl Terms {
    /// From now for so many nanoseconds; up to a second before the CA expires if there are none.
    pub(crate) fn new(now: Now, duration: i64, ca: &Certificate) -> Self {
        let ca_not_after = ca.unverified_details().not_after();
        let not_before = now.seconds;
        if duration <= 0 {
            let not_after = ca_not_after.saturating_sub(1);
            return Self { validity: Validity { not_before, not_after }, outlives_ca: false };
        }
        let end = now.plus(duration);
        let validity = Validity { not_before, not_after: end.seconds };
        Self { validity, outlives_ca: end.is_after(ca_not_after) }
    }

    /// Signs, if the CA lasts long enough.
    pub(crate) fn issue(
        &self,
        issuer: &Issuer<CaKey>,
        version: Version,
        host: &HostParameters,
    ) -> Result<VerifiedCertificate, Error> {
        if self.outlives_ca {
            let not_after = self.validity.not_after;
            return Err(Error::ExpiresAfterCa { not_after, ca_not_after: not_after });
        }
        issuer.issue(version, host)
    }
}
