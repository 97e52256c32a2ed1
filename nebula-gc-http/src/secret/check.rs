//! Check values of the server's keys, which tell one set of keys from another.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{ServerKey, ServerSecrets};
use crate::Error;
use crate::stored_words::stored_words;

stored_words! {
    /// What a key of the server is for.
    pub(crate) enum Purpose {
        /// Hashing bearer secrets.
        Hashing = "hashing",
        /// Sealing CA keys.
        Sealing = "sealing",
    }
}

impl Purpose {
    pub(crate) const ALL: [Self; 2] = [Self::Hashing, Self::Sealing];

    /// It contains spaces, which no bearer secret does, so it is never hashed as one.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Hashing => b"nebula-gc check value: hashing",
            Self::Sealing => b"nebula-gc check value: sealing",
        }
    }
}

impl ServerSecrets {
    fn keys(&self, purpose: Purpose) -> &[ServerKey] {
        match purpose {
            Purpose::Hashing => &self.hashing,
            Purpose::Sealing => &self.sealing,
        }
    }

    /// The id of the key in use.
    pub(crate) fn current(&self, purpose: Purpose) -> Result<i64, Error> {
        let key = self.keys(purpose).first();
        key.map(|key| key.id).ok_or_else(|| super::no_key(purpose))
    }

    /// The ids of all keys, that of the one in use first.
    pub(crate) fn ids(&self, purpose: Purpose) -> Vec<i64> {
        self.keys(purpose).iter().map(|key| key.id).collect()
    }

    /// The check value of a key, which reveals nothing about the key.
    pub(crate) fn check_value(&self, purpose: Purpose, id: i64) -> Option<[u8; 32]> {
        let key = self.keys(purpose).iter().find(|key| key.id == id)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.key).ok()?;
        mac.update(purpose.label());
        Some(mac.finalize().into_bytes().into())
    }

    /// Whether a check value belongs to the key with this id; nothing if there is no such key.
    pub(crate) fn is_checked(&self, purpose: Purpose, id: i64, value: &[u8]) -> Option<bool> {
        self.check_value(purpose, id).map(|own| own.ct_eq(value).into())
    }

    /// Drops a key.
    #[cfg(feature = "server")]
    pub(crate) fn forget(&mut self, purpose: Purpose, id: i64) {
        match purpose {
            Purpose::Hashing => self.hashing.retain(|key| key.id != id),
            Purpose::Sealing => self.sealing.retain(|key| key.id != id),
        }
    }
}
