use std::collections::BTreeMap;

use crate::certificate::is_blank;
use crate::{Blocklist, Certificate, Details, Error, Fingerprint, constraints, fingerprint, pem};

/// The longest piece of PEM that the reference's pool reader takes: what stands between the end of
/// one block and the end of the next, in bytes.
pub(crate) const MAX_PEM_LEN: usize = 65_536;

/// The CAs that are trusted.
///
/// Expired ones stay in the pool, where [`expired`](Self::expired) tells of them, and verify
/// nothing. So do P256 ones: their own signature is not checked yet, and verifying under them is
/// [`Error::UnsupportedCurve`].
#[derive(Debug, Clone, Default)]
pub struct CaPool(BTreeMap<Fingerprint, Certificate>);

impl CaPool {
    /// A pool that trusts nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The CAs of a PEM bundle. Text between the blocks is skipped; an empty bundle is an empty
    /// pool.
    ///
    /// # Errors
    ///
    /// [`Error::NoPemBlock`] when any block is malformed, cut short or, with the text before it,
    /// longer than 64 KiB, or when text follows the last; and those of
    /// [`Certificate::from_pem`] and [`add`](Self::add). One bad CA spoils the whole bundle.
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        let mut pool = Self::new();
        let mut rest = input;
        while let Some(chunk) = next_chunk(&mut rest)? {
            let (block, after) = pem::decode(chunk).ok_or(Error::NoPemBlock)?;
            if !is_blank(after) {
                return Err(Error::NoPemBlock);
            }
            pool.add(Certificate::from_block(&block)?)?;
        }
        Ok(pool)
    }

    /// Trusts a CA. Adding one twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotCa`], or [`Error::NotSelfSigned`] when its signature is not its own key's.
    pub fn add(&mut self, certificate: Certificate) -> Result<(), Error> {
        check_ca(&certificate).or_else(|error| match error {
            Error::UnsupportedCurve { .. } => Ok(()),
            error => Err(error),
        })?;
        self.0.insert(certificate.fingerprint(), certificate);
        Ok(())
    }

    /// The CAs in the order of their fingerprints.
    pub fn certificates(&self) -> impl ExactSizeIterator<Item = &Certificate> {
        self.0.values()
    }

    /// The CA with this fingerprint.
    #[must_use]
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<&Certificate> {
        self.0.get(fingerprint)
    }

    /// The CAs that are expired or not yet valid at this time, in Unix seconds.
    pub fn expired(&self, at: i64) -> impl Iterator<Item = &Certificate> {
        self.certificates().filter(move |certificate| certificate.is_expired(at))
    }

    /// Verifies a certificate at this time, in Unix seconds.
    ///
    /// The order of the checks is the reference's, so that a blocked certificate is reported as
    /// blocked even when it is also expired. Like the reference it does not ask whether the
    /// certificate is itself a CA's.
    ///
    /// # Errors
    ///
    /// In this order: [`Error::Blocked`], [`Error::NoIssuer`], [`Error::UnknownCa`],
    /// [`Error::CurveMismatch`], [`Error::CaExpired`], [`Error::Expired`],
    /// [`Error::SignatureMismatch`] or [`Error::UnsupportedCurve`], and those of the CA's limits:
    /// [`Error::ExpiresAfterCa`], [`Error::ValidBeforeCa`], [`Error::GroupNotPermitted`],
    /// [`Error::NetworkNotPermitted`], [`Error::UnsafeNetworkNotPermitted`].
    pub fn verify(
        &self,
        certificate: &Certificate,
        at: i64,
        blocklist: &Blocklist,
    ) -> Result<VerifiedCertificate, Error> {
        let fingerprint = certificate.fingerprint();
        if blocklist.contains(&fingerprint) {
            return Err(Error::Blocked { fingerprint });
        }
        let details = certificate.unverified_details();
        if details.issuer_bytes().is_empty() {
            return Err(Error::NoIssuer);
        }
        let (issuer, ca) =
            details.issuer().and_then(|issuer| Some((issuer, self.get(&issuer)?))).ok_or_else(
                || Error::UnknownCa { issuer: fingerprint::hex(details.issuer_bytes()) },
            )?;
        if ca.curve() != certificate.curve() {
            return Err(Error::CurveMismatch { expected: ca.curve(), found: certificate.curve() });
        }
        if ca.is_expired(at) {
            return Err(Error::CaExpired { issuer });
        }
        if certificate.is_expired(at) {
            return Err(Error::Expired {
                not_before: details.not_before(),
                not_after: details.not_after(),
            });
        }
        certificate.is_signed_by(ca.public_key())?;
        constraints::check(ca.unverified_details(), details)?;
        Ok(VerifiedCertificate { certificate: certificate.clone(), issuer })
    }
}

/// A certificate that a trusted CA signed within its limits. Only two make it: [`CaPool::verify`],
/// for one that was valid at the time asked about and not blocked, and an
/// [`Issuer`](crate::Issuer), for one that it has just issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCertificate {
    pub(crate) certificate: Certificate,
    pub(crate) issuer: Fingerprint,
}

impl VerifiedCertificate {
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

/// Whether this is a CA certificate signed with its own key.
pub(crate) fn check_ca(certificate: &Certificate) -> Result<(), Error> {
    let name = || certificate.unverified_details().name().into_owned();
    if !certificate.unverified_details().is_ca() {
        return Err(Error::NotCa { name: name() });
    }
    certificate.is_signed_by(certificate.public_key()).map_err(|error| match error {
        Error::SignatureMismatch => Error::NotSelfSigned { name: name() },
        error => error,
    })
}

/// Cuts off the text from the first BEGIN, even in the middle of a line, to the end of the line with
/// the next END. The reference does so with a scanner whose buffer bounds each step.
fn next_chunk<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Error> {
    let input = *rest;
    let window = input.get(..MAX_PEM_LEN).unwrap_or(input);
    // A full buffer fails before the scanner learns that the input ends with it.
    let at_end = input.len() < MAX_PEM_LEN;
    let Some(begin) = pem::find(window, pem::BEGIN) else {
        return if at_end && is_blank(window) { Ok(None) } else { Err(Error::NoPemBlock) };
    };
    let from_begin = window.get(begin..).unwrap_or_default();
    let end = pem::find(from_begin, pem::END).ok_or(Error::NoPemBlock)?;
    let end_line = from_begin.get(end..).unwrap_or_default();
    let len = match end_line.iter().position(|byte| *byte == b'\n') {
        Some(newline) => end + newline + 1,
        None if at_end => from_begin.len(),
        None => return Err(Error::NoPemBlock),
    };
    *rest = input.get(begin + len..).unwrap_or_default();
    Ok(from_begin.get(..len))
}
