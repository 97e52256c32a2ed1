//! Networks as operators make, read and change them.

pub(super) mod change;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod prefixes;
pub(super) mod settings;

use nebula_alloc::NetworkId;

use self::change::{NetworkPatch, change};
use self::create::{NewNetwork, create, owner};
use super::context::Context;
use super::core::Service;
use crate::error::Kind;
use crate::service::access::authorize;
use crate::service::cas::{CaSource, signer_user};
use crate::service::exclusive::{Created, Repeat};
use crate::service::precondition::{Expected, Tag};
use crate::service::principal::{Action, Principal};
use crate::store::ca;
use crate::store::network::{self, Network};
use crate::store::operator_key::Scope;
use crate::{Error, NetworkRef};

impl Network {
    /// What tells this state from its others.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag::new(self.id, self.changes).and(self.revision.0)
    }
}

impl Service {
    /// The networks that the caller sees, after the one of this id, at most `limit`.
    ///
    /// # Errors
    /// Those of access.
    pub async fn networks(
        &self,
        context: Context,
        after: Option<NetworkId>,
        limit: i64,
    ) -> Result<Vec<Network>, Error> {
        self.read(move |tx, shared| {
            let principal = Principal::authenticate(tx, &shared.secrets, &context, shared.now())?;
            principal.permit(Action::ReadNetwork)?;
            let after = after.unwrap_or(NetworkId([0; 16]));
            match principal.scope() {
                Scope::Root => network::after(tx, after, limit),
                Scope::Tenant(tenant) => network::after_of_tenant(tx, tenant, after, limit),
                Scope::Network(own) if own > after => {
                    Ok(network::by_id(tx, own)?.into_iter().collect())
                }
                Scope::Network(_) => Ok(vec![]),
            }
        })
        .await
    }

    /// One network.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn network(&self, context: Context, name: NetworkRef) -> Result<Network, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            Ok(authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&name))?.1)
        })
        .await
    }

    /// Makes a network with its CA and pools.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Conflict`] where another has the name,
    /// [`Error::IdempotencyKeyReused`], and those of access.
    pub async fn create_network(
        &self,
        context: Context,
        request: NewNetwork,
        repeat: Option<Repeat>,
    ) -> Result<Created<Network>, Error> {
        self.create_network_with(context, request, repeat, None).await
    }

    /// As [`create_network`](Self::create_network), with a CA of one's own choice; the network has that
    /// CA's curve.
    ///
    /// # Errors
    /// As [`create_network`](Self::create_network) and [`add_ca`](Self::add_ca).
    pub async fn create_network_with(
        &self,
        context: Context,
        request: NewNetwork,
        repeat: Option<Repeat>,
        ca: Option<CaSource>,
    ) -> Result<Created<Network>, Error> {
        self.admit(&context).await?;
        request.check(self.shared.pace())?;
        let mut request = request;
        let ca = match ca {
            None => None,
            Some(source) => {
                // A signer is asked for nobody who may not make this network.
                let (asked, tenant) = (context.clone(), request.tenant);
                let user = self
                    .read(move |tx, shared| {
                        let (secrets, now) = (&shared.secrets, shared.now());
                        let principal = Principal::authenticate(tx, secrets, &asked, now)?;
                        principal.permit(Action::CreateNetwork)?;
                        let tenant = owner(tx, &principal, tenant)?;
                        signer_user(tx, &principal, tenant)
                    })
                    .await?;
                let version = request.versions.oldest();
                let kind = (version, request.curve);
                let ca = self.make_ca(request.name.as_str(), kind, user, source).await?;
                request.curve = ca.certificate.curve();
                Some(ca)
            }
        };
        self.exclusive(context, move |work| {
            work.principal.permit(Action::CreateNetwork)?;
            let tenant = owner(work.tx, work.principal, request.tenant)?;
            work.once(
                repeat.as_ref(),
                |work, id| {
                    let found = network::by_id(work.tx, NetworkId(id))?;
                    let found = found.filter(|network| work.principal.sees(network));
                    found.ok_or(Error::NotFound { kind: Kind::Network, name: None })
                },
                |work| {
                    let network = create(work, &request, tenant, ca.as_ref())?;
                    Ok((network.id.0, network, None))
                },
            )
        })
        .await
    }

    /// Changes a network. Its revision moves where the bundles of its nodes change, or their
    /// certificates are due because a prefix grows.
    ///
    /// # Errors
    /// As [`create_network`](Self::create_network), and [`Error::Precondition`].
    pub async fn change_network(
        &self,
        context: Context,
        name: NetworkRef,
        expected: Expected,
        patch: NetworkPatch,
    ) -> Result<Network, Error> {
        self.exclusive(context, move |work| {
            let former = work.network(Action::ChangeNetwork, &name)?;
            expected.check(&former.tag())?;
            change(work, former, &patch)
        })
        .await
    }

    /// The certificates of the CAs that a network trusts, as PEM.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn network_ca(&self, context: Context, name: NetworkRef) -> Result<String, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&name))?;
            Ok(ca::trusted(tx, network.id)?.iter().map(nebula_pki::Certificate::to_pem).collect())
        })
        .await
    }
}
