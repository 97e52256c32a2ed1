//! Limits the memory for bodies of requests.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::machine::machine;

/// The memory that the bodies of all requests may take together, from their first byte until their
/// answer. The server adds it to each request as an extension.
#[derive(Debug, Clone)]
pub struct Bodies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Option<IpAddr>, usize>,
}

/// Each address may take at most this fraction.
const SHARE: usize = 4;

/// Why there is no room.
pub(super) enum NoRoom {
    /// For this source address.
    Share,
    /// For all requests.
    All,
}

/// The memory that one body takes, released when dropped.
pub(super) struct Held {
    bodies: Option<Bodies>,
    from: Option<IpAddr>,
    bytes: usize,
}

impl Bodies {
    /// Up to `limit` bytes, and a quarter of that for each address.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { limit, taken: Mutex::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Nothing yet, of the given memory, if it is limited.
    pub(super) fn none(bodies: Option<Bodies>, from: Option<IpAddr>) -> Self {
        Self { bodies, from: from.map(machine), bytes: 0 }
    }

    /// Takes more of it.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let Some(bodies) = &self.bodies else { return Ok(()) };
        let mut taken = bodies.lock();
        let all = taken.all.saturating_add(bytes);
        if all > bodies.0.limit {
            return Err(NoRoom::All);
        }
        let own = taken.by.entry(self.from).or_default();
        if own.saturating_add(bytes) > bodies.0.limit / SHARE {
            return Err(NoRoom::Share);
        }
        *own += bytes;
        taken.all = all;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(bodies) = self.bodies.as_ref().filter(|_| self.bytes > 0) else { return };
        let mut taken = bodies.lock();
        taken.all = taken.all.saturating_sub(self.bytes);
        if let Entry::Occupied(mut own) = taken.by.entry(self.from) {
            *own.get_mut() = own.get().saturating_sub(self.bytes);
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others_and_all_is_given_back() {
        let bodies = Bodies::new(400);
        let held = |last| {
            let from = Some(IpAddr::from([192, 0, 2, last]));
            Held::none(Some(bodies.clone()), from)
        };
        let mut greedy = held(1);
        assert!(greedy.grow(100).is_ok());
        assert!(matches!(greedy.grow(1), Err(NoRoom::Share)));
        let mut others: Vec<_> = (2..5).map(held).collect();
        assert!(others.iter_mut().all(|other| other.grow(100).is_ok()));
        assert!(matches!(held(5).grow(1), Err(NoRoom::All)));
        drop((greedy, others));
        assert!(held(5).grow(100).is_ok());
        assert!(bodies.lock().by.is_empty());
    }
}
