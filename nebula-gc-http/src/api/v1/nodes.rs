//! Nodes, for operators: reading, changing, suspending, revoking and releasing them.

mod batch;
mod lists;
mod views;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use nebula_alloc::PoolId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, checked};
use super::enroll::{check_mtu, endpoint};
use super::problem::Problem;
use super::remaining::Changing;
use super::respond::{Answer, tagged, unless_known};
use super::tag::{IfMatch, IfNoneMatch};
use super::values::{Editing, ReadOnly, Uuid, read, read_some};
use crate::service::Change;
use crate::wire::{
    Id, MoveBody, MovedNode as MovedView, Node as NodeView, NodeChangeBody, ReasonBody,
    RotatedNode as RotatedView,
};
use crate::{Destination, Error, NetworkRef, NodeChange, NodeDetails, NodeId, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(read_node, change_node, release_node))
        .routes(routes!(suspend_node))
        .routes(routes!(revoke_node))
        .routes(routes!(reinstate_node))
        .routes(routes!(rotate_node_token))
        .routes(routes!(renew_node))
        .routes(routes!(move_node))
        .merge(batch::router())
        .merge(lists::router())
}

type About = (NetworkRef, NodeId);

impl ReadOnly for NodeChangeBody {
    const SHOWN: &'static [&'static str] =
        &["id", "network", "device", "state", "stateReason", "native", "joinToken", "createdAt"];
    const MOVING: &'static [&'static str] = &[
        "addresses",
        "condition",
        "certificates",
        "certificateEnd",
        "renewAt",
        "generation",
        "applied",
        "behind",
        "restartNeeded",
        "report",
        "seenAt",
    ];
}

/// Read a node, in any state.
#[utoipa::path(get, path = "/networks/{network}/nodes/{node}", operation_id = "read_node",
    tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfNoneMatch),
    responses((status = 200, description = "The node.", body = NodeView),
        (status = 304, description = "Not changed.")))]
async fn read_node(State(service): State<Arc<Service>>, ask: Ask<About>) -> Answer {
    let (network, id) = ask.path;
    let node = service.node(ask.context, network, id).await?;
    Ok(unless_known(&ask.conditions, &node.tag(), NodeView::from(node.clone())))
}

/// Change a node. If its name or groups change, it gets a new certificate; if something is removed,
/// the former one is blocked at once.
#[utoipa::path(patch, path = "/networks/{network}/nodes/{node}", operation_id = "change_node",
    tag = "nodes", request_body = NodeChangeBody,
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfMatch),
    responses((status = 200, description = "The changed resource.", body = NodeView)))]
async fn change_node(
    State(service): State<Arc<Service>>,
    ask: AskWith<Editing<NodeChangeBody>, About>,
) -> Answer {
    let Editing { body, shown } = ask.body;
    let change = change(body);
    let change = checked(&service, &ask.context, change).await?;
    if !shown.is_empty() {
        let (network, id) = ask.path.clone();
        shown.check(&NodeView::from(service.node(ask.context.clone(), network, id).await?))?;
    }
    let expected = ask.conditions.expected;
    let changing = Changing::new(&service, &ask.context, &ask.path.0);
    let changed = service.change_node(ask.context, ask.path, expected, change).await;
    changing.answer(answered(changed)).await
}

fn change(body: NodeChangeBody) -> Result<NodeChange, Problem> {
    if let Some(Some(mtu)) = body.mtu {
        check_mtu(mtu)?;
    }
    let lighthouse = match body.lighthouse {
        Some(at) => Change::Set(at.as_ref().map(endpoint).transpose()?),
        None => Change::Keep,
    };
    Ok(NodeChange {
        name: set(read_some("name", body.name)?),
        user: set(read_some("user", body.user)?),
        groups: set(read_some("groups", body.groups)?),
        add_groups: read_some("addGroups", body.add_groups)?.unwrap_or_default(),
        remove_groups: read_some("removeGroups", body.remove_groups)?.unwrap_or_default(),
        lighthouse,
        relay: set(body.relay),
        mtu: set(body.mtu),
        ..NodeChange::default()
    })
}

fn set<T>(field: Option<T>) -> Change<T> {
    field.map_or(Change::Keep, Change::Set)
}

/// Release a node: its certificates are blocked, its addresses go into quarantine, and its device
/// may enrol again. Repeating the request changes nothing.
#[utoipa::path(delete, path = "/networks/{network}/nodes/{node}", operation_id = "release_node",
    tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfMatch),
    responses((status = 204, description = "Released.")))]
async fn release_node(State(service): State<Arc<Service>>, ask: Ask<About>) -> Answer {
    let expected = ask.conditions.expected;
    let changing = Changing::new(&service, &ask.context, &ask.path.0);
    service.release_node(ask.context, ask.path, expected).await?;
    changing.answer(Ok(StatusCode::NO_CONTENT)).await
}

/// Keep a node out of the network temporarily: its certificates are blocked; it keeps its
/// addresses.
#[utoipa::path(post, path = "/networks/{network}/nodes/{node}/suspend",
    operation_id = "suspend_node", tag = "nodes", request_body = ReasonBody,
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfMatch),
    responses((status = 200, description = "The node is suspended.", body = NodeView)))]
async fn suspend_node(
    State(service): State<Arc<Service>>,
    ask: AskWith<ReasonBody, About>,
) -> Answer {
    let (expected, reason) = (ask.conditions.expected, read("reason", ask.body.reason)?);
    let changing = Changing::new(&service, &ask.context, &ask.path.0);
    let node = service.suspend_node(ask.context, ask.path, expected, reason).await;
    changing.answer(answered(node)).await
}

/// Keep a node and its public key out of the network: its certificates are blocked; it keeps its
/// addresses.
#[utoipa::path(post, path = "/networks/{network}/nodes/{node}/revoke",
    operation_id = "revoke_node", tag = "nodes", request_body = ReasonBody,
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfMatch),
    responses((status = 200, description = "The node is revoked.", body = NodeView)))]
async fn revoke_node(
    State(service): State<Arc<Service>>,
    ask: AskWith<ReasonBody, About>,
) -> Answer {
    let (expected, reason) = (ask.conditions.expected, read("reason", ask.body.reason)?);
    let changing = Changing::new(&service, &ask.context, &ask.path.0);
    let node = service.revoke_node(ask.context, ask.path, expected, reason).await;
    changing.answer(answered(node)).await
}

/// Readmit a suspended or revoked node, with new certificates for its existing key.
#[utoipa::path(post, path = "/networks/{network}/nodes/{node}/reinstate",
    operation_id = "reinstate_node", tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfMatch),
    responses((status = 200, description = "The node is active.", body = NodeView)))]
async fn reinstate_node(State(service): State<Arc<Service>>, ask: Ask<About>) -> Answer {
    let expected = ask.conditions.expected;
    let changing = Changing::new(&service, &ask.context, &ask.path.0);
    changing.answer(answered(service.reinstate_node(ask.context, ask.path, expected).await)).await
}

/// Make a node's certificates due: it renews them as soon as it is told.
#[utoipa::path(post, path = "/networks/{network}/nodes/{node}/renew", operation_id = "renew_node",
    tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfMatch),
    responses((status = 200, description = "Its certificates are due.", body = NodeView)))]
async fn renew_node(State(service): State<Arc<Service>>, ask: Ask<About>) -> Answer {
    let expected = ask.conditions.expected;
    let changing = Changing::new(&service, &ask.context, &ask.path.0);
    changing.answer(answered(service.make_node_due(ask.context, ask.path, expected).await)).await
}

/// Move a node to another address: one of a pool or block, or a given one. It gets new certificates,
/// the former ones are blocked at once, and its former address goes into quarantine. A node that is
/// there already is not changed.
#[utoipa::path(post, path = "/networks/{network}/nodes/{node}/move", operation_id = "move_node",
    tag = "nodes", request_body = MoveBody,
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfMatch),
    responses((status = 200, description = "The node, where it is now.", body = MovedView)))]
async fn move_node(State(service): State<Arc<Service>>, ask: AskWith<MoveBody, About>) -> Answer {
    let expected = ask.conditions.expected;
    let MoveBody { pool, address, dry_run } = ask.body;
    let destination = destination(pool, address);
    let destination = checked(&service, &ask.context, destination).await?;
    let dry_run = dry_run.unwrap_or(false);
    let changing = Changing::new(&service, &ask.context, &ask.path.0);
    let moved = service.move_node(ask.context, ask.path, expected, destination, dry_run).await?;
    let tag = moved.node.tag();
    let view =
        MovedView { node: moved.node.into(), dry_run, moved: moved.is_moved, left: moved.left };
    changing.answer(Ok(tagged(&tag, view))).await
}

fn destination(pool: Option<String>, address: Option<IpAddr>) -> Result<Destination, Problem> {
    if pool.is_none() && address.is_none() {
        return Err(Problem::invalid("pool", "give a pool or an address"));
    }
    let pool = read_some("pool", pool)?.map(|Uuid(id)| PoolId(id));
    Ok(Destination { pool, address })
}

/// Give a node a new token, or its first one, with which it renews by itself. Only this answer
/// contains it; the old one stops working.
#[utoipa::path(post, path = "/networks/{network}/nodes/{node}/token",
    operation_id = "rotate_node_token", tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), IfMatch),
    responses((status = 200, description = "The node and its token.", body = RotatedView)))]
async fn rotate_node_token(State(service): State<Arc<Service>>, ask: Ask<About>) -> Answer {
    let expected = ask.conditions.expected;
    let changing = Changing::new(&service, &ask.context, &ask.path.0);
    let rotated = service.rotate_node_token(ask.context, ask.path, expected).await?;
    let tag = rotated.node.tag();
    let node_token = rotated.token.expose().into();
    let view = RotatedView { node: rotated.node.into(), node_token };
    changing.answer(Ok(tagged(&tag, view))).await
}

fn answered(node: Result<NodeDetails, Error>) -> Answer {
    let node = node?;
    Ok(tagged(&node.tag(), NodeView::from(node.clone())))
}
