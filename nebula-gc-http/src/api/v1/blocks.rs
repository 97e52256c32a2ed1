//! Blocks: named parts of pools.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use nebula_alloc::PoolId;
use nebula_alloc::block::Block;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, checked};
use super::page::{Page, Paging, after};
use super::problem::Problem;
use super::respond::{Answer, created, json};
use super::tag::IdempotencyKey;
use super::values::{Range, Uuid, read, read_some};
use crate::service::{NewBlock, Room};
use crate::wire::{Block as BlockView, Id, NewBlockBody, RenameBody};
use crate::{NetworkRef, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(list_blocks, create_block)).routes(routes!(
        read_block,
        rename_block,
        delete_block
    ))
}

impl From<Block> for BlockView {
    fn from(block: Block) -> Self {
        Self {
            id: block.id.to_string(),
            name: block.name,
            pool: block.pool.to_string(),
            range: block.range.to_string(),
        }
    }
}

fn new_block(body: NewBlockBody) -> Result<NewBlock, Problem> {
    let (name, Uuid(pool)) = (read("name", body.name)?, read("pool", body.pool)?);
    let room = match (read_some("range", body.range)?, body.size) {
        (Some(Range(range)), None) => Room::At(range),
        (None, Some(size @ 1..)) => Room::Of(size.into()),
        (None, Some(0)) => return Err(Problem::invalid("size", "must be 1 or more")),
        _ => return Err(Problem::invalid("range", "give either range or size")),
    };
    Ok(NewBlock { name, pool: PoolId(pool), room })
}

/// List a network's blocks.
#[utoipa::path(get, path = "/networks/{network}/blocks", operation_id = "list_blocks",
    tag = "blocks",
    params(("network" = String, Path, description = "The network's name or id."), Paging),
    responses((status = 200, description = "A page of blocks.", body = Page<BlockView>)))]
async fn list_blocks(State(service): State<Arc<Service>>, ask: Ask<NetworkRef, Paging>) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "blocks").await?.map(PoolId);
    let blocks = service.blocks(ask.context, ask.path, after, limit.and_one()).await?;
    let page: Page<BlockView> = Page::new(blocks, limit, "blocks", |block| block.id.0.to_vec());
    Ok(json(page))
}

/// Create a block.
#[utoipa::path(post, path = "/networks/{network}/blocks", operation_id = "create_block",
    tag = "blocks",
    params(("network" = String, Path, description = "The network's name or id."), IdempotencyKey),
    request_body = NewBlockBody,
    responses((status = 201, description = "Created.", body = BlockView),
        (status = 200, description = "Created before, by the same request.", body = BlockView)))]
async fn create_block(
    State(service): State<Arc<Service>>,
    ask: AskWith<NewBlockBody, NetworkRef>,
) -> Answer {
    let asked = checked(&service, &ask.context, new_block(ask.body)).await?;
    let made = service.create_block(ask.context, ask.path, asked, ask.repeat).await?;
    let location = format!("{}/{}", ask.list, made.resource.id);
    Ok(created(made.is_new, &location, json(BlockView::from(made.resource))))
}

/// Read a block.
#[utoipa::path(get, path = "/networks/{network}/blocks/{block}", operation_id = "read_block",
    tag = "blocks",
    params(("network" = String, Path, description = "The network's name or id."), ("block" = Id, Path)),
    responses((status = 200, description = "The block.", body = BlockView)))]
async fn read_block(State(service): State<Arc<Service>>, ask: Ask<(NetworkRef, Uuid)>) -> Answer {
    let (network, Uuid(id)) = ask.path;
    let block = service.block(ask.context, network, PoolId(id)).await?;
    Ok(json(BlockView::from(block)))
}

/// Rename a block. Join tokens that name it go on to.
#[utoipa::path(patch, path = "/networks/{network}/blocks/{block}", operation_id = "rename_block",
    tag = "blocks", request_body = RenameBody,
    params(("network" = String, Path, description = "The network's name or id."), ("block" = Id, Path)),
    responses((status = 200, description = "The changed resource.", body = BlockView)))]
async fn rename_block(
    State(service): State<Arc<Service>>,
    ask: AskWith<RenameBody, (NetworkRef, Uuid)>,
) -> Answer {
    let (network, Uuid(id)) = ask.path;
    let name = read("name", ask.body.name)?;
    let block = service.rename_block(ask.context, network, PoolId(id), name).await?;
    Ok(json(BlockView::from(block)))
}

/// Delete a block: its addresses return to its pool. Refused while there are leases in it, which
/// the answer lists.
#[utoipa::path(delete, path = "/networks/{network}/blocks/{block}", operation_id = "delete_block",
    tag = "blocks",
    params(("network" = String, Path, description = "The network's name or id."), ("block" = Id, Path)),
    responses((status = 204, description = "Deleted.")))]
async fn delete_block(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, Uuid)>,
) -> Answer<StatusCode> {
    let (network, Uuid(id)) = ask.path;
    service.delete_block(ask.context, network, PoolId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
