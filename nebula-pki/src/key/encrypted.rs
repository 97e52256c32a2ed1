//! CA keys encrypted with a passphrase.

mod below_rfc;
mod container;
mod derivation;
mod memory;
mod parameters;

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

use self::container::{Container, NONCE_LEN};
pub use self::parameters::Argon2Parameters;
use super::signing::{ENCRYPTED_ECDSA_BANNER, ENCRYPTED_ED25519_BANNER};
use super::{SigningKey, first_block};
use crate::error::PemContents;
use crate::{Curve, Error, Random, Signer, pem};

/// Bytes of the salts made here; the reference makes them as long.
const SALT_LEN: usize = 32;

/// A CA's private key, encrypted with a passphrase, as `nebula-cert ca -encrypt` writes it (since release
/// 1.7): AES-256-GCM with a key that Argon2id (RFC 9106) derives from the passphrase.
///
/// Reading one costs next to nothing. [`open`](Self::open) and [`seal`](Self::seal) take the memory
/// and the time that the [`Argon2Parameters`] demand, by default 2 GiB and some seconds, on the
/// calling thread: never call them from an asynchronous task. A program that opens what others send
/// should compare [`parameters`](Self::parameters) with what it is willing to spend before.
///
/// ```
/// use nebula_pki::key::{Argon2Parameters, EncryptedKey, SigningKey};
/// use nebula_pki::{Curve, Signer};
/// # use nebula_pki::{Error, Random};
/// # struct Counter(u8);
/// # impl Random for Counter {
/// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
/// #         bytes.iter_mut().for_each(|byte| { self.0 = self.0.wrapping_add(41); *byte = self.0 });
/// #         Ok(())
/// #     }
/// # }
/// # let mut random = Counter(7); // `SystemRandom` outside of examples
///
/// let key = SigningKey::generate(Curve::Curve25519, &mut random)?;
/// // Far too little, but quick; `Argon2Parameters::default()` is right for most.
/// let parameters = Argon2Parameters { memory_kib: 64, iterations: 1, parallelism: 1 };
/// let file = EncryptedKey::seal(&key, b"correct horse", parameters, &mut random)?.to_pem();
/// assert!(file.starts_with("-----BEGIN NEBULA ED25519 ENCRYPTED PRIVATE KEY-----"));
///
/// let opened = EncryptedKey::from_pem(file.as_bytes())?.open(b"correct horse")?;
/// assert_eq!(opened.public_key(), key.public_key());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedKey {
    curve: Curve,
    container: Container,
}

impl EncryptedKey {
    /// The key in the first PEM block, `NEBULA ED25519 ENCRYPTED PRIVATE KEY` or
    /// `NEBULA ECDSA P256 ENCRYPTED PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// In the order in which the reference checks: [`Error::NoPemBlock`], [`Error::WrongBanner`],
    /// [`Error::MalformedEncryptedKey`], [`Error::Argon2Range`], [`Error::UnsupportedCipher`],
    /// [`Error::Argon2Version`], [`Error::SaltLength`], [`Error::CiphertextLength`]. The reference
    /// draws a salt at random where there is none, and reports a wrong passphrase; here that is
    /// [`Error::SaltLength`], after all other checks.
    pub fn from_pem(input: &[u8]) -> Result<Self, Error> {
        let block = first_block(input)?;
        let curve = match block.banner() {
            ENCRYPTED_ED25519_BANNER => Curve::Curve25519,
            ENCRYPTED_ECDSA_BANNER => Curve::P256,
            _ => return Err(block.wrong_banner(PemContents::EncryptedSigningKey)),
        };
        Ok(Self { curve, container: Container::decode(&block.contents)? })
    }

    /// The key as `nebula-cert` writes it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let banner = match self.curve {
            Curve::P256 => ENCRYPTED_ECDSA_BANNER,
            Curve::Curve25519 | Curve::Unknown(_) => ENCRYPTED_ED25519_BANNER,
        };
        pem::encode(banner, &self.container.encode())
    }

    /// The curve of the key, as the banner names it.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// What it costs to open.
    #[must_use]
    pub const fn parameters(&self) -> Argon2Parameters {
        self.container.parameters
    }

    /// Decrypts the key.
    ///
    /// The passphrase is taken as it is, neither trimmed nor normalised; wiping it is up to the
    /// caller.
    ///
    /// # Errors
    ///
    /// [`Error::Argon2Limit`] when it would cost more than [`Argon2Parameters`] allows,
    /// [`Error::OutOfMemory`] when there is not that much memory, [`Error::WrongPassphrase`], and
    /// what [`SigningKey::from_bytes`] says of the decrypted bytes.
    pub fn open(&self, passphrase: &[u8]) -> Result<SigningKey, Error> {
        let Container { parameters, salt, ciphertext } = &self.container;
        let length = Error::CiphertextLength { found: ciphertext.len() };
        let (nonce, ciphertext) = ciphertext.split_first_chunk::<NONCE_LEN>().ok_or(length)?;
        let plaintext = cipher(passphrase, salt, *parameters)?
            .decrypt(&Nonce::from(*nonce), ciphertext)
            .map(Zeroizing::new)
            .map_err(|_| Error::WrongPassphrase)?;
        SigningKey::from_bytes(self.curve, &plaintext)
    }

    /// Encrypts the key under a passphrase, with a new salt and a new nonce.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyPassphrase`], [`Error::Argon2Range`] and [`Error::Argon2Limit`] for parameters
    /// that could not be opened, [`Error::OutOfMemory`], or [`Error::Randomness`].
    pub fn seal(
        key: &SigningKey,
        passphrase: &[u8],
        parameters: Argon2Parameters,
        random: &mut dyn Random,
    ) -> Result<Self, Error> {
        if passphrase.is_empty() {
            return Err(Error::EmptyPassphrase);
        }
        parameters.check_range()?;
        let mut salt = vec![0; SALT_LEN];
        random.fill(&mut salt)?;
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce)?;

        let encrypted = cipher(passphrase, &salt, parameters)?
            .encrypt(&Nonce::from(nonce), key.to_bytes().as_slice())
            // AES-GCM refuses more than 64 GiB, which no key has.
            .map_err(|_| Error::Encryption)?;
        let ciphertext = [nonce.as_slice(), &encrypted].concat();
        Ok(Self { curve: key.curve(), container: Container { parameters, salt, ciphertext } })
    }

    /// The same key under another passphrase, and with other parameters if they are not
    /// [`parameters`](Self::parameters).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) with the old passphrase and [`seal`](Self::seal) with the new one.
    pub fn change_passphrase(
        &self,
        old: &[u8],
        new: &[u8],
        parameters: Argon2Parameters,
        random: &mut dyn Random,
    ) -> Result<Self, Error> {
        Self::seal(&self.open(old)?, new, parameters, random)
    }
}

/// Shows what it costs to open, and nothing to guess passphrases with.
impl fmt::Debug for EncryptedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedKey")
            .field("curve", &self.curve)
            .field("parameters", &self.parameters())
            .finish_non_exhaustive()
    }
}

fn cipher(
    passphrase: &[u8],
    salt: &[u8],
    parameters: Argon2Parameters,
) -> Result<Aes256Gcm, Error> {
    let key = derivation::derive_key(passphrase, salt, parameters)?;
    Ok(Aes256Gcm::new((&*key).into()))
}
