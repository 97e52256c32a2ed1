//! On what terms a network issues certificates now.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Family, PoolId, block, pool};
use nebula_pki::key::PublicKey;
use nebula_pki::{Certificate, HostParameters, Validity, Version};

use super::authority::Authority;
use super::shared::Shared;
use crate::Error;
use crate::error::Conflict;
use crate::store::damaged;
use crate::store::network::Network;
use crate::store::node::Node;

/// How long the certificate of a node without a node token is valid at most, in seconds: 365 days,
/// because it can't renew by itself.
const DEVICE_LIFETIME: i64 = 365 * 86_400;
/// How long before now a certificate begins, in seconds, so that a lagging clock can use it; at most half
/// of its lifetime, or it would be due as soon as it is issued.
pub(super) const BACKDATED: i64 = 300;
/// A certificate is due for renewal in the last third of its lifetime.
const DUE_FRACTION: i64 = 3;
/// How often the end of a certificate is moved back, at most, until its fingerprint is new.
pub(super) const TRIES: i64 = 64;

/// A network, its issuer, and how long a certificate issued now would be valid.
pub(super) struct Terms {
    pub(super) network: Network,
    /// The transaction's time, in seconds since the Unix epoch.
    pub(super) now: i64,
    pub(super) authority: Arc<Authority>,
    pub(super) validity: Validity,
    /// Who sees to what a signer elsewhere has to sign, and until when.
    pub(super) waiting: Waiting,
}

impl Terms {
    /// The terms for nodes that have a node token (`native`), or for those that have none and can't
    /// renew by themselves.
    pub(super) fn new(
        tx: &mut dyn Transaction,
        shared: &Shared,
        network: Network,
        native: bool,
        now: i64,
    ) -> Result<Self, Error> {
        let authority = shared.authorities.active(tx, &shared.secrets, &network)?;
        let lifetime = if native { network.lifetime } else { DEVICE_LIFETIME };
        let ca = authority.issuer.certificate().unverified_details();
        let validity = Validity {
            not_before: now.saturating_sub(BACKDATED.min(lifetime / 2)).max(ca.not_before()),
            not_after: now.saturating_add(lifetime).min(ca.not_after()),
        };
        if now < ca.not_before() {
            return Err(Error::CaNotYetValid { network: network.name, at: ca.not_before() });
        }
        if ca.not_after() - TRIES <= now {
            return Err(Error::CaExpired { network: network.name, at: ca.not_after() });
        }
        let waiting = Waiting::new(shared, now);
        Ok(Self { network, now, authority, validity, waiting })
    }

    /// An address of each family that the network has, kept from others until no certificate
    /// issued on these terms is valid any more.
    pub(super) fn requests(
        &self,
        tx: &mut dyn Transaction,
        node: &Node,
    ) -> Result<Vec<lease::Request>, Error> {
        // A node's pool is of one family; of the other it gets any.
        let confined = match node.pool {
            Some(pool) => Some((pool, family_of(tx, pool)?)),
            None => None,
        };
        let request = |family| lease::Request {
            network: self.network.id,
            owner: node.id.owner(),
            family,
            address: None,
            pool: confined.and_then(|(pool, of)| (of == family).then_some(pool)),
            hold_until: self.validity.not_after.saturating_add(1),
            until: None,
        };
        Ok(self.network.families().map(request).collect())
    }

    /// Whether a certificate is near its end and a new one would end later, or is not valid yet,
    /// because the clock was wrong, or has to be [replaced early](Network::has_left).
    pub(super) fn is_due(&self, node: &Node, current: &[Certificate]) -> bool {
        if self.begin_later(current) || self.network.has_left(node.renew_before, current, self.now)
        {
            return true;
        }
        current.iter().any(|certificate| {
            let details = certificate.unverified_details();
            let lifetime = details.not_after().saturating_sub(details.not_before());
            let left = details.not_after().saturating_sub(self.now);
            left < lifetime / DUE_FRACTION && self.validity.not_after > details.not_after()
        })
    }

    /// Whether one of them is not valid yet, because the clock was wrong: it serves nobody.
    pub(super) fn begin_later(&self, current: &[Certificate]) -> bool {
        current.iter().any(|certificate| certificate.unverified_details().not_before() > self.now)
    }

    /// When certificates are valid that end some seconds earlier than they could.
    pub(super) fn ends(&self, earlier: i64) -> Validity {
        Validity { not_after: self.validity.not_after - earlier, ..self.validity }
    }

    /// What a node's certificate of this version is to say.
    pub(super) fn host(
        &self,
        version: Version,
        node: &Node,
        leases: &[Lease],
        validity: Validity,
    ) -> Result<HostParameters, Error> {
        let networks = leases
            .iter()
            .filter(|lease| version == Version::V2 || lease.address.is_ipv4())
            .map(|lease| self.with_prefix(lease.address))
            .collect::<Result<_, _>>()?;
        let public_key = PublicKey::from_raw(self.network.curve, &node.public_key)
            .map_err(|_| damaged("public key"))?;
        Ok(HostParameters::new(&node.name, networks, public_key, validity)
            .groups(node.groups.iter().map(String::as_str)))
    }

    /// An address with the prefix length of the network: with /32 no two nodes could talk.
    fn with_prefix(&self, address: IpAddr) -> Result<IpNet, Error> {
        let prefix = self
            .network
            .prefix(Family::of(address))
            .ok_or_else(|| damaged("lease outside the prefix"))?;
        IpNet::new(address, prefix.prefix_len()).map_err(|_| damaged("prefix length"))
    }
}

/// Which instance sees to what is pending, and until when.
pub(super) struct Waiting {
    pub(super) instance: String,
    pub(super) deadline: i64,
}

impl Waiting {
    pub(super) fn new(shared: &Shared, now: i64) -> Self {
        let patience = i64::try_from(shared.signers.patience().as_secs()).unwrap_or(i64::MAX);
        Self { instance: shared.instance.clone(), deadline: now.saturating_add(patience) }
    }
}

/// The family of a pool or block.
pub(super) fn family_of(tx: &mut dyn Transaction, id: PoolId) -> Result<Family, Error> {
    let range = match pool::by_id(tx, id)? {
        Some(pool) => Some(pool.range),
        None => block::by_id(tx, id)?.map(|block| block.range),
    };
    let range = range.ok_or(Conflict::PoolGone)?;
    Ok(range.family())
}
