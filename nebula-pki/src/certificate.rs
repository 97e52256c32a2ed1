//! Certificates: parsed and encoded, in both versions.

mod details;
mod encoded;
mod v1;
mod v2;
mod version;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

pub(crate) use details::Body;
pub use details::{Details, MAX_ENCODED_LEN, MAX_NAME_LEN};
pub(crate) use encoded::Encoded;
pub use version::Version;

use self::details::Peer;
use self::v2::InvalidPrefixes;
use crate::error::{PairDefect, PemContents};
use crate::signature::{VerifyingKey, ecdsa};
use crate::{Curve, Error, Fingerprint, pem};

pub(crate) const V1_BANNER: &str = "NEBULA CERTIFICATE";
pub(crate) const V2_BANNER: &str = "NEBULA CERTIFICATE V2";

/// An untrusted certificate: well-formed, but neither its signature nor its validity has been
/// checked. Ask a [`CaPool`](crate::CaPool) to verify it.
///
/// Cloning is cheap. Two are equal when their fingerprints are.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    body: Body,
    encoded: Encoded,
    /// Computed on first use.
    fingerprint: OnceLock<Fingerprint>,
}

impl Certificate {
    /// Parses one encoded certificate, exactly as leniently as the reference.
    ///
    /// Version 2 input is limited to [`MAX_ENCODED_LEN`]; version 1 has no limit there or here. At
    /// most 32 times the input's length and 4 KiB are allocated at once, for many groups of one letter.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], or the error of the first rule for its contents that it breaks.
    pub fn from_bytes(version: Version, bytes: &[u8]) -> Result<Self, Error> {
        let (body, encoded) = match version {
            Version::V1 => v1::decode(bytes, None)?,
            Version::V2 => v2::decode(bytes, None)?,
        };
        Ok(Self::assemble(body, encoded))
    }

    /// Puts a certificate together that a peer sent in a handshake, where the public key is not in
    /// the certificate but is the static key of the Noise protocol. Neither is believed yet.
    ///
    /// `curve` is the local node's; a version 2 certificate does not carry its own there.
    ///
    /// ```
    /// # use nebula_pki::{Certificate, Error};
    /// # fn example(certificate: &Certificate) -> Result<(), Error> {
    /// let received = Certificate::from_handshake(
    ///     certificate.version(),
    ///     &certificate.to_handshake_bytes(),
    ///     certificate.public_key(),
    ///     certificate.curve(),
    /// )?;
    /// assert_eq!(received.fingerprint(), certificate.fingerprint());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoPublicKey`] when `public_key` is empty, [`Error::UnexpectedPublicKey`] when the
    /// certificate has one of its own, those of [`from_bytes`](Self::from_bytes), and
    /// [`Error::CurveMismatch`] when the certificate is on another curve than the node.
    pub fn from_handshake(
        version: Version,
        bytes: &[u8],
        public_key: &[u8],
        curve: Curve,
    ) -> Result<Self, Error> {
        if public_key.is_empty() {
            return Err(Error::NoPublicKey);
        }
        let peer = Some(Peer { public_key, curve });
        let (body, encoded) = match version {
            Version::V1 => v1::decode(bytes, peer)?,
            Version::V2 => v2::decode(bytes, peer)?,
        };
        if body.curve != curve {
            return Err(Error::CurveMismatch { expected: curve, found: body.curve });
        }
        Ok(Self::assemble(body, encoded))
    }

    /// The certificate as a handshake carries it: without its public key, and in version 2 without
    /// its curve.
    #[must_use]
    pub fn to_handshake_bytes(&self) -> Vec<u8> {
        let Inner { body, encoded, .. } = &*self.0;
        match body.version {
            Version::V1 => v1::encode_for_handshake(body, encoded.signature()),
            Version::V2 => v2::encode_for_handshake(body, encoded),
        }
    }

    /// Parses the first PEM block, which must be a certificate; what follows it is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::NoPemBlock`] ([`Error::Utf16`] where that is why), [`Error::WrongBanner`], and those of
    /// [`from_bytes`](Self::from_bytes).
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        Self::split_pem(input).map(|(certificate, _)| certificate)
    }

    /// Parses the first PEM block, which must be a certificate, and gives back what follows it. For
    /// readers that want those before a bad one; [`from_pem_many`](Self::from_pem_many) reads all.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem).
    pub fn split_pem(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (block, rest) = pem::decode(input).ok_or_else(|| pem::no_block(input))?;
        Ok((Self::from_block(&block)?, rest))
    }

    /// Parses all PEM blocks, each of which must be a certificate, as `nebula-cert print` does: at
    /// least one, and only white space after the last.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem), for any of them.
    pub fn from_pem_many(input: &[u8]) -> Result<Vec<Self>, Error> {
        let mut certificates = Vec::new();
        let mut rest = input;
        while certificates.is_empty() || !pem::is_blank(rest) {
            let (certificate, next) = Self::split_pem(rest)?;
            certificates.push(certificate);
            rest = next;
        }
        Ok(certificates)
    }

    /// The encoded certificate.
    ///
    /// Version 1 is the canonical form. Version 2 keeps the signed bytes, but not what followed the
    /// signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Inner { body, encoded, .. } = &*self.0;
        body.to_bytes(encoded)
    }

    /// The encoded certificate as PEM: LF, 64 columns, as the reference writes it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let banner = match self.version() {
            Version::V1 => V1_BANNER,
            Version::V2 => V2_BANNER,
        };
        pem::encode(banner, &self.to_bytes())
    }

    /// How it is encoded.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.body.version
    }

    /// The curve of its key and its signature.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.0.body.curve
    }

    /// Its public key: for key agreement in a host certificate, for signing in a CA's. Never empty;
    /// otherwise of any length.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.0.body.public_key
    }

    /// Its signature, of any length; a version 1 certificate may have none.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.0.encoded.signature()
    }

    /// The SHA-256 that names it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        *self.0.fingerprint.get_or_init(|| self.0.encoded.fingerprint())
    }

    /// What it claims, unverified.
    #[must_use]
    pub fn unverified_details(&self) -> &Details {
        &self.0.body.details
    }

    /// Whether it is expired or not yet valid at this time, in Unix seconds.
    #[must_use]
    pub fn is_expired(&self, at: i64) -> bool {
        self.check_validity(at).is_err()
    }

    /// Whether it is valid at this time, in Unix seconds; both ends are inclusive.
    ///
    /// # Errors
    ///
    /// [`Error::NotYetValid`] before its first second, [`Error::Expired`] after its last.
    pub fn check_validity(&self, at: i64) -> Result<(), Error> {
        self.0.body.details.check_validity(at)
    }

    /// Whether nodes take this certificate and another one of the same host, which is of the other
    /// version, in one file: they compare public keys, curves and first networks. Version 2 sorts its
    /// networks, so version 1's has to be the first of these.
    ///
    /// ```
    /// # use nebula_pki::{Certificate, Error};
    /// # fn example(file: &[u8]) -> Result<(), Error> {
    /// if let [first, second] = &Certificate::from_pem_many(file)?[..] {
    ///     first.check_beside(second)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotBeside`], which names what keeps them apart.
    pub fn check_beside(&self, other: &Self) -> Result<(), Error> {
        let first_network = |one: &Self| one.unverified_details().networks().first().copied();
        let fits = [
            (PairDefect::Version, self.version() != other.version()),
            (PairDefect::PublicKey, self.public_key() == other.public_key()),
            (PairDefect::Curve, self.curve() == other.curve()),
            (PairDefect::FirstNetwork, first_network(self) == first_network(other)),
        ];
        match fits.into_iter().find(|(_, fits)| !fits) {
            Some((field, _)) => Err(Error::NotBeside { field }),
            None => Ok(()),
        }
    }

    /// The fingerprint of the other certificate that anybody can make of this one: on
    /// [`Curve::P256`] a signature also verifies with n − s in place of s. A blocklist that names
    /// either must block both.
    ///
    /// None on another curve, or if the signature is not one of ECDSA.
    #[must_use]
    pub fn alternate_fingerprint(&self) -> Option<Fingerprint> {
        Some(self.0.encoded.fingerprint_with(&self.ecdsa_signature()?.negated().to_der()))
    }

    /// Whether it has a P256 signature with the larger of the two values of s that verify.
    pub(crate) fn has_high_s(&self) -> bool {
        self.ecdsa_signature().is_some_and(|signature| signature.is_high_s())
    }

    fn ecdsa_signature(&self) -> Option<ecdsa::Signature> {
        if self.curve() == Curve::P256 {
            ecdsa::Signature::from_der(self.signature())
        } else {
            None
        }
    }

    pub(crate) fn is_signed_by(&self, key: &VerifyingKey) -> Result<(), Error> {
        key.verify(self.to_be_signed(), self.signature())
    }

    pub(crate) fn to_be_signed(&self) -> &[u8] {
        self.0.encoded.to_be_signed()
    }

    /// Whether this is its public key.
    pub(crate) fn check_public_key(&self, curve: Curve, public_key: &[u8]) -> Result<(), Error> {
        if self.curve() != curve {
            return Err(Error::CurveMismatch { expected: self.curve(), found: curve });
        }
        if self.public_key() == public_key { Ok(()) } else { Err(Error::KeyMismatch) }
    }

    pub(crate) fn assemble(body: Body, encoded: Encoded) -> Self {
        Self(Arc::new(Inner { body, encoded, fingerprint: OnceLock::new() }))
    }

    pub(crate) fn from_block(block: &pem::Block<'_>) -> Result<Self, Error> {
        let version = match block.banner() {
            V1_BANNER => Version::V1,
            V2_BANNER => Version::V2,
            _ => return Err(block.wrong_banner(PemContents::Certificate)),
        };
        Self::from_bytes(version, &block.contents)
    }
}

impl Body {
    /// Reads what a signature is made over. The encoding need not be the canonical one.
    pub(crate) fn from_to_be_signed(version: Version, bytes: &[u8]) -> Result<Self, Error> {
        match version {
            Version::V1 => v1::decode_to_be_signed(bytes),
            Version::V2 => v2::decode_to_be_signed(bytes),
        }
    }

    /// Applies the reference's rules for the contents, in its order, and sorts the networks of
    /// version 2.
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        match self.version {
            Version::V1 => v1::validate(self),
            Version::V2 if self.public_key.is_empty() => Err(Error::NoPublicKey),
            Version::V2 => v2::validate(&mut self.details, InvalidPrefixes::default()),
        }
    }

    /// Encodes it for its signature.
    pub(crate) fn encode(&self) -> Encoded {
        match self.version {
            Version::V1 => v1::encode(self),
            Version::V2 => v2::encode(self),
        }
    }

    /// How long the certificate is with a signature of this length.
    pub(crate) fn encoded_len(&self, encoded: &Encoded, signature_len: usize) -> usize {
        match self.version {
            Version::V1 => v1::encoded_len(encoded, signature_len),
            Version::V2 => v2::encoded_len(self, encoded, signature_len),
        }
    }

    fn to_bytes(&self, encoded: &Encoded) -> Vec<u8> {
        match self.version {
            Version::V1 => encoded.bytes().to_vec(),
            Version::V2 => v2::to_bytes(self, encoded),
        }
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for Certificate {}

/// By its fingerprint, as it is compared.
impl Hash for Certificate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint().hash(state);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("version", &self.version())
            .field("name", &self.unverified_details().name())
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}
