use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use nebula_alloc::NetworkId;
use nebula_pki::{Certificate, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, Nothing, checked};
use super::cas::CaBody;
use super::page::{Page, Paging, after};
use super::respond::{Answer, created, json, tagged, unless_known};
use super::tag::{IdempotencyKey, IfMatch, IfNoneMatch};
use super::values::{Id, Prefix, Range, Shown, Timestamp, given, not_null};
use crate::error::Unavailable;
use crate::service::{NetworkCa, NetworkPatch, NetworkSettings, NewNetwork, Tag};
use crate::{CaId, CaSource, Error, Network, NetworkRef, Service, TenantId};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(list_networks, create_network))
        .routes(routes!(read_network, change_network))
        .routes(routes!(read_network_ca))
        .routes(routes!(renew_certificates))
}

/// Which versions of certificates nodes have.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub(super) enum Versions {
    /// Version 1, which every release of Nebula reads; IPv4 only.
    #[serde(rename = "1")]
    One,
    /// Version 2, for Nebula 1.10 and later.
    #[serde(rename = "2")]
    Two,
    /// One of each.
    #[serde(rename = "both")]
    Both,
}

/// The version in which nodes that have certificates of both versions begin handshakes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub(super) enum InitiatingVersion {
    /// Version 1, which nodes of every release understand; IPv6 addresses don't answer.
    #[serde(rename = "1")]
    One,
    /// Version 2, once every node has a certificate of it.
    #[serde(rename = "2")]
    Two,
}

/// The curve of the network's keys.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub(super) enum Curve {
    /// X25519 and Ed25519.
    #[serde(rename = "25519")]
    Curve25519,
    /// NIST P-256.
    P256,
}

/// One overlay.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Network)]
struct NetworkView {
    #[schema(value_type = Id)]
    id: String,
    /// Unique over all tenants; the dialect's `projectId`.
    name: String,
    #[schema(value_type = Id)]
    tenant: TenantId,
    /// One of each family at most.
    prefixes: Vec<String>,
    versions: Versions,
    curve: Curve,
    /// How long nodes' certificates are valid.
    lifetime_seconds: i64,
    /// How long a released address is kept from others, at least.
    hold_seconds: i64,
    /// Whether it is kept for that time alone, whatever its certificates.
    hold_alone: bool,
    /// After how long without any request of its own a node that has reported before is released; null
    /// for never.
    #[schema(required)]
    silence_seconds: Option<i64>,
    /// The MTU of nodes' devices, where they have none of their own.
    mtu: u32,
    /// Null where nodes have certificates of one version only.
    #[schema(required)]
    initiating_version: Option<InitiatingVersion>,
    /// The CA that signs.
    ca: SigningCaView,
    /// Counts the changes of what other nodes' bundles hold.
    revision: i64,
    created_at: Timestamp,
}

/// The CA that signs for a network.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SigningCa)]
struct SigningCaView {
    #[schema(value_type = Id)]
    id: CaId,
    /// SHA-256, in hex.
    fingerprint: String,
    not_after: Timestamp,
    /// `valid`, `not_yet_valid`, `ends_soon` (within 60 days, or the last third of its lifetime
    /// where that is shorter) or `expired`: then nothing is issued until another is added.
    standing: &'static str,
}

impl From<NetworkCa> for SigningCaView {
    fn from(ca: NetworkCa) -> Self {
        Self {
            id: ca.id,
            fingerprint: ca.fingerprint.to_string(),
            not_after: Timestamp(ca.not_after),
            standing: ca.standing.word(),
        }
    }
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

impl From<(Network, NetworkCa)> for NetworkView {
    fn from((network, ca): (Network, NetworkCa)) -> Self {
        let begins_with =
            (network.versions == crate::Versions::Both).then(|| network.begins_with());
        let prefixes = [network.prefix_v4, network.prefix_v6].into_iter().flatten();
        Self {
            id: network.id.to_string(),
            name: network.name,
            tenant: network.tenant,
            prefixes: prefixes.map(|prefix| prefix.to_string()).collect(),
            versions: match network.versions {
                crate::Versions::V1 => Versions::One,
                crate::Versions::V2 => Versions::Two,
                crate::Versions::Both => Versions::Both,
            },
            curve: match network.curve {
                nebula_pki::Curve::P256 => Curve::P256,
                _ => Curve::Curve25519,
            },
            lifetime_seconds: network.lifetime,
            hold_seconds: network.hold_seconds,
            hold_alone: network.hold_alone,
            silence_seconds: network.silence_seconds,
            mtu: network.mtu,
            initiating_version: begins_with.map(|version| match version {
                Version::V1 => InitiatingVersion::One,
                _ => InitiatingVersion::Two,
            }),
            ca: ca.into(),
            revision: network.revision.0,
            created_at: Timestamp(network.created_at),
        }
    }
}

impl From<Versions> for crate::Versions {
    fn from(versions: Versions) -> Self {
        match versions {
            Versions::One => Self::V1,
            Versions::Two => Self::V2,
            Versions::Both => Self::Both,
        }
    }
}

impl From<InitiatingVersion> for Version {
    fn from(version: InitiatingVersion) -> Self {
        match version {
            InitiatingVersion::One => Self::V1,
            InitiatingVersion::Two => Self::V2,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewNetworkBody {
    /// 1 to 128 characters, none of them a control character; unique over all tenants.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    name: NetworkRef,
    /// The credential's own, or the default one, where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Id, required = false)]
    tenant: Option<TenantId>,
    /// One of each family at most.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 2)]
    prefixes: Vec<Prefix>,
    /// Of certificates. Where left out 2, and 1 with the certificate of a version 1 CA and without an
    /// IPv6 prefix: such a network has nodes of version 1 that may be imported.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Versions, required = false)]
    versions: Option<Versions>,
    /// Of keys; 25519 where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Curve, required = false)]
    curve: Option<Curve>,
    /// Of nodes' certificates: 10 minutes to 10 years; 14 days where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 600, maximum = 315_360_000)]
    lifetime_seconds: Option<i64>,
    /// How long a released address is kept, at least: up to 10 years; a day where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 315_360_000)]
    hold_seconds: Option<i64>,
    /// Whether a released address is kept for the hold time alone, whatever its certificates. False
    /// where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false)]
    hold_alone: Option<bool>,
    /// After how long without a report a node is released: an hour to 10 years; null for never, as
    /// where left out.
    #[serde(default)]
    #[schema(minimum = 3600, maximum = 315_360_000)]
    silence_seconds: Option<i64>,
    /// Of nodes' devices, in bytes; 1300 where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = u32, required = false, minimum = 500, maximum = 65535)]
    mtu: Option<u32>,
    /// Only where `versions` is `both`; 1 where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = InitiatingVersion, required = false)]
    initiating_version: Option<InitiatingVersion>,
    /// Where addresses come from, in the order of use: prefixes, ranges (`10.1.0.10-10.1.0.20`) or
    /// single addresses. All of the prefixes where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false, max_items = 64)]
    pools: Option<Vec<Range>>,
    /// Its CA, whose curve it has where that is not a new one. Made here under the network's name
    /// where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = CaBody, required = false)]
    ca: Option<CaBody>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NetworkPatchBody {
    /// 1 to 128 characters, none of them a control character; unique over all tenants.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 128)]
    name: Option<NetworkRef>,
    /// Those it has, or larger ones around them, which moves the revision and makes the nodes'
    /// certificates due; and one of a family that it has none of, which gets a pool of all its
    /// addresses.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false, min_items = 1, max_items = 2)]
    prefixes: Option<Vec<Prefix>>,
    /// From 1 to both or 2, and from both to 2; nodes have them with their next certificates.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Versions, required = false)]
    versions: Option<Versions>,
    /// 10 minutes to 10 years.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 600, maximum = 315_360_000)]
    lifetime_seconds: Option<i64>,
    /// Up to 10 years.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 315_360_000)]
    hold_seconds: Option<i64>,
    /// Whether a released address is kept for the hold time alone, whatever its certificates.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false)]
    hold_alone: Option<bool>,
    /// An hour to 10 years; null for never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 3600, maximum = 315_360_000)]
    silence_seconds: Option<Option<i64>>,
    /// In bytes. Moves the revision.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = u32, required = false, minimum = 500, maximum = 65535)]
    mtu: Option<u32>,
    /// Only where `versions` is `both`; null where it was. Moves the revision.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<InitiatingVersion>, required = false)]
    initiating_version: Option<Option<InitiatingVersion>>,
    // As they are shown.
    #[serde(default)]
    #[schema(ignore)]
    id: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    tenant: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    curve: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    ca: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    revision: Option<Value>,
    #[serde(default)]
    #[schema(ignore)]
    created_at: Option<Value>,
}

impl NetworkPatchBody {
    fn shown(&mut self) -> Shown {
        // The counter may have moved since.
        self.revision = None;
        Shown::new([
            ("id", self.id.take()),
            ("tenant", self.tenant.take()),
            ("curve", self.curve.take()),
            ("ca", self.ca.take()),
            ("createdAt", self.created_at.take()),
        ])
    }
}

impl NewNetworkBody {
    fn has_ipv6(&self) -> bool {
        self.prefixes.iter().any(|Prefix(prefix)| prefix.addr().is_ipv6())
    }
}

/// Whether a network of this CA was run with version 1, most likely.
fn is_of_version_1(ca: &CaSource) -> bool {
    let CaSource::Imported(files) = ca else { return false };
    let certificate = Certificate::from_pem(files.certificate.as_bytes());
    certificate.is_ok_and(|certificate| certificate.version() == Version::V1)
}

impl From<NewNetworkBody> for NewNetwork {
    fn from(body: NewNetworkBody) -> Self {
        let usual = NetworkSettings::default();
        Self {
            name: body.name,
            tenant: body.tenant,
            prefixes: body.prefixes.into_iter().map(|Prefix(prefix)| prefix).collect(),
            versions: body.versions.unwrap_or(Versions::Two).into(),
            curve: match body.curve {
                Some(Curve::P256) => nebula_pki::Curve::P256,
                Some(Curve::Curve25519) | None => nebula_pki::Curve::Curve25519,
            },
            settings: NetworkSettings {
                lifetime: body.lifetime_seconds.unwrap_or(usual.lifetime),
                hold_seconds: body.hold_seconds.unwrap_or(usual.hold_seconds),
                hold_alone: body.hold_alone.unwrap_or(usual.hold_alone),
                silence_seconds: body.silence_seconds,
                mtu: body.mtu.unwrap_or(usual.mtu),
                initiating_version: body.initiating_version.map(Into::into),
            },
            pools: body.pools.map(|pools| pools.into_iter().map(|Range(range)| range).collect()),
        }
    }
}

impl From<NetworkPatchBody> for NetworkPatch {
    fn from(body: NetworkPatchBody) -> Self {
        let prefixes = |prefixes: Vec<Prefix>| prefixes.into_iter().map(|Prefix(prefix)| prefix);
        Self {
            name: body.name,
            prefixes: body.prefixes.map(|given| prefixes(given).collect()),
            versions: body.versions.map(Into::into),
            lifetime: body.lifetime_seconds,
            hold_seconds: body.hold_seconds,
            hold_alone: body.hold_alone,
            silence_seconds: body.silence_seconds,
            mtu: body.mtu,
            initiating_version: body.initiating_version.map(|version| version.map(Into::into)),
        }
    }
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

/// Make a network with its CA and pools.
#[utoipa::path(post, path = "/networks", operation_id = "create_network", tag = "networks",
    params(IdempotencyKey), request_body = NewNetworkBody,
    responses((status = 201, description = "It was made.", body = NetworkView),
        (status = 200, description = "A repeated request has made it before.", body = NetworkView),
        (status = 429, description = "Other encrypted keys are being opened.",
            body = super::problem::Document, content_type = "application/problem+json")))]
async fn create_network(
    State(service): State<Arc<Service>>,
    ask: AskWith<NewNetworkBody>,
) -> Answer {
    let mut body = ask.body;
    let ca = body.ca.take().map(|ca| ca.read_first(&body.name)).transpose();
    let ca = checked(&service, &ask.context, ca).await?;
    if body.versions.is_none() && ca.as_ref().is_some_and(is_of_version_1) && !body.has_ipv6() {
        body.versions = Some(Versions::One);
    }
    let made = service.create_network_with(ask.context, body.into(), ask.repeat, ca).await?;
    let location = format!("{}/{}", ask.list, made.resource.id);
    let (tag, view) = view(&service, made.resource).await?;
    Ok(created(made.is_new, &location, tagged(&tag, view)))
}

/// Read a network, by its name or id.
#[utoipa::path(get, path = "/networks/{network}", operation_id = "read_network", tag = "networks",
    params(("network" = String, Path, description = "Its name or id."), IfNoneMatch),
    responses((status = 200, description = "The network.", body = NetworkView),
        (status = 304, description = "It has not changed.")))]
async fn read_network(State(service): State<Arc<Service>>, ask: Ask<NetworkRef>) -> Answer {
    let network = service.network(ask.context, ask.path).await?;
    let (tag, view) = view(&service, network).await?;
    Ok(unless_known(&ask.conditions, &tag, view))
}

/// Change a network's settings.
#[utoipa::path(patch, path = "/networks/{network}", operation_id = "change_network",
    tag = "networks",
    params(("network" = String, Path, description = "Its name or id."), IfMatch),
    request_body = NetworkPatchBody,
    responses((status = 200, description = "As it is now.", body = NetworkView)))]
async fn change_network(
    State(service): State<Arc<Service>>,
    ask: AskWith<NetworkPatchBody, NetworkRef>,
) -> Answer {
    let mut body = ask.body;
    let shown = body.shown();
    if !shown.is_empty() {
        let network = service.network(ask.context.clone(), ask.path.clone()).await?;
        shown.check(&view(&service, network).await?.1)?;
    }
    let (expected, patch) = (ask.conditions.expected, body.into());
    let network = service.change_network(ask.context, ask.path, expected, patch).await?;
    let (tag, view) = view(&service, network).await?;
    Ok(tagged(&tag, view))
}

/// Make the certificates due that a network's nodes have now: whoever asks gets new ones, signed by
/// the CA that signs now. The revision moves, so that nodes that wait are told.
#[utoipa::path(post, path = "/networks/{network}/renew", operation_id = "renew_certificates",
    tag = "networks",
    params(("network" = String, Path, description = "Its name or id.")),
    responses((status = 200, description = "They are due.", body = NetworkView)))]
async fn renew_certificates(State(service): State<Arc<Service>>, ask: Ask<NetworkRef>) -> Answer {
    let network = service.renew_all(ask.context, ask.path).await?;
    let (tag, view) = view(&service, network).await?;
    Ok(tagged(&tag, view))
}

/// Read the certificates of the CAs that a network trusts.
#[utoipa::path(get, path = "/networks/{network}/ca", operation_id = "read_network_ca",
    tag = "networks", params(("network" = String, Path, description = "Its name or id.")),
    responses((status = 200, description = "One PEM block for each.", body = String,
        content_type = "application/x-pem-file")))]
async fn read_network_ca(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef>,
) -> Answer<Response> {
    let pem = service.network_ca(ask.context, ask.path).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response())
}
