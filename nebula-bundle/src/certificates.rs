//! A node's own certificates.

use nebula_pki::{Details, VerifiedCertificate, Version};

use crate::Error;
use crate::error::CertificateField;

/// A node's own certificates: one, or one of each version for the same node, so that it can talk to
/// peers of any release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    first: VerifiedCertificate,
    /// Of later versions, in their order.
    rest: Vec<VerifiedCertificate>,
}

impl Certificates {
    /// One certificate, or one of each version in any order.
    ///
    /// # Errors
    /// [`Error::NoCertificate`], [`Error::NoNetwork`], [`Error::DoubledVersion`]; and
    /// [`Error::Differing`] where they are not of the same node: in key, curve, name, groups, or
    /// the first network, which version 2 has as its first, too.
    pub fn new(certificates: impl IntoIterator<Item = VerifiedCertificate>) -> Result<Self, Error> {
        let mut sorted: Vec<VerifiedCertificate> = certificates.into_iter().collect();
        sorted.sort_by_key(version);
        let mut rest = sorted.into_iter();
        let first = rest.next().ok_or(Error::NoCertificate)?;
        let rest: Vec<VerifiedCertificate> = rest.collect();
        if first.details().networks().is_empty() {
            return Err(Error::NoNetwork);
        }
        let mut before = &first;
        for next in &rest {
            if version(before) == version(next) {
                return Err(Error::DoubledVersion { version: version(next).number() });
            }
            check_same_node(before, next)?;
            before = next;
        }
        Ok(Self { first, rest })
    }

    /// What they say of the node. Of two certificates this is version 2's, which names the
    /// addresses of both.
    #[must_use]
    pub fn details(&self) -> &Details {
        self.rest.last().unwrap_or(&self.first).details()
    }

    /// The certificates as `node.crt` has them: version 1 first, because releases before 1.10 read
    /// no further.
    pub fn iter(&self) -> impl Iterator<Item = &VerifiedCertificate> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// What Nebula compares when it loads two certificates, and what rules are rendered from.
fn check_same_node(one: &VerifiedCertificate, other: &VerifiedCertificate) -> Result<(), Error> {
    let (one_certificate, other_certificate) = (one.certificate(), other.certificate());
    let (one, other) = (one.details(), other.details());
    let same = [
        (
            CertificateField::PublicKey,
            one_certificate.public_key() == other_certificate.public_key(),
        ),
        (CertificateField::Curve, one_certificate.curve() == other_certificate.curve()),
        (CertificateField::Name, one.name_bytes() == other.name_bytes()),
        (CertificateField::Groups, one.groups_bytes() == other.groups_bytes()),
        (CertificateField::FirstNetwork, one.networks().first() == other.networks().first()),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(Error::Differing { field }),
        None => Ok(()),
    }
}

fn version(certificate: &VerifiedCertificate) -> Version {
    certificate.certificate().version()
}
