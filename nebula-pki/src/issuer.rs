//! Issues certificates: applies a CA's constraints, encodes, and signs or takes a signature.

use std::fmt;

use crate::ca_pool::{MAX_PEM_LEN, check_ca};
use crate::certificate::{Body, Encoded};
use crate::error::CertificateDefect;
use crate::key::PublicKey;
use crate::validity::go_time;
use crate::{
    CaParameters, Certificate, Details, Error, HostParameters, MAX_ENCODED_LEN, MAX_NAME_LEN,
    Signer, Validity, VerifiedCertificate, Version, constraints, fingerprint, signature,
};

/// A CA: its certificate, and the signer that was found to hold its key.
#[derive(Debug, Clone)]
pub struct Issuer<S> {
    certificate: Certificate,
    signer: S,
}

impl<S: Signer> Issuer<S> {
    /// Makes a new CA for the signer's key.
    ///
    /// # Errors
    ///
    /// Refused are [`Error::NameLength`], [`Error::EmptyGroup`], an [`Error::InvalidValidity`] that
    /// does not end after it begins, or so late that every node takes it for expired; what the
    /// reference refuses to parse, and [`Error::TooLarge`]: a CA whose PEM no pool would read. And
    /// those of the signer.
    pub fn self_signed(
        version: Version,
        parameters: CaParameters,
        signer: S,
    ) -> Result<Self, Error> {
        let CaParameters { name, validity, groups, networks, unsafe_networks } = parameters;
        let Validity { not_before, not_after } = validity;
        if go_time(not_after) <= go_time(not_before) {
            return Err(Error::InvalidValidity { not_before, not_after });
        }
        let details = Details {
            name: name.into_bytes(),
            networks,
            unsafe_networks,
            groups: groups.into_iter().map(String::into_bytes).collect(),
            is_ca: true,
            not_before,
            not_after,
            issuer: Vec::new(),
        };
        let public_key = signer.public_key().to_vec();
        let body = Body { version, details, curve: signer.curve(), public_key };
        let unsigned = Unsigned::new(body)?;
        let signature = signer.sign(unsigned.encoded.to_be_signed())?;
        let certificate = unsigned.sign_checked(signer.public_key(), signature)?;
        let size = certificate.to_pem().len();
        if size > MAX_PEM_LEN {
            return Err(Error::TooLarge { size, limit: MAX_PEM_LEN });
        }
        Ok(Self { certificate, signer })
    }

    /// Pairs a CA certificate with its signer.
    ///
    /// # Errors
    ///
    /// [`Error::NotCa`], [`Error::NotSelfSigned`], or [`Error::SignerMismatch`] when the signer holds
    /// another key.
    pub fn new(certificate: Certificate, signer: S) -> Result<Self, Error> {
        check_ca(&certificate)?;
        if signer.curve() != certificate.curve() || signer.public_key() != certificate.public_key()
        {
            return Err(Error::SignerMismatch);
        }
        Ok(Self { certificate, signer })
    }

    /// The CA certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Issues a host certificate, of either version under a CA of either version.
    ///
    /// The signer is taken at its word: its signature is not verified again. What the CA permits
    /// was checked, so the certificate is a verified one; whether it is valid yet, and in a
    /// [`Blocklist`](crate::Blocklist), was not asked.
    ///
    /// # Errors
    ///
    /// Those of [`prepare`](Self::prepare) and of the signer, and [`Error::SignatureMismatch`] for
    /// what has not the form of a signature on the curve.
    pub fn issue(
        &self,
        version: Version,
        host: &HostParameters,
    ) -> Result<VerifiedCertificate, Error> {
        let prepared = self.prepare(version, host)?;
        let signature = self.signer.sign(prepared.to_be_signed())?;
        prepared.sign(signature)
    }

    /// Makes everything of a host certificate but the signature.
    ///
    /// # Errors
    ///
    /// [`Error::CurveMismatch`]; what is never issued here: [`Error::NameLength`],
    /// [`Error::EmptyGroup`], [`Error::InvalidValidity`], [`Error::TooManyNetworks`]; what the CA's
    /// limits forbid (see [`CaPool::verify`](crate::CaPool::verify)); what the reference refuses to
    /// parse: [`Error::NoNetworks`], [`Error::Ipv6InV1`], [`Error::ZeroAddress`],
    /// [`Error::MappedNetwork`], [`Error::DuplicateNetwork`], [`Error::UnsafeNetworkFamily`]; and
    /// [`Error::TooLarge`] above [`MAX_ENCODED_LEN`].
    pub fn prepare(&self, version: Version, host: &HostParameters) -> Result<Prepared, Error> {
        let details = Details {
            name: host.name.clone(),
            networks: host.networks.clone(),
            unsafe_networks: host.unsafe_networks.clone(),
            groups: host.groups.clone(),
            is_ca: false,
            not_before: host.validity.not_before,
            not_after: host.validity.not_after,
            issuer: self.certificate.fingerprint().as_bytes().to_vec(),
        };
        let (curve, public_key) = (host.public_key.curve(), host.public_key.as_bytes().to_vec());
        self.check(Body { version, details, curve, public_key })
    }

    /// Resumes what [`prepare`](Self::prepare) made earlier, from the bytes to be signed, which the
    /// caller may have stored while a remote signer worked. The bytes are not trusted: they are checked
    /// as if they were prepared now.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for bytes that this CA's `prepare` does not make, [`Error::CaAsHost`],
    /// [`Error::UnknownCa`] when another CA is to sign them, those of
    /// [`PublicKey::from_raw`](crate::key::PublicKey::from_raw), and those of `prepare`.
    pub fn resume(&self, version: Version, to_be_signed: &[u8]) -> Result<Prepared, Error> {
        let body = Body::from_to_be_signed(version, to_be_signed)?;
        if body.details.is_ca {
            return Err(Error::CaAsHost { name: body.details.name().into_owned() });
        }
        if body.details.issuer() != Some(self.certificate.fingerprint()) {
            return Err(Error::UnknownCa { issuer: fingerprint::hex(body.details.issuer_bytes()) });
        }
        PublicKey::from_raw(body.curve, &body.public_key)?;
        let prepared = self.check(body)?;
        // One certificate has one form: what a lenient reader skips would be signed unseen.
        if prepared.to_be_signed() != to_be_signed {
            return Err(Error::Malformed { defect: CertificateDefect::NotCanonical });
        }
        Ok(prepared)
    }

    /// Applies the rules for host certificates and encodes one.
    fn check(&self, body: Body) -> Result<Prepared, Error> {
        let ca = &self.certificate;
        if body.curve != ca.curve() {
            return Err(Error::CurveMismatch { expected: ca.curve(), found: body.curve });
        }
        let Details { not_before, not_after, .. } = body.details;
        if go_time(not_after) < go_time(not_before) {
            return Err(Error::InvalidValidity { not_before, not_after });
        }
        let found = body.details.networks.len();
        if body.version == Version::V1 && found > 1 {
            return Err(Error::TooManyNetworks { found });
        }
        constraints::check(ca.unverified_details(), &body.details)?;
        Ok(Prepared { unsigned: Unsigned::new(body)?, ca: ca.clone() })
    }
}

/// A certificate that lacks only its signature.
///
/// ```
/// # use nebula_pki::{Error, HostParameters, Issuer, Signer, VerifiedCertificate, Version};
/// # fn ask_the_hsm(_: &[u8]) -> Vec<u8> { Vec::new() }
/// # type Issued = Result<VerifiedCertificate, Error>;
/// # fn issue<S: Signer>(issuer: &Issuer<S>, host: &HostParameters) -> Issued {
/// let prepared = issuer.prepare(Version::V2, host)?;
/// let signature = ask_the_hsm(prepared.to_be_signed());
/// prepared.complete(&signature)
/// # }
/// ```
pub struct Prepared {
    unsigned: Unsigned,
    ca: Certificate,
}

impl Prepared {
    /// The bytes that the CA's key has to sign: the message itself, not a hash of it.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.unsigned.encoded.to_be_signed()
    }

    /// What the certificate will say.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.unsigned.body.details
    }

    /// Adds the signature, in the form that [`Signer::sign`] has, after verifying it under the CA's
    /// key.
    ///
    /// # Errors
    ///
    /// [`Error::SignatureMismatch`].
    pub fn complete(self, signature: &[u8]) -> Result<VerifiedCertificate, Error> {
        let certificate = self.unsigned.sign_checked(self.ca.public_key(), signature.to_vec())?;
        Ok(VerifiedCertificate::new(certificate, self.ca.fingerprint()))
    }

    fn sign(self, signature: Vec<u8>) -> Result<VerifiedCertificate, Error> {
        Ok(VerifiedCertificate::new(self.unsigned.sign(signature)?, self.ca.fingerprint()))
    }
}

/// Everything of a certificate, of a host or a CA, but the signature.
struct Unsigned {
    body: Body,
    encoded: Encoded,
}

impl Unsigned {
    /// Checks the rules for every certificate made here, whoever signs it, and encodes it.
    fn new(mut body: Body) -> Result<Self, Error> {
        let found = body.details.name.len();
        if !(1..=MAX_NAME_LEN).contains(&found) {
            return Err(Error::NameLength { found });
        }
        if let Some(index) = body.details.groups.iter().position(Vec::is_empty) {
            return Err(Error::EmptyGroup { index });
        }
        body.validate()?;
        let encoded = body.encode();
        let size = body.encoded_len(&encoded, signature::max_len(body.curve));
        if size > MAX_ENCODED_LEN {
            return Err(Error::TooLarge { size, limit: MAX_ENCODED_LEN });
        }
        Ok(Self { body, encoded })
    }

    fn sign_checked(self, signing_key: &[u8], signature: Vec<u8>) -> Result<Certificate, Error> {
        let message = self.encoded.to_be_signed();
        signature::verify(self.body.curve, signing_key, message, &signature)?;
        self.sign(signature)
    }

    fn sign(self, signature: Vec<u8>) -> Result<Certificate, Error> {
        let signature = signature::normalize(self.body.curve, signature)?;
        Ok(Certificate::assemble(self.body, self.encoded.signed(&signature)))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("version", &self.unsigned.body.version)
            .field("details", &self.unsigned.body.details)
            .finish_non_exhaustive()
    }
}
