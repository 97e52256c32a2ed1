//! Bearer secrets that were found under a former key.

use std::sync::PoisonError;

use super::{Bearer, BearerKind, Hashed, ServerSecrets};

/// One is to be hashed anew.
#[derive(Clone)]
pub(crate) struct Stale {
    pub(crate) kind: BearerKind,
    pub(crate) former: Hashed,
    pub(crate) new: Hashed,
}

/// More are not remembered at once, for they are written in one step; the next use tells again.
const LIMIT: usize = 256;

impl ServerSecrets {
    /// Takes note that a secret was used which is stored like this.
    pub(crate) fn note_use(&self, bearer: &Bearer, found: &Hashed) {
        let Ok(new) = self.hash(bearer) else { return };
        // A higher id is one that another instance has put to use already.
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
