//! Fingerprints of certificates that must not be trusted.

use std::collections::HashSet;

use crate::fingerprint::TableState;
use crate::{Error, Fingerprint};

/// Fingerprints of certificates that must not be trusted although they are signed and not expired.
///
/// Blocking a CA's fingerprint does nothing to the certificates it signed: only the certificate
/// being verified is looked up, as in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocklist(HashSet<Fingerprint, TableState>);

impl Blocklist {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fingerprint; false if it was there already.
    pub fn insert(&mut self, fingerprint: Fingerprint) -> bool {
        self.0.insert(fingerprint)
    }

    /// Takes a fingerprint away; false if it was not there. In a network of nodes nothing is unblocked
    /// by it until all of them know.
    pub fn remove(&mut self, fingerprint: &Fingerprint) -> bool {
        self.0.remove(fingerprint)
    }

    /// Whether the fingerprint is on the list.
    #[must_use]
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.contains(fingerprint)
    }

    pub(crate) fn check(&self, fingerprint: Fingerprint) -> Result<(), Error> {
        if self.contains(&fingerprint) { Err(Error::Blocked { fingerprint }) } else { Ok(()) }
    }

    /// The fingerprints in ascending order, sorted for each call.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fingerprint> {
        let mut fingerprints: Vec<_> = self.0.iter().collect();
        fingerprints.sort_unstable();
        fingerprints.into_iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Fingerprint> for Blocklist {
    fn from_iter<I: IntoIterator<Item = Fingerprint>>(fingerprints: I) -> Self {
        Self(fingerprints.into_iter().collect())
    }
}

impl Extend<Fingerprint> for Blocklist {
    fn extend<I: IntoIterator<Item = Fingerprint>>(&mut self, fingerprints: I) {
        self.0.extend(fingerprints);
    }
}
