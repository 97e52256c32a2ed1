//! The CA that signs: its certificate and its key.

use std::ffi::OsStr;

use nebula_pki::key::SigningKey;
use nebula_pki::{Certificate, Curve, Error, Issuer, Signer, Version};

use crate::failure::Failure;
use crate::passphrase::Wording;
use crate::{certificates, files, passphrase, wording};

/// Where the CA's private key is.
pub(crate) enum CaKey {
    /// In this process, from a file.
    File(SigningKey),
}

impl Signer for CaKey {
    fn curve(&self) -> Curve {
        match self {
            Self::File(key) => key.curve(),
        }
    }

    fn public_key(&self) -> &[u8] {
        match self {
            Self::File(key) => key.public_key(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::File(key) => key.sign(message),
        }
    }
}

const NO_PASSPHRASE: Wording = Wording {
    no_terminal: "ca-key is encrypted and must be decrypted interactively",
    unreadable: "error reading password",
    empty: "cannot open encrypted ca-key without passphrase",
};

/// Reads the key and then the certificate, which must belong together.
pub(crate) fn read(ca_key: &OsStr, ca_crt: &OsStr) -> Result<Issuer<CaKey>, Failure> {
    let key = read_key(ca_key)?;
    let certificate = read_certificate(ca_crt)?;
    let mismatch = "refusing to sign, root certificate does not match private key";
    let key =
        key.map_err(|error| Failure::new(wording::code(&error), format!("{mismatch}: {error}")))?;
    Issuer::new(certificate, CaKey::File(key)).map_err(|error| match error {
        Error::SignerMismatch | Error::NotCa { .. } => Failure::new("key_mismatch", mismatch),
        other => Failure::new(
            wording::code(&other),
            format!("refusing to sign, {}", wording::of(&other, Version::V2)),
        ),
    })
}

/// The inner error is that of a key which is well written, but which no certificate can belong to: the
/// reference finds that out when it compares it with the certificate.
fn read_key(path: &OsStr) -> Result<Result<SigningKey, Error>, Failure> {
    let pem = files::read(path).map_err(|error| error.failure("error while reading ca-key: "))?;
    match SigningKey::from_pem(&pem) {
        Ok(key) => Ok(Ok(key)),
        Err(error @ (Error::CorruptSigningKey | Error::ScalarRange { .. })) => Ok(Err(error)),
        Err(Error::EncryptedKey) => {
            passphrase::obtain(passphrase::VARIABLE, passphrase::PROMPT, &NO_PASSPHRASE)?;
            Err(Failure::new("refused", "encrypted keys are not supported yet"))
        }
        Err(error) => Err(Failure::new(
            wording::code(&error),
            format!(
                "error while parsing ca-key: {}",
                wording::of_key(&error, "Ed25519/ECDSA private key")
            ),
        )),
    }
}

fn read_certificate(path: &OsStr) -> Result<Certificate, Failure> {
    let pem = files::read(path).map_err(|error| error.failure("error while reading ca-crt: "))?;
    let (certificate, _) = certificates::next(&pem, "error while parsing ca-crt: ")?;
    Ok(certificate)
}
