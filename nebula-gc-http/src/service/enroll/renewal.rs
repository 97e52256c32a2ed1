//! What a node's own wish for newer certificates means.

use nebula_alloc::store::Transaction;
use nebula_pki::Certificate;
use nebula_pki::key::PublicKey;

use super::{Certified, Decision, Settled, Wish};
use crate::Error;
use crate::error::{KeyConflict, Limit};
use crate::service::access::Principal;
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::node_change::check_unique;
use crate::service::self_service::renew_at;
use crate::service::shared::own_node;
use crate::service::terms::Terms;
use crate::service::update::{self, Update};
use crate::service::views::Desired;
use crate::store::certificate;
use crate::store::former_key;
use crate::store::node::Node;

/// How often a node may have another key, in seconds.
const REKEY_SECONDS: i64 = 60;
/// How many other keys a node may have within a day.
const REKEYS_PER_DAY: i64 = 10;
const DAY: i64 = 86_400;

/// A node's wish for newer certificates.
#[derive(Debug, Clone)]
pub(super) struct Renewal {
    /// The device's own id, which names what this is about.
    pub(super) device: String,
    /// For another key than it has.
    pub(super) public_key: Option<PublicKey>,
}

/// What a node that asks for newer certificates has then.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// Its certificates, the older version first.
    pub certificates: Vec<Certificate>,
    /// Whether they were issued just now.
    pub renewed: bool,
    /// When it should renew them, in seconds since the Unix epoch.
    pub renew_at: Option<i64>,
    /// Of what its bundle is.
    pub desired: Desired,
}

impl Service {
    /// Issues the caller's node newer certificates on the network's terms as they are now: once two
    /// thirds of the lifetime have passed, or for another key at any time. Before that it answers
    /// what the node has. Asking again is safe.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::KeyTaken`] where another node has the key,
    /// [`Error::KeyMismatch`] where this one may have no other, or not that one again,
    /// [`Error::RateLimited`] for another key every minute or more than ten a day,
    /// [`Error::NodeKeptOut`] and those of
    /// access.
    pub async fn renew(
        &self,
        context: Context,
        public_key: Option<PublicKey>,
    ) -> Result<Renewed, Error> {
        let device = self.own_device(&context).await?;
        let wish = Wish::Renewal(Renewal { device, public_key });
        let Settled { network, node, certificates, revision, .. } =
            self.carry_out(context, wish).await?;
        let (certificates, renewed) = match certificates {
            Certified::New(issued) => {
                self.watch.waiting().tell(network, node.id, node.generation);
                (issued.iter().map(|issued| issued.certificate().clone()).collect(), true)
            }
            Certified::Known(certificates) => (certificates, false),
        };
        Ok(Renewed {
            renew_at: renew_at(node.id, &certificates),
            certificates,
            renewed,
            desired: Desired { revision: revision.0, generation: node.generation.0 },
        })
    }
}

impl Renewal {
    /// `again` where it ran before: then what it tried counts as another key, though nobody has it.
    pub(super) fn decide(
        &self,
        tx: &mut dyn Transaction,
        principal: &Principal,
        terms: &Terms,
        again: bool,
    ) -> Result<Decision, Error> {
        let former = own_node(principal)?;
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
                check_rate(tx, former, terms.now)?;
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
fn check_rate(tx: &mut dyn Transaction, node: &Node, now: i64) -> Result<(), Error> {
    let wait = |since: i64, seconds: i64| since.saturating_add(seconds).saturating_sub(now);
    let limited = |limit, retry_after| Err(Error::RateLimited { limit, retry_after });
    let last = certificate::last_rekeyed(tx, node.id, now)?;
    if let Some(left) = last.map(|last| wait(last, REKEY_SECONDS)).filter(|left| *left > 0) {
        return limited(Limit::Rekeying, left);
    }
    let first = certificate::last_rekeyed_but(tx, node.id, REKEYS_PER_DAY - 1, now)?;
    if let Some(left) = first.map(|first| wait(first, DAY)).filter(|left| *left > 0) {
        return limited(Limit::RekeyingPerDay { most: REKEYS_PER_DAY }, left);
    }
    Ok(())
}
