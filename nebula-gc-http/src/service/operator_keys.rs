//! Operator keys: who may do what, where.

use nebula_alloc::store::Transaction;
use serde_json::json;

use super::access::{find_network, not_found};
use super::audit::Entry;
use super::context::Context;
use super::core::Service;
use super::exclusive::{Created, Repeat, Work};
use super::principal::{Action, Principal};
use crate::error::{Conflict, Fault, Field, Kind, Needs};
use crate::names::{check_seen, hidden_id};
use crate::secret::Bearer;
use crate::store::operator_key::{self, KeptKey, OperatorKey, Role, Scope};
use crate::store::{network, tenant};
use crate::{Error, Label, NetworkRef, OperatorKeyId, TenantId};

/// An operator key to be made.
#[derive(Debug, Clone)]
pub struct NewOperatorKey {
    /// What its owner calls it.
    pub name: Label,
    /// What it may do.
    pub role: Role,
    /// Where.
    pub reach: Reach,
    /// From when it is good for nothing any more, in seconds since the Unix epoch.
    pub expires_at: Option<i64>,
}

/// A scope as clients name it.
#[derive(Debug, Clone)]
pub enum Reach {
    /// Everywhere.
    Root,
    /// In the networks of one tenant.
    Tenant(TenantId),
    /// In one network.
    Network(NetworkRef),
}

impl Service {
    /// The operator keys whose scope lies within the caller's, after the one of this id, at most
    /// `limit`.
    ///
    /// # Errors
    /// Those of access.
    pub async fn operator_keys(
        &self,
        context: Context,
        after: Option<OperatorKeyId>,
        limit: i64,
    ) -> Result<Vec<KeptKey>, Error> {
        self.read(move |tx, shared| {
            let principal = Principal::authenticate(tx, &shared.secrets, &context, shared.now())?;
            principal.permit(Action::ReadOperatorKeys)?;
            operator_key::after(tx, principal.scope(), after.unwrap_or([0; 16].into()), limit)
        })
        .await
    }

    /// One operator key.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn operator_key(
        &self,
        context: Context,
        id: OperatorKeyId,
    ) -> Result<KeptKey, Error> {
        self.read(move |tx, shared| {
            let principal = Principal::authenticate(tx, &shared.secrets, &context, shared.now())?;
            let key = find(tx, &principal, id)?;
            principal.permit(Action::ReadOperatorKeys)?;
            Ok(key)
        })
        .await
    }

    /// Makes an operator key with no more than the caller's own role and scope.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::IdempotencyKeyReused`], and those of
    /// access.
    pub async fn create_operator_key(
        &self,
        context: Context,
        request: NewOperatorKey,
        repeat: Option<Repeat>,
    ) -> Result<Created<KeptKey>, Error> {
        self.exclusive(context, move |work| {
            work.principal.permit(Action::ManageOperatorKeys)?;
            let scope = resolve(work, &request.reach)?;
            work.once(
                repeat.as_ref(),
                |work, id| find(work.tx, work.principal, id.into()),
                |work| {
                    if request.expires_at.is_some_and(|end| end <= work.now) {
                        return Err(Fault::Past.of(Field::ExpiresAt));
                    }
                    check_end(work.principal, request.expires_at)?;
                    let name = request.name.as_str();
                    check_name(work.tx, name)?;
                    let secret = Bearer::new_operator_key()?;
                    let key = OperatorKey {
                        id: OperatorKeyId::new(),
                        name: request.name.to_string(),
                        user: request.name.to_string(),
                        role: request.role,
                        scope,
                        expires_at: request.expires_at,
                    };
                    let hashed = work.shared.secrets.hash(&secret)?;
                    operator_key::insert(work.tx, &key, &hashed, work.now)?;
                    work.record(Entry {
                        network: of_network(scope),
                        detail: json!({"name": key.name, "role": key.role.word()}),
                        ..Entry::new("operator_key.created", key.id.as_bytes())
                    })?;
                    let id = *key.id.as_bytes();
                    let kept = KeptKey { key, created_at: work.now, revoked_at: None };
                    Ok((id, kept, Some(secret)))
                },
            )
        })
        .await
    }

    /// Gives an operator key another name. Its user stays: nodes that it let in, and those that it lets in
    /// from now on, belong to one.
    ///
    /// # Errors
    /// [`Error::NameIsId`], [`Error::NotFound`], and those of access.
    pub async fn rename_operator_key(
        &self,
        context: Context,
        id: OperatorKeyId,
        name: Label,
    ) -> Result<KeptKey, Error> {
        self.exclusive(context, move |work| {
            let kept = find(work.tx, work.principal, id)?;
            work.principal.permit(Action::ManageOperatorKeys)?;
            if kept.key.name == name.as_str() {
                return Ok(kept);
            }
            check_name(work.tx, name.as_str())?;
            operator_key::rename(work.tx, &kept.key, name.as_str())?;
            work.record(Entry {
                network: of_network(kept.key.scope),
                detail: json!({"name": name.as_str(), "former": kept.key.name}),
                ..Entry::new("operator_key.renamed", id.as_bytes())
            })?;
            Ok(KeptKey { key: OperatorKey { name: name.to_string(), ..kept.key }, ..kept })
        })
        .await
    }

    /// Revokes an operator key, for good. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] for the last root owner's, [`Error::NotFound`], and those of access.
    pub async fn revoke_operator_key(
        &self,
        context: Context,
        id: OperatorKeyId,
    ) -> Result<(), Error> {
        self.exclusive(context, move |work| {
            let KeptKey { key, revoked_at, .. } = find(work.tx, work.principal, id)?;
            work.principal.permit(Action::ManageOperatorKeys)?;
            if revoked_at.is_some() {
                return Ok(());
            }
            check_last(work.tx, &key)?;
            revoke(work, &key)
        })
        .await
    }
}

/// That an operator key may have this name. Several may have one.
fn check_name(tx: &mut dyn Transaction, name: &str) -> Result<(), Error> {
    check_seen(Field::Name, name)?;
    match hidden_id(name) {
        Some(id) if operator_key::by_id(tx, id.into())?.is_some() => {
            Err(Error::NameIsId { name: name.to_owned(), kind: Kind::OperatorKey })
        }
        _ => Ok(()),
    }
}

/// Refuses to end the last key of a root owner.
pub(super) fn check_last(tx: &mut dyn Transaction, key: &OperatorKey) -> Result<(), Error> {
    let is_root_owner = (key.role, key.scope) == (Role::Owner, Scope::Root);
    if is_root_owner && !operator_key::any_other_root_owner(tx, key.id)? {
        return Err(Conflict::LastRootKey.into());
    }
    Ok(())
}

/// Revokes a key that is not revoked.
pub(super) fn revoke(work: &mut Work<'_>, key: &OperatorKey) -> Result<(), Error> {
    operator_key::revoke(work.tx, key.id, work.now)?;
    work.record(Entry {
        network: of_network(key.scope),
        detail: json!({"name": key.name}),
        ..Entry::new("operator_key.revoked", key.id.as_bytes())
    })
}

fn of_network(scope: Scope) -> Option<nebula_alloc::NetworkId> {
    match scope {
        Scope::Network(network) => Some(network),
        Scope::Root | Scope::Tenant(_) => None,
    }
}

/// The key, where its scope lies within the principal's.
pub(super) fn find(
    tx: &mut dyn Transaction,
    principal: &Principal,
    id: OperatorKeyId,
) -> Result<KeptKey, Error> {
    if let (Principal::OperatorKey(_) | Principal::Local, Some(kept)) =
        (principal, operator_key::by_id(tx, id)?)
        && covers(tx, principal.scope(), kept.key.scope)?
    {
        return Ok(kept);
    }
    Err(Error::not_found(Kind::OperatorKey, id))
}

/// Whether one scope lies within another.
fn covers(tx: &mut dyn Transaction, outer: Scope, inner: Scope) -> Result<bool, Error> {
    Ok(match (outer, inner) {
        (Scope::Root, _) => true,
        (Scope::Tenant(tenant), Scope::Network(network)) => {
            network::by_id(tx, network)?.is_some_and(|network| network.tenant == tenant)
        }
        (outer, inner) => outer == inner,
    })
}

/// A key that ends makes none that goes on after it.
fn check_end(maker: &Principal, end: Option<i64>) -> Result<(), Error> {
    let Principal::OperatorKey(OperatorKey { expires_at: Some(own), .. }) = maker else {
        return Ok(());
    };
    if end.is_some_and(|end| end <= *own) {
        return Ok(());
    }
    Err(Fault::OutlivesMaker { end: *own }.of(Field::ExpiresAt))
}

/// The scope of a new key, within the maker's.
fn resolve(work: &mut Work<'_>, reach: &Reach) -> Result<Scope, Error> {
    match reach {
        Reach::Root if work.principal.scope() == Scope::Root => Ok(Scope::Root),
        Reach::Root => Err(Needs::RootKey.into()),
        Reach::Tenant(tenant) => {
            let scope = Scope::Tenant(*tenant);
            let is_there = covers(work.tx, work.principal.scope(), scope)?
                && tenant::by_id(work.tx, *tenant)?.is_some();
            is_there.then_some(scope).ok_or_else(|| Error::not_found(Kind::Tenant, tenant))
        }
        Reach::Network(name) => find_network(work.tx, work.principal, Some(name))?
            .map(|network| Scope::Network(network.id))
            .ok_or_else(|| not_found(Some(name))),
    }
}
