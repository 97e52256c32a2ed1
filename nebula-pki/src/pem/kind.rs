//! What the blocks of a PEM file are, by their banners.

use super::{Block, decode, no_block};
use crate::{Curve, Error, Version, certificate, key};

/// What a PEM block is, by its banner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PemKind {
    /// A certificate, of a host or a CA: [`Certificate::from_pem`](crate::Certificate::from_pem).
    Certificate(Version),
    /// A CA's private key: [`SigningKey::from_pem`](crate::key::SigningKey::from_pem).
    SigningKey(Curve),
    /// A CA's private key under a passphrase: `EncryptedKey::from_pem`, feature `encryption`.
    EncryptedSigningKey(Curve),
    /// A host's private key: [`AgreementKey::from_pem`](crate::key::AgreementKey::from_pem).
    AgreementKey(Curve),
    /// A host's public key: [`PublicKey::from_pem`](crate::key::PublicKey::from_pem).
    PublicKey(Curve),
    /// Something else, by its banner, cut to 64 characters.
    Other(String),
}

impl PemKind {
    /// What is in a file: the kind of each PEM block, in order. Text between them is skipped, and
    /// their contents are not checked.
    ///
    /// ```
    /// use nebula_pki::{PemKind, Version};
    ///
    /// # let file = include_bytes!("../../tests/vectors/v2-25519/basic.crt");
    /// assert_eq!(PemKind::all(file)?, [PemKind::Certificate(Version::V2)]);
    /// # Ok::<(), nebula_pki::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoPemBlock`] when there is none; [`Error::Utf16`] when that is why.
    pub fn all(input: &[u8]) -> Result<Vec<Self>, Error> {
        let (mut kinds, mut rest) = (Vec::new(), input);
        while let Some((block, next)) = decode(rest) {
            kinds.push(Self::of(&block));
            rest = next;
        }
        if kinds.is_empty() { Err(no_block(input)) } else { Ok(kinds) }
    }

    fn of(block: &Block<'_>) -> Self {
        use Curve::{Curve25519, P256};
        match block.banner() {
            certificate::V1_BANNER => Self::Certificate(Version::V1),
            certificate::V2_BANNER => Self::Certificate(Version::V2),
            key::signing::ED25519_BANNER => Self::SigningKey(Curve25519),
            key::signing::ECDSA_BANNER => Self::SigningKey(P256),
            key::signing::ENCRYPTED_ED25519_BANNER => Self::EncryptedSigningKey(Curve25519),
            key::signing::ENCRYPTED_ECDSA_BANNER => Self::EncryptedSigningKey(P256),
            key::agreement::X25519_BANNER => Self::AgreementKey(Curve25519),
            key::agreement::P256_BANNER => Self::AgreementKey(P256),
            key::public::X25519_BANNER => Self::PublicKey(Curve25519),
            key::public::P256_BANNER => Self::PublicKey(P256),
            _ => Self::Other(block.shown_banner()),
        }
    }
}
