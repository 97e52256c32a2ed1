//! Networks: listing, creating, reading, changing and deleting them.

mod bodies;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use nebula_alloc::NetworkId;
use nebula_pki::{Certificate, Version};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::bodies::{network_patch, new_network};
use super::ask::{Ask, AskWith, Nothing, checked};
use super::cas::read_first_ca;
use super::page::{Page, Paging, after};
use super::remaining::Changing;
use super::respond::{Answer, created, json, tagged, unless_known};
use super::tag::{IdempotencyKey, IfMatch, IfNoneMatch};
use super::values::Editing;
use crate::error::Unavailable;
use crate::service::{NetworkCa, Tag};
use crate::wire::{DeletedNetwork, Network as NetworkView, NetworkPatchBody, NewNetworkBody};
use crate::{CaSource, Deleted, Deletion, Error, Network, NetworkRef, Service, Versions};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(list_networks, create_network))
        .routes(routes!(read_network, change_network, delete_network))
        .routes(routes!(read_network_ca))
        .routes(routes!(renew_certificates))
}

/// List the networks that the credential sees.
#[utoipa::path(get, path = "/networks", operation_id = "list_networks", tag = "networks",
    params(Paging),
    responses((status = 200, description = "A page of networks.", body = Page<NetworkView>)))]
async fn list_networks(State(service): State<Arc<Service>>, ask: Ask<Nothing, Paging>) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "networks").await?.map(NetworkId);
    let networks = service.networks(ask.context, after, limit.and_one()).await?;
    let networks = with_cas(&service, networks).await?;
    let page: Page<NetworkView> =
        Page::new(networks, limit, "networks", |(network, _)| network.id.as_bytes().to_vec());
    Ok(json(page))
}

/// Create a network with its CA and pools.
#[utoipa::path(post, path = "/networks", operation_id = "create_network", tag = "networks",
    params(IdempotencyKey), request_body = NewNetworkBody,
    responses((status = 201, description = "Created.", body = NetworkView),
        (status = 200, description = "Created before, by the same request.", body = NetworkView),
        (status = 429, description = "Too many other keys are being decrypted.",
            body = super::problem::Document, content_type = "application/problem+json")))]
async fn create_network(
    State(service): State<Arc<Service>>,
    ask: AskWith<NewNetworkBody>,
) -> Answer {
    let mut body = ask.body;
    let (ca, says_versions) = (body.ca.take(), body.versions.is_some());
    let mut network = new_network(body)?;
    let ca = ca.map(|ca| read_first_ca(ca, &network.name)).transpose();
    let ca = checked(&service, &ask.context, ca).await?;
    let has_ipv6 = network.prefixes.iter().any(|prefix| prefix.addr().is_ipv6());
    if !says_versions && ca.as_ref().is_some_and(is_of_version_1) && !has_ipv6 {
        network.versions = Versions::V1;
    }
    let made = service.create_network_with(ask.context, network, ask.repeat, ca).await?;
    let location = format!("{}/{}", ask.list, made.resource.id);
    let (tag, view) = view(&service, made.resource).await?;
    Ok(created(made.is_new, &location, tagged(&tag, view)))
}

/// Read a network, by its name or id.
#[utoipa::path(get, path = "/networks/{network}", operation_id = "read_network", tag = "networks",
    params(("network" = String, Path, description = "The network's name or id."), IfNoneMatch),
    responses((status = 200, description = "The network.", body = NetworkView),
        (status = 304, description = "Not changed.")))]
async fn read_network(State(service): State<Arc<Service>>, ask: Ask<NetworkRef>) -> Answer {
    let network = service.network(ask.context, ask.path).await?;
    let (tag, view) = view(&service, network).await?;
    Ok(unless_known(&ask.conditions, &tag, view))
}

/// Change a network's settings.
#[utoipa::path(patch, path = "/networks/{network}", operation_id = "change_network",
    tag = "networks",
    params(("network" = String, Path, description = "The network's name or id."), IfMatch),
    request_body = NetworkPatchBody,
    responses((status = 200, description = "The changed resource.", body = NetworkView)))]
async fn change_network(
    State(service): State<Arc<Service>>,
    ask: AskWith<Editing<NetworkPatchBody>, NetworkRef>,
) -> Answer {
    let Editing { body, shown } = ask.body;
    let patch = network_patch(body)?;
    if !shown.is_empty() {
        let network = service.network(ask.context.clone(), ask.path.clone()).await?;
        shown.check(&view(&service, network).await?.1)?;
    }
    let expected = ask.conditions.expected;
    let context = ask.context.clone();
    let network = service.change_network(ask.context, ask.path, expected, patch).await?;
    // By its id: it may have another name now.
    let named = NetworkRef::new(NetworkId::to_string(&network.id))?;
    let (tag, view) = view(&service, network).await?;
    Changing::new(&service, &context, &named).answer(Ok(tagged(&tag, view))).await
}

/// How a network is deleted.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Deleting {
    /// Delete it although nodes are active in it. Default: false.
    #[serde(default)]
    #[param(required = false)]
    force: bool,
    /// Only tell what would happen. Default: false.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Delete a network with all that it has, for good: its nodes and join tokens are refused from now on, and the
/// keys of its CAs and its operator keys are worth nothing. Refused while nodes are active, which the answer names,
/// unless it is forced. Nodes that are connected stay so until their certificates end. The events stay.
#[utoipa::path(delete, path = "/networks/{network}", operation_id = "delete_network",
    tag = "networks",
    params(("network" = String, Path, description = "The network's name or id."), Deleting, IfMatch),
    responses((status = 200, description = "Deleted.", body = DeletedNetwork)))]
async fn delete_network(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef, Deleting>,
) -> Answer {
    let (expected, Deleting { force, dry_run }) = (ask.conditions.expected, ask.query);
    let deletion = Deletion { is_forced: force, is_dry_run: dry_run };
    let Deleted { id, name, nodes, is_removed } =
        service.delete_network(ask.context, ask.path, expected, deletion).await?;
    let id = NetworkId::to_string(&id);
    Ok(json(DeletedNetwork { id, name, dry_run, nodes, complete: is_removed }))
}

/// Make the current certificates of all nodes of a network due for renewal: nodes that renew get
/// new ones, signed by the current CA. The revision moves, so that nodes in a long poll learn of
/// it.
#[utoipa::path(post, path = "/networks/{network}/renew", operation_id = "renew_certificates",
    tag = "networks",
    params(("network" = String, Path, description = "The network's name or id.")),
    responses((status = 200, description = "The certificates are due for renewal.", body = NetworkView)))]
async fn renew_certificates(State(service): State<Arc<Service>>, ask: Ask<NetworkRef>) -> Answer {
    let changing = Changing::new(&service, &ask.context, &ask.path);
    let network = service.renew_all(ask.context, ask.path).await?;
    let (tag, view) = view(&service, network).await?;
    changing.answer(Ok(tagged(&tag, view))).await
}

/// Read the certificates of the CAs that a network trusts.
#[utoipa::path(get, path = "/networks/{network}/ca", operation_id = "read_network_ca",
    tag = "networks", params(("network" = String, Path, description = "The network's name or id.")),
    responses((status = 200, description = "One PEM block for each.", body = String,
        content_type = "application/x-pem-file")))]
async fn read_network_ca(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef>,
) -> Answer<Response> {
    let pem = service.network_ca(ask.context, ask.path).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response())
}

/// Networks with the CAs that sign for them.
async fn with_cas(
    service: &Service,
    networks: Vec<Network>,
) -> Result<Vec<(Network, NetworkCa)>, Error> {
    let cas = service.active_cas(&networks).await?;
    Ok(networks.into_iter().zip(cas).collect())
}

/// A network as it is answered, with its tag.
async fn view(service: &Service, network: Network) -> Result<(Tag, NetworkView), Error> {
    let both = with_cas(service, vec![network]).await?.pop();
    let both =
        both.ok_or_else(|| Error::from(Unavailable::Missing { what: "the network's CA" }))?;
    Ok((both.0.tag().and(both.1.standing.word()), both.into()))
}

/// Whether a network of this CA was run with version 1, most likely.
fn is_of_version_1(ca: &CaSource) -> bool {
    let CaSource::Imported(files) = ca else { return false };
    let certificate = Certificate::from_pem(files.certificate.as_bytes());
    certificate.is_ok_and(|certificate| certificate.version() == Version::V1)
}
