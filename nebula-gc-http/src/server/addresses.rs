//! Limits how many connections each source address may have open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::log_limit::LogLimit;
use crate::machine::machine;

/// Counts the open connections of each [`machine`].
pub(super) struct Addresses {
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
    log: LogLimit,
}

/// A slot for one connection, freed when dropped.
pub(super) struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default(), log: LogLimit::new() })
    }

    /// A slot for one more connection; where the address has used up its own, the log says so.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let address = machine(peer);
        {
            let mut open = self.lock();
            let own = open.entry(address).or_default();
            if *own < self.limit {
                *own += 1;
                return Some(Place { addresses: Arc::clone(self), address });
            }
        }
        if let Some(left_out) = self.log.admit(Instant::now()) {
            tracing::warn!(
                %peer,
                limit = self.limit,
                left_out,
                "connection closed: its source address has max-connections-per-address open already; \
                 behind a reverse proxy, set that to max-connections"
            );
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut own) = self.addresses.lock().entry(self.address) {
            *own.get_mut() = own.get().saturating_sub(1);
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
    fn an_address_has_its_number_of_connections_and_others_have_theirs() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let addresses = Addresses::new(2);
        let first = addresses.enter(at("2001:db8::1")).unwrap();
        let _second = addresses.enter(at("2001:db8::2")).unwrap();
        assert!(addresses.enter(at("2001:db8::3")).is_none());
        assert!(addresses.enter(at("2001:db8:0:1::3")).is_some());
        drop(first);
        assert!(addresses.enter(at("2001:db8::3")).is_some());
    }
}
