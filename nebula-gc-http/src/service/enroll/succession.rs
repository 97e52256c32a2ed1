//! What a new node may have of a released one, and what that takes.

use std::cmp::Reverse;

use nebula_alloc::block;
use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Lease, LeaseState};
use nebula_alloc::reservation::{self, Purpose};
use nebula_alloc::store::Transaction;

use super::Decision;
use crate::service::access::Principal;
use crate::store::node::Node;
use crate::{Error, JoinTokenId, NodeId};

/// By what somebody is known as the former holder of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// An operator key decides.
    Operator,
    /// The token of the released node.
    NodeToken,
    /// Nothing that others could not know, too: a device id, a public key.
    Claim,
}

impl Proof {
    pub(super) fn of(principal: &Principal) -> Self {
        if principal.is_operator() { Self::Operator } else { Self::Claim }
    }
}

/// A new node gets back what a released one had.
pub(super) struct Succession {
    pub(super) predecessor: NodeId,
    /// Until when the predecessor could have no other key.
    bound: Option<i64>,
    /// It has the predecessor's public key, and shows nothing else.
    by_key: bool,
}

impl Decision {
    /// A new node, which gets what its predecessor had where it may.
    pub(super) fn joined(
        node: Node,
        spends: Option<JoinTokenId>,
        predecessor: Option<Node>,
        proof: Proof,
        now: i64,
    ) -> Self {
        match predecessor.and_then(|it| Succession::prove(&it, &node, proof, now)) {
            Some(succession) => Self::Returned { node, succession, spends },
            None => Self::New { node, spends },
        }
    }
}

impl Succession {
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

    /// Hands over, of what the predecessor has in quarantine, one address for each wish: the one that
    /// it released last, of those that the wish allows. Answers until when the new node may have no
    /// other key.
    pub(super) fn take_over(
        &self,
        tx: &mut dyn Transaction,
        now: i64,
        actor: &Actor<'_>,
        wishes: &[lease::Request],
    ) -> Result<Option<i64>, Error> {
        let mut until = self.bound;
        for wish in wishes {
            let mut former = lease::by_owner(tx, wish.network, self.predecessor.owner())?;
            former.retain(|lease| {
                lease.state == LeaseState::Quarantined && lease.family() == wish.family
            });
            former.sort_unstable_by_key(|lease| Reverse((lease.released_at, lease.address)));
            for lease in former {
                if allows(tx, wish, &lease)? {
                    lease::take_over_one(tx, now, actor, &lease.id(), wish.owner)?;
                    if self.by_key {
                        until = until.max(Some(lease.hold_until));
                    }
                    break;
                }
            }
        }
        Ok(until)
    }
}

/// Whether an address is one that the wish could be given.
fn allows(tx: &mut dyn Transaction, wish: &lease::Request, lease: &Lease) -> Result<bool, Error> {
    let is_in_reach = match wish.pool {
        Some(pool) => pool == lease.pool,
        None => block::by_id(tx, lease.pool)?.is_none(),
    };
    if !is_in_reach {
        return Ok(false);
    }
    let kept = reservation::covering(tx, wish.network, lease.address)?;
    Ok(match kept.map(|kept| kept.purpose) {
        Some(Purpose::Nobody) => false,
        Some(Purpose::Owner(owner)) => owner == wish.owner,
        Some(Purpose::Asking) | None => true,
    })
}
