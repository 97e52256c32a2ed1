//! Operator keys: listing, creating and revoking them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, Nothing};
use super::page::{Page, Paging, after};
use super::problem::Problem;
use super::respond::{Answer, created, json};
use super::tag::IdempotencyKey;
use super::values::read;
use crate::service::{NewOperatorKey, Reach};
use crate::wire::{
    Id, NewOperatorKeyBody, OperatorKey as OperatorKeyView, RenameBody, Role, Scope as ScopeView,
    ScopeBody, Timestamp,
};
use crate::{KeptKey, OperatorKeyId, Scope, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(list_operator_keys, create_operator_key)).routes(routes!(
        read_operator_key,
        rename_operator_key,
        revoke_operator_key
    ))
}

impl From<KeptKey> for OperatorKeyView {
    fn from(KeptKey { key, created_at, revoked_at }: KeptKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            user: key.user,
            role: match key.role {
                crate::Role::Owner => Role::Owner,
                crate::Role::Operator => Role::Operator,
                crate::Role::Viewer => Role::Viewer,
            },
            scope: match key.scope {
                Scope::Root => ScopeView::Root,
                Scope::Tenant(tenant) => ScopeView::Tenant(tenant.to_string()),
                Scope::Network(network) => ScopeView::Network(network.to_string()),
            },
            created_at: Timestamp(created_at),
            expires_at: key.expires_at.map(Timestamp),
            revoked_at: revoked_at.map(Timestamp),
            secret: None,
        }
    }
}

fn new_operator_key(body: NewOperatorKeyBody) -> Result<NewOperatorKey, Problem> {
    Ok(NewOperatorKey {
        name: read("name", body.name)?,
        role: match body.role {
            Role::Owner => crate::Role::Owner,
            Role::Operator => crate::Role::Operator,
            Role::Viewer => crate::Role::Viewer,
        },
        reach: match body.scope {
            ScopeBody::Root => Reach::Root,
            ScopeBody::Tenant(tenant) => Reach::Tenant(read("scope.tenant", tenant)?),
            ScopeBody::Network(network) => Reach::Network(read("scope.network", network)?),
        },
        expires_at: body.expires_at.map(|Timestamp(at)| at),
    })
}

/// List the operator keys whose scope lies within the credential's, including revoked ones.
#[utoipa::path(get, path = "/operator-keys", operation_id = "list_operator_keys",
    tag = "operator-keys", params(Paging),
    responses((status = 200, description = "A page of keys.", body = Page<OperatorKeyView>)))]
async fn list_operator_keys(
    State(service): State<Arc<Service>>,
    ask: Ask<Nothing, Paging>,
) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after =
        after(&service, &ask.context, cursor, "operator keys").await?.map(OperatorKeyId::from);
    let keys = service.operator_keys(ask.context, after, limit.and_one()).await?;
    let page: Page<OperatorKeyView> =
        Page::new(keys, limit, "operator keys", |kept| kept.key.id.as_bytes().to_vec());
    Ok(json(page))
}

/// Create an operator key. Only this answer contains its secret.
#[utoipa::path(post, path = "/operator-keys", operation_id = "create_operator_key",
    tag = "operator-keys", params(IdempotencyKey), request_body = NewOperatorKeyBody,
    responses((status = 201, description = "Created.", body = OperatorKeyView),
        (status = 200, description = "Created before, by the same request.",
            body = OperatorKeyView)))]
async fn create_operator_key(
    State(service): State<Arc<Service>>,
    ask: AskWith<NewOperatorKeyBody>,
) -> Answer {
    let asked = new_operator_key(ask.body)?;
    let made = service.create_operator_key(ask.context, asked, ask.repeat).await?;
    let location = format!("{}/{}", ask.list, made.resource.key.id);
    let secret = made.secret.map(|secret| secret.expose().into());
    let view = OperatorKeyView { secret, ..made.resource.into() };
    Ok(created(made.is_new, &location, json(view)))
}

/// Read an operator key.
#[utoipa::path(get, path = "/operator-keys/{operatorKey}", operation_id = "read_operator_key",
    tag = "operator-keys", params(("operatorKey" = Id, Path)),
    responses((status = 200, description = "The key.", body = OperatorKeyView)))]
async fn read_operator_key(State(service): State<Arc<Service>>, ask: Ask<OperatorKeyId>) -> Answer {
    Ok(json(OperatorKeyView::from(service.operator_key(ask.context, ask.path).await?)))
}

/// Rename an operator key. Its secret and its user stay as they are: nodes that it lets in belong to the
/// same as before.
#[utoipa::path(patch, path = "/operator-keys/{operatorKey}",
    operation_id = "rename_operator_key", tag = "operator-keys", request_body = RenameBody,
    params(("operatorKey" = Id, Path)),
    responses((status = 200, description = "The changed resource.", body = OperatorKeyView)))]
async fn rename_operator_key(
    State(service): State<Arc<Service>>,
    ask: AskWith<RenameBody, OperatorKeyId>,
) -> Answer {
    let name = read("name", ask.body.name)?;
    let key = service.rename_operator_key(ask.context, ask.path, name).await?;
    Ok(json(OperatorKeyView::from(key)))
}

/// Revoke an operator key, permanently.
#[utoipa::path(delete, path = "/operator-keys/{operatorKey}",
    operation_id = "revoke_operator_key", tag = "operator-keys",
    params(("operatorKey" = Id, Path)),
    responses((status = 204, description = "Revoked.")))]
async fn revoke_operator_key(
    State(service): State<Arc<Service>>,
    ask: Ask<OperatorKeyId>,
) -> Answer<StatusCode> {
    service.revoke_operator_key(ask.context, ask.path).await?;
    Ok(StatusCode::NO_CONTENT)
}
