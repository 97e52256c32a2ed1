//! Giving a network its prefix of one address family: makes the network, or changes it.

use ipnet::IpNet;
use nebula_alloc::Family;
use nebula_pki::{Curve, Version};

use crate::error::{Ambiguity, Conflict, Fault, Field};
use crate::service::access::{called, find_network, not_found};
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::exclusive::Work;
use crate::service::networks::change::{NetworkPatch, change};
use crate::service::networks::create::{NewNetwork, create};
use crate::service::networks::prefixes::check_prefix;
use crate::service::networks::settings::NetworkSettings;
use crate::service::principal::Action;
use crate::store::network::{self, Network, Versions};
use crate::{Error, NetworkRef};

/// A prefix for a network, which is made where there is none.
#[derive(Debug, Clone)]
pub struct AddPool {
    /// The network; may be left out where there is only one.
    pub network: Option<NetworkRef>,
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
    pub network: String,
    /// Its prefix of that family.
    pub prefix: IpNet,
    /// How many addresses it gives out.
    pub capacity: u128,
    /// Whether its devices are released some time after their last certificate has ended.
    pub gives_back: bool,
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
        let capacity = check_prefix(prefix)?.capacity();
        let request = AddPool { prefix, ..request };
        let network = self.exclusive(context, move |work| {
            // Before anything is looked up: what is refused must not tell which networks there are.
            work.principal.permit(Action::CreateNetwork)?;
            match find_network(work.tx, work.principal, request.network.as_ref())? {
                None => request.create(work),
                Some(network) => request.extend(work, network),
            }
        });
        let network = network.await.map_err(|error| match error {
            Error::Invalid { field: Field::Name, fault } => fault.of(Field::Network),
            other => other,
        })?;
        let gives_back = network.give_back_seconds.is_some();
        Ok(PoolAdded { network: network.name, prefix, capacity, gives_back })
    }
}

impl AddPool {
    fn create(&self, work: &mut Work<'_>) -> Result<Network, Error> {
        let name = self.network.clone();
        let name = name.ok_or_else(|| Fault::Missing(Ambiguity::NoNetwork).of(Field::Network))?;
        // One that the caller does not see is not found, like one that is not there.
        let other = network::by_key(work.tx, name.as_str())?;
        let is_seen = other.as_ref().is_some_and(|other| work.principal.sees(other));
        let is_hidden = other.is_some() || called(work.tx, &name, |_| true)?.is_some();
        if is_hidden && !is_seen {
            return Err(not_found(Some(&name)));
        }
        let tenant = work.principal.home(work.tx).map_err(|error| match error {
            Error::Forbidden(_) => not_found(Some(&name)),
            other => other,
        })?;
        let versions = match self.version.unwrap_or(Version::V1) {
            Version::V1 => Versions::V1,
            _ => Versions::V2,
        };
        let request = NewNetwork {
            name,
            tenant: Some(tenant),
            prefixes: vec![self.prefix],
            versions,
            curve: Curve::Curve25519,
            settings: NetworkSettings::default(),
            pools: None,
        };
        create(work, &request, tenant, None)
    }

    fn extend(&self, work: &mut Work<'_>, network: Network) -> Result<Network, Error> {
        if let Some(version) = self.version
            && network.versions.as_slice() != [version]
        {
            return Err(Conflict::OtherVersions { versions: network.versions }.into());
        }
        match network.prefix(Family::of(self.prefix.addr())) {
            Some(own) if own == self.prefix => Ok(network),
            Some(own) => Err(Conflict::OtherPrefix { prefix: own }.into()),
            None => {
                let has = [network.prefix_v4, network.prefix_v6];
                let prefixes = has.into_iter().flatten().chain([self.prefix]).collect();
                let patch = NetworkPatch { prefixes: Some(prefixes), ..NetworkPatch::default() };
                change(work, network, &patch)
            }
        }
    }
}
