//! Enrolment: a device becomes a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use nebula_bundle::Endpoints;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ROOT;
use super::ask::{AskWith, checked};
use super::problem::Problem;
use super::respond::{Answer, created, json};
use super::values::{Id, Secret, not_null, segment};
use crate::api::public_key;
use crate::error::{Fault, Field};
use crate::server_list::SignedServerList;
use crate::{
    Bearer, DeviceId, Enrolled, Enrollment, Error, Groups, NetworkRef, NodeId, NodeName, Servers,
    Service,
};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(enroll_node))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EnrollmentBody {
    /// The network's name or id. Optional if the credential sees only one network, as a join token
    /// does.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 128)]
    network: Option<NetworkRef>,
    /// The node's name in the network: 1 to 253 bytes, no control characters, not `any`.
    #[schema(value_type = String, min_length = 1, max_length = 253)]
    name: NodeName,
    /// The PEM that `nebula-cert keygen` writes, or Base64 or hexadecimal of the raw key.
    public_key: String,
    /// The node token, created by the device: 32 to 256 printable ASCII characters, as random as
    /// possible.
    #[schema(value_type = String, min_length = 32, max_length = 256)]
    node_token: Secret,
    /// The token of the device's former node, if that was released: with it the device gets its
    /// addresses back, if the new node may have them.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 32, max_length = 256)]
    former_node_token: Option<Secret>,
    /// The device's own id, if it has one. After a release the device gets its addresses back by
    /// this id with an operator key, or with the same public key, which it must then keep for a
    /// while.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 128)]
    device: Option<DeviceId>,
    /// Default: those of the join token.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false, max_items = 64)]
    groups: Option<Groups>,
    /// The endpoint of a lighthouse.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = LighthouseBody, required = false)]
    lighthouse: Option<LighthouseBody>,
    /// Whether it is a relay. Default: as the join token says.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false)]
    relay: Option<bool>,
    /// The MTU of its tun interface, in bytes. Default: the network's.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = u32, required = false, minimum = 500, maximum = 65535)]
    mtu: Option<u32>,
}

/// The endpoint of a lighthouse.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Lighthouse)]
pub(super) struct LighthouseBody {
    /// `HOST:PORT`, or up to eight of them separated by commas, all of which other nodes try. It listens on
    /// the first one's port.
    pub(super) endpoint: String,
}

impl LighthouseBody {
    pub(super) fn endpoint(&self) -> Result<Endpoints, Error> {
        let parsed = self.endpoint.parse();
        parsed
            .map_err(|error: nebula_bundle::Error| Fault::from(error).of(Field::LighthouseEndpoint))
    }
}

/// Refuses an MTU that no tun device has.
pub(super) fn check_mtu(mtu: u32) -> Result<(), Error> {
    let tun = nebula_bundle::Tun { mtu, ..nebula_bundle::Tun::default() };
    tun.check().map_err(|error| Fault::from(error).of(Field::Mtu))
}

/// The answer to an enrolment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Enrolled)]
struct EnrolledView {
    #[schema(value_type = Id)]
    node: NodeId,
    /// The network's name.
    network: String,
    name: String,
    device: String,
    /// Its addresses with the prefix length of the network, IPv4 first.
    addresses: Vec<String>,
    /// Its certificates as PEM, the older version first.
    certificates: Vec<String>,
    /// The network's revision that the bundle is of.
    revision: i64,
    /// The node's generation that the bundle is of.
    generation: i64,
    bundle: BundleView,
    /// The servers that the node may ask, signed by the store's key.
    servers: SignedServerList,
    /// The store's public key, in Base64 for URLs. The node keeps it, and believes no list of servers that
    /// another key signed.
    servers_key: String,
}

/// What a node needs to start, except its private key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Bundle)]
struct BundleView {
    /// SHA-256 of the files; equal for equal bundles.
    digest: String,
    /// Text by file name.
    files: BTreeMap<&'static str, String>,
}

impl EnrolledView {
    fn new(enrolled: Enrolled, servers: Servers) -> Self {
        let (revision, generation) = enrolled.desired;
        let files = enrolled.bundle.files().map(|(name, text)| (name, text.to_owned()));
        Self {
            node: enrolled.node,
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
            },
            servers: servers.list,
            servers_key: servers.key.to_string(),
        }
    }
}

fn enrollment(body: EnrollmentBody) -> Result<Enrollment, Error> {
    body.mtu.map(check_mtu).transpose()?;
    Ok(Enrollment {
        network: body.network,
        name: body.name,
        public_key: public_key::read(&body.public_key)?,
        token: Bearer::from_device(&body.node_token.0)?,
        former_token: body
            .former_node_token
            .map(|Secret(token)| Bearer::from_field(&token, Field::FormerNodeToken))
            .transpose()?,
        device: body.device,
        groups: body.groups,
        lighthouse: body.lighthouse.map(|at| at.endpoint()).transpose()?,
        relay: body.relay,
        mtu: body.mtu,
    })
}

/// Enrol a node with a join token or operator key. Repeating the request with the same key and node
/// token returns what the node has.
#[utoipa::path(post, path = "/enroll", operation_id = "enroll_node", tag = "nodes",
    request_body = EnrollmentBody,
    responses((status = 201, description = "The node was created.", body = EnrolledView),
        (status = 200, description = "The node is known; this is what it has.",
            body = EnrolledView)))]
async fn enroll_node(State(service): State<Arc<Service>>, ask: AskWith<EnrollmentBody>) -> Answer {
    let request =
        checked(&service, &ask.context, enrollment(ask.body).map_err(Problem::from)).await?;
    let enrolled = service.enroll(ask.context, request).await?;
    let servers = service.servers_of_new_nodes().await?;
    let location =
        format!("{ROOT}/networks/{}/nodes/{}", segment(&enrolled.network), enrolled.node);
    Ok(created(enrolled.is_new, &location, json(EnrolledView::new(enrolled, servers))))
}
