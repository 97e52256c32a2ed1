//! Reservations: addresses excluded from automatic allocation.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use nebula_alloc::reservation::Purpose;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, checked};
use super::page::{Page, Paging, after};
use super::problem::Problem;
use super::respond::{Answer, created, json};
use super::tag::IdempotencyKey;
use super::values::{Range, Reserved, read, read_some};
use crate::service::{ReservationDetails, ReservedTo};
use crate::wire::{NewReservationBody, Reservation as ReservationView, ReservedFor};
use crate::{DeviceId, NetworkRef, NodeId, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(list_reservations, create_reservation))
        .routes(routes!(delete_reservation))
}

impl From<ReservationDetails> for ReservationView {
    fn from(details: ReservationDetails) -> Self {
        let ReservationDetails { reservation, node, device } = details;
        let purpose = match reservation.purpose {
            Purpose::Asking => ReservedFor::Asking,
            Purpose::Owner(_) if device.is_some() => ReservedFor::Device,
            Purpose::Owner(_) => ReservedFor::Node,
            Purpose::Nobody => ReservedFor::Nobody,
        };
        let range = reservation.range.to_string();
        let (node, name) = node.unzip();
        let node = node.filter(|_| device.is_none()).map(|node| node.to_string());
        Self { range, purpose, node, node_name: name.flatten(), device, note: reservation.note }
    }
}

fn whom(body: &NewReservationBody) -> Result<ReservedTo, Problem> {
    let node: Option<NodeId> = read_some("node", body.node.clone())?;
    let device: Option<DeviceId> = read_some("device", body.device.clone())?;
    match (body.purpose, node, device) {
        (ReservedFor::Asking, None, None) => Ok(ReservedTo::Asking),
        (ReservedFor::Nobody, None, None) => Ok(ReservedTo::Nobody),
        (ReservedFor::Node, Some(node), None) => Ok(ReservedTo::Node(node)),
        (ReservedFor::Device, None, Some(device)) => Ok(ReservedTo::Device(device)),
        (ReservedFor::Node, None, _) => Err(Problem::invalid("node", "must be given")),
        (ReservedFor::Device, _, None) => Err(Problem::invalid("device", "must be given")),
        (ReservedFor::Node, ..) | (_, None, Some(_)) => {
            Err(Problem::invalid("device", "must be left out for this purpose"))
        }
        (_, Some(_), _) => Err(Problem::invalid("node", "must be left out for this purpose")),
    }
}

/// Where a list ended: the address as 16 bytes, IPv4 as IPv6 writes it.
fn place(details: &ReservationDetails) -> Vec<u8> {
    match details.reservation.range.last() {
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
    let fields = || {
        Ok((
            read("range", ask.body.range.clone())?,
            read_some("note", ask.body.note.clone())?,
            whom(&ask.body)?,
        ))
    };
    let (Range(range), note, whom) = checked(&service, &ask.context, fields()).await?;
    let asked = (range, whom, note);
    let made = service.reserve(ask.context, ask.path, asked, ask.repeat).await?;
    let location = format!("{}/{}", ask.list, made.resource.reservation.range);
    Ok(created(made.is_new, &location, json(ReservationView::from(made.resource))))
}

/// Delete a reservation: by its addresses, or all that are for a device or node.
#[utoipa::path(delete, path = "/networks/{network}/reservations/{range}",
    operation_id = "delete_reservation", tag = "reservations",
    params(("network" = String, Path, description = "The network's name or id."),
        ("range" = String, Path, description = "As it was made, or exactly its first and last \
            address, as in `10.1.0.10-10.1.0.20`; or for whom: the device's own id, or the node's name or \
            id.")),
    responses((status = 204, description = "Deleted.")))]
async fn delete_reservation(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, Reserved)>,
) -> Answer<StatusCode> {
    let (network, Reserved(which)) = ask.path;
    service.unreserve(ask.context, network, which).await?;
    Ok(StatusCode::NO_CONTENT)
}
