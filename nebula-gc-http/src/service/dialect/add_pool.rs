//! The dialect's request for a network and its pool.

use std::sync::Arc;

use ipnet::IpNet;
use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};
use nebula_alloc::{AddressRange, Family};
use nebula_pki::{Curve, Version};
use serde_json::json;

use crate::error::{Ambiguity, Conflict, Fault, Field, Kind};
use crate::names::check_seen;
use crate::service::access::{Action, Principal, called, find_network, not_found, public};
use crate::service::audit::{Author, Entry};
use crate::service::context::Context;
use crate::service::networks::{HOLD_SECONDS, MTU, NODE_LIFETIME, check_prefix, family};
use crate::service::{Service, Shared, authority};
use crate::store::network::{self, Network, Revision, Versions};
use crate::store::{ca, damaged};
use crate::{Error, NetworkRef, id};

/// A prefix for a network, which is made where there is none.
#[derive(Debug, Clone)]
pub struct AddPool {
    /// The network; may be left out where there is only one.
    pub project: Option<NetworkRef>,
    /// The prefix; it is the network's own of its family, and all of its usable addresses are
    /// given out.
    pub prefix: IpNet,
    /// The version of the certificates it issues: given when it is made, 1 if left out.
    pub version: Option<Version>,
}

/// What there is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolAdded {
    /// The network.
    pub project: String,
    /// Its prefix of that family.
    pub prefix: IpNet,
    /// How many addresses it gives out.
    pub capacity: u128,
}

impl Service {
    /// Gives a network its prefix and pool of one address family. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unusable prefix, [`Error::Conflict`] where the network has
    /// another prefix of the family or another version, and those of access.
    pub async fn add_pool(&self, context: Context, request: AddPool) -> Result<PoolAdded, Error> {
        self.admit(&context).await?;
        let prefix = request.prefix.trunc();
        let range = check_prefix(prefix)?;
        let request = AddPool { prefix, ..request };
        let shared = Arc::clone(&self.shared);
        self.write(Adding { shared, context, request, range, decided: None }).await
    }
}

struct Adding {
    shared: Arc<Shared>,
    context: Context,
    request: AddPool,
    range: AddressRange,
    decided: Option<(Principal, Author, Decision)>,
}

enum Decision {
    Unchanged(Network),
    Add(Network),
    Create(NetworkRef),
}

impl Step for Adding {
    type Output = PoolAdded;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Everything
    }

    fn actor(&self) -> Actor<'_> {
        self.decided.as_ref().map_or(Actor::named(""), |(_, author, _)| author.actor())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Vec<lease::Request>, Error> {
        let principal = Principal::authenticate(tx, &self.shared.secrets, &self.context, now)?;
        // Before anything is looked up: what is refused must not tell which networks there are.
        principal.permit(Action::CreateNetwork)?;
        let found = find_network(tx, &principal, self.request.project.as_ref())?;
        let decision = self.decide(tx, &principal, found)?;
        let author = self.context.author(principal.actor());
        self.decided = Some((principal, author, decision));
        Ok(vec![])
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        _: &[Lease],
    ) -> Result<PoolAdded, Error> {
        let (principal, author, decision) =
            self.decided.take().ok_or_else(|| Error::unavailable("written before planned"))?;
        let project = match decision {
            Decision::Unchanged(network) => network.name,
            Decision::Add(network) => {
                network::set_prefix(tx, network.id, self.request.prefix)?;
                self.create_pool(tx, now, &author, &network)?;
                network.name
            }
            Decision::Create(project) => {
                let network = self.create_network(tx, now, &principal, &author, project)?;
                self.create_pool(tx, now, &author, &network)?;
                network.name
            }
        };
        Ok(PoolAdded { project, prefix: self.request.prefix, capacity: self.range.capacity() })
    }
}

impl Adding {
    fn decide(
        &self,
        tx: &mut dyn Transaction,
        principal: &Principal,
        found: Option<Network>,
    ) -> Result<Decision, Error> {
        let AddPool { project, prefix, version } = &self.request;
        let Some(network) = found else {
            let project = project
                .clone()
                .ok_or_else(|| Fault::Missing(Ambiguity::NoNetwork).of(Field::Network))?;
            check_family(*prefix, version == &Some(Version::V2))?;
            // A network that exists but isn't the caller's to see is not found, like any other.
            check_seen(Field::Network, project.as_str())?;
            let other = network::by_key(tx, project.as_str())?;
            if let Some(other) = other.as_ref().filter(|other| principal.sees(other)) {
                let (kind, name) = (Kind::Network, other.name.clone());
                return Err(Error::NameTaken { kind, name });
            }
            let taken = other.is_some() || called(tx, &project, |_| true)?.is_some();
            if taken || principal.home(tx).is_err() {
                return Err(not_found(Some(&project)));
            }
            return Ok(Decision::Create(project));
        };
        if let Some(version) = version
            && network.versions.as_slice() != [*version]
        {
            return Err(Conflict::OtherVersions { versions: network.versions }.into());
        }
        check_family(*prefix, network.versions.has_ipv6())?;
        match network.prefix(family(*prefix)) {
            None => Ok(Decision::Add(network)),
            Some(own) if own == *prefix => Ok(Decision::Unchanged(network)),
            Some(own) => Err(Conflict::OtherPrefix { prefix: own }.into()),
        }
    }

    fn create_network(
        &self,
        tx: &mut dyn Transaction,
        now: i64,
        principal: &Principal,
        author: &Author,
        project: NetworkRef,
    ) -> Result<Network, Error> {
        let id = id::new_network();
        let version = self.request.version.unwrap_or(Version::V1);
        let ca = authority::create(
            &self.shared.secrets,
            id,
            project.as_str(),
            (version, Curve::Curve25519),
            now,
        )?;
        let prefix = self.request.prefix;
        let of = |wanted| (family(prefix) == wanted).then_some(prefix);
        let network = Network {
            id,
            tenant: principal.home(tx)?,
            name: project.into(),
            versions: match version {
                Version::V1 => Versions::V1,
                _ => Versions::V2,
            },
            curve: Curve::Curve25519,
            prefix_v4: of(Family::V4),
            prefix_v6: of(Family::V6),
            active_ca: ca.id,
            hold_seconds: HOLD_SECONDS,
            hold_alone: false,
            lifetime: NODE_LIFETIME,
            silence_seconds: None,
            mtu: MTU,
            initiating_version: None,
            renew_before: None,
            revision: Revision::FIRST,
            moves: 0,
            rendering: nebula_bundle::RENDERING,
            changes: 1,
            created_at: now,
        };
        network::insert(tx, &network)?;
        ca::insert(tx, &ca, now)?;
        let entry = Entry {
            network: Some(id),
            detail: json!({"name": network.name, "revision": network.revision.0, "ca": ca.certificate.fingerprint().to_string()}),
            ..Entry::new("network.created", id.as_bytes())
        };
        author.record(tx, now, entry)?;
        Ok(network)
    }

    fn create_pool(
        &self,
        tx: &mut dyn Transaction,
        now: i64,
        author: &Author,
        network: &Network,
    ) -> Result<(), Error> {
        let pool = Pool { id: id::new_pool(), network: network.id, range: self.range, position: 0 };
        Ok(pool::create(tx, now, &author.actor(), &pool)?)
    }
}

impl Service {
    /// The certificates of the CAs that a network trusts, as PEM. They are public; `caller` is asked
    /// which network is meant where `project` is left out.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Invalid`] where `project` must be given.
    pub async fn ca_certificates(
        &self,
        context: Option<Context>,
        project: Option<NetworkRef>,
    ) -> Result<String, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let network = public(tx, secrets, context.as_ref(), now, project.as_ref())?;
            let trusted = ca::trusted(tx, network.id)?;
            if trusted.is_empty() {
                return Err(damaged("list of CAs"));
            }
            Ok(trusted.iter().map(nebula_pki::Certificate::to_pem).collect())
        })
        .await
    }
}

fn check_family(prefix: IpNet, has_ipv6: bool) -> Result<(), Error> {
    match (prefix, has_ipv6) {
        (IpNet::V6(_), false) => Err(Fault::Ipv6NeedsVersion2.of(Field::Prefixes)),
        _ => Ok(()),
    }
}
