//! The list of servers that nodes are told.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith};
use super::respond::{Answer, tagged, unless_known};
use super::tag::{IfMatch, IfNoneMatch};
use crate::Service;
use crate::server_list::{ListedServer, SignedServerList};
use crate::service::Servers;
use crate::wire::{ServerBody, Servers as ServersView, ServersBody};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(read_servers, set_servers))
        .routes(routes!(read_own_servers))
}

impl From<Servers> for ServersView {
    fn from(servers: Servers) -> Self {
        Self { list: servers.list, key: servers.key.to_string() }
    }
}

impl From<ServerBody> for ListedServer {
    fn from(body: ServerBody) -> Self {
        Self { url: body.url, pin: body.pin, next_pin: body.next_pin }
    }
}

/// Read the servers that nodes are told.
#[utoipa::path(get, path = "/servers", operation_id = "read_servers", tag = "servers",
    params(IfNoneMatch),
    responses((status = 200, description = "The list, with its key.", body = ServersView),
        (status = 304, description = "Not changed.")))]
async fn read_servers(State(service): State<Arc<Service>>, ask: Ask) -> Answer {
    let servers = service.servers(ask.context).await?;
    Ok(unless_known(&ask.conditions, &servers.tag(), ServersView::from(servers.clone())))
}

/// Tell nodes which servers there are: theirs by URL, each with the pin of its TLS key and of the next.
/// Nodes ask the new ones first, and keep a former one until a new one has answered.
#[utoipa::path(put, path = "/servers", operation_id = "set_servers", tag = "servers",
    params(IfMatch), request_body = ServersBody,
    responses((status = 200, description = "The list, signed.", body = ServersView)))]
async fn set_servers(State(service): State<Arc<Service>>, ask: AskWith<ServersBody>) -> Answer {
    let expected = ask.conditions.expected;
    let servers = ask.body.servers.into_iter().map(ListedServer::from).collect();
    let servers = service.set_servers(ask.context, expected, servers).await?;
    Ok(tagged(&servers.tag(), ServersView::from(servers.clone())))
}

/// Read the servers that the node may ask.
#[utoipa::path(get, path = "/node/servers", operation_id = "read_own_servers", tag = "node",
    params(IfNoneMatch),
    responses((status = 200, description = "The list, signed by the store's key.", body = SignedServerList),
        (status = 304, description = "Not changed.")))]
async fn read_own_servers(State(service): State<Arc<Service>>, ask: Ask) -> Answer {
    let servers = service.own_servers(ask.context).await?;
    Ok(unless_known(&ask.conditions, &servers.tag(), servers.list.clone()))
}
