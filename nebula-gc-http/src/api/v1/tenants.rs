//! Tenants: the owners of networks and operator keys.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, Nothing};
use super::page::{Page, Paging, after};
use super::respond::{Answer, created, json, tagged, unless_known};
use super::tag::{IdempotencyKey, IfMatch, IfNoneMatch};
use super::values::{Editing, ReadOnly, read};
use crate::store::tenant::Tenant;
use crate::wire::{
    DeletedTenant as DeletedView, Id, Tenant as TenantView, TenantBody, TenantPatchBody, Timestamp,
};
use crate::{DeletedTenant, Service, TenantId};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(list_tenants, create_tenant)).routes(routes!(
        read_tenant,
        rename_tenant,
        delete_tenant
    ))
}

impl ReadOnly for TenantPatchBody {
    const SHOWN: &'static [&'static str] = &["id", "createdAt"];
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            created_at: Timestamp(tenant.created_at),
        }
    }
}

/// List the tenants that the credential sees.
#[utoipa::path(get, path = "/tenants", operation_id = "list_tenants", tag = "tenants",
    params(Paging), responses((status = 200, description = "A page of tenants.", body = Page<TenantView>)))]
async fn list_tenants(State(service): State<Arc<Service>>, ask: Ask<Nothing, Paging>) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "tenants").await?.map(TenantId::from);
    let tenants = service.tenants(ask.context, after, limit.and_one()).await?;
    let page: Page<TenantView> =
        Page::new(tenants, limit, "tenants", |tenant| tenant.id.as_bytes().to_vec());
    Ok(json(page))
}

/// Create a tenant.
#[utoipa::path(post, path = "/tenants", operation_id = "create_tenant", tag = "tenants",
    params(IdempotencyKey), request_body = TenantBody,
    responses((status = 201, description = "Created.", body = TenantView),
        (status = 200, description = "Created before, by the same request.", body = TenantView)))]
async fn create_tenant(State(service): State<Arc<Service>>, ask: AskWith<TenantBody>) -> Answer {
    let name = read("name", ask.body.name)?;
    let made = service.create_tenant(ask.context, name, ask.repeat).await?;
    let (tag, location) = (made.resource.tag(), format!("{}/{}", ask.list, made.resource.id));
    let view = TenantView::from(made.resource);
    Ok(created(made.is_new, &location, tagged(&tag, view)))
}

/// Read a tenant.
#[utoipa::path(get, path = "/tenants/{tenant}", operation_id = "read_tenant", tag = "tenants",
    params(("tenant" = Id, Path), IfNoneMatch),
    responses((status = 200, description = "The tenant.", body = TenantView),
        (status = 304, description = "Not changed.")))]
async fn read_tenant(State(service): State<Arc<Service>>, ask: Ask<TenantId>) -> Answer {
    let tenant = service.tenant(ask.context, ask.path).await?;
    Ok(unless_known(&ask.conditions, &tenant.tag(), TenantView::from(tenant.clone())))
}

/// Rename a tenant.
#[utoipa::path(patch, path = "/tenants/{tenant}", operation_id = "rename_tenant", tag = "tenants",
    params(("tenant" = Id, Path), IfMatch), request_body = TenantPatchBody,
    responses((status = 200, description = "The changed resource.", body = TenantView)))]
async fn rename_tenant(
    State(service): State<Arc<Service>>,
    ask: AskWith<Editing<TenantPatchBody>, TenantId>,
) -> Answer {
    let Editing { body, shown } = ask.body;
    let name = read("name", body.name)?;
    if !shown.is_empty() {
        shown.check(&TenantView::from(service.tenant(ask.context.clone(), ask.path).await?))?;
    }
    let expected = ask.conditions.expected;
    let tenant = service.rename_tenant(ask.context, ask.path, expected, name).await?;
    Ok(tagged(&tenant.tag(), TenantView::from(tenant.clone())))
}

/// How a tenant is deleted.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Deleting {
    /// Only tell what would happen. Default: false.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Delete a tenant that has no networks, with its operator keys. The tenant `default` can't be deleted: networks
/// for which no tenant is named are made in it.
#[utoipa::path(delete, path = "/tenants/{tenant}", operation_id = "delete_tenant", tag = "tenants",
    params(("tenant" = Id, Path), Deleting, IfMatch),
    responses((status = 200, description = "Deleted.", body = DeletedView)))]
async fn delete_tenant(
    State(service): State<Arc<Service>>,
    ask: Ask<TenantId, Deleting>,
) -> Answer {
    let (expected, Deleting { dry_run }) = (ask.conditions.expected, ask.query);
    let DeletedTenant { id, name, operator_keys } =
        service.delete_tenant(ask.context, ask.path, expected, dry_run).await?;
    Ok(json(DeletedView { id: id.to_string(), name, dry_run, operator_keys }))
}
