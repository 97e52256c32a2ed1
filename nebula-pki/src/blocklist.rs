use std::collections::BTreeSet;

use crate::Fingerprint;

/// Fingerprints of certificates that must not be trusted although they are signed and not expired.
///
/// Blocking a CA's fingerprint does nothing to the certificates it signed: only the certificate
/// being verified is looked up, as in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocklist(BTreeSet<Fingerprint>);

impl Blocklist {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// Adds a fingerprint; false if it was there already.
    pub fn insert(&mut self, fingerprint: Fingerprint) -> bool {
        self.0.insert(fingerprint)
    }

    /// Whether the fingerprint is on the list.
    #[must_use]
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.contains(fingerprint)
    }

    /// The fingerprints in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fingerprint> {
        self.0.iter()
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
