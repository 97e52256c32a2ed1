//! Rotation of the server's keys, and bearer secrets that are still stored under former keys.

use std::sync::PoisonError;

use super::{Bearer, BearerKind, Hashed, KEY_LENGTH, ServerKey, ServerSecrets, random};
use crate::Error;
use crate::error::Conflict;

impl ServerSecrets {
    /// Adds new keys without using them yet, last in each list, so that every instance can learn of
    /// them before any writes with them.
    ///
    /// # Errors
    /// [`Error::Conflict`] where keys wait already; [`Error::Unavailable`] without randomness.
    pub fn stage(&mut self) -> Result<(), Error> {
        if self.has_staged() {
            return Err(Conflict::KeysStaged.into());
        }
        for keys in [&mut self.hashing, &mut self.sealing] {
            let key = successor(keys)?;
            keys.push(key);
        }
        Ok(())
    }

    /// Puts new keys first, for what is written from now on: the staged ones, or newly created
    /// ones. The others stay for what was written before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without randomness.
    pub fn rotate(&mut self) -> Result<(), Error> {
        if !self.has_staged() {
            self.stage()?;
        }
        for keys in [&mut self.hashing, &mut self.sealing] {
            keys.rotate_right(1);
        }
        Ok(())
    }

    /// Whether there are staged keys, which are newer than the ones in use.
    #[must_use]
    pub fn has_staged(&self) -> bool {
        [&self.hashing, &self.sealing].into_iter().all(|keys| match (keys.first(), keys.last()) {
            (Some(first), Some(last)) => last.id > first.id,
            _ => false,
        })
    }
}

/// A key with the id after the highest.
fn successor(keys: &[ServerKey]) -> Result<ServerKey, Error> {
    let highest = keys.iter().map(|key| key.id).max().unwrap_or_default();
    let id = highest.checked_add(1).ok_or_else(|| Error::from(Conflict::KeyIdsUsedUp))?;
    let mut key = ServerKey { id, key: [0; KEY_LENGTH] };
    random(&mut key.key)?;
    Ok(key)
}

/// A bearer secret that is stored under a former key, to be hashed again.
#[derive(Clone)]
pub(crate) struct Stale {
    pub(crate) kind: BearerKind,
    pub(crate) former: Hashed,
    pub(crate) new: Hashed,
}

/// How many are remembered at most; others are noted at their next use.
const LIMIT: usize = 256;

impl ServerSecrets {
    /// Notes that a secret was used that is stored with this hash.
    pub(crate) fn note_use(&self, bearer: &Bearer, found: &Hashed) {
        let Ok(new) = self.hash(bearer) else { return };
        // A higher id is a key that another instance already uses.
        if found.key_id < new.key_id {
            let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
            if stale.len() < LIMIT {
                stale.push(Stale { kind: bearer.kind(), former: found.clone(), new });
            }
        }
    }

    /// Those noted since the last call.
    pub(crate) fn take_stale(&self) -> Vec<Stale> {
        if self.hashing.len() == 1 {
            return Vec::new();
        }
        std::mem::take(&mut *self.stale.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(secrets: &ServerSecrets) -> [Vec<i64>; 2] {
        [&secrets.hashing, &secrets.sealing].map(|keys| keys.iter().map(|key| key.id).collect())
    }

    #[test]
    fn what_was_written_before_a_rotation_is_read_after_it() {
        let mut secrets = ServerSecrets::generate().unwrap();
        let key = Bearer::new_operator_key().unwrap();
        let (hashed, sealed) = (secrets.hash(&key).unwrap(), secrets.seal(b"key", b"ca").unwrap());
        for rotation in 2..5 {
            secrets.rotate().unwrap();
            assert_eq!(secrets.hash(&key).unwrap().key_id, rotation);
            assert_eq!(secrets.seal(b"key", b"ca").unwrap().key_id, rotation);
            assert!(secrets.hashes(&key).any(|other| other.hash == hashed.hash));
            assert_eq!(secrets.open(&sealed, b"ca").unwrap().as_slice(), b"key");
        }
        assert_eq!(ids(&secrets), [[4, 3, 2, 1]; 2]);
    }

    #[test]
    fn staged_keys_are_used_only_once_they_are_rotated_in() {
        let mut secrets = ServerSecrets::generate().unwrap();
        secrets.stage().unwrap();
        assert_eq!(ids(&secrets), [[1, 2]; 2]);
        assert_eq!(secrets.seal(b"key", b"ca").unwrap().key_id, 1);
        assert!(matches!(secrets.stage(), Err(Error::Conflict { .. })));
        secrets.rotate().unwrap();
        assert_eq!(ids(&secrets), [[2, 1]; 2]);
        assert!(!secrets.has_staged());
        let read = ServerSecrets::from_json(&secrets.to_json()).unwrap();
        assert_eq!(ids(&read), [[2, 1]; 2]);
    }
}
