//! Moving a node to another address.
//!
//! Its lease of one family is replaced by another in one transaction, in which its new certificates are
//! issued, too, or entered as pending where a signer elsewhere has to sign them. In that case it goes on
//! with its former ones until then: the address they name stays in quarantine for as long as they are
//! valid.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nebula_alloc::lease::{self, Hold, Lease, LeaseState, Reason as Ended};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Family, PoolId};
use nebula_pki::Certificate;
use serde_json::json;

use crate::Error;
use crate::error::{Conflict, Fault, Field};
use crate::service::audit::{Author, Entry};
use crate::service::join_tokens::check_pool;
use crate::service::revision::move_revision;
use crate::service::shared::Shared;
use crate::service::terms::{Terms, family_of};
use crate::store::certificate;
use crate::store::network::Network;
use crate::store::node::{self, Node};

/// Where a node is to move: at least one of the two is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Destination {
    /// To an address of this pool or block.
    pub pool: Option<PoolId>,
    /// To this address. One of a block is had only with the block named as the pool.
    pub address: Option<IpAddr>,
}

/// A move that was decided.
#[derive(Debug, Clone)]
pub(super) struct Relocation {
    destination: Destination,
    /// The family whose address changes.
    family: Family,
    /// Whether it has the address already, and only its certificates are missing.
    is_there: bool,
    /// What the node had, or its certificates name.
    former: BTreeSet<IpAddr>,
}

impl Destination {
    /// Of which family, of this network.
    fn family(self, tx: &mut dyn Transaction, network: &Network) -> Result<Family, Error> {
        let of_pool = match self.pool {
            Some(pool) => {
                check_pool(tx, network.id, pool)?;
                Some(family_of(tx, pool)?)
            }
            None => None,
        };
        let of_address = self.address.map(Family::of);
        if of_pool.is_some() && of_address.is_some() && of_pool != of_address {
            return Err(Fault::WrongFamily.of(Field::Address));
        }
        let family = of_address.or(of_pool).ok_or_else(|| Fault::Empty.of(Field::Pool))?;
        match self.address {
            Some(address) if !network.families().any(|it| it == family) => {
                Err(Conflict::AddressOutsidePools { address }.into())
            }
            _ => Ok(family),
        }
    }

    fn is_of(self, lease: &Lease) -> bool {
        self.pool.is_none_or(|pool| pool == lease.pool)
            && self.address.is_none_or(|address| address == lease.address)
    }
}

/// What a move means for an active node; nothing where it is there already.
pub(super) fn relocate(
    tx: &mut dyn Transaction,
    shared: &Shared,
    (network, former): (&Network, &Node),
    destination: Destination,
    now: i64,
) -> Result<Option<(Terms, Node, Relocation)>, Error> {
    let family = destination.family(tx, network)?;
    let leases = active(lease::by_owner(tx, network.id, former.id.owner())?);
    let is_there = leases.iter().any(|it| it.family() == family && destination.is_of(it));
    let named = named(&certificate::current(tx, former.id)?);
    let held: BTreeSet<_> = leases.iter().map(|lease| lease.address).collect();
    // Where a signer was away, it has the address and no certificate for it yet.
    if is_there && held.is_subset(&named) {
        return Ok(None);
    }
    let is_confined = match former.pool {
        Some(pool) => family_of(tx, pool)? == family,
        None => false,
    };
    let pool = destination.pool.or(former.pool.filter(|_| !is_confined));
    let node = Node { pool, generation: former.generation.next(), ..former.clone() };
    let terms = Terms::new(tx, shared, network.clone(), node.is_native(), now)?;
    let former = held.union(&named).copied().collect();
    Ok(Some((terms, node, Relocation { destination, family, is_there, former })))
}

impl Relocation {
    /// How long the address that it leaves is kept at least.
    pub(super) fn hold(network: &Network) -> Hold {
        Hold { seconds: network.hold_seconds, reason: Ended::Replaced }
    }

    /// The requests of a node, of which one is for its destination.
    pub(super) fn requests(&self, mut requests: Vec<lease::Request>) -> Vec<lease::Request> {
        for request in requests.iter_mut().filter(|request| request.family == self.family) {
            request.address = self.destination.address;
        }
        requests
    }

    /// Why there is no place for the node there, as far as that can be foreseen.
    pub(super) fn check(
        &self,
        tx: &mut dyn Transaction,
        (terms, node): (&Terms, &Node),
        now: i64,
    ) -> Result<(), Error> {
        for request in self.requests(terms.requests(tx, node)?) {
            if request.family == self.family
                && let Some(refusal) = lease::refusal(tx, now, &request)?
            {
                return Err(refusal.into());
            }
        }
        Ok(())
    }

    /// Writes what belongs to the leases, whether or not there are certificates yet.
    pub(super) fn settle(
        tx: &mut dyn Transaction,
        now: i64,
        author: &Author,
        (network, node): (&Network, &Node),
    ) -> Result<(), Error> {
        if network.hold_alone {
            // Whatever certificates name it.
            let (actor, hold) = (author.actor(), network.hold_seconds);
            lease::shorten_hold(tx, now, &actor, network.id, node.id.owner(), hold)?;
        }
        node::set_pool(tx, node.id, node.pool)
    }

    /// Moves the revision, where others' bundles name the node's address and it waits for its
    /// certificates: they name the new one from now on.
    pub(super) fn tell_others(
        &self,
        tx: &mut dyn Transaction,
        now: i64,
        author: &Author,
        (network, node): (&Network, &Node),
    ) -> Result<(), Error> {
        if self.is_there || node.lighthouse.is_none() && !node.relay {
            return Ok(());
        }
        let revision = move_revision(tx, network.id, now)?;
        let entry = Entry {
            network: Some(network.id),
            detail: json!({"node": node.id.to_string(), "revision": revision.0}),
            ..Entry::new("network.address_moved", network.id.as_bytes())
        };
        author.record(tx, now, entry)
    }

    /// The addresses that it leaves, given those that it has then.
    pub(super) fn left(&self, leases: &[Lease]) -> Vec<IpAddr> {
        let has: BTreeSet<_> = leases.iter().map(|lease| lease.address).collect();
        self.former.difference(&has).copied().collect()
    }

    /// The addresses that it would leave.
    pub(super) fn leaves(&self) -> Vec<IpAddr> {
        let is_left = |address: &IpAddr| {
            Family::of(*address) == self.family && Some(*address) != self.destination.address
        };
        self.former.iter().copied().filter(is_left).collect()
    }
}

fn active(leases: Vec<Lease>) -> Vec<Lease> {
    leases.into_iter().filter(|lease| lease.state == LeaseState::Active).collect()
}

/// All addresses that certificates name.
pub(in crate::service) fn named(certificates: &[Certificate]) -> BTreeSet<IpAddr> {
    certificates
        .iter()
        .flat_map(|certificate| certificate.unverified_details().networks().to_vec())
        .map(|network| network.addr())
        .collect()
}
