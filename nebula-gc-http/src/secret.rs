//! Bearer secrets, and the server's own keys, which protect stored secrets.

mod check;
mod receipt_key;
mod rotation;

use std::fmt;
use std::sync::{Arc, Mutex};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub(crate) use self::check::Purpose;
pub(crate) use self::rotation::Stale;
use crate::Error;
use crate::error::{Fault, Field, Unavailable};

/// Keys have 256 bits.
const KEY_LENGTH: usize = 32;
/// AES-GCM's usual nonce, drawn at random for each sealing (NIST SP 800-38D, 8.2.2).
const NONCE_LENGTH: usize = 12;
/// The prefix of operator keys, by which people and secret scanners recognise them.
const OPERATOR_KEY_PREFIX: &str = "nebula-operator-";
/// The prefix of join tokens.
const JOIN_TOKEN_PREFIX: &str = "nebula-join-";
/// The prefix of node tokens that we create; devices may create theirs without it.
const NODE_TOKEN_PREFIX: &str = "nebula-node-";
/// The shortest node token, in bytes: 128 bits in hexadecimal.
const NODE_TOKEN_LENGTH: usize = 32;
/// The longest bearer secret, in bytes.
const BEARER_LIMIT: usize = 256;

/// A bearer secret as a client sends it. It can't be printed or serialised.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Bearer(String);

impl Bearer {
    /// Reads what a client sent; nothing if it can't be a bearer secret.
    #[must_use]
    pub fn from_client(text: &str) -> Option<Self> {
        let fits = (1..=BEARER_LIMIT).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// A new operator key of 256 random bits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without randomness.
    pub fn new_operator_key() -> Result<Self, Error> {
        Self::generate(OPERATOR_KEY_PREFIX)
    }

    /// A new join token of 256 random bits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without randomness.
    pub fn new_join_token() -> Result<Self, Error> {
        Self::generate(JOIN_TOKEN_PREFIX)
    }

    /// A new node token of 256 random bits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without randomness.
    pub fn new_node_token() -> Result<Self, Error> {
        Self::generate(NODE_TOKEN_PREFIX)
    }

    /// Reads a node token that a device has created: 32 to 256 printable ASCII characters without
    /// spaces, as random as possible.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn from_device(text: &str) -> Result<Self, Error> {
        Self::from_field(text, Field::NodeToken)
    }

    /// As [`from_device`](Self::from_device), from another field.
    pub(crate) fn from_field(text: &str, field: Field) -> Result<Self, Error> {
        let long = Self::from_client(text).filter(|token| token.0.len() >= NODE_TOKEN_LENGTH);
        let token = long.ok_or_else(|| Fault::TokenForm.of(field))?;
        match token.kind() {
            BearerKind::NodeToken => Ok(token),
            _ => Err(Fault::TokenPrefix.of(field)),
        }
    }

    /// The kind of secret, by its prefix.
    pub(crate) fn kind(&self) -> BearerKind {
        if self.0.starts_with(OPERATOR_KEY_PREFIX) {
            BearerKind::OperatorKey
        } else if self.0.starts_with(JOIN_TOKEN_PREFIX) {
            BearerKind::JoinToken
        } else {
            BearerKind::NodeToken
        }
    }

    fn generate(prefix: &str) -> Result<Self, Error> {
        let mut secret = Zeroizing::new([0; KEY_LENGTH]);
        random(secret.as_mut_slice())?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        Ok(Self([prefix, text.as_str()].concat()))
    }

    /// The plaintext, to hand it to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

/// The kinds of bearer secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BearerKind {
    OperatorKey,
    JoinToken,
    NodeToken,
}

/// The server's own keys: one list for hashing bearer secrets, one for sealing CA keys. The first
/// of each list is in use; the others are for what was written before.
#[derive(Clone)]
pub struct ServerSecrets {
    hashing: Vec<ServerKey>,
    sealing: Vec<ServerKey>,
    stale: Arc<Mutex<Vec<Stale>>>,
}

#[derive(Clone, ZeroizeOnDrop)]
struct ServerKey {
    #[zeroize(skip)]
    id: i64,
    key: [u8; KEY_LENGTH],
}

/// A bearer secret as it is stored: HMAC-SHA-256 under the key with this id.
#[derive(Clone)]
pub(crate) struct Hashed {
    pub(crate) key_id: i64,
    pub(crate) hash: [u8; 32],
}

impl Hashed {
    /// Whether both are hashes of the same secret, compared in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let same: bool = self.hash.ct_eq(&other.hash).into();
        self.key_id == other.key_id && same
    }
}

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hashed(key {})", self.key_id)
    }
}

/// A CA's private key as it is stored: nonce ‖ AES-256-GCM under the key with this id.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) key_id: i64,
    pub(crate) bytes: Vec<u8>,
}

/// The file's form: `{"hashing": [{"id": 1, "key": "…"}], "sealing": […]}`, keys in Base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsFile {
    hashing: Vec<KeyEntry>,
    sealing: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    #[zeroize(skip)]
    id: i64,
    key: String,
}

impl ServerSecrets {
    /// New keys, each with the id 1.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without randomness.
    pub fn generate() -> Result<Self, Error> {
        let key = || {
            let mut key = ServerKey { id: 1, key: [0; KEY_LENGTH] };
            random(&mut key.key).map(|()| key)
        };
        Ok(Self { hashing: vec![key()?], sealing: vec![key()?], stale: Arc::default() })
    }

    /// Reads what [`ServerSecrets::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what is wrong, without its value.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let file: SecretsFile = serde_json::from_str(text)
            .map_err(|error| Fault::SecretsForm { line: error.line() }.of(Field::Secrets))?;
        Ok(Self {
            hashing: server_keys(&file.hashing).map_err(|fault| fault.of(Field::Hashing))?,
            sealing: server_keys(&file.sealing).map_err(|fault| fault.of(Field::Sealing))?,
            stale: Arc::default(),
        })
    }

    /// The contents of the server's secrets file.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        let entries = |keys: &[ServerKey]| {
            keys.iter().map(|key| KeyEntry { id: key.id, key: STANDARD.encode(key.key) }).collect()
        };
        let file = SecretsFile { hashing: entries(&self.hashing), sealing: entries(&self.sealing) };
        // Serialising strings and numbers into a String cannot fail.
        Zeroizing::new(serde_json::to_string_pretty(&file).unwrap_or_default() + "\n")
    }

    /// The hashes of a secret under all keys, the current key first.
    pub(crate) fn hashes(&self, secret: &Bearer) -> impl Iterator<Item = Hashed> {
        self.hashing.iter().filter_map(|key| key.hash(secret.expose()))
    }

    /// The hash of a secret under the current key.
    pub(crate) fn hash(&self, secret: &Bearer) -> Result<Hashed, Error> {
        self.hashes(secret).next().ok_or_else(|| no_key(Purpose::Hashing))
    }

    /// Seals a private key, bound to its owner as associated data.
    pub(crate) fn seal(&self, plaintext: &[u8], belongs_to: &[u8]) -> Result<Sealed, Error> {
        let key = self.sealing.first().ok_or_else(|| no_key(Purpose::Sealing))?;
        let mut nonce = [0; NONCE_LENGTH];
        random(&mut nonce)?;
        let sealed = key
            .cipher()?
            .encrypt(&Nonce::from(nonce), Payload { msg: plaintext, aad: belongs_to })
            .map_err(|_| Unavailable::Sealing)?;
        Ok(Sealed { key_id: key.id, bytes: [nonce.as_slice(), &sealed].concat() })
    }

    /// Opens what [`ServerSecrets::seal`] sealed.
    pub(crate) fn open(
        &self,
        sealed: &Sealed,
        belongs_to: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.sealing.iter().find(|key| key.id == sealed.key_id).ok_or_else(|| {
            let (purpose, key) = (Purpose::Sealing.word(), sealed.key_id);
            Unavailable::MissingServerKey { purpose, key }
        })?;
        let refuse = || Error::from(Unavailable::Unsealing { key: sealed.key_id });
        let (nonce, ciphertext) =
            sealed.bytes.split_first_chunk::<NONCE_LENGTH>().ok_or_else(refuse)?;
        key.cipher()?
            .decrypt(&Nonce::from(*nonce), Payload { msg: ciphertext, aad: belongs_to })
            .map(Zeroizing::new)
            .map_err(|_| refuse())
    }
}

impl ServerKey {
    fn from_entry(entry: &KeyEntry) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(&entry.key).ok()?);
        Some(Self { id: entry.id, key: bytes.as_slice().try_into().ok()? })
    }

    fn hash(&self, secret: &str) -> Option<Hashed> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(secret.as_bytes());
        Some(Hashed { key_id: self.id, hash: mac.finalize().into_bytes().into() })
    }

    fn cipher(&self) -> Result<Aes256Gcm, Error> {
        Aes256Gcm::new_from_slice(&self.key).map_err(|_| Unavailable::Sealing.into())
    }
}

fn no_key(purpose: Purpose) -> Error {
    Unavailable::NoServerKey { purpose: purpose.word() }.into()
}

fn server_keys(entries: &[KeyEntry]) -> Result<Vec<ServerKey>, Fault> {
    if entries.is_empty() {
        return Err(Fault::NoKey);
    }
    let ids: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.id).collect();
    if ids.len() != entries.len() {
        return Err(Fault::RepeatedKeyId);
    }
    let keys: Option<_> = entries.iter().map(ServerKey::from_entry).collect();
    keys.ok_or(Fault::KeyLength { expected: KEY_LENGTH })
}

pub(crate) fn random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes)
        .map_err(|error| Unavailable::system("drawing random bytes", error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_for_what_it_belongs_to() {
        let secrets = ServerSecrets::generate().unwrap();
        let sealed = secrets.seal(b"private", b"one").unwrap();
        assert_eq!(secrets.open(&sealed, b"one").unwrap().as_slice(), b"private");
        assert!(secrets.open(&sealed, b"other").is_err());
        assert!(ServerSecrets::generate().unwrap().open(&sealed, b"one").is_err());
        for cut in 0..sealed.bytes.len() {
            let cut = Sealed { key_id: 1, bytes: sealed.bytes[..cut].to_vec() };
            assert!(secrets.open(&cut, b"one").is_err());
        }
    }

    #[test]
    fn the_file_reads_back() {
        let secrets = ServerSecrets::generate().unwrap();
        let read = ServerSecrets::from_json(&secrets.to_json()).unwrap();
        let key = Bearer::new_operator_key().unwrap();
        assert!(secrets.hash(&key).unwrap().matches(&read.hash(&key).unwrap()));
        for broken in [
            "",
            "{}",
            r#"{"hashing": [], "sealing": []}"#,
            r#"{"hashing": [{"id": 1, "key": "AA=="}], "sealing": []}"#,
        ] {
            assert!(ServerSecrets::from_json(broken).is_err(), "{broken}");
        }
        let mut twice = secrets.clone();
        twice.rotate().unwrap();
        let twice = twice.to_json().replace("\"id\": 2", "\"id\": 1");
        assert!(ServerSecrets::from_json(&twice).is_err());
    }

    #[test]
    fn a_secret_hashed_with_an_older_key_is_still_found() {
        let old = ServerSecrets::generate().unwrap();
        let mut rotated = ServerSecrets::generate().unwrap();
        rotated.hashing[0].id = 2;
        rotated.hashing.extend(old.hashing.iter().cloned());
        let key = Bearer::new_operator_key().unwrap();
        let stored = old.hash(&key).unwrap();
        assert!(rotated.hashes(&key).any(|hash| hash.matches(&stored)));
        assert!(!rotated.hash(&key).unwrap().matches(&stored));
    }

    #[test]
    fn secrets_do_not_print() {
        let key = Bearer::new_operator_key().unwrap();
        assert_eq!(format!("{key:?}"), "Bearer(…)");
        assert!(Bearer::from_client("with space").is_none());
        assert!(Bearer::from_client(&"x".repeat(257)).is_none());
    }
}
