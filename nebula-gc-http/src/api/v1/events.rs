//! The audit log.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, Nothing};
use super::page::{Cursor, Limit, Page, after};
use super::respond::{Answer, json};
use super::values::Uuid;
use crate::service::NumberedEvent;
use crate::wire::{Event as EventView, EventOrder, Timestamp};
use crate::{EventFilter, NetworkRef, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(list_events)).routes(routes!(list_network_events))
}

impl From<NumberedEvent> for EventView {
    fn from(NumberedEvent { id, event, names }: NumberedEvent) -> Self {
        let subject = event.subject.map(|bytes| match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(id) => uuid::Uuid::from_bytes(id).to_string(),
            Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        });
        // Ours are JSON, those of addresses plain text.
        let detail = event
            .detail
            .map(|text| serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)));
        Self {
            id,
            at: Timestamp(event.at),
            kind: event.kind,
            actor: event.actor,
            actor_name: names.actor,
            network: event.network.map(|network| network.to_string()),
            network_name: names.network,
            subject,
            subject_name: names.subject,
            address: event.address.map(|address| address.to_string()),
            source_address: event.source_address,
            request_id: event.request_id,
            detail,
        }
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct EventQuery {
    /// Where to continue: `next` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many items to return at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
    /// Only events of this kind, such as `node.enrolled`.
    kind: Option<String>,
    /// Only events about the resource with this id.
    #[param(value_type = Option<String>, format = "uuid")]
    subject: Option<Uuid>,
    /// `oldest_first` (default) or `newest_first`.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(oldest_first|newest_first)$")]
    order: EventOrder,
}

/// List the events of everything that the credential sees. Events of no network are for root
/// operators.
#[utoipa::path(get, path = "/events", operation_id = "list_events", tag = "events",
    params(EventQuery),
    responses((status = 200, description = "A page of events.", body = Page<EventView>)))]
async fn list_events(State(service): State<Arc<Service>>, ask: Ask<Nothing, EventQuery>) -> Answer {
    answer(&service, ask.context, None, ask.query).await
}

/// List the events of a network.
#[utoipa::path(get, path = "/networks/{network}/events", operation_id = "list_network_events",
    tag = "events",
    params(("network" = String, Path, description = "The network's name or id."), EventQuery),
    responses((status = 200, description = "A page of events.", body = Page<EventView>)))]
async fn list_network_events(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef, EventQuery>,
) -> Answer {
    answer(&service, ask.context, Some(ask.path), ask.query).await
}

async fn answer(
    service: &Service,
    context: crate::Context,
    network: Option<NetworkRef>,
    query: EventQuery,
) -> Answer {
    let newest_first = query.order == EventOrder::NewestFirst;
    let list = if newest_first { "events down" } else { "events up" };
    let after = after(service, &context, query.cursor, list).await?.map(i64::from_be_bytes);
    let filter =
        EventFilter { kind: query.kind, subject: query.subject.map(|Uuid(id)| id), newest_first };
    let found = service.events(context, network, filter, after, query.limit.and_one()).await?;
    let go_on = found.go_on.map(|id| id.to_be_bytes().to_vec());
    let page: Page<EventView> = Page::cut_short(found.events, go_on, query.limit, list, |event| {
        event.id.to_be_bytes().to_vec()
    });
    Ok(json(page))
}
