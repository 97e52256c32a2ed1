//! Verifies a certificate against a pool of CAs and a blocklist.

use crate::ca_pool::Ca;
use crate::{
    Blocklist, CaPool, Certificate, Details, Error, Fingerprint, constraints, fingerprint,
};

/// A certificate that a trusted CA signed within its limits. Only two make it: a [`CaPool`], for one
/// that was valid at the time asked about and not blocked, and an [`Issuer`](crate::Issuer), for one
/// that it has just issued.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifiedCertificate {
    certificate: Certificate,
    issuer: Fingerprint,
    /// Kept, because the certificate is asked for it again and again.
    alternate: Option<Fingerprint>,
}

impl VerifiedCertificate {
    pub(crate) fn new(certificate: Certificate, issuer: Fingerprint) -> Self {
        let alternate = certificate.alternate_fingerprint();
        Self { certificate, issuer, alternate }
    }

    /// What it permits.
    #[must_use]
    pub fn details(&self) -> &Details {
        self.certificate.unverified_details()
    }

    /// The certificate as it was sent.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate, without the proof.
    #[must_use]
    pub fn into_certificate(self) -> Certificate {
        self.certificate
    }

    /// The CA that signed it.
    #[must_use]
    pub fn issuer(&self) -> Fingerprint {
        self.issuer
    }
}

impl CaPool {
    /// Verifies a certificate at a time, in Unix seconds, with the reference's verdict.
    ///
    /// The checks and their order are the reference's: blocklist, issuer, curve, the CA's validity,
    /// the certificate's validity, signature, the CA's limits, and on
    /// [`Curve::P256`](crate::Curve::P256) the blocklist for the
    /// [alternate fingerprint](Certificate::alternate_fingerprint). A CA certificate that another CA
    /// signed passes, as it does there; [`verify_strict`](Self::verify_strict) refuses it.
    ///
    /// Both ends of a validity are inclusive. The reference compares nanoseconds and so refuses a
    /// certificate already within its last second.
    ///
    /// # Errors
    ///
    /// In the order of the checks: [`Error::Blocked`], [`Error::NoIssuer`], [`Error::UnknownCa`],
    /// [`Error::CurveMismatch`], [`Error::CaNotYetValid`], [`Error::CaExpired`],
    /// [`Error::NotYetValid`], [`Error::Expired`],
    /// [`Error::SignatureMismatch`], [`Error::ExpiresAfterCa`], [`Error::ValidBeforeCa`],
    /// [`Error::GroupNotPermitted`], [`Error::NetworkNotPermitted`],
    /// [`Error::UnsafeNetworkNotPermitted`], [`Error::Blocked`].
    pub fn verify(
        &self,
        certificate: &Certificate,
        at: i64,
        blocklist: &Blocklist,
    ) -> Result<VerifiedCertificate, Error> {
        blocklist.check(certificate.fingerprint())?;
        let details = certificate.unverified_details();
        if details.issuer_bytes().is_empty() {
            return Err(Error::NoIssuer);
        }
        let issuer = details.issuer().ok_or_else(|| unknown_ca(details.issuer_bytes()))?;
        let ca = self.check_validity(certificate, issuer, at)?;
        certificate.is_signed_by(&ca.key)?;
        let ca_details = ca.certificate.unverified_details();
        constraints::check(ca_details, details)?;
        let verified = VerifiedCertificate::new(certificate.clone(), issuer);
        verified.alternate.map_or(Ok(()), |alternate| blocklist.check(alternate))?;
        Ok(verified)
    }

    /// Verifies a certificate as [`verify`](Self::verify), and refuses two things more that the
    /// reference lets pass: a CA certificate used as a host's, and a P256 signature with a high s,
    /// which only an old release or an attacker makes.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify), then [`Error::CaAsHost`] and [`Error::HighS`].
    pub fn verify_strict(
        &self,
        certificate: &Certificate,
        at: i64,
        blocklist: &Blocklist,
    ) -> Result<VerifiedCertificate, Error> {
        let verified = self.verify(certificate, at, blocklist)?;
        if verified.details().is_ca() {
            return Err(Error::CaAsHost { name: verified.details().name().into_owned() });
        }
        if certificate.has_high_s() {
            return Err(Error::HighS);
        }
        Ok(verified)
    }

    /// Asks again whether a certificate verified before may still be trusted, as a node does every
    /// few seconds for each of its peers: everything that can have changed is looked up, blocklist,
    /// CA and both validities; the signature, which cannot, is not computed again.
    ///
    /// # Errors
    ///
    /// [`Error::Blocked`], [`Error::UnknownCa`], [`Error::CurveMismatch`],
    /// [`Error::CaNotYetValid`], [`Error::CaExpired`], [`Error::NotYetValid`], [`Error::Expired`].
    pub fn reverify(
        &self,
        verified: &VerifiedCertificate,
        at: i64,
        blocklist: &Blocklist,
    ) -> Result<(), Error> {
        verified.alternate.map_or(Ok(()), |alternate| blocklist.check(alternate))?;
        blocklist.check(verified.certificate.fingerprint())?;
        self.check_validity(&verified.certificate, verified.issuer, at)?;
        Ok(())
    }

    /// The CA, if it may have signed the certificate at this time.
    fn check_validity(
        &self,
        certificate: &Certificate,
        issuer: Fingerprint,
        at: i64,
    ) -> Result<&Ca, Error> {
        let ca = self.ca(&issuer).ok_or_else(|| unknown_ca(issuer.as_bytes()))?;
        let curve = ca.certificate.curve();
        if curve != certificate.curve() {
            return Err(Error::CurveMismatch { expected: curve, found: certificate.curve() });
        }
        ca.certificate.check_validity(at).map_err(|error| of_ca(error, issuer))?;
        certificate.check_validity(at)?;
        Ok(ca)
    }
}

/// What is wrong with a certificate's time, said of a CA's.
fn of_ca(error: Error, issuer: Fingerprint) -> Error {
    match error {
        Error::Expired { not_before, not_after } => {
            Error::CaExpired { issuer, not_before, not_after }
        }
        Error::NotYetValid { not_before, not_after } => {
            Error::CaNotYetValid { issuer, not_before, not_after }
        }
        other => other,
    }
}

fn unknown_ca(issuer: &[u8]) -> Error {
    Error::UnknownCa { issuer: fingerprint::hex(issuer) }
}
