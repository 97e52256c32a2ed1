//! How long a network has kept released addresses at any time since another: what is older than a
//! change is judged by what held before it.

use nebula_alloc::NetworkId;
use serde_json::Value;

use super::rows::Rows;
use crate::store::network::Network;

/// What quarantines are judged by.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// How long a released address is kept, at least, in seconds.
    pub(super) hold_seconds: i64,
    /// Whether it is kept for that time alone.
    pub(super) hold_alone: bool,
}

/// The changes of all networks.
pub(super) struct History<'a> {
    rows: &'a Rows,
    /// When, of which, and the terms that held before; the last change first.
    changes: Vec<(i64, NetworkId, Terms)>,
}

impl<'a> History<'a> {
    pub(super) fn read(rows: &'a Rows) -> Self {
        let mut changes: Vec<(i64, NetworkId, Terms)> = vec![];
        for event in rows.events.iter().rev().filter(|event| event.kind == "network.changed") {
            let Some(network) = event.network.and_then(|id| rows.networks.get(&id)) else {
                continue;
            };
            let later = changes.iter().rev().find(|(_, id, _)| *id == network.id);
            let terms = later.map_or_else(|| Terms::of(network), |(_, _, terms)| *terms);
            let former = &event.told.former;
            let before = Terms {
                hold_seconds: former
                    .get("hold_seconds")
                    .and_then(Value::as_i64)
                    .unwrap_or(terms.hold_seconds),
                hold_alone: former
                    .get("hold_alone")
                    .and_then(Value::as_bool)
                    .unwrap_or(terms.hold_alone),
            };
            changes.push((event.at, network.id, before));
        }
        Self { rows, changes }
    }

    /// The terms that a network was on at this time (seconds since the Unix epoch) or later.
    pub(super) fn since(&self, network: NetworkId, at: i64) -> impl Iterator<Item = Terms> {
        let present = self.rows.networks.get(&network).map(Terms::of);
        // Within the same second it is not known which came first.
        let later = self.changes.iter().take_while(move |(changed, ..)| *changed >= at);
        let former = later.filter(move |(_, of, _)| *of == network).map(|(.., terms)| *terms);
        present.into_iter().chain(former)
    }

    /// Whether quarantines did not wait for certificates at this time or later.
    pub(super) fn held_alone(&self, network: NetworkId, at: i64) -> bool {
        self.since(network, at).any(|terms| terms.hold_alone)
    }
}

impl Terms {
    fn of(network: &Network) -> Self {
        Self { hold_seconds: network.hold_seconds, hold_alone: network.hold_alone }
    }
}
