//! Reservations: addresses excluded from automatic allocation.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use nebula_alloc::reservation::{Purpose, Reservation};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, checked};
use super::page::{Page, Paging, after};
use super::problem::Problem;
use super::respond::{Answer, created, json};
use super::tag::IdempotencyKey;
use super::values::{Range, read, read_some};
use crate::wire::{NewReservationBody, Reservation as ReservationView, ReservedFor};
use crate::{NetworkRef, NodeId, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(list_reservations, create_reservation))
        .routes(routes!(delete_reservation))
}

impl From<Reservation> for ReservationView {
    fn from(reservation: Reservation) -> Self {
        let (purpose, node) = match reservation.purpose {
            Purpose::Asking => (ReservedFor::Asking, None),
            Purpose::Owner(owner) => (ReservedFor::Node, Some(NodeId::from(owner.0).to_string())),
            Purpose::Nobody => (ReservedFor::Nobody, None),
        };
        let range = reservation.range.to_string();
        Self { range, purpose, node, note: reservation.note }
    }
}

fn purpose(body: &NewReservationBody) -> Result<Purpose, Problem> {
    let node: Option<NodeId> = read_some("node", body.node.clone())?;
    match (body.purpose, node) {
        (ReservedFor::Asking, None) => Ok(Purpose::Asking),
        (ReservedFor::Nobody, None) => Ok(Purpose::Nobody),
        (ReservedFor::Node, Some(node)) => Ok(Purpose::Owner(node.owner())),
        (ReservedFor::Node, None) => Err(Problem::invalid("node", "must be given")),
        (_, Some(_)) => Err(Problem::invalid("node", "must be left out for this purpose")),
    }
}

/// Where a list ended: the address as 16 bytes, IPv4 as IPv6 writes it.
fn place(reservation: &Reservation) -> Vec<u8> {
    match reservation.range.last() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// List a network's reservations, by address.
#[utoipa::path(get, path = "/networks/{network}/reservations", operation_id = "list_reservations",
    tag = "reservations",
    params(("network" = String, Path, description = "The network's name or id."), Paging),
    responses((status = 200, description = "A page of reservations.", body = Page<ReservationView>)))]
async fn list_reservations(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef, Paging>,
) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after: Option<[u8; 16]> = after(&service, &ask.context, cursor, "reservations").await?;
    let after = after.map(|octets| IpAddr::from(octets).to_canonical());
    let found = service.reservations(ask.context, ask.path, after, limit.and_one()).await?;
    let page: Page<ReservationView> = Page::new(found, limit, "reservations", place);
    Ok(json(page))
}

/// Reserve addresses.
#[utoipa::path(post, path = "/networks/{network}/reservations",
    operation_id = "create_reservation", tag = "reservations",
    params(("network" = String, Path, description = "The network's name or id."), IdempotencyKey),
    request_body = NewReservationBody,
    responses((status = 201, description = "The addresses are reserved.", body = ReservationView),
        (status = 200, description = "Reserved before, by the same request.",
            body = ReservationView)))]
async fn create_reservation(
    State(service): State<Arc<Service>>,
    ask: AskWith<NewReservationBody, NetworkRef>,
) -> Answer {
    let purpose = checked(&service, &ask.context, purpose(&ask.body)).await?;
    let Range(range) = read("range", ask.body.range)?;
    let asked = (range, purpose, read_some("note", ask.body.note)?);
    let made = service.reserve(ask.context, ask.path, asked, ask.repeat).await?;
    let location = format!("{}/{}", ask.list, made.resource.range);
    Ok(created(made.is_new, &location, json(ReservationView::from(made.resource))))
}

/// Delete a reservation.
#[utoipa::path(delete, path = "/networks/{network}/reservations/{range}",
    operation_id = "delete_reservation", tag = "reservations",
    params(("network" = String, Path, description = "The network's name or id."),
        ("range" = String, Path, description = "As it was made, or exactly its first and last \
            address, as in `10.1.0.10-10.1.0.20`.")),
    responses((status = 204, description = "Deleted.")))]
async fn delete_reservation(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, Range)>,
) -> Answer<StatusCode> {
    let (network, Range(range)) = ask.path;
    service.unreserve(ask.context, network, range).await?;
    Ok(StatusCode::NO_CONTENT)
}
