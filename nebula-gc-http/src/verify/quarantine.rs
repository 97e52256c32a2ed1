//! An address is kept from others until no certificate that names it is accepted any more.

use std::collections::HashMap;
use std::net::IpAddr;

use nebula_alloc::NetworkId;
use nebula_alloc::lease::{Lease, LeaseState};
use nebula_pki::Certificate;

use super::rows::Rows;
use super::terms::History;
use super::{Found, Rule};
use crate::NodeId;

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
        // A hold time that is shorter since then may have ended it sooner.
        let is_short = |released: i64| {
            // What held then may have been forgotten.
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
        // A quarantine may have ended early once everyone had applied that it is blocked.
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
