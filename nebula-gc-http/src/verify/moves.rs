//! Every move of a revision and of a generation is told by one event: that of the change that made
//! it. A change makes one at most.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Rows;
use super::{Found, Rule};

pub(super) fn check(rows: &Rows, found: &mut Found) {
    let (mut revisions, mut generations) = (BTreeMap::new(), BTreeMap::new());
    let mut once = BTreeSet::new();
    for event in &rows.events {
        let moves = [
            event.network.zip(event.told.revision).map(|(network, to)| {
                revisions.entry(network).or_insert_with(Vec::new).push(to);
                "revision"
            }),
            event.told.generation.map(|to| {
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

/// Each number once, up to the current one. The first is 1, or later where the log is younger.
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
