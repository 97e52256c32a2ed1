//! What is inside the PEM block: `RawNebulaEncryptedData` of Nebula's `cert_v1.proto`.

use super::parameters::Argon2Parameters;
use crate::Error;
use crate::error::EncryptedKeyDefect as Defect;
use crate::protobuf::{Value, low, next_field, push_bytes, push_varint};

const ALGORITHM: &str = "AES-256-GCM";
/// Argon2 1.3, the version of RFC 9106.
const ARGON2_VERSION: u8 = 0x13;
/// Bytes of AES-GCM's usual nonce.
pub(super) const NONCE_LEN: usize = 12;
/// Bytes below which the reference refuses a salt.
const MIN_SALT_LEN: usize = 16;

/// An encrypted key's contents, checked as far as that goes without the passphrase.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) parameters: Argon2Parameters,
    pub(super) salt: Vec<u8>,
    /// Nonce, encrypted key, authentication tag.
    pub(super) ciphertext: Vec<u8>,
}

impl Container {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(malformed(Defect::Empty));
        }
        let mut data = EncryptedData::default();
        data.merge(bytes)?;
        let metadata = data.metadata.ok_or(malformed(Defect::NoMetadata))?;
        let argon2 = metadata.argon2.ok_or(malformed(Defect::NoArgon2))?;

        argon2.parameters.check_range()?;
        if metadata.algorithm != ALGORITHM {
            let found = metadata.algorithm.chars().take(64).collect();
            return Err(Error::UnsupportedCipher { found });
        }
        if argon2.version != i32::from(ARGON2_VERSION) {
            return Err(Error::Argon2Version { found: argon2.version });
        }
        let salt_length = Error::SaltLength { found: argon2.salt.len() };
        if (1..MIN_SALT_LEN).contains(&argon2.salt.len()) {
            return Err(salt_length);
        }
        if data.ciphertext.len() <= NONCE_LEN {
            return Err(Error::CiphertextLength { found: data.ciphertext.len() });
        }
        // The reference draws one at random, so that no passphrase fits.
        if argon2.salt.is_empty() {
            return Err(salt_length);
        }
        Ok(Self {
            parameters: argon2.parameters,
            salt: argon2.salt.to_vec(),
            ciphertext: data.ciphertext.to_vec(),
        })
    }

    /// All fields in ascending order, as the reference writes them. None is ever its default, which
    /// would be omitted.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Argon2Parameters { memory_kib, iterations, parallelism } = self.parameters;
        let mut argon2 = Vec::new();
        push_varint(&mut argon2, 1, ARGON2_VERSION.into());
        push_varint(&mut argon2, 2, memory_kib.into());
        push_varint(&mut argon2, 3, iterations.into());
        push_varint(&mut argon2, 4, parallelism.into());
        push_bytes(&mut argon2, 5, &self.salt);

        let mut metadata = Vec::new();
        push_bytes(&mut metadata, 1, ALGORITHM.as_bytes());
        push_bytes(&mut metadata, 2, &argon2);

        let mut data = Vec::new();
        push_bytes(&mut data, 1, &metadata);
        push_bytes(&mut data, 2, &self.ciphertext);
        data
    }
}

// The messages of the file. A repeated field replaces the earlier one, or is merged into it if it is a
// message; fields that are unknown, or of another wire type, are skipped.

#[derive(Default)]
struct EncryptedData<'a> {
    metadata: Option<Metadata<'a>>,
    ciphertext: &'a [u8],
}

#[derive(Default)]
struct Metadata<'a> {
    algorithm: &'a str,
    argon2: Option<Argon2<'a>>,
}

struct Argon2<'a> {
    version: i32,
    parameters: Argon2Parameters,
    salt: &'a [u8],
}

impl<'a> EncryptedData<'a> {
    fn merge(&mut self, mut input: &'a [u8]) -> Result<(), Error> {
        while !input.is_empty() {
            let field = next_field(&mut input).map_err(|_| INVALID_WIRE)?;
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) => self.metadata.get_or_insert_default().merge(bytes)?,
                (2, Value::Bytes(bytes)) => self.ciphertext = bytes,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Metadata<'a> {
    fn merge(&mut self, mut input: &'a [u8]) -> Result<(), Error> {
        while !input.is_empty() {
            let field = next_field(&mut input).map_err(|_| INVALID_WIRE)?;
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) => {
                    self.algorithm =
                        str::from_utf8(bytes).map_err(|_| malformed(Defect::AlgorithmNotUtf8))?;
                }
                (2, Value::Bytes(bytes)) => self.argon2.get_or_insert_default().merge(bytes)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Argon2<'a> {
    fn merge(&mut self, mut input: &'a [u8]) -> Result<(), Error> {
        while !input.is_empty() {
            let field = next_field(&mut input).map_err(|_| INVALID_WIRE)?;
            let parameters = &mut self.parameters;
            match (field.number, field.value) {
                (1, Value::Varint(value)) => self.version = low(value).cast_signed(),
                (2, Value::Varint(value)) => parameters.memory_kib = low(value),
                (3, Value::Varint(value)) => parameters.iterations = low(value),
                (4, Value::Varint(value)) => parameters.parallelism = low(value),
                (5, Value::Bytes(bytes)) => self.salt = bytes,
                _ => {}
            }
        }
        Ok(())
    }
}

/// All fields absent.
impl Default for Argon2<'_> {
    fn default() -> Self {
        let parameters = Argon2Parameters { memory_kib: 0, iterations: 0, parallelism: 0 };
        Self { version: 0, parameters, salt: &[] }
    }
}

const INVALID_WIRE: Error = malformed(Defect::WireFormat);

const fn malformed(defect: Defect) -> Error {
    Error::MalformedEncryptedKey { defect }
}
