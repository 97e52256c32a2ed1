//! Every row has those that belong to it, and who is kept out is kept out.

use std::collections::{BTreeSet, HashMap};

use nebula_alloc::NetworkId;
use nebula_alloc::lease::{LeaseState, Reason};
use nebula_pki::{Certificate, Fingerprint};

use super::rows::{Blocked, Rows};
use super::{Found, Rule};
use crate::store::blocklist::UNKNOWN_END;
use crate::store::ca::CaState;
use crate::store::node::NodeState;
use crate::{JoinTokenId, NodeId};

pub(super) fn check(rows: &Rows, found: &mut Found) {
    one_holder(rows, found);
    let mut active: HashMap<NodeId, BTreeSet<_>> = HashMap::new();
    for lease in &rows.leases {
        let owner = NodeId::from(*lease.owner.as_bytes());
        let node = rows.nodes.get(&owner).filter(|node| node.network == lease.network);
        let is_active = lease.state == LeaseState::Active;
        // A node that moved has left its former address, and is there.
        let moved = lease.reason == Some(Reason::Replaced);
        let kept =
            node.is_some_and(|node| moved || is_active == (node.state != NodeState::Released));
        found.unless(kept, Rule::AllOrNothing, || {
            format!("the lease of {} has no such node", lease.address)
        });
        if is_active {
            active.entry(owner).or_default().insert(lease.family());
        }
    }
    let mut certified: HashMap<NodeId, BTreeSet<u8>> = HashMap::new();
    let (mut pending, mut expired) = (BTreeSet::new(), BTreeSet::new());
    for entry in &rows.certificates {
        match entry.state.as_str() {
            "issued" => {
                certified.entry(entry.node).or_default().insert(entry.version.number());
            }
            "pending" => {
                pending.insert(entry.node);
            }
            "expired" => drop(expired.insert(entry.node)),
            _ => {}
        }
        let node = rows.nodes.get(&entry.node).is_some_and(|node| node.network == entry.network);
        let ca = rows.cas.get(&entry.issuer).is_some_and(|ca| ca.network == entry.network);
        found.unless(node && ca, Rule::AllOrNothing, || {
            format!("certificate {} has no node or CA", uuid::Uuid::from_bytes(entry.id))
        });
    }
    let earlier = earlier_issues(rows);
    for node in rows.nodes.values() {
        let Some(network) = rows.networks.get(&node.network) else { continue };
        let named = format!("{} node {:?}", node.state.word(), node.name);
        let forgets = rows.forgotten_before.is_some();
        let came = rows.count("node.enrolled", node.id.as_bytes())
            + rows.count("node.imported", node.id.as_bytes());
        found.unless(came == 1 || forgets && came == 0, Rule::AllOrNothing, || {
            format!("{named} came {came} times")
        });
        let went = rows.count("node.released", node.id.as_bytes());
        let gone = usize::from(node.state == NodeState::Released);
        found.unless(went == gone || forgets && went < gone, Rule::AllOrNothing, || {
            format!("{named} went {went} times")
        });
        let versions = certified.get(&node.id).map_or(0, BTreeSet::len);
        if node.state == NodeState::Active {
            // One that let its certificates expire may still renew.
            let now = network.versions.as_slice().len();
            let whole = versions == earlier.get(&node.id).copied().unwrap_or(now)
                || pending.contains(&node.id)
                || versions == 0 && (forgets || expired.contains(&node.id));
            found.unless(whole, Rule::AllOrNothing, || {
                format!("{named} has {versions} current certificates")
            });
        } else {
            found.unless(versions == 0, Rule::Blocked, || format!("{named} has a certificate"));
        }
        if node.state != NodeState::Released {
            let families = active.get(&node.id).map_or(0, BTreeSet::len);
            found.unless(families >= 1, Rule::AllOrNothing, || format!("{named} has no address"));
        }
        let heard = node.token.is_none() || node.seen_at.is_some();
        found.unless(heard, Rule::AllOrNothing, || format!("{named} was never heard of"));
        let sane = node.applied.revision <= network.revision.0
            && node.applied.generation <= node.generation.0;
        found.unless(sane, Rule::OneMove, || format!("{named} has applied what is not there yet"));
    }
    for network in rows.networks.values() {
        let active = rows.cas.get(&network.active_ca);
        let whole =
            active.is_some_and(|ca| ca.state == CaState::Active && ca.network == network.id);
        found.unless(whole, Rule::AllOrNothing, || format!("{:?} has no active CA", network.name));
    }
    tokens(rows, found);
}

/// How many certificates a node got with its last issue, if its network's versions changed since:
/// they apply to its next one.
fn earlier_issues(rows: &Rows) -> HashMap<NodeId, usize> {
    let mut changed = HashMap::new();
    let mut last = HashMap::new();
    for (at, event) in rows.events.iter().enumerate() {
        let Some(network) = event.network else { continue };
        if event.detail.changed.iter().any(|what| what == "versions") {
            changed.insert(network, at);
        }
        let issued = event.issued().count();
        if let (1.., Ok(node)) = (issued, <[u8; 16]>::try_from(&*event.subject)) {
            last.insert(NodeId::from(node), (network, at, issued));
        }
    }
    last.retain(|_, (network, at, _)| changed.get(network).is_some_and(|changed| *at < *changed));
    last.into_iter().map(|(node, (.., issued))| (node, issued)).collect()
}

/// Each use of a join token corresponds to one node.
fn tokens(rows: &Rows, found: &mut Found) {
    let mut used: HashMap<JoinTokenId, i64> = HashMap::new();
    for token in rows.nodes.values().filter_map(|node| node.join_token) {
        *used.entry(token).or_default() += 1;
    }
    for token in &rows.join_tokens {
        let nodes = used.remove(&token.id).unwrap_or_default();
        let same = nodes == token.used || rows.forgotten_before.is_some() && nodes < token.used;
        found.unless(same && nodes <= token.uses, Rule::AllOrNothing, || {
            format!("join token {:?} was used {} times, by {nodes} nodes", token.name, token.used)
        });
    }
    let whole = used.is_empty() || rows.forgotten_before.is_some();
    found.unless(whole, Rule::AllOrNothing, || "a join token is not there".to_owned());
}

fn one_holder(rows: &Rows, found: &mut Found) {
    let (mut names, mut devices, mut keys, mut tokens) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for node in rows.nodes.values() {
        let unique = node.state == NodeState::Released
            || names.insert((node.network, &node.name))
                & devices.insert((node.network, &node.device))
                & keys.insert((node.network, &node.public_key));
        let own = node.token.as_ref().is_none_or(|token| tokens.insert(token.hash));
        found.unless(unique && own, Rule::OneHolder, || {
            format!("{:?} shares its name, device, key or token with another node", node.name)
        });
    }
}

/// No two nodes that are not released were ever certified with the same key.
pub(super) fn check_keys(
    rows: &Rows,
    certificates: &HashMap<[u8; 16], Certificate>,
    found: &mut Found,
) {
    let mut holders = HashMap::new();
    for entry in &rows.certificates {
        let Some(certificate) = certificates.get(&entry.id) else { continue };
        let node = rows.nodes.get(&entry.node);
        if node.is_none_or(|node| node.state == NodeState::Released) {
            continue;
        }
        let key = (entry.network, certificate.public_key());
        let holder = *holders.entry(key).or_insert(entry.node);
        found.unless(holder == entry.node, Rule::OneHolder, || {
            format!("nodes {holder} and {} had the same key", entry.node)
        });
    }
}

/// How far two correct clocks may differ, in seconds.
const CLOCKS_APART: i64 = 60;

pub(super) fn check_blocked(
    rows: &Rows,
    certificates: &HashMap<[u8; 16], Certificate>,
    now: i64,
    found: &mut Found,
) {
    let mut known: BTreeSet<(NetworkId, Fingerprint)> = BTreeSet::new();
    for entry in &rows.certificates {
        let Some(fingerprint) = entry.fingerprint else { continue };
        let alternate = certificates.get(&entry.id).and_then(Certificate::alternate_fingerprint);
        known.insert((entry.network, fingerprint));
        known.extend(alternate.map(|alternate| (entry.network, alternate)));
        let blocked = rows.is_blocked(entry.network, &fingerprint);
        let carried = certificates
            .get(&entry.id)
            .is_none_or(|certificate| rows.is_carried(entry.network, certificate));
        found.unless(!blocked || carried, Rule::Blocked, || {
            format!("bundles don't carry each form of the blocked certificate {fingerprint}")
        });
        let valid = entry.not_after >= now;
        match (entry.state.as_str(), rows.nodes.get(&entry.node)) {
            ("issued", _) => found.unless(!blocked, Rule::Blocked, || {
                format!("the current certificate {fingerprint} is blocked")
            }),
            ("revoked", _) if valid => found.unless(blocked, Rule::Blocked, || {
                format!("the revoked certificate {fingerprint} is not blocked")
            }),
            // In its last seconds both are possible.
            ("expired", _) if entry.not_after > now.saturating_add(CLOCKS_APART) => {
                found.add(
                    Rule::Blocked,
                    format!("the certificate {fingerprint} counts as expired and is valid"),
                );
            }
            ("superseded", Some(node)) if valid && node.state != NodeState::Active => {
                found.unless(blocked, Rule::Blocked, || {
                    format!(
                        "the {} node {:?} has a certificate that is not blocked",
                        node.state.word(),
                        node.name
                    )
                });
            }
            _ => {}
        }
    }
    for event in rows.events.iter().filter(|event| event.kind == "blocklist.added") {
        let told = event.detail.blocked.iter().filter_map(|text| text.parse().ok());
        known.extend(
            event
                .network
                .into_iter()
                .flat_map(|network| told.clone().map(move |fingerprint| (network, fingerprint))),
        );
    }
    for ((network, fingerprint), Blocked { revision, end }) in &rows.blocklist {
        // The event of an entry that was not issued here, or has expired, may have been deleted.
        let forgotten =
            rows.forgotten_before.is_some_and(|before| *end == UNKNOWN_END || *end < before);
        // What a CA signed for a deleted network is blocked where it comes again.
        let is_former = rows.former.contains(fingerprint);
        let is_known = forgotten || is_former || known.contains(&(*network, *fingerprint));
        found.unless(is_known, Rule::AllOrNothing, || {
            format!("{fingerprint} is blocked and was never issued")
        });
        let current = rows.networks.get(network).map_or(0, |network| network.revision.0);
        found.unless(*revision <= current, Rule::OneMove, || {
            format!("{fingerprint} is blocked since a revision that is not there yet")
        });
    }
}
