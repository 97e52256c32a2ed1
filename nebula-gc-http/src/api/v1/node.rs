//! What a node does with its own node token: read itself, wait for changes, renew, report.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, Nothing, checked};
use super::problem::Problem;
use super::respond::{Answer, json};
use crate::api::Stopping;
use crate::api::public_key;
use crate::wire::{
    Desired as DesiredView, NodeToken as TokenBody, OwnCertificate as OwnCertificateView,
    OwnNode as OwnView, Renewal as RenewalBody, Renewed as RenewedView, Report, Timestamp,
};
use crate::{
    Bearer, Desired, NodeReport, OwnCertificate, OwnNode, Renewed, ReportDetails, Service,
};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(read_own_node))
        .routes(routes!(watch_own_node))
        .routes(routes!(renew_own_certificates))
        .routes(routes!(report_own_node))
        .routes(routes!(rotate_own_token))
}

/// How long a poll waits unless the node says, in seconds.
const WAIT: u64 = 30;
/// How long it may.
const LONGEST_WAIT: u64 = 60;

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
    /// How long to wait for a change, in seconds.
    #[param(minimum = 0, maximum = 60, default = 30)]
    wait_seconds: Option<u64>,
}

/// Read the node's own state.
#[utoipa::path(get, path = "/node", operation_id = "read_own_node", tag = "node",
    responses((status = 200, description = "The node.", body = OwnView)))]
async fn read_own_node(State(service): State<Arc<Service>>, ask: Ask) -> Answer {
    Ok(json(OwnView::from(service.own_node(ask.context).await?)))
}

/// Wait until the node's bundle has changed (long poll).
#[utoipa::path(get, path = "/node/watch", operation_id = "watch_own_node", tag = "node",
    params(Watching),
    responses((status = 200, description = "A newer bundle is available.", body = DesiredView),
        (status = 204, description = "Nothing has changed within the time. Poll again."),
        (status = 429, description = "The node already has too many open polls.",
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

/// Renew the node's certificates: for the same key once two thirds of the lifetime have passed; for
/// another key at any time, but at most once a minute and ten times a day. Before that, the current
/// certificates are returned.
#[utoipa::path(post, path = "/node/renew", operation_id = "renew_own_certificates", tag = "node",
    request_body = RenewalBody,
    responses((status = 200, description = "The certificates it has now.", body = RenewedView),
        (status = 429, description = "The node changed its key too recently or too often.",
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

/// Report what the node has applied, and how it is. Older counters change nothing.
#[utoipa::path(post, path = "/node/report", operation_id = "report_own_node", tag = "node",
    request_body = Report, responses((status = 204, description = "The report is recorded.")))]
async fn report_own_node(
    State(service): State<Arc<Service>>,
    ask: AskWith<Report>,
) -> Answer<StatusCode> {
    let Report { revision, generation, receipt, .. } = ask.body;
    let details = ReportDetails {
        nebula: ask.body.nebula,
        agent: ask.body.agent,
        platform: ask.body.platform,
        overridden: ask.body.overridden,
        uptime_seconds: ask.body.uptime_seconds,
        restart_needed: ask.body.restart_needed,
        tunnels: ask.body.tunnels,
        bytes_in: ask.body.bytes_in,
        bytes_out: ask.body.bytes_out,
        clock_skew_seconds: ask.body.clock_skew_seconds,
        problem: ask.body.problem,
    };
    let applied = Desired { revision, generation };
    service.report_with(ask.context, applied, NodeReport { receipt, details }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace the node's token. The old one stops working; to repeat the request, use the new one.
#[utoipa::path(post, path = "/node/token", operation_id = "rotate_own_token", tag = "node",
    request_body = TokenBody, responses((status = 204, description = "The token is replaced.")))]
async fn rotate_own_token(
    State(service): State<Arc<Service>>,
    ask: AskWith<TokenBody>,
) -> Answer<StatusCode> {
    let token = Bearer::from_device(ask.body.node_token.expose()).map_err(Problem::from);
    let token = checked(&service, &ask.context, token).await?;
    service.rotate_own_token(ask.context, token).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<OwnNode> for OwnView {
    fn from(node: OwnNode) -> Self {
        Self {
            id: node.id.to_string(),
            network: node.network,
            name: node.name,
            state: node.state.word().to_owned(),
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
