//! What a node's own request for newer certificates means.

use nebula_alloc::store::Transaction;
use nebula_pki::key::PublicKey;

use super::decision::Decision;
use crate::Error;
use crate::error::{KeyConflict, Limit};
use crate::service::node_change::check_unique;
use crate::service::pace::Pace;
use crate::service::principal::Principal;
use crate::service::shared::active_node;
use crate::service::terms::Terms;
use crate::service::update::{self, Update};
use crate::store::certificate;
use crate::store::former_key;
use crate::store::node::Node;

const DAY: i64 = 86_400;

/// A node's request for newer certificates.
#[derive(Debug, Clone)]
pub(in crate::service) struct Renewal {
    /// The device's own id, which names what this is about.
    pub(in crate::service) device: String,
    /// For another key than it has.
    pub(in crate::service) public_key: Option<PublicKey>,
}

impl Renewal {
    /// `again`: it ran before for this same request. What it entered then must not count against it
    /// as a change of key.
    pub(super) fn decide(
        &self,
        tx: &mut dyn Transaction,
        principal: &Principal,
        terms: &Terms,
        pace: Pace,
        again: bool,
    ) -> Result<Decision, Error> {
        let former = active_node(principal)?;
        let mut node = Node { generation: former.generation.next(), ..former.clone() };
        if let Some(key) = &self.public_key
            && key.as_bytes() != former.public_key
        {
            node.public_key = key.as_bytes().to_vec();
            check_free(former, terms.now)?;
            check_unique(tx, &node, Some(former))?;
            if former_key::is_replaced(tx, node.network, &node.public_key, node.id)? {
                return Err(KeyConflict::Replaced.into());
            }
            if !again {
                check_rate(tx, former, pace, terms.now)?;
            }
        }
        let current = certificate::current(tx, node.id)?;
        let renewal = update::Renewal::WhenDue;
        Ok(match Update::between(former, &node, current, terms, renewal) {
            Ok(update) => Decision::Changed { node, update: update.by_its_node() },
            Err(certificates) => Decision::Unchanged { node: former.clone(), certificates },
        })
    }
}

/// Refuses another key of a node that has its address by the former key alone, as long as others may
/// still know the address by that key.
fn check_free(node: &Node, now: i64) -> Result<(), Error> {
    match node.key_until {
        Some(until) if until > now => Err(KeyConflict::Held { until }.into()),
        _ => Ok(()),
    }
}

/// Each key costs a row of the ledger and, for as long as its certificate is valid, of every node's
/// blocklist.
fn check_rate(tx: &mut dyn Transaction, node: &Node, pace: Pace, now: i64) -> Result<(), Error> {
    let wait = |since: i64, seconds: i64| since.saturating_add(seconds).saturating_sub(now);
    let limited = |limit, retry_after| Err(Error::RateLimited { limit, retry_after });
    let last = certificate::last_rekeyed(tx, node.id, now)?;
    if let Some(left) = last.map(|last| wait(last, pace.rekey_seconds)).filter(|left| *left > 0) {
        return limited(Limit::Rekeying, left);
    }
    let most = pace.rekeys_per_day;
    let first = certificate::last_rekeyed_but(tx, node.id, most - 1, now)?;
    if let Some(left) = first.map(|first| wait(first, DAY)).filter(|left| *left > 0) {
        return limited(Limit::RekeyingPerDay { most }, left);
    }
    Ok(())
}
