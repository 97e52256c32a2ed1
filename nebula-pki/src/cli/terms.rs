//! How long certificates last.

use nebula_pki::{
    Certificate, Error, HostParameters, Issuer, Validity, VerifiedCertificate, Version,
};

use crate::authority::CaKey;
use crate::clock::Now;

/// How long a certificate is to be valid.
pub(crate) struct Terms {
    pub(crate) validity: Validity,
    /// The end of the CA, if that is earlier, if only by a fraction of a second. Certificates know
    /// whole seconds, but without this it would depend on chance whether a host's can last as long as
    /// that of a CA made a moment before.
    outlived: Option<i64>,
}

impl Terms {
    /// From now for so many nanoseconds; for 0 until a second before the CA expires.
    pub(crate) fn new(now: Now, duration: i64, ca: &Certificate) -> Self {
        let ca_not_after = ca.unverified_details().not_after();
        let not_before = now.seconds;
        if duration <= 0 {
            let not_after = ca_not_after.saturating_sub(1);
            return Self { validity: Validity { not_before, not_after }, outlived: None };
        }
        let end = now.plus(duration);
        let validity = Validity { not_before, not_after: end.seconds };
        Self { validity, outlived: end.is_after(ca_not_after).then_some(ca_not_after) }
    }

    /// Signs, if the CA lasts long enough.
    pub(crate) fn issue(
        &self,
        issuer: &Issuer<CaKey>,
        version: Version,
        host: &HostParameters,
    ) -> Result<VerifiedCertificate, Error> {
        if let Some(ca_not_after) = self.outlived {
            let not_after = self.validity.not_after;
            return Err(Error::ExpiresAfterCa { not_after, ca_not_after });
        }
        issuer.issue(version, host)
    }
}
