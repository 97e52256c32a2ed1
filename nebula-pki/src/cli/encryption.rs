//! Encrypted CA keys.

use nebula_pki::key::{Argon2Parameters, EncryptedKey, SigningKey};
use nebula_pki::{Error, SystemRandom, Version};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::flags::Values;
use crate::passphrase::{self, Wording};
use crate::wording;

const NO_PASSPHRASE: Wording = Wording {
    no_terminal: "ca-key is encrypted and must be decrypted interactively",
    unreadable: "error reading password",
    empty: "cannot open encrypted ca-key without passphrase",
};

/// The Argon2 parameters that the flags ask for.
pub(crate) fn parameters(flags: &Values) -> Result<Argon2Parameters, Failure> {
    Ok(Argon2Parameters {
        memory_kib: positive(flags, "argon-memory", u32::MAX, " KiB")?,
        parallelism: positive(flags, "argon-parallelism", u8::MAX.into(), "")?,
        iterations: positive(flags, "argon-iterations", u32::MAX, "")?,
    })
}

/// The number that a flag gives, if it is not zero and not too large.
fn positive(flags: &Values, name: &str, most: u32, unit: &str) -> Result<u32, Failure> {
    let number = u32::try_from(flags.number(name)).ok();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| Failure::usage(wording::argon_range(&format!("-{name}"), most, unit)))
}

/// Asks for the passphrase and opens the key. The inner error is as in [`usable`].
pub(crate) fn open(pem: &[u8]) -> Result<Result<SigningKey, Error>, Failure> {
    let passphrase = passphrase::obtain(passphrase::VARIABLE, passphrase::PROMPT, &NO_PASSPHRASE)?;
    let key = EncryptedKey::from_pem(pem).and_then(|key| key.open(&passphrase));
    usable(key).map_err(|error| {
        // This is said in another way of keys that are not encrypted.
        let reason = wording::of_key(&error, "encrypted Ed25519/ECDSA private key")
            .replace("invalid Ed25519", "invalid ed25519");
        Failure::new(error.code(), format!("error while parsing encrypted ca-key: {reason}"))
    })
}

/// The key, encrypted, as PEM.
pub(crate) fn seal(
    key: &SigningKey,
    passphrase: &Zeroizing<Vec<u8>>,
    parameters: Argon2Parameters,
) -> Result<String, Failure> {
    EncryptedKey::seal(key, passphrase, parameters, &mut SystemRandom)
        .map(|key| key.to_pem())
        .map_err(|error| Failure::library("error while encrypting out-key: ", &error, Version::V2))
}

/// Sets apart, as the inner error, that of a key which is well written, but which no certificate can
/// belong to: the reference finds that out only when it compares the two.
pub(crate) fn usable(key: Result<SigningKey, Error>) -> Result<Result<SigningKey, Error>, Error> {
    match key {
        Err(error @ (Error::CorruptSigningKey | Error::ScalarRange { .. })) => Ok(Err(error)),
        key => key.map(Ok),
    }
}
