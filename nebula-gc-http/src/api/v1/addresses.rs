//! What becomes of a network's addresses.

use std::sync::Arc;

use axum::extract::State;
use nebula_alloc::lease::Reason;
use nebula_alloc::reservation::Purpose;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::Ask;
use super::page::{Page, Paging, after};
use super::respond::{Answer, json};
use crate::service::{AddressEntry, Held};
use crate::wire::{AddressUse, Addresses as AddressesView, ReservedFor, Timestamp};
use crate::{NetworkRef, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(list_addresses))
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
            note: None,
        };
        match entry.held {
            Held::Leased => view.used = AddressUse::Leased,
            Held::Quarantined { since, until, reason } => {
                view.used = AddressUse::Quarantined;
                (view.since, view.until) = (Some(Timestamp(since)), Some(Timestamp(until)));
                view.reason = reason.map(|reason| word(reason).to_owned());
            }
            Held::Reserved { purpose, note } => {
                view.used = AddressUse::Reserved;
                view.purpose = Some(match purpose {
                    Purpose::Asking => ReservedFor::Asking,
                    Purpose::Owner(_) => ReservedFor::Node,
                    Purpose::Nobody => ReservedFor::Nobody,
                });
                view.note = note;
            }
            Held::Free => {}
        }
        view
    }
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
