//! On what terms a network issues certificates now.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use nebula_alloc::Family;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_pki::key::{PublicKey, SigningKey};
use nebula_pki::{Certificate, HostParameters, Issuer, Validity, VerifiedCertificate};

use crate::Error;
use crate::store::certificate::{self, Issued};
use crate::store::damaged;
use crate::store::network::Network;
use crate::store::node::Node;

/// How long a node's certificate is valid at most, in seconds: 365 days, because a device that
/// registered here can't renew by itself.
const LIFETIME: i64 = 365 * 86_400;
/// How long before now a certificate begins, in seconds, so that a lagging clock can use it.
const BACKDATED: i64 = 300;
/// A certificate is due for renewal in the last third of its lifetime.
const DUE_FRACTION: i64 = 3;
/// How often the end of a certificate is moved back, at most, until its fingerprint is new.
const TRIES: i64 = 64;

/// A network, its issuer, and how long a certificate issued now would be valid.
pub(super) struct Terms {
    pub(super) network: Network,
    /// The transaction's time, in seconds since the Unix epoch.
    pub(super) now: i64,
    issuer: Arc<Issuer<SigningKey>>,
    validity: Validity,
}

impl Terms {
    pub(super) fn new(
        network: Network,
        issuer: Arc<Issuer<SigningKey>>,
        now: i64,
    ) -> Result<Self, Error> {
        let ca = issuer.certificate().unverified_details();
        let validity = Validity {
            not_before: now.saturating_sub(BACKDATED).max(ca.not_before()),
            not_after: now.saturating_add(LIFETIME).min(ca.not_after()),
        };
        if now < validity.not_before || validity.not_after - TRIES <= now {
            return Err(Error::unavailable("the network's CA is expired or not yet valid"));
        }
        Ok(Self { network, now, issuer, validity })
    }

    /// An address of each family that the network has, kept from others until no certificate
    /// issued on these terms is valid any more.
    pub(super) fn wishes(&self, node: &Node) -> impl Iterator<Item = lease::Request> {
        let (network, owner) = (self.network.id, node.id.owner());
        let hold_until = self.validity.not_after.saturating_add(1);
        self.network.families().map(move |family| lease::Request {
            network,
            owner,
            family,
            address: None,
            pool: None,
            hold_until,
            until: None,
        })
    }

    /// Whether a certificate is near its end, and a new one would end later.
    pub(super) fn is_due(&self, current: &Certificate) -> bool {
        let details = current.unverified_details();
        let lifetime = details.not_after().saturating_sub(details.not_before());
        let left = details.not_after().saturating_sub(self.now);
        left < lifetime / DUE_FRACTION && self.validity.not_after > details.not_after()
    }

    /// Signs a node's certificate, to end some seconds earlier than it could.
    pub(super) fn sign(
        &self,
        node: &Node,
        public_key: &PublicKey,
        leases: &[Lease],
        earlier: i64,
    ) -> Result<VerifiedCertificate, Error> {
        let networks =
            leases.iter().map(|lease| self.with_prefix(lease.address)).collect::<Result<_, _>>()?;
        let validity = Validity { not_after: self.validity.not_after - earlier, ..self.validity };
        let host = HostParameters::new(&node.name, networks, public_key.clone(), validity)
            .groups(node.groups.iter().map(String::as_str));
        self.issuer.issue(self.network.version, &host).map_err(Error::unavailable)
    }

    /// Issues a certificate that the ledger has never seen, and enters it there: the one that was
    /// `signed` ahead, if it is new.
    ///
    /// Ed25519 is deterministic: the same contents within one second would be the same certificate,
    /// and a fingerprint that was once blocked stays blocked. So the end moves back, a second at a
    /// time.
    pub(super) fn issue(
        &self,
        tx: &mut dyn Transaction,
        node: &Node,
        public_key: &PublicKey,
        leases: &[Lease],
        mut signed: Option<VerifiedCertificate>,
    ) -> Result<VerifiedCertificate, Error> {
        for earlier in 0..TRIES {
            let verified = match signed.take() {
                Some(signed) => signed,
                None => self.sign(node, public_key, leases, earlier)?,
            };
            if certificate::is_known(tx, &verified.certificate().fingerprint())? {
                continue;
            }
            let issued = Issued {
                network: self.network.id,
                node: node.id,
                issuer: self.network.active_ca,
                certificate: verified.certificate().clone(),
            };
            certificate::insert(tx, &issued, self.now)?;
            return Ok(verified);
        }
        Err(Error::unavailable("the same certificate was asked for too often within a second"))
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
