//! The CA that signs: its certificate and its key.

use std::ffi::OsStr;

use nebula_pki::key::{PublicKey, SigningKey};
use nebula_pki::{Certificate, Curve, Error, Issuer, Signer, Version};

use zeroize::Zeroizing;

use crate::clock::Now;
use crate::failure::Failure;
use crate::flags::Values;
use crate::{certificates, encryption, files, wording};

/// Where the CA's private key is.
#[cfg_attr(
    feature = "pkcs11",
    allow(clippy::large_enum_variant, reason = "there is one in the whole program")
)]
pub(crate) enum CaKey {
    /// In this process, from a file or just made.
    File(SigningKey),
    /// In a token, which signs with it.
    #[cfg(feature = "pkcs11")]
    Token(nebula_pki::Pkcs11Signer),
}

impl Signer for CaKey {
    fn curve(&self) -> Curve {
        match self {
            Self::File(key) => key.curve(),
            #[cfg(feature = "pkcs11")]
            Self::Token(key) => key.curve(),
        }
    }

    fn public_key(&self) -> &[u8] {
        match self {
            Self::File(key) => key.public_key(),
            #[cfg(feature = "pkcs11")]
            Self::Token(key) => key.public_key(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::File(key) => key.sign(message),
            #[cfg(feature = "pkcs11")]
            Self::Token(key) => key.sign(message),
        }
    }
}

/// The URI of a key in a token, if there is one. Without the feature there is no such flag.
pub(crate) fn token(flags: &Values) -> Result<Option<&str>, Failure> {
    if cfg!(feature = "pkcs11") {
        Ok(Some(flags.text("pkcs11")?).filter(|uri| !uri.is_empty()))
    } else {
        Ok(None)
    }
}

/// Opens the key in a token.
#[cfg(feature = "pkcs11")]
pub(crate) fn open_token(uri: &str) -> Result<CaKey, Failure> {
    let opened = uri.parse().and_then(nebula_pki::Pkcs11Signer::open);
    opened.map(CaKey::Token).map_err(|error| no_token(&error))
}

/// The public half of a key in a token, which may be a host's and need not sign.
#[cfg(feature = "pkcs11")]
pub(crate) fn token_public_key(uri: &str) -> Result<PublicKey, Failure> {
    let uri = uri.parse::<nebula_pki::Pkcs11Uri>();
    uri.and_then(|uri| uri.public_key()).map_err(|error| no_token(&error))
}

#[cfg(feature = "pkcs11")]
fn no_token(error: &Error) -> Failure {
    Failure::library("error while creating PKCS#11 client: ", error, Version::V2)
}

/// Never called: without the feature no flag takes such a URI.
#[cfg(not(feature = "pkcs11"))]
pub(crate) fn open_token(_: &str) -> Result<CaKey, Failure> {
    Err(Failure::new("refused", "built without PKCS#11"))
}

/// Never called either.
#[cfg(not(feature = "pkcs11"))]
pub(crate) fn token_public_key(_: &str) -> Result<PublicKey, Failure> {
    Err(Failure::new("refused", "built without PKCS#11"))
}

/// Reads the key, or opens it in its token, and then the certificate; they must belong together. Also
/// gives the file that the certificate is in, which may hold those of other CAs.
pub(crate) fn read(
    ca_key: &OsStr,
    token: Option<&str>,
    ca_crt: &OsStr,
) -> Result<(Issuer<CaKey>, Zeroizing<Vec<u8>>), Failure> {
    let key = match token {
        Some(uri) => Ok(open_token(uri)?),
        None => open_key(&read_key(ca_key)?)?.map(CaKey::File),
    };
    let pem = files::read(ca_crt).map_err(|error| error.failure("error while reading ca-crt: "))?;
    let (certificate, rest) = certificates::next(&pem, "error while parsing ca-crt: ")?;
    let mismatch = "refusing to sign, root certificate does not match private key";
    let key = key.map_err(|error| Failure::new(error.code(), format!("{mismatch}: {error}")))?;
    let certificate = fitting(certificate, rest, &key);
    let issuer = Issuer::new(certificate, key).map_err(|error| match error {
        Error::SignerMismatch | Error::NotCa { .. } => Failure::new("key_mismatch", mismatch),
        other => Failure::new(
            other.code(),
            format!("refusing to sign, {}", wording::of(&other, Version::V2)),
        ),
    })?;
    Ok((issuer, pem))
}

/// Of the CAs in a file the first one that is the key's, preferably one that is valid now. The
/// reference looks at the first only, and so does this when that one will do.
fn fitting(first: Certificate, mut rest: &[u8], key: &CaKey) -> Certificate {
    let now = Now::read().seconds;
    let fits = |ca: &Certificate| {
        ca.curve() == key.curve()
            && ca.public_key() == key.public_key()
            && ca.unverified_details().is_ca()
    };
    let mut found = fits(&first).then(|| first.clone());
    while found.as_ref().is_none_or(|ca| ca.is_expired(now)) {
        // What follows a certificate that will do may be anything, there as here.
        let Ok((next, after)) = Certificate::split_pem(rest) else { break };
        rest = after;
        if fits(&next) && (found.is_none() || !next.is_expired(now)) {
            found = Some(next);
        }
    }
    found.unwrap_or(first)
}

/// Whether the CA may sign now. The reference says the same of one that begins later.
pub(crate) fn check_time(ca: &Certificate, now: Now) -> Result<(), Failure> {
    ca.check_validity(now.seconds).map_err(|error| {
        let code = match error {
            Error::NotYetValid { .. } => "ca_not_yet_valid",
            _ => "ca_expired",
        };
        Failure::new(code, "ca certificate is expired").about(ca.fingerprint()).timed(&error)
    })
}

/// The file of a key.
pub(crate) fn read_key(path: &OsStr) -> Result<Zeroizing<Vec<u8>>, Failure> {
    files::read(path).map_err(|error| error.failure("error while reading ca-key: "))
}

/// A key, encrypted or not. The inner error is as in [`encryption::usable`].
pub(crate) fn open_key(pem: &[u8]) -> Result<Result<SigningKey, Error>, Failure> {
    match encryption::usable(SigningKey::from_pem(pem)) {
        Err(Error::EncryptedKey) => encryption::open(pem),
        key => key.map_err(|error| unreadable_key(&error)),
    }
}

/// Why the CA's key could not be read.
pub(crate) fn unreadable_key(error: &Error) -> Failure {
    let reason = wording::of_key(error, "Ed25519/ECDSA private key");
    Failure::new(error.code(), format!("error while parsing ca-key: {reason}"))
}
