//! Bundles as archives or one file: a node's own, and any node's for operators.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nebula_bundle::Bundle;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, Nothing};
use super::respond::Answer;
use super::tag::{Conditions, IfNoneMatch, header_value};
use crate::service::{NodeBundle, Tag};
use crate::wire::Id;
use crate::{Desired, NetworkRef, NodeId, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(fetch_own_bundle)).routes(routes!(fetch_node_bundle))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Packing {
    /// The archive's format, or `yaml` for one file with everything but the private key, for which it
    /// has a place. Default: by the header `Accept`, else a ZIP.
    #[param(inline)]
    format: Option<Format>,
}

/// A bundle's files in one archive.
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
    #[serde(rename = "yaml")]
    Yaml,
}

#[derive(Deserialize)]
struct NodePath {
    network: NetworkRef,
    node: NodeId,
}

/// Fetch the node's current bundle. Nothing is issued for it.
#[utoipa::path(get, path = "/node/bundle", operation_id = "fetch_own_bundle", tag = "node",
    params(Packing, IfNoneMatch),
    responses((status = 200, description = "The archive.", content(
            (Archive = "application/zip"), (Archive = "application/gzip"),
            (serde_json::Value = "application/yaml")),
            headers(("Nebula-Revision" = i64, description = "The network's revision that the bundle is of."),
                ("Nebula-Generation" = i64, description = "The node's generation that the bundle is of."),
                ("Nebula-Digest" = String, description = "SHA-256 of the files."),
                ("Nebula-Receipt" = String, description = "What the node keeps, and sends with its reports."))),
        (status = 304, description = "The node already has this bundle.")))]
async fn fetch_own_bundle(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    ask: Ask<Nothing, Packing>,
) -> Answer {
    let bundle = service.own_bundle(ask.context).await?;
    let receipt = bundle.receipt()?;
    let bundle = bundle.with_receipt(receipt.clone());
    let response = packed(bundle, &ask.conditions, ask.query.format, &headers).await;
    response.map(|mut response| {
        if let Ok(receipt) = HeaderValue::try_from(receipt) {
            response.headers_mut().insert(HeaderName::from_static("nebula-receipt"), receipt);
        }
        response
    })
}

/// Fetch a node's current bundle.
#[utoipa::path(get, path = "/networks/{network}/nodes/{node}/bundle",
    operation_id = "fetch_node_bundle", tag = "nodes",
    params(("network" = String, Path), ("node" = Id, Path), Packing, IfNoneMatch),
    responses((status = 200, description = "The archive.", content(
            (Archive = "application/zip"), (Archive = "application/gzip"),
            (serde_json::Value = "application/yaml")),
            headers(("Nebula-Revision" = i64, description = "The network's revision that the bundle is of."),
                ("Nebula-Generation" = i64, description = "The node's generation that the bundle is of."),
                ("Nebula-Digest" = String, description = "SHA-256 of the files."))),
        (status = 304, description = "The client already has this bundle.")))]
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
        Format::Yaml => |bundle: &Bundle| Ok(bundle.to_yaml().into_bytes()),
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
                "application/yaml" => Some(Self::Yaml),
                _ => None,
            }
        });
        named.next().unwrap_or(Self::Zip)
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Zip => "application/zip",
            Self::TarGz => "application/gzip",
            Self::Yaml => "application/yaml",
        }
    }

    /// The digest, and what else tells the bytes apart.
    fn tag(self, digest: &nebula_bundle::Digest) -> Tag {
        match self {
            Self::Zip => Tag::exactly(digest),
            Self::TarGz => Tag::new(digest, "tar.gz"),
            Self::Yaml => Tag::new(digest, "yaml"),
        }
    }
}
