//! Checks that the audit log agrees with the rows: what was issued, what was blocked and since
//! when, who is kept out, and each move of a counter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nebula_alloc::NetworkId;
use nebula_pki::Fingerprint;

use super::rows::{Blocked, Happened, Rows};
use super::{Found, Rule};
use crate::NodeId;
use crate::store::node::NodeState;

pub(super) fn check(rows: &Rows, now: i64, found: &mut Found) {
    issued(rows, found);
    blocked(rows, now, found);
    states(rows, found);
    moves(rows, found);
}

/// Every certificate has exactly one event of its issue.
fn issued(rows: &Rows, found: &mut Found) {
    let mut told: HashMap<(&[u8], Fingerprint), usize> = HashMap::new();
    for event in &rows.events {
        for fingerprint in event.issued() {
            *told.entry((&event.subject, fingerprint)).or_default() += 1;
        }
    }
    for entry in &rows.certificates {
        let Some(fingerprint) = entry.fingerprint else { continue };
        let times = told.remove(&(entry.node.as_bytes().as_slice(), fingerprint)).unwrap_or(0);
        found.unless(times == 1, Rule::AllOrNothing, || {
            format!("{times} events tell that the certificate {fingerprint} was issued")
        });
    }
    for ((_, fingerprint), _) in told {
        found.add(Rule::Ledger, format!("the certificate {fingerprint} was issued and is gone"));
    }
}

/// Blocked certificates stay blocked until they expire, since the revision of their event.
fn blocked(rows: &Rows, now: i64, found: &mut Found) {
    let mut since: BTreeMap<(NetworkId, Fingerprint), Vec<Option<i64>>> = BTreeMap::new();
    for event in &rows.events {
        let Some(network) = event.network else { continue };
        for fingerprint in event.detail.blocked.iter().filter_map(|text| text.parse().ok()) {
            since.entry((network, fingerprint)).or_default().push(event.detail.revision);
        }
    }
    for ((network, fingerprint), Blocked { revision, .. }) in &rows.blocklist {
        let told = since.get(&(*network, *fingerprint));
        found.unless(told.is_some(), Rule::AllOrNothing, || {
            format!("no event tells that {fingerprint} was blocked")
        });
        // A second event may tell a later revision than the entry, or one since which it is blocked
        // again.
        let is_it = |told: &Option<i64>| told.is_none_or(|told| told == *revision);
        let same = told.is_none_or(|told| told.iter().any(is_it));
        found.unless(same, Rule::OneMove, || {
            format!("{fingerprint} is blocked since another revision than its event tells")
        });
    }
    for entry in &rows.certificates {
        let Some(fingerprint) = entry.fingerprint else { continue };
        let was = since.contains_key(&(entry.network, fingerprint)) && entry.not_after >= now;
        found.unless(!was || rows.is_blocked(entry.network, &fingerprint), Rule::Blocked, || {
            format!("the certificate {fingerprint} was blocked and is not any more")
        });
    }
}

/// Each node is in the state of its last event.
fn states(rows: &Rows, found: &mut Found) {
    let mut last: HashMap<NodeId, NodeState> = HashMap::new();
    for event in &rows.events {
        let (Some(state), Ok(id)) = (state_after(event), <[u8; 16]>::try_from(&*event.subject))
        else {
            continue;
        };
        last.insert(NodeId::from(id), state);
    }
    for node in rows.nodes.values() {
        let told = last.remove(&node.id);
        found.unless(told.is_none_or(|told| told == node.state), Rule::AllOrNothing, || {
            let told = told.map_or("", NodeState::word);
            format!("the node {:?} is {}, and was {told} last", node.name, node.state.word())
        });
    }
    for id in last.keys() {
        found.add(Rule::AllOrNothing, format!("the node {id} came and is not there"));
    }
}

fn state_after(event: &Happened) -> Option<NodeState> {
    match event.kind.as_str() {
        "node.enrolled" | "node.imported" | "node.reinstated" => Some(NodeState::Active),
        "node.suspended" => Some(NodeState::Suspended),
        "node.revoked" => Some(NodeState::Revoked),
        "node.released" => Some(NodeState::Released),
        _ => None,
    }
}

/// Every move of a revision and of a generation has one event, that of the change that caused it; a
/// change causes at most one.
fn moves(rows: &Rows, found: &mut Found) {
    let (mut revisions, mut generations) = (BTreeMap::new(), BTreeMap::new());
    let mut once = BTreeSet::new();
    for event in &rows.events {
        let moves = [
            event.network.zip(event.detail.revision).map(|(network, to)| {
                revisions.entry(network).or_insert_with(Vec::new).push(to);
                "revision"
            }),
            event.detail.generation.map(|to| {
                generations.entry(&*event.subject).or_insert_with(Vec::new).push(to);
                "generation"
            }),
        ];
        for what in moves.into_iter().flatten() {
            let first = event.request.as_ref().is_none_or(|request| {
                once.insert((request.as_str(), event.subject.as_slice(), what))
            });
            found.unless(first, Rule::OneMove, || {
                format!("one request moved a {what} twice: {:?}", event.kind)
            });
        }
    }
    for network in rows.networks.values() {
        let told = revisions.remove(&network.id);
        check_run(found, told, network.revision.0, || {
            format!("revisions of the network {:?}", network.name)
        });
    }
    for node in rows.nodes.values() {
        let told = generations.remove(node.id.as_bytes().as_slice());
        check_run(found, told, node.generation.0, || format!("generations of {:?}", node.name));
    }
}

/// Each number occurs once, up to the current one. The first is 1, or later if the log is younger.
fn check_run(
    found: &mut Found,
    told: Option<Vec<i64>>,
    current: i64,
    what: impl FnOnce() -> String,
) {
    let Some(mut told) = told else { return };
    told.sort_unstable();
    let follows = |pair: &[i64]| matches!(pair, [one, next] if one.checked_add(1) == Some(*next));
    let whole = told.windows(2).all(follows) && told.last() == Some(&current);
    found.unless(whole, Rule::OneMove, || {
        format!("the {} up to {current} are told as {told:?}", what())
    });
}
