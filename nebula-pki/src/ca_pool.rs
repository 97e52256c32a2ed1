//! The trusted CAs.

mod bundle;

use std::collections::HashMap;

pub(crate) use bundle::MAX_PEM_LEN;

use crate::fingerprint::TableState;
use crate::signature::{self, Ed25519Claim, VerifyingKey};
use crate::{Certificate, Error, Fingerprint, pem};

/// The CAs that are trusted.
///
/// Expired ones stay in the pool, where [`expired`](Self::expired) lists them, and verify
/// nothing.
#[derive(Debug, Clone, Default)]
pub struct CaPool(HashMap<Fingerprint, Ca, TableState>);

/// A CA certificate that was found to be one.
#[derive(Debug, Clone)]
pub(crate) struct Ca {
    pub(crate) certificate: Certificate,
    pub(crate) key: VerifyingKey,
}

impl CaPool {
    /// A pool that trusts nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The CAs of a PEM bundle. Text between the blocks is skipped; an empty bundle is an empty
    /// pool.
    ///
    /// The signatures of all Ed25519 CAs are checked in one batch. That is about twice as fast, and
    /// right for an operator's own file: a batch may accept a CA whose odd signature only its owner
    /// can have made, and which a single check refuses. For a bundle from elsewhere use
    /// [`add`](Self::add) with each certificate.
    ///
    /// # Errors
    ///
    /// [`Error::NoPemBlock`] when any block is malformed, cut short or, with the text before it,
    /// longer than 64 KiB, or when text follows the last; and those of
    /// [`Certificate::from_pem`] and [`add`](Self::add). One bad CA spoils the whole bundle, and
    /// the first is reported.
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        let mut candidates = Vec::new();
        let outcome = read_bundle(input, &mut candidates).map_err(|error| match error {
            Error::NoPemBlock => pem::no_block(input),
            other => other,
        });
        if !are_self_signed(&candidates) {
            candidates.iter().try_for_each(Candidate::check_signature)?;
        }
        outcome?;
        Ok(Self(candidates.into_iter().map(Candidate::into_entry).collect()))
    }

    /// Trusts a CA. Adding one twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotCa`], or [`Error::NotSelfSigned`] when its signature is not its own key's.
    pub fn add(&mut self, certificate: Certificate) -> Result<(), Error> {
        let candidate = Candidate::new(certificate)?;
        candidate.check_signature()?;
        let (fingerprint, ca) = candidate.into_entry();
        self.0.insert(fingerprint, ca);
        Ok(())
    }

    /// Trusts all CAs of another pool, too.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Trusts a CA no longer: what it signed is not verified any more, asked again or not. Gives back
    /// its certificate, or none if it was not there.
    pub fn remove(&mut self, fingerprint: &Fingerprint) -> Option<Certificate> {
        self.0.remove(fingerprint).map(|ca| ca.certificate)
    }

    /// The CAs in the order of their fingerprints, sorted for each call.
    pub fn certificates(&self) -> impl ExactSizeIterator<Item = &Certificate> {
        let mut certificates: Vec<_> = self.0.values().map(|ca| &ca.certificate).collect();
        certificates.sort_unstable_by_key(|certificate| certificate.fingerprint());
        certificates.into_iter()
    }

    /// The CA with this fingerprint.
    #[must_use]
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<&Certificate> {
        self.0.get(fingerprint).map(|ca| &ca.certificate)
    }

    /// The CAs that are expired or not yet valid at this time, in Unix seconds.
    pub fn expired(&self, at: i64) -> impl Iterator<Item = &Certificate> {
        self.certificates().filter(move |certificate| certificate.is_expired(at))
    }

    pub(crate) fn ca(&self, fingerprint: &Fingerprint) -> Option<&Ca> {
        self.0.get(fingerprint)
    }
}

/// Two are equal when they trust the same CAs.
impl PartialEq for CaPool {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.keys().all(|ca| other.0.contains_key(ca))
    }
}

impl Eq for CaPool {}

/// Whether this is a CA certificate signed with its own key.
pub(crate) fn check_ca(certificate: &Certificate) -> Result<(), Error> {
    Candidate::new(certificate.clone())?.check_signature()
}

/// Reads CA certificates to the end of the input, or to the first block that is not one.
fn read_bundle(mut rest: &[u8], candidates: &mut Vec<Candidate>) -> Result<(), Error> {
    while let Some(certificate) = bundle::next_certificate(&mut rest)? {
        candidates.push(Candidate::new(certificate)?);
    }
    Ok(())
}

/// A CA certificate whose signature was not checked yet.
struct Candidate(Ca);

impl Candidate {
    fn new(certificate: Certificate) -> Result<Self, Error> {
        let name = || certificate.unverified_details().name().into_owned();
        if !certificate.unverified_details().is_ca() {
            return Err(Error::NotCa { name: name() });
        }
        let key = VerifyingKey::new(certificate.curve(), certificate.public_key())
            .ok_or_else(|| Error::NotSelfSigned { name: name() })?;
        Ok(Self(Ca { certificate, key }))
    }

    fn check_signature(&self) -> Result<(), Error> {
        let Ca { certificate, key } = &self.0;
        certificate.is_signed_by(key).map_err(|_| Error::NotSelfSigned {
            name: certificate.unverified_details().name().into_owned(),
        })
    }

    /// What a batch has to check; none for what it cannot hold.
    fn claim(&self) -> Option<Ed25519Claim<'_>> {
        let Ca { certificate, key } = &self.0;
        let VerifyingKey::Ed25519(key) = key else { return None };
        let signature = certificate.signature().try_into().ok()?;
        Some(Ed25519Claim { key, message: certificate.to_be_signed(), signature })
    }

    fn into_entry(self) -> (Fingerprint, Ca) {
        (self.0.certificate.fingerprint(), self.0)
    }
}

/// Whether all of them are signed with their own keys: the Ed25519 ones as far as one batch shows,
/// the others one by one.
fn are_self_signed(candidates: &[Candidate]) -> bool {
    let mut claims = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        match candidate.claim() {
            Some(claim) => claims.push(claim),
            None if candidate.check_signature().is_err() => return false,
            None => {}
        }
    }
    signature::verify_batch(&claims)
}
