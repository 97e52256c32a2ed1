//! Enrolment: a device becomes a node.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use nebula_bundle::Endpoints;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ROOT;
use super::ask::{AskWith, checked};
use super::problem::Problem;
use super::respond::{Answer, created, json};
use super::values::{read, read_some};
use crate::api::public_key;
use crate::error::{Fault, Field};
use crate::text::percent_encode;
use crate::wire::{
    Bundle as BundleView, Enrolled as EnrolledView, EnrollmentBody, Lighthouse, PendingEnrollment,
    Timestamp,
};
use crate::{Bearer, Enrolled, Enrollment, Error, Servers, Service};

/// After how many seconds a device that waits for approval is to ask again.
const ASK_AGAIN_SECONDS: &str = "5";

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(enroll_node))
}

pub(super) fn endpoint(lighthouse: &Lighthouse) -> Result<Endpoints, Error> {
    let parsed = lighthouse.endpoint.parse();
    parsed.map_err(|error: nebula_bundle::Error| Fault::from(error).of(Field::LighthouseEndpoint))
}

/// Refuses an MTU that no tun device has.
pub(super) fn check_mtu(mtu: u32) -> Result<(), Error> {
    let tun = nebula_bundle::Tun { mtu, ..nebula_bundle::Tun::default() };
    tun.check().map_err(|error| Fault::from(error).of(Field::Mtu))
}

impl EnrolledView {
    fn new(enrolled: Enrolled, servers: Servers) -> Self {
        let (revision, generation) = enrolled.desired;
        let files = enrolled.bundle.files().map(|(name, text)| (name.to_owned(), text.to_owned()));
        Self {
            node: enrolled.node.to_string(),
            network: enrolled.network,
            name: enrolled.name,
            device: enrolled.device,
            addresses: enrolled.networks.iter().map(ToString::to_string).collect(),
            certificates: enrolled
                .certificates
                .iter()
                .map(nebula_pki::Certificate::to_pem)
                .collect(),
            revision,
            generation,
            bundle: BundleView {
                digest: enrolled.bundle.digest().to_string(),
                files: files.collect(),
                receipt: enrolled.receipt,
            },
            servers: Some(servers.list),
            servers_key: Some(servers.key),
        }
    }
}

fn enrollment(body: EnrollmentBody) -> Result<Enrollment, Problem> {
    body.mtu.map(check_mtu).transpose()?;
    Ok(Enrollment {
        network: read_some("network", body.network)?,
        name: read("name", body.name)?,
        public_key: public_key::read(&body.public_key)?,
        token: Bearer::from_device(body.node_token.expose())?,
        former_token: body
            .former_node_token
            .map(|token| Bearer::from_field(token.expose(), Field::FormerNodeToken))
            .transpose()?,
        device: read_some("device", body.device)?,
        user: read_some("user", body.user)?,
        groups: read_some("groups", body.groups)?,
        lighthouse: body.lighthouse.as_ref().map(endpoint).transpose()?,
        relay: body.relay,
        addresses: read_some("address", body.address)?,
        mtu: body.mtu,
    })
}

/// Enrol a node with a join token or operator key. Repeating the request with the same key and node
/// token returns what the node has, or asks again whether an operator has approved it.
#[utoipa::path(post, path = "/enroll", operation_id = "enroll_node", tag = "nodes",
    request_body = EnrollmentBody,
    responses((status = 201, description = "The node was created.", body = EnrolledView),
        (status = 200, description = "The node is known; this is what it has.",
            body = EnrolledView),
        (status = 202, description = "It waits until an operator has approved it: ask again.",
            body = PendingEnrollment,
            headers(("Retry-After" = i64, description = "After how many seconds to ask again.")))))]
async fn enroll_node(State(service): State<Arc<Service>>, ask: AskWith<EnrollmentBody>) -> Answer {
    let request = checked(&service, &ask.context, enrollment(ask.body)).await?;
    let enrolled = match service.enroll(ask.context, request).await {
        Err(Error::AwaitsApproval { pending, fingerprint, expires_at }) => {
            let pending = PendingEnrollment {
                pending: pending.to_string(),
                key_fingerprint: fingerprint.to_string(),
                expires_at: Timestamp(expires_at),
            };
            let again = [(header::RETRY_AFTER, HeaderValue::from_static(ASK_AGAIN_SECONDS))];
            return Ok((StatusCode::ACCEPTED, again, json(pending)).into_response());
        }
        enrolled => enrolled?,
    };
    let servers = service.servers_of_new_nodes().await?;
    let location =
        format!("{ROOT}/networks/{}/nodes/{}", percent_encode(&enrolled.network), enrolled.node);
    Ok(created(enrolled.is_new, &location, json(EnrolledView::new(enrolled, servers))))
}
