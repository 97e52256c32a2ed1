//! Lists of nodes, of their certificates, of the blocklist, and of who has not applied it.

use std::sync::Arc;

use axum::extract::State;
use nebula_alloc::NetworkId;
use nebula_pki::Fingerprint;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::About;
use crate::api::v1::ask::{Ask, AskWith};
use crate::api::v1::page::{Cursor, Limit, Page, Paging, after};
use crate::api::v1::remaining::Changing;
use crate::api::v1::respond::{Answer, json};
use crate::api::v1::values::{not_negative, read_each};
use crate::wire::{
    BlockReport as BlockReportView, Blocked as BlockedView, Certificate as CertificateView, Id,
    NewBlockedBody, Node as NodeView, NodeRole as RoleWord, NodeState as StateWord,
    Unapplied as UnappliedView,
};
use crate::{
    BlockReport, CaId, CertificateId, Label, NetworkRef, NodeDetails, NodeFilter, NodeId, NodeName,
    NodePage, NodeRole, NodeState, Service, UserName,
};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(list_nodes))
        .routes(routes!(list_expiring_nodes))
        .routes(routes!(list_node_certificates))
        .routes(routes!(list_blocklist, add_to_blocklist))
        .routes(routes!(list_unapplied_nodes))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct NodesQuery {
    /// Where to continue: `next` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many items to return at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
    /// Only nodes in this state. Default: all but released ones.
    #[param(inline)]
    state: Option<StateWord>,
    /// Only nodes whose name begins with this.
    #[param(value_type = Option<String>, min_length = 1, max_length = 128)]
    name_prefix: Option<Label>,
    /// Only nodes of this user.
    #[param(value_type = Option<String>, min_length = 1, max_length = 128)]
    user: Option<UserName>,
    /// Only nodes in this group.
    #[param(value_type = Option<String>, min_length = 1, max_length = 253)]
    group: Option<NodeName>,
    /// Only nodes with this role.
    #[param(inline)]
    role: Option<RoleWord>,
    /// Only active nodes that have reported neither this revision of the network nor a later one.
    #[serde(default, deserialize_with = "not_negative")]
    #[param(minimum = 0)]
    not_applied_revision: Option<i64>,
    /// Only nodes whose current certificates are of this CA.
    #[param(value_type = Option<Id>)]
    ca: Option<CaId>,
}

impl NodesQuery {
    fn filter(&self) -> NodeFilter {
        NodeFilter {
            state: self.state.as_ref().map(|state| match state {
                StateWord::Active => NodeState::Active,
                StateWord::Suspended => NodeState::Suspended,
                StateWord::Revoked => NodeState::Revoked,
                StateWord::Released => NodeState::Released,
            }),
            name_prefix: self.name_prefix.as_ref().map(Label::to_string),
            user: self.user.as_ref().map(UserName::to_string),
            group: self.group.as_ref().map(NodeName::to_string),
            role: self.role.as_ref().map(|role| match role {
                RoleWord::Lighthouse => NodeRole::Lighthouse,
                RoleWord::Relay => NodeRole::Relay,
            }),
            not_applied: self.not_applied_revision,
            ca: self.ca,
            ends_by: None,
        }
    }
}

/// List a network's nodes, oldest first.
#[utoipa::path(get, path = "/networks/{network}/nodes", operation_id = "list_nodes", tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."), NodesQuery),
    responses((status = 200, description = "A page of nodes.", body = Page<NodeView>)))]
async fn list_nodes(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef, NodesQuery>,
) -> Answer {
    let filter = ask.query.filter();
    let NodesQuery { cursor, limit, .. } = ask.query;
    let after = after(&service, &ask.context, cursor, "nodes").await?.map(NodeId::from);
    let found = service.nodes(ask.context, ask.path, filter, after, read(limit)).await?;
    Ok(json(page(found, limit, "nodes")))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct ExpiringQuery {
    /// Where to continue: `next` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many items to return at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
    /// Nodes whose last certificate ends within this time. Default: 7 days.
    #[serde(default, deserialize_with = "not_negative")]
    #[param(minimum = 0)]
    within_seconds: Option<i64>,
}

/// How far the list of expiring nodes looks ahead by default, in seconds: a week.
const WEEK: i64 = 7 * 86_400;

/// List the active nodes whose last certificate ends soon or has ended, oldest node first.
#[utoipa::path(get, path = "/networks/{network}/expiring", operation_id = "list_expiring_nodes",
    tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."), ExpiringQuery),
    responses((status = 200, description = "A page of nodes.", body = Page<NodeView>)))]
async fn list_expiring_nodes(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef, ExpiringQuery>,
) -> Answer {
    let ExpiringQuery { cursor, limit, within_seconds } = ask.query;
    let after = after(&service, &ask.context, cursor, "expiring").await?.map(NodeId::from);
    let within = within_seconds.unwrap_or(WEEK);
    let found = service.expiring_nodes(ask.context, ask.path, within, after, read(limit)).await?;
    Ok(json(page(found, limit, "expiring")))
}

fn page(found: NodePage, limit: Limit, list: &str) -> Page<NodeView> {
    let place = |node: &NodeDetails| node.id.as_bytes().to_vec();
    let go_on = found.go_on.map(|id| id.as_bytes().to_vec());
    Page::cut_short(found.nodes, go_on, limit, list, place)
}

fn read(limit: Limit) -> usize {
    usize::try_from(limit.and_one()).unwrap_or(usize::MAX)
}

/// List every certificate that a node ever got, oldest first.
#[utoipa::path(get, path = "/networks/{network}/nodes/{node}/certificates",
    operation_id = "list_node_certificates", tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."), ("node" = Id, Path), Paging),
    responses((status = 200, description = "A page of certificates.",
        body = Page<CertificateView>)))]
async fn list_node_certificates(
    State(service): State<Arc<Service>>,
    ask: Ask<About, Paging>,
) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let (network, node) = ask.path;
    let after =
        after(&service, &ask.context, cursor, "certificates").await?.map(CertificateId::from);
    let entries =
        service.node_certificates(ask.context, network, node, after, limit.and_one()).await?;
    let page: Page<CertificateView> =
        Page::new(entries, limit, "certificates", |entry| entry.id.as_bytes().to_vec());
    Ok(json(page))
}

/// List the certificates that a network's bundles block.
#[utoipa::path(get, path = "/networks/{network}/blocklist", operation_id = "list_blocklist",
    tag = "networks",
    params(("network" = String, Path, description = "The network's name or id."), Paging),
    responses((status = 200, description = "A page of entries, ordered by fingerprint.",
        body = Page<BlockedView>)))]
async fn list_blocklist(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef, Paging>,
) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "blocklist").await?;
    let entries = service.blocklist(ask.context, ask.path, after, limit.and_one()).await?;
    let page: Page<BlockedView> =
        Page::new(entries, limit, "blocklist", |entry| entry.fingerprint.as_bytes().to_vec());
    Ok(json(page))
}

/// A fingerprint as text.
struct FingerprintText(Fingerprint);

impl<'de> Deserialize<'de> for FingerprintText {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let form = "must be a fingerprint, of 64 hexadecimal digits";
        text.parse().map(Self).map_err(|_| serde::de::Error::custom(form))
    }
}

/// Block certificates that were issued elsewhere, permanently. Certificates of nodes are blocked
/// with their nodes. Fingerprints of CAs are refused, because Nebula looks up only hosts'
/// fingerprints: retire the CA.
#[utoipa::path(post, path = "/networks/{network}/blocklist", operation_id = "add_to_blocklist",
    tag = "networks",
    params(("network" = String, Path, description = "The network's name or id.")),
    request_body = NewBlockedBody,
    responses((status = 200, description = "The certificates are blocked.", body = BlockReportView)))]
async fn add_to_blocklist(
    State(service): State<Arc<Service>>,
    ask: AskWith<NewBlockedBody, NetworkRef>,
) -> Answer {
    let texts = read_each::<FingerprintText>("fingerprints", ask.body.fingerprints)?;
    let fingerprints = texts.into_iter().map(|FingerprintText(it)| it).collect();
    let changing = Changing::new(&service, &ask.context, &ask.path);
    let report = service.block_certificates(ask.context, ask.path, fingerprints).await?;
    let BlockReport { blocked, present, revision } = report;
    changing.answer(Ok(json(BlockReportView { blocked, present, revision }))).await
}

/// Read which nodes have not yet applied a revision. A revocation has taken effect everywhere once
/// none is left.
#[utoipa::path(get, path = "/networks/{network}/revisions/{revision}/unapplied",
    operation_id = "list_unapplied_nodes", tag = "nodes",
    params(("network" = String, Path, description = "The network's name or id."),
        ("revision" = i64, Path, minimum = 1, description = "The network's revision."), Paging),
    responses((status = 200, description = "How many, and a page of them.", body = UnappliedView)))]
async fn list_unapplied_nodes(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, i64), Paging>,
) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let (network, revision) = ask.path;
    let after = after(&service, &ask.context, cursor, "unapplied").await?.map(NodeId::from);
    let found = service.unapplied(ask.context, network, revision, after, read(limit)).await?;
    Ok(json(UnappliedView {
        network: NetworkId::to_string(&found.network),
        revision: found.revision,
        current_revision: found.current,
        applied_by_all: found.count == 0,
        count: found.count,
        reporting_count: found.reporting_count,
        reporting: found.reporting,
        nodes: page(found.nodes, limit, "unapplied"),
    }))
}
