//! Pools: the ranges that addresses are allocated from.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use nebula_alloc::PoolId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith};
use super::page::{Page, Paging, after};
use super::respond::{Answer, created, json, tagged, unless_known};
use super::tag::{IdempotencyKey, IfMatch, IfNoneMatch};
use super::values::{Editing, Range, ReadOnly, Uuid, read};
use crate::service::PoolUsage;
use crate::wire::{Count, Id, NewPoolBody, Pool as PoolView, PoolPatchBody, Usage as UsageView};
use crate::{NetworkRef, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(list_pools, create_pool)).routes(routes!(
        read_pool,
        resize_pool,
        delete_pool
    ))
}

impl ReadOnly for PoolPatchBody {
    const SHOWN: &'static [&'static str] = &["id", "position"];
    const MOVING: &'static [&'static str] = &["usage"];
}

impl From<PoolUsage> for PoolView {
    fn from(PoolUsage { pool, usage }: PoolUsage) -> Self {
        Self {
            id: pool.id.to_string(),
            range: pool.range.to_string(),
            position: pool.position,
            usage: UsageView {
                capacity: Count(usage.capacity),
                free: Count(usage.free),
                active: usage.active,
                quarantined: usage.quarantined,
                reserved: Count(usage.reserved),
                blocks: Count(usage.blocks),
            },
        }
    }
}

/// List a network's pools and their usage.
#[utoipa::path(get, path = "/networks/{network}/pools", operation_id = "list_pools", tag = "pools",
    params(("network" = String, Path, description = "The network's name or id."), Paging),
    responses((status = 200, description = "A page of pools.", body = Page<PoolView>)))]
async fn list_pools(State(service): State<Arc<Service>>, ask: Ask<NetworkRef, Paging>) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "pools").await?.map(PoolId);
    let pools = service.pools(ask.context, ask.path, after, limit.and_one()).await?;
    let page: Page<PoolView> = Page::new(pools, limit, "pools", |it| it.pool.id.0.to_vec());
    Ok(json(page))
}

/// Create a pool.
#[utoipa::path(post, path = "/networks/{network}/pools", operation_id = "create_pool",
    tag = "pools",
    params(("network" = String, Path, description = "The network's name or id."), IdempotencyKey),
    request_body = NewPoolBody,
    responses((status = 201, description = "Created.", body = PoolView),
        (status = 200, description = "Created before, by the same request.", body = PoolView)))]
async fn create_pool(
    State(service): State<Arc<Service>>,
    ask: AskWith<NewPoolBody, NetworkRef>,
) -> Answer {
    let Range(range) = read("range", ask.body.range)?;
    let asked = (range, ask.body.position.unwrap_or(0).into());
    let made = service.create_pool(ask.context, ask.path, asked, ask.repeat).await?;
    let location = format!("{}/{}", ask.list, made.resource.pool.id);
    let tag = made.resource.tag();
    Ok(created(made.is_new, &location, tagged(&tag, PoolView::from(made.resource))))
}

/// Read a pool and its usage.
#[utoipa::path(get, path = "/networks/{network}/pools/{pool}", operation_id = "read_pool",
    tag = "pools",
    params(("network" = String, Path, description = "The network's name or id."), ("pool" = Id, Path),
        IfNoneMatch),
    responses((status = 200, description = "The pool.", body = PoolView),
        (status = 304, description = "Not changed.")))]
async fn read_pool(State(service): State<Arc<Service>>, ask: Ask<(NetworkRef, Uuid)>) -> Answer {
    let (network, Uuid(id)) = ask.path;
    let pool = service.pool(ask.context, network, PoolId(id)).await?;
    Ok(unless_known(&ask.conditions, &pool.tag(), PoolView::from(pool)))
}

/// Change a pool's range. Refused while there are leases in the part to be removed, which the
/// answer lists.
#[utoipa::path(patch, path = "/networks/{network}/pools/{pool}", operation_id = "resize_pool",
    tag = "pools",
    params(("network" = String, Path, description = "The network's name or id."), ("pool" = Id, Path),
        IfMatch),
    request_body = PoolPatchBody,
    responses((status = 200, description = "The changed resource.", body = PoolView)))]
async fn resize_pool(
    State(service): State<Arc<Service>>,
    ask: AskWith<Editing<PoolPatchBody>, (NetworkRef, Uuid)>,
) -> Answer {
    let (network, Uuid(id)) = ask.path;
    let Editing { body, shown } = ask.body;
    let Range(range) = read("range", body.range)?;
    if !shown.is_empty() {
        let pool = service.pool(ask.context.clone(), network.clone(), PoolId(id)).await?;
        shown.check(&PoolView::from(pool))?;
    }
    let (which, expected) = ((network, PoolId(id)), ask.conditions.expected);
    let pool = service.resize_pool(ask.context, which, expected, range).await?;
    Ok(tagged(&pool.tag(), PoolView::from(pool)))
}

/// Delete a pool. Refused while there are leases in it, which the answer lists.
#[utoipa::path(delete, path = "/networks/{network}/pools/{pool}", operation_id = "delete_pool",
    tag = "pools",
    params(("network" = String, Path, description = "The network's name or id."), ("pool" = Id, Path),
        IfMatch),
    responses((status = 204, description = "Deleted.")))]
async fn delete_pool(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, Uuid)>,
) -> Answer<StatusCode> {
    let (network, Uuid(id)) = ask.path;
    let (which, expected) = ((network, PoolId(id)), ask.conditions.expected);
    service.delete_pool(ask.context, which, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}
