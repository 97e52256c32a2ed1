//! The bytes of a certificate that are signed and hashed.

use std::ops::Range;

use super::version::Version;
use crate::Fingerprint;
use crate::protobuf::push_bytes;

/// The bytes whose SHA-256 is a certificate's fingerprint: what its signature covers, then the
/// signature.
///
/// In version 1 they are the canonical certificate, in which both have a header; in version 2 the
/// details as they came, with tag and length, one byte for the curve, the public key and the
/// signature.
pub(crate) struct Encoded {
    version: Version,
    bytes: Vec<u8>,
    to_be_signed: Range<usize>,
    signature: Range<usize>,
}

impl Encoded {
    /// A certificate without signature; the first `header` bytes are not covered by one.
    pub(super) fn unsigned(version: Version, bytes: Vec<u8>, header: usize) -> Self {
        let end = bytes.len();
        Self { version, bytes, to_be_signed: header..end, signature: end..end }
    }

    /// The same with a signature, or with this in place of another.
    pub(crate) fn signed(mut self, signature: &[u8]) -> Self {
        self.bytes.truncate(self.to_be_signed.end);
        match self.version {
            // An empty signature is omitted, as every default in version 1.
            Version::V1 if signature.is_empty() => {}
            Version::V1 => push_bytes(&mut self.bytes, 2, signature),
            Version::V2 => self.bytes.extend_from_slice(signature),
        }
        let end = self.bytes.len();
        self.signature = end - signature.len()..end;
        self
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a signature is made over.
    pub(crate) fn to_be_signed(&self) -> &[u8] {
        self.bytes.get(self.to_be_signed.clone()).unwrap_or_default()
    }

    pub(super) fn signature(&self) -> &[u8] {
        self.bytes.get(self.signature.clone()).unwrap_or_default()
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.bytes)
    }

    /// The fingerprint with another signature.
    pub(super) fn fingerprint_with(&self, signature: &[u8]) -> Fingerprint {
        let Self { version, to_be_signed, .. } = self;
        let bytes = self.bytes.get(..to_be_signed.end).unwrap_or_default().to_vec();
        Self::unsigned(*version, bytes, to_be_signed.start).signed(signature).fingerprint()
    }
}
