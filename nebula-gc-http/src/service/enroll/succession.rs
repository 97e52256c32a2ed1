//! Which addresses of released nodes a new one gets back, what it has to show for them, and how long
//! it must keep its key then. An address had back by a public key alone is *lent*: its former holder
//! may still claim it.

use std::cmp::Reverse;

use nebula_alloc::block;
use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Lease, LeaseState};
use nebula_alloc::reservation::{self, Purpose};
use nebula_alloc::store::Transaction;

use crate::service::principal::Principal;
use crate::store::lent;
use crate::store::node::{self, Node};
use crate::{Error, NodeId};

/// How many released nodes of a device are looked at, the last ones.
const LOOKED_AT: i64 = 64;

/// By what somebody is known as the former holder of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// An operator key decides.
    Operator,
    /// The token of the released node.
    NodeToken,
    /// Nothing that others could not know, too: a device id, a public key.
    Claim,
}

/// The released nodes that a new one may be the successor of, the most likely first.
#[derive(Default)]
pub(super) struct Former(Vec<(Node, Proof)>);

impl Former {
    /// And the one whose token is shown.
    pub(super) fn with_token(mut self, principal: &Principal, node: Node) -> Self {
        let proof = if principal.is_operator() { Proof::Operator } else { Proof::NodeToken };
        self.0.push((node, proof));
        self
    }

    /// And those that the new node's device had: with its key before others, then the last first.
    pub(super) fn of_device(
        mut self,
        tx: &mut dyn Transaction,
        principal: &Principal,
        node: &Node,
    ) -> Result<Self, Error> {
        let proof = if principal.is_operator() { Proof::Operator } else { Proof::Claim };
        let mut released = node::released_of(tx, node.network, &node.device, LOOKED_AT)?;
        released.sort_by_key(|former| former.public_key != node.public_key);
        self.0.extend(released.into_iter().map(|former| (former, proof)));
        Ok(self)
    }
}

/// A new node gets back what released ones had.
pub(super) struct Succession {
    first: Claim,
    others: Vec<Claim>,
}

/// What is shown of one released node.
#[derive(Debug, Clone, Copy)]
struct Claim {
    predecessor: NodeId,
    /// Until when the predecessor could have no other key.
    bound: Option<i64>,
    /// The new node has the predecessor's public key, and shows nothing else.
    by_key: bool,
}

/// What came of a succession.
pub(super) struct Taken {
    /// Until when the new node may have no other key.
    pub(super) key_until: Option<i64>,
    /// Whose address it has, or whose it would have.
    pub(super) predecessor: NodeId,
}

/// An address that may be had.
struct Offer {
    claim: Claim,
    lease: Lease,
    /// Another had it since, by its public key alone, and until then could have no other.
    lent_until: Option<i64>,
}

impl Claim {
    /// Nothing where the new node shows too little. A public key is known to every peer, so by it
    /// alone a node has its address back, and no other key as long as peers may know the address by
    /// that one; a token that it made then proves no more.
    fn prove(predecessor: &Node, node: &Node, proof: Proof, now: i64) -> Option<Self> {
        let bound = predecessor.key_until.filter(|until| now < *until);
        let same_key = predecessor.public_key == node.public_key;
        let (bound, by_key) = match proof {
            Proof::Operator => (None, false),
            Proof::NodeToken if bound.is_none() || same_key => (bound, false),
            Proof::NodeToken | Proof::Claim if same_key => (bound, true),
            Proof::NodeToken | Proof::Claim => return None,
        };
        Some(Self { predecessor: predecessor.id, bound, by_key })
    }
}

impl Succession {
    /// Nothing where the new node is nobody's successor.
    pub(super) fn of(node: &Node, former: &Former, now: i64) -> Option<Self> {
        let mut claims =
            former.0.iter().filter_map(|(former, proof)| Claim::prove(former, node, *proof, now));
        let first = claims.next()?;
        Some(Self { first, others: claims.collect() })
    }

    /// Hands over, of what the predecessors have in quarantine, one address for each request: of those
    /// that the request allows, the one of the first claim that has any, and of these the one that was
    /// released last.
    pub(super) fn take_over(
        &self,
        tx: &mut dyn Transaction,
        now: i64,
        actor: &Actor<'_>,
        node: &Node,
        requests: &[lease::Request],
    ) -> Result<Taken, Error> {
        let offers = self.offers(tx, now, node)?;
        let (mut key_until, mut predecessor) = (None, None);
        for request in requests {
            let owner = request.owner;
            let pinned = reservation::pinned(tx, request.network, owner, request.family)?;
            for Offer { claim, lease, lent_until } in &offers {
                let only = request.address.or(pinned);
                let is_other = only.is_some_and(|only| only != lease.address);
                if lease.family() != request.family || is_other || !allows(tx, request, lease)? {
                    continue;
                }
                let whose = match (lent_until, claim.bound) {
                    (None, Some(_)) => {
                        lent::lender(tx, node.network, lease.address, claim.predecessor)?
                    }
                    _ => None,
                };
                lease::take_over_one(tx, now, actor, &lease.id(), request.owner)?;
                predecessor = predecessor.or(Some(claim.predecessor));
                if claim.by_key || claim.bound.is_some() {
                    let whose = whose.unwrap_or(claim.predecessor);
                    lent::note(tx, node.network, lease.address, whose, node.id)?;
                    key_until = key_until.max(claim.bound);
                }
                if claim.by_key {
                    key_until = key_until.max(Some(lease.hold_until)).max(*lent_until);
                }
                break;
            }
        }
        Ok(Taken { key_until, predecessor: predecessor.unwrap_or(self.first.predecessor) })
    }

    /// What the predecessors have in quarantine, or had that another has there who could show no
    /// more than their public key.
    fn offers(&self, tx: &mut dyn Transaction, now: i64, node: &Node) -> Result<Vec<Offer>, Error> {
        let claims: Vec<Claim> =
            std::iter::once(&self.first).chain(&self.others).copied().collect();
        let predecessors: Vec<NodeId> = claims.iter().map(|claim| claim.predecessor).collect();
        let lent = lent::of_each(tx, &predecessors, now)?;
        let holders = lent.iter().flatten().map(|lent| lent.holder);
        let owners: Vec<_> =
            predecessors.iter().copied().chain(holders).map(|node| node.owner()).collect();
        let mut held = lease::by_owners(tx, node.network, &owners)?.into_iter();
        let own: Vec<Vec<Lease>> = held.by_ref().take(claims.len()).collect();
        let mut offers = vec![];
        for ((claim, own), lent) in claims.into_iter().zip(own).zip(&lent) {
            let own = own.into_iter().map(|lease| Offer { claim, lease, lent_until: None });
            let mut of_claim: Vec<Offer> = own.collect();
            for (lent, leases) in lent.iter().zip(held.by_ref()) {
                let lease = leases.into_iter().find(|lease| lease.address == lent.address);
                let lent_until = Some(lent.until);
                of_claim.extend(lease.map(|lease| Offer { claim, lease, lent_until }));
            }
            of_claim.retain(|offer| offer.lease.state == LeaseState::Quarantined);
            of_claim.sort_by_key(|Offer { lease, .. }| Reverse((lease.released_at, lease.address)));
            offers.append(&mut of_claim);
        }
        Ok(offers)
    }
}

/// Whether an address is one that the request could be given.
fn allows(
    tx: &mut dyn Transaction,
    request: &lease::Request,
    lease: &Lease,
) -> Result<bool, Error> {
    let is_in_reach = match request.pool {
        Some(pool) => pool == lease.pool,
        None => block::by_id(tx, lease.pool)?.is_none(),
    };
    if !is_in_reach {
        return Ok(false);
    }
    let kept = reservation::covering(tx, request.network, lease.address)?;
    Ok(match kept.map(|kept| kept.purpose) {
        Some(Purpose::Nobody) => false,
        Some(Purpose::Owner(owner)) => owner == request.owner,
        Some(Purpose::Asking) | None => true,
    })
}
