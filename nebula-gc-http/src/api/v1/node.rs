//! A node's own view, for who has its node token; and any node's bundle, for operators.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nebula_bundle::Bundle;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, Nothing, checked};
use super::problem::Problem;
use super::respond::{Answer, json};
use super::tag::{Conditions, IfNoneMatch, header_value};
use super::values::{Id, Secret, Timestamp, not_null};
use crate::api::Stopping;
use crate::api::public_key;
use crate::service::{NodeBundle, Tag};
use crate::{Bearer, Desired, NetworkRef, NodeId, OwnCertificate, OwnNode, Renewed, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(read_own_node))
        .routes(routes!(fetch_own_bundle))
        .routes(routes!(watch_own_node))
        .routes(routes!(renew_own_certificates))
        .routes(routes!(report_own_node))
        .routes(routes!(rotate_own_token))
        .routes(routes!(fetch_node_bundle))
}

/// How long a poll waits unless the node says, in seconds.
const WAIT: u64 = 30;
/// How long it may.
const LONGEST_WAIT: u64 = 60;

/// What a node is told about itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OwnNode)]
struct OwnView {
    #[schema(value_type = Id)]
    id: NodeId,
    /// The network's name.
    network: String,
    name: String,
    /// `active`: who is kept out is answered with a problem.
    #[schema(value_type = String)]
    state: &'static str,
    /// Its addresses on the overlay, IPv4 before IPv6.
    #[schema(value_type = Vec<String>)]
    addresses: Vec<IpAddr>,
    groups: Vec<String>,
    /// For a lighthouse: where it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    endpoint: Option<String>,
    /// Whether it is a relay.
    relay: bool,
    /// The MTU of its device, in bytes, where it is not the network's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    mtu: Option<u32>,
    /// The certificates it has now, the older version first.
    certificates: Vec<OwnCertificateView>,
    /// When it should renew: after two thirds of the lifetime, and up to a tenth of it later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    renew_at: Option<Timestamp>,
    /// The network's counter that its bundle is of.
    revision: i64,
    /// The node's counter that its bundle is of.
    generation: i64,
    /// What it reported last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    applied: Option<DesiredView>,
}

/// A certificate of a node.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OwnCertificate)]
struct OwnCertificateView {
    version: u8,
    fingerprint: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Of what a bundle is.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = Desired)]
struct DesiredView {
    /// The network's counter.
    #[schema(minimum = 0)]
    revision: i64,
    /// The node's own counter.
    #[schema(minimum = 0)]
    generation: i64,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Watching {
    /// The revision of the bundle that the node has; 0 for none.
    #[serde(default)]
    #[param(default = 0)]
    revision: i64,
    /// The generation of the bundle that the node has; 0 for none.
    #[serde(default)]
    #[param(default = 0)]
    generation: i64,
    /// How long to wait for a change.
    #[param(minimum = 0, maximum = 60, default = 30)]
    wait_seconds: Option<u64>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Packing {
    /// How the files are packed: as the header `Accept` has it where left out, else as a ZIP.
    #[param(inline)]
    format: Option<Format>,
}

/// A bundle's files in one.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "it only describes")]
struct Archive(Vec<u8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = ArchiveFormat)]
enum Format {
    #[serde(rename = "zip")]
    Zip,
    #[serde(rename = "tar.gz")]
    TarGz,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = Renewal)]
struct RenewalBody {
    /// Another key that the node has made, as for enrolling; its present one where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false)]
    public_key: Option<String>,
}

/// What a node that asks for newer certificates has then.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Renewed)]
struct RenewedView {
    /// Whether the certificates were issued just now.
    renewed: bool,
    /// The node's certificates as PEM, the older version first.
    certificates: Vec<String>,
    /// When it should renew them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    renew_at: Option<Timestamp>,
    /// The network's counter that its bundle is of.
    revision: i64,
    /// The node's counter that its bundle is of.
    generation: i64,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = NodeToken)]
struct TokenBody {
    /// The token that the node has made: 32 to 256 printable ASCII characters, as random as the
    /// node can.
    #[schema(value_type = String, min_length = 32, max_length = 256)]
    node_token: Secret,
}

#[derive(Deserialize)]
struct NodePath {
    network: NetworkRef,
    node: NodeId,
}

/// Read what the node is and has.
#[utoipa::path(get, path = "/node", operation_id = "read_own_node", tag = "node",
    responses((status = 200, description = "The node.", body = OwnView)))]
async fn read_own_node(State(service): State<Arc<Service>>, ask: Ask) -> Answer {
    Ok(json(OwnView::from(service.own_node(ask.context).await?)))
}

/// Fetch the node's bundle as it is now. Nothing is issued for it.
#[utoipa::path(get, path = "/node/bundle", operation_id = "fetch_own_bundle", tag = "node",
    params(Packing, IfNoneMatch),
    responses((status = 200, description = "The files, packed.", content(
            (Archive = "application/zip"), (Archive = "application/gzip")),
            headers(("Nebula-Revision" = i64, description = "The network's counter that it is of."),
                ("Nebula-Generation" = i64, description = "The node's counter that it is of."),
                ("Nebula-Digest" = String, description = "SHA-256 over the files."))),
        (status = 304, description = "The node has it already.")))]
async fn fetch_own_bundle(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    ask: Ask<Nothing, Packing>,
) -> Answer {
    let bundle = service.own_bundle(ask.context).await?;
    packed(bundle, &ask.conditions, ask.query.format, &headers).await
}

/// Wait until the node is to have another bundle than the one it has.
#[utoipa::path(get, path = "/node/watch", operation_id = "watch_own_node", tag = "node",
    params(Watching),
    responses((status = 200, description = "There is another.", body = DesiredView),
        (status = 204, description = "Nothing has changed for so long. Ask again."),
        (status = 429, description = "The node waits several times already.",
            body = super::problem::Document, content_type = "application/problem+json")))]
async fn watch_own_node(
    State(service): State<Arc<Service>>,
    stopping: Option<Extension<Stopping>>,
    ask: Ask<Nothing, Watching>,
) -> Answer {
    let Watching { revision, generation, wait_seconds } = ask.query;
    let wait = wait_seconds.unwrap_or(WAIT);
    if wait > LONGEST_WAIT {
        let reason = format!("must be at most {LONGEST_WAIT}");
        let refused = Err(Problem::invalid("waitSeconds", reason));
        return checked(&service, &ask.context, refused).await;
    }
    let seen = Desired { revision, generation };
    // Boxed: a connection has room for the largest future of any route, and most only wait.
    let watching = Box::pin(service.watch(ask.context, seen, Duration::from_secs(wait)));
    let news = match stopping {
        Some(Extension(mut stopping)) => tokio::select! {
            news = watching => news?,
            // It finds out at the next instance that it asks.
            () = stopping.wait() => None,
        },
        None => watching.await?,
    };
    Ok(match news {
        Some(now) => json(DesiredView::from(now)),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Renew the node's certificates: for the same key once two thirds of the lifetime have passed, for
/// another key at any time, but not every minute, nor more than ten times a day. Asking too early
/// answers what the node has.
#[utoipa::path(post, path = "/node/renew", operation_id = "renew_own_certificates", tag = "node",
    request_body = RenewalBody,
    responses((status = 200, description = "The certificates it has now.", body = RenewedView),
        (status = 429, description = "It has had another key just now.",
            body = super::problem::Document, content_type = "application/problem+json")))]
async fn renew_own_certificates(
    State(service): State<Arc<Service>>,
    ask: AskWith<RenewalBody>,
) -> Answer {
    let key = ask.body.public_key.as_deref().map(public_key::read).transpose();
    let key = checked(&service, &ask.context, key.map_err(Problem::from)).await?;
    let renewed = service.renew(ask.context, key).await?;
    Ok(json(RenewedView::from(renewed)))
}

/// Report what the node has applied. It never goes back: an older report changes nothing.
#[utoipa::path(post, path = "/node/report", operation_id = "report_own_node", tag = "node",
    request_body = DesiredView, responses((status = 204, description = "It is noted.")))]
async fn report_own_node(
    State(service): State<Arc<Service>>,
    ask: AskWith<DesiredView>,
) -> Answer<StatusCode> {
    let DesiredView { revision, generation } = ask.body;
    service.report(ask.context, Desired { revision, generation }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace the node's token. The old one fails from then on; who asks again does so under the new.
#[utoipa::path(post, path = "/node/token", operation_id = "rotate_own_token", tag = "node",
    request_body = TokenBody, responses((status = 204, description = "It is replaced.")))]
async fn rotate_own_token(
    State(service): State<Arc<Service>>,
    ask: AskWith<TokenBody>,
) -> Answer<StatusCode> {
    let token = Bearer::from_device(&ask.body.node_token.0).map_err(Problem::from);
    let token = checked(&service, &ask.context, token).await?;
    service.rotate_own_token(ask.context, token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Fetch a node's bundle as it is now.
#[utoipa::path(get, path = "/networks/{network}/nodes/{node}/bundle",
    operation_id = "fetch_node_bundle", tag = "nodes",
    params(("network" = String, Path), ("node" = Id, Path), Packing, IfNoneMatch),
    responses((status = 200, description = "The files, packed.", content(
            (Archive = "application/zip"), (Archive = "application/gzip")),
            headers(("Nebula-Revision" = i64, description = "The network's counter that it is of."),
                ("Nebula-Generation" = i64, description = "The node's counter that it is of."),
                ("Nebula-Digest" = String, description = "SHA-256 over the files."))),
        (status = 304, description = "The client has it already.")))]
async fn fetch_node_bundle(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    ask: Ask<NodePath, Packing>,
) -> Answer {
    let NodePath { network, node } = ask.path;
    let bundle = service.node_bundle(ask.context, Some(network), node).await?;
    packed(bundle, &ask.conditions, ask.query.format, &headers).await
}

async fn packed(
    bundle: NodeBundle,
    conditions: &Conditions,
    format: Option<Format>,
    headers: &HeaderMap,
) -> Answer {
    let format = format.unwrap_or_else(|| Format::accepted(headers));
    let desired = bundle.desired();
    if let Some(digest) = bundle.known_digest()
        && conditions.has(&format.tag(&digest))
    {
        return Ok(described(StatusCode::NOT_MODIFIED.into_response(), desired, format, &digest));
    }
    let pack = match format {
        Format::Zip => Bundle::to_zip,
        Format::TarGz => Bundle::to_tar_gz,
    };
    let (digest, packed) = bundle.render(pack).await?;
    let response = if conditions.has(&format.tag(&digest)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, format.media_type())], packed).into_response()
    };
    Ok(described(response, desired, format, &digest))
}

/// Adds what a client should know of a bundle besides its bytes.
fn described(
    mut response: Response,
    desired: Desired,
    format: Format,
    digest: &nebula_bundle::Digest,
) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(HeaderName::from_static("nebula-revision"), desired.revision.into());
    headers.insert(HeaderName::from_static("nebula-generation"), desired.generation.into());
    if let Ok(digest) = HeaderValue::try_from(digest.to_string()) {
        headers.insert(HeaderName::from_static("nebula-digest"), digest);
    }
    if let Some(tag) = header_value(&format.tag(digest)) {
        headers.insert(header::ETAG, tag);
    }
    response
}

impl Format {
    /// The first that the client names, without weighing.
    fn accepted(headers: &HeaderMap) -> Self {
        let named = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut named = named.flat_map(|value| value.split(',')).filter_map(|item| {
            match item.split(';').next().unwrap_or_default().trim() {
                "application/zip" => Some(Self::Zip),
                "application/gzip" => Some(Self::TarGz),
                _ => None,
            }
        });
        named.next().unwrap_or(Self::Zip)
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Zip => "application/zip",
            Self::TarGz => "application/gzip",
        }
    }

    /// The digest, and what else tells the bytes apart.
    fn tag(self, digest: &nebula_bundle::Digest) -> Tag {
        match self {
            Self::Zip => Tag::exactly(digest),
            Self::TarGz => Tag::new(digest, "tar.gz"),
        }
    }
}

impl From<OwnNode> for OwnView {
    fn from(node: OwnNode) -> Self {
        Self {
            id: node.id,
            network: node.network,
            name: node.name,
            state: node.state.word(),
            addresses: node.addresses,
            groups: node.groups,
            endpoint: node.lighthouse.map(|endpoint| endpoint.to_string()),
            relay: node.relay,
            mtu: node.mtu,
            certificates: node.certificates.iter().map(OwnCertificateView::from).collect(),
            renew_at: node.renew_at.map(Timestamp),
            revision: node.desired.revision,
            generation: node.desired.generation,
            applied: node.applied.map(DesiredView::from),
        }
    }
}

impl From<&OwnCertificate> for OwnCertificateView {
    fn from(certificate: &OwnCertificate) -> Self {
        Self {
            version: certificate.version.number(),
            fingerprint: certificate.fingerprint.to_string(),
            not_before: Timestamp(certificate.not_before),
            not_after: Timestamp(certificate.not_after),
        }
    }
}

impl From<Desired> for DesiredView {
    fn from(desired: Desired) -> Self {
        Self { revision: desired.revision, generation: desired.generation }
    }
}

impl From<Renewed> for RenewedView {
    fn from(renewed: Renewed) -> Self {
        Self {
            renewed: renewed.renewed,
            certificates: renewed
                .certificates
                .iter()
                .map(nebula_pki::Certificate::to_pem)
                .collect(),
            renew_at: renewed.renew_at.map(Timestamp),
            revision: renewed.desired.revision,
            generation: renewed.desired.generation,
        }
    }
}
