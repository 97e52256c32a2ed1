//! Checks that addresses stay in quarantine until no certificate that names them is accepted any
//! more.

use std::collections::HashMap;
use std::net::IpAddr;

use nebula_alloc::NetworkId;
use nebula_alloc::lease::{Lease, LeaseState};
use nebula_pki::Certificate;
use serde_json::Value;

use super::rows::Rows;
use super::{Found, Rule};
use crate::NodeId;
use crate::store::network::Network;

pub(super) fn check(
    rows: &Rows,
    history: &History<'_>,
    certificates: &HashMap<[u8; 16], Certificate>,
    now: i64,
    found: &mut Found,
) {
    let mut leases: HashMap<(NetworkId, IpAddr), &Lease> = HashMap::new();
    for lease in &rows.leases {
        leases.insert((lease.network, lease.address), lease);
        // A hold time that was shortened since may have ended it sooner.
        let is_short = |released: i64| {
            // The settings of that time may have been deleted.
            if rows.forgotten_before.is_some_and(|before| released < before) {
                return false;
            }
            let holds = history.since(lease.network, released).map(|terms| terms.hold_seconds);
            lease.hold_until < released.saturating_add(holds.min().unwrap_or_default())
        };
        let too_short =
            lease.state == LeaseState::Quarantined && lease.released_at.is_none_or(is_short);
        found.unless(!too_short, Rule::Quarantine, || {
            format!("the quarantine of {} is too short", lease.address)
        });
    }
    for entry in &rows.certificates {
        let (Some(certificate), Some(fingerprint)) =
            (certificates.get(&entry.id), entry.fingerprint)
        else {
            continue;
        };
        // A quarantine may have ended early once every node had applied the blocklist.
        let accepted = entry.not_after >= now
            && !rows.is_blocked(entry.network, &fingerprint)
            && !history.held_alone(entry.network, entry.created_at);
        if !accepted {
            continue;
        }
        for address in certificate.unverified_details().networks().iter().map(|net| net.addr()) {
            let problem = match leases.get(&(entry.network, address)) {
                None => Some("is free, and a certificate that names it is accepted"),
                Some(lease) if lease.hold_until <= entry.not_after => {
                    Some("is held shorter than a certificate names it")
                }
                Some(lease) => {
                    let other = NodeId::from(*lease.owner.as_bytes()) != entry.node;
                    (other && lease.state == LeaseState::Active)
                        .then_some("has a holder, and another's certificate is accepted")
                }
            };
            if let Some(problem) = problem {
                found.add(Rule::Quarantine, format!("{address} {problem}"));
            }
        }
    }
}

/// A network's settings for quarantines.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// How long a released address stays in quarantine at least, in seconds.
    pub(super) hold_seconds: i64,
    /// Whether the hold time alone counts.
    pub(super) hold_alone: bool,
}

/// The changes of all networks' settings for quarantines.
pub(super) struct History<'a> {
    rows: &'a Rows,
    /// The time, the network, and the terms before the change; the last change first.
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
            let former = &event.detail.former;
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

    /// The terms of a network at this time (seconds since the Unix epoch) and later.
    pub(super) fn since(&self, network: NetworkId, at: i64) -> impl Iterator<Item = Terms> {
        let present = self.rows.networks.get(&network).map(Terms::of);
        // Within the same second the order is unknown.
        let later = self.changes.iter().take_while(move |(changed, ..)| *changed >= at);
        let former = later.filter(move |(_, of, _)| *of == network).map(|(.., terms)| *terms);
        present.into_iter().chain(former)
    }

    /// Whether the hold time alone counted at this time or later.
    pub(super) fn held_alone(&self, network: NetworkId, at: i64) -> bool {
        self.since(network, at).any(|terms| terms.hold_alone)
    }
}

impl Terms {
    fn of(network: &Network) -> Self {
        Self { hold_seconds: network.hold_seconds, hold_alone: network.hold_alone }
    }
}
