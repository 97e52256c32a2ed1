//! Tenants: who owns networks and operators.

use nebula_alloc::store::Transaction;
use serde_json::json;

use super::audit::Entry;
use super::context::Context;
use super::core::Service;
use super::exclusive::{Created, Repeat, Work};
use super::precondition::{Expected, Tag};
use super::principal::{Action, Principal};
use crate::error::{Conflict, Field, Kind, Needs};
use crate::names::{check_seen, hidden_id};
use crate::store::operator_key::{self, Scope};
use crate::store::tenant::{self, Tenant};
use crate::store::{deleted_network, network};
use crate::{Error, Label, TenantId};

/// How many networks a refusal names.
const NAMED: usize = 100;

/// A tenant that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTenant {
    /// Its id.
    pub id: TenantId,
    /// What it was called.
    pub name: String,
    /// How many operator keys went with it that were not revoked.
    pub operator_keys: u64,
}

impl Tenant {
    /// What tells this state from its others.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag::new(self.id, self.changes)
    }
}

impl Service {
    /// The tenants that the caller sees, after the one of this id, at most `limit`.
    ///
    /// # Errors
    /// Those of access.
    pub async fn tenants(
        &self,
        context: Context,
        after: Option<TenantId>,
        limit: i64,
    ) -> Result<Vec<Tenant>, Error> {
        self.read(move |tx, shared| {
            let principal = Principal::authenticate(tx, &shared.secrets, &context, shared.now())?;
            principal.permit(Action::ReadTenants)?;
            let after = after.unwrap_or([0; 16].into());
            match principal.scope() {
                Scope::Root => tenant::after(tx, after, limit),
                Scope::Tenant(own) if own > after => {
                    Ok(tenant::by_id(tx, own)?.into_iter().collect())
                }
                Scope::Tenant(_) | Scope::Network(_) => Ok(vec![]),
            }
        })
        .await
    }

    /// One tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn tenant(&self, context: Context, id: TenantId) -> Result<Tenant, Error> {
        self.read(move |tx, shared| {
            let principal = Principal::authenticate(tx, &shared.secrets, &context, shared.now())?;
            let tenant = find(tx, &principal, id)?;
            principal.permit(Action::ReadTenants)?;
            Ok(tenant)
        })
        .await
    }

    /// Makes a tenant. Its name is no other's.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::IdempotencyKeyReused`], and those of access.
    pub async fn create_tenant(
        &self,
        context: Context,
        name: Label,
        repeat: Option<Repeat>,
    ) -> Result<Created<Tenant>, Error> {
        self.exclusive(context, move |work| {
            work.principal.permit(Action::ManageTenants)?;
            require_root(work)?;
            work.once(
                repeat.as_ref(),
                |work, id| find(work.tx, work.principal, id.into()),
                |work| {
                    check_unused(work, name.as_str(), None)?;
                    let (id, now) = (TenantId::new(), work.now);
                    tenant::insert(work.tx, id, name.as_str(), now)?;
                    let tenant = Tenant { id, name: name.to_string(), changes: 1, created_at: now };
                    work.record(Entry {
                        detail: json!({"name": tenant.name}),
                        ..Entry::new("tenant.created", id.as_bytes())
                    })?;
                    Ok((*id.as_bytes(), tenant, None))
                },
            )
        })
        .await
    }

    /// Gives a tenant another name.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::Precondition`], [`Error::NotFound`], and those of access.
    pub async fn rename_tenant(
        &self,
        context: Context,
        id: TenantId,
        expected: Expected,
        name: Label,
    ) -> Result<Tenant, Error> {
        self.exclusive(context, move |work| {
            let tenant = changeable(work, id, &expected)?;
            if tenant.name == name.as_str() {
                return Ok(tenant);
            }
            check_not_default(&tenant)?;
            check_unused(work, name.as_str(), Some(id))?;
            if !tenant::rename(work.tx, &tenant, name.as_str())? {
                return Err(Conflict::ChangedMeanwhile.into());
            }
            work.record(Entry {
                detail: json!({"name": name.as_str(), "former": tenant.name}),
                ..Entry::new("tenant.changed", id.as_bytes())
            })?;
            Ok(Tenant { name: name.to_string(), changes: tenant.changes + 1, ..tenant })
        })
        .await
    }

    /// Deletes a tenant that has no network, with its operator keys, or only tells what would happen. The
    /// default tenant stays: who names no tenant makes networks in it.
    ///
    /// # Errors
    /// As [`rename_tenant`](Self::rename_tenant).
    pub async fn delete_tenant(
        &self,
        context: Context,
        id: TenantId,
        expected: Expected,
        is_dry_run: bool,
    ) -> Result<DeletedTenant, Error> {
        self.exclusive(context, move |work| {
            let tenant = changeable(work, id, &expected)?;
            require_root(work)?;
            check_not_default(&tenant)?;
            check_empty(work.tx, id)?;
            let operator_keys = operator_key::count_of_tenant(work.tx, id)?;
            if !is_dry_run {
                operator_key::delete_of_tenant(work.tx, id, work.now)?;
                tenant::delete(work.tx, id)?;
                work.record(Entry {
                    detail: json!({"name": tenant.name, "operator_keys": operator_keys}),
                    ..Entry::new("tenant.deleted", id.as_bytes())
                })?;
            }
            Ok(DeletedTenant { id, name: tenant.name, operator_keys })
        })
        .await
    }
}

/// The tenant, where the principal sees it.
fn find(tx: &mut dyn Transaction, principal: &Principal, id: TenantId) -> Result<Tenant, Error> {
    let sees = match principal.scope() {
        Scope::Root => true,
        Scope::Tenant(own) => own == id,
        Scope::Network(_) => false,
    };
    let found = if sees { tenant::by_id(tx, id)? } else { None };
    found.ok_or_else(|| Error::not_found(Kind::Tenant, id))
}

fn changeable(work: &mut Work<'_>, id: TenantId, expected: &Expected) -> Result<Tenant, Error> {
    let tenant = find(work.tx, work.principal, id)?;
    work.principal.permit(Action::ManageTenants)?;
    expected.check(&tenant.tag())?;
    Ok(tenant)
}

/// That a tenant has no networks, nor anything that is left of deleted ones.
fn check_empty(tx: &mut dyn Transaction, id: TenantId) -> Result<(), Error> {
    let limit = i64::try_from(NAMED + 1).unwrap_or(i64::MAX);
    let networks = network::after_of_tenant(tx, id, [0; 16].into(), limit)?;
    if !networks.is_empty() {
        let more = networks.len() > NAMED;
        let networks = networks.into_iter().take(NAMED).map(|network| network.name).collect();
        return Err(Conflict::TenantHasNetworks { networks, more }.into());
    }
    match deleted_network::any_left_of(tx, id)? {
        true => Err(Conflict::TenantBeingEmptied.into()),
        false => Ok(()),
    }
}

fn check_not_default(tenant: &Tenant) -> Result<(), Error> {
    match tenant.name == tenant::DEFAULT {
        true => Err(Conflict::DefaultTenant.into()),
        false => Ok(()),
    }
}

fn require_root(work: &Work<'_>) -> Result<(), Error> {
    match work.principal.scope() {
        Scope::Root => Ok(()),
        _ => Err(Needs::RootKey.into()),
    }
}

/// That a name can be a tenant's: this one's, where it has another now.
fn check_unused(work: &mut Work<'_>, name: &str, former: Option<TenantId>) -> Result<(), Error> {
    check_seen(Field::Name, name)?;
    if let Some(id) = hidden_id(name)
        && tenant::by_id(work.tx, id.into())?.is_some()
    {
        return Err(Error::NameIsId { name: name.to_owned(), kind: Kind::Tenant });
    }
    match tenant::by_key(work.tx, name)?.filter(|other| Some(*other) != former) {
        None => Ok(()),
        Some(other) if work.principal.scope() == Scope::Root => {
            // Its own may differ in case.
            let called = tenant::by_id(work.tx, other)?.map_or(name.to_owned(), |it| it.name);
            Err(Error::NameTaken { kind: Kind::Tenant, name: called })
        }
        // What others have is not told.
        Some(_) => Err(Conflict::NameUnavailable.into()),
    }
}
