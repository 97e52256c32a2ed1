//! What becomes of a network's addresses.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use nebula_alloc::lease::Reason;
use nebula_alloc::reservation::Purpose;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::Ask;
use super::page::{Page, Paging, after};
use super::respond::{Answer, json};
use crate::service::{AddressEntry, Held, QuarantineEnd, QuarantineEnded};
use crate::wire::{
    AddressUse, Addresses as AddressesView, EndedQuarantine, ReservedFor, Timestamp,
};
use crate::{NetworkRef, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(list_addresses)).routes(routes!(end_quarantine))
}

impl From<AddressEntry> for AddressesView {
    fn from(entry: AddressEntry) -> Self {
        let (node, node_name) = entry.node.unzip();
        let mut view = Self {
            range: match entry.range.first() {
                only if only == entry.range.last() => only.to_string(),
                _ => entry.range.to_string(),
            },
            used: AddressUse::Free,
            node: node.map(|id| id.to_string()),
            node_name: node_name.flatten(),
            since: None,
            until: None,
            reason: None,
            purpose: None,
            device: None,
            note: None,
        };
        match entry.held {
            Held::Leased => view.used = AddressUse::Leased,
            Held::Quarantined { since, until, reason } => {
                view.used = AddressUse::Quarantined;
                (view.since, view.until) = (Some(Timestamp(since)), Some(Timestamp(until)));
                view.reason = reason.map(|reason| word(reason).to_owned());
            }
            Held::Reserved { purpose, device, note } => {
                view.used = AddressUse::Reserved;
                view.purpose = Some(match purpose {
                    Purpose::Asking => ReservedFor::Asking,
                    Purpose::Owner(_) if device.is_some() => ReservedFor::Device,
                    Purpose::Owner(_) => ReservedFor::Node,
                    Purpose::Nobody => ReservedFor::Nobody,
                });
                view.device = device;
                view.note = note;
            }
            Held::Free => {}
        }
        view
    }
}

/// How a quarantine ends.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Ending {
    /// End it although certificates that name the address may be accepted: until each of them ends, a node
    /// that has not applied the blocklist takes its holder for whoever gets the address. Default: false.
    #[serde(default)]
    #[param(required = false)]
    force: bool,
    /// Only tell what would happen. Default: false.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// End the quarantine of an address before its time: once the network's hold time has passed, and,
/// unless forced, no certificate that names the address is accepted by any node. The event
/// `quarantine.ended` names the certificates.
#[utoipa::path(delete, path = "/networks/{network}/quarantines/{address}",
    operation_id = "end_quarantine", tag = "pools",
    params(("network" = String, Path, description = "The network's name or id."),
        ("address" = String, Path, description = "The address."), Ending),
    responses((status = 200, description = "The address is free, unless it is reserved.",
        body = EndedQuarantine)))]
async fn end_quarantine(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, IpAddr), Ending>,
) -> Answer {
    let ((network, address), Ending { force, dry_run }) = (ask.path, ask.query);
    let end = QuarantineEnd { is_forced: force, is_dry_run: dry_run };
    let QuarantineEnded { node: (node, node_name), since, until, certificates } =
        service.end_quarantine(ask.context, network, address, end).await?;
    Ok(json(EndedQuarantine {
        address: address.to_string(),
        dry_run,
        node: node.to_string(),
        node_name,
        since: Timestamp(since),
        until: Timestamp(until),
        certificates: certificates.into_iter().map(Into::into).collect(),
    }))
}

const fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Released => "released",
        Reason::Ended => "ended",
        Reason::Revoked => "revoked",
        Reason::Replaced => "replaced",
        Reason::Conflict => "conflict",
        _ => "other",
    }
}

/// List what becomes of a network's addresses: leases and quarantines by address, then reservations,
/// then what is free of each pool.
#[utoipa::path(get, path = "/networks/{network}/addresses", operation_id = "list_addresses",
    tag = "pools",
    params(("network" = String, Path, description = "The network's name or id."), Paging),
    responses((status = 200, description = "A page of addresses.", body = Page<AddressesView>)))]
async fn list_addresses(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef, Paging>,
) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "addresses").await?;
    let found = service.addresses(ask.context, ask.path, after, limit.and_one()).await?;
    let page: Page<AddressesView> = Page::new(found, limit, "addresses", AddressEntry::place);
    Ok(json(page))
}
