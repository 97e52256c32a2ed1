//! Operator keys: listing, creating and revoking them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, Nothing};
use super::page::{Page, Paging, after};
use super::respond::{Answer, created, json};
use super::tag::IdempotencyKey;
use super::values::{Id, Timestamp, not_null};
use crate::service::{NewOperatorKey, Reach};
use crate::{KeptKey, Label, NetworkRef, OperatorKeyId, Scope, Service, TenantId};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(list_operator_keys, create_operator_key))
        .routes(routes!(read_operator_key, revoke_operator_key))
}

/// What an operator key may do within its scope.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Role {
    /// Everything, other operator keys included.
    Owner,
    /// Everything but tenants and operator keys.
    Operator,
    /// Look.
    Viewer,
}

/// Where an operator key applies.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Scope)]
enum ScopeView {
    /// Everywhere.
    Root,
    /// In the networks of the tenant with this id.
    #[schema(value_type = Id)]
    Tenant(TenantId),
    /// In the network with this id.
    #[schema(value_type = Id)]
    Network(String),
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ScopeBody {
    /// Everywhere.
    Root,
    /// In the networks of the tenant with this id.
    #[schema(value_type = Id)]
    Tenant(TenantId),
    /// In the network with this name or id.
    #[schema(value_type = String)]
    Network(NetworkRef),
}

/// An operator key without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperatorKey)]
struct OperatorKeyView {
    #[schema(value_type = Id)]
    id: OperatorKeyId,
    name: String,
    role: Role,
    scope: ScopeView,
    created_at: Timestamp,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timestamp, required = false)]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timestamp, required = false)]
    revoked_at: Option<Timestamp>,
    /// Shown once, when it is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret: Option<String>,
}

impl From<KeptKey> for OperatorKeyView {
    fn from(KeptKey { key, created_at, revoked_at }: KeptKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            role: match key.role {
                crate::Role::Owner => Role::Owner,
                crate::Role::Operator => Role::Operator,
                crate::Role::Viewer => Role::Viewer,
            },
            scope: match key.scope {
                Scope::Root => ScopeView::Root,
                Scope::Tenant(tenant) => ScopeView::Tenant(tenant),
                Scope::Network(network) => ScopeView::Network(network.to_string()),
            },
            created_at: Timestamp(created_at),
            expires_at: key.expires_at.map(Timestamp),
            revoked_at: revoked_at.map(Timestamp),
            secret: None,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewOperatorKeyBody {
    /// 1 to 128 characters, none of them a control character.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    name: Label,
    role: Role,
    /// Where it applies: everywhere, in the networks of one tenant, or in one network.
    scope: ScopeBody,
    /// When it expires. Default: never.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Timestamp, required = false)]
    expires_at: Option<Timestamp>,
}

impl From<NewOperatorKeyBody> for NewOperatorKey {
    fn from(body: NewOperatorKeyBody) -> Self {
        Self {
            name: body.name,
            role: match body.role {
                Role::Owner => crate::Role::Owner,
                Role::Operator => crate::Role::Operator,
                Role::Viewer => crate::Role::Viewer,
            },
            reach: match body.scope {
                ScopeBody::Root => Reach::Root,
                ScopeBody::Tenant(tenant) => Reach::Tenant(tenant),
                ScopeBody::Network(network) => Reach::Network(network),
            },
            expires_at: body.expires_at.map(|Timestamp(at)| at),
        }
    }
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
    let made = service.create_operator_key(ask.context, ask.body.into(), ask.repeat).await?;
    let location = format!("{}/{}", ask.list, made.resource.key.id);
    let secret = made.secret.map(|secret| secret.expose().to_owned());
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
