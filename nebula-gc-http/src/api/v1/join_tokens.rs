//! Join tokens, with their links and QR codes.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nebula_alloc::PoolId;
use nebula_pki::Curve;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, checked};
use super::page::{Page, Paging, after};
use super::problem::Problem;
use super::respond::{Answer, created, json};
use super::tag::IdempotencyKey;
use super::values::{Uuid, read, read_some};
use crate::api::Public;
use crate::error::Unavailable;
use crate::service::{Expiry, NewJoinToken};
use crate::wire::{
    Id, JoinToken as JoinTokenView, NewJoinTokenBody, RenameBody, Secret, Timestamp,
};
use crate::{Bearer, Error, JoinToken, JoinTokenId, NetworkRef, Service};

/// The default lifetime of a join token, in seconds: a day.
const LIFETIME: i64 = 86_400;

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(list_join_tokens, create_join_token)).routes(routes!(
        read_join_token,
        rename_join_token,
        revoke_join_token
    ))
}

impl From<JoinToken> for JoinTokenView {
    fn from(token: JoinToken) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            uses: token.uses,
            used: token.used,
            expires_at: Timestamp(token.expires_at),
            name_pattern: token.name_pattern,
            groups: token.groups,
            relay: token.relay,
            lighthouse: token.lighthouse,
            pool: token.pool.map(|pool| pool.to_string()),
            user: token.user,
            device: token.device,
            address: token.addresses.as_ref().map(ToString::to_string),
            ephemeral_seconds: token.ephemeral_seconds,
            approval: token.approval,
            created_at: Timestamp(token.created_at),
            revoked_at: token.revoked_at.map(Timestamp),
            secret: None,
            link: None,
            qr_png: None,
            warning: None,
        }
    }
}

/// With the fields that are shown once.
fn showing(
    view: JoinTokenView,
    secret: &Bearer,
    curve: Curve,
    public: Option<&Public>,
) -> Result<JoinTokenView, Error> {
    let link = public.and_then(|public| link(secret, curve, public));
    let png = link.as_deref().map(nebula_pki::qr_png).transpose();
    let qr_png = png.map_err(Unavailable::from)?.map(|png| STANDARD.encode(png));
    let warning = match &link {
        Some(link) => is_open(link).then_some(OPEN),
        None => Some(NO_LINK),
    };
    Ok(JoinTokenView {
        secret: Some(secret.expose().into()),
        link: link.map(Secret::from),
        qr_png: qr_png.map(Secret::from),
        warning: warning.map(str::to_owned),
        ..view
    })
}

const NO_LINK: &str = "there is no link, because the server listens on all addresses and does not know \
    which of them devices use: set its public-url";
const OPEN: &str = "the link is for plain HTTP: everyone on the way sees the token, and can join with it; \
    give the server a certificate";

fn link(secret: &Bearer, curve: Curve, public: &Public) -> Option<String> {
    let mut link = format!("{}/join#token={}", public.url.as_ref()?, secret.expose());
    if let Some(pin) = public.pin {
        link.push_str("&pin=");
        link.push_str(&URL_SAFE_NO_PAD.encode(pin));
    }
    link.push_str(match curve {
        Curve::P256 => "&curve=P256",
        _ => "&curve=25519",
    });
    Some(link)
}

/// Whether a link uses plain HTTP to another machine.
fn is_open(link: &str) -> bool {
    let Some(rest) = link.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    };
    let host = host.unwrap_or_default();
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical().is_loopback());
    !is_loopback && host != "localhost"
}

fn new_join_token(body: NewJoinTokenBody) -> Result<NewJoinToken, Problem> {
    let name = read("name", body.name)?;
    let name_pattern = read_some("namePattern", body.name_pattern)?;
    let groups = read_some("groups", body.groups)?.unwrap_or_default();
    let pool = read_some("pool", body.pool)?.map(|Uuid(id)| PoolId(id));
    let addresses = read_some("address", body.address)?;
    let user = read_some("user", body.user)?;
    let device = read_some("device", body.device)?;
    let expires = match (body.expires_at, body.expires_in_seconds) {
        (None, None) => Expiry::In(LIFETIME),
        (Some(Timestamp(at)), None) => Expiry::At(at),
        (None, Some(seconds)) => Expiry::In(seconds),
        (Some(_), Some(_)) => {
            let reason = "give either expiresAt or expiresInSeconds";
            return Err(Problem::invalid("expiresAt", reason));
        }
    };
    Ok(NewJoinToken {
        name,
        uses: body.uses.unwrap_or(1),
        expires,
        name_pattern,
        groups,
        relay: body.relay.unwrap_or(false),
        lighthouse: body.lighthouse.unwrap_or(false),
        pool,
        addresses,
        user,
        device,
        ephemeral_seconds: body.ephemeral_seconds,
        approval: body.approval.unwrap_or(false),
    })
}

/// List a network's join tokens, including revoked ones.
#[utoipa::path(get, path = "/networks/{network}/join-tokens", operation_id = "list_join_tokens",
    tag = "join-tokens",
    params(("network" = String, Path, description = "The network's name or id."), Paging),
    responses((status = 200, description = "A page of tokens.", body = Page<JoinTokenView>)))]
async fn list_join_tokens(
    State(service): State<Arc<Service>>,
    ask: Ask<NetworkRef, Paging>,
) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "join tokens").await?.map(JoinTokenId::from);
    let tokens = service.join_tokens(ask.context, ask.path, after, limit.and_one()).await?;
    let page: Page<JoinTokenView> =
        Page::new(tokens, limit, "join tokens", |token| token.id.as_bytes().to_vec());
    Ok(json(page))
}

/// Create a join token. Only this answer contains its secret.
#[utoipa::path(post, path = "/networks/{network}/join-tokens",
    operation_id = "create_join_token", tag = "join-tokens",
    params(("network" = String, Path, description = "The network's name or id."), IdempotencyKey),
    request_body = NewJoinTokenBody,
    responses((status = 201, description = "Created.", body = JoinTokenView),
        (status = 200, description = "Created before, by the same request.",
            body = JoinTokenView)))]
async fn create_join_token(
    State(service): State<Arc<Service>>,
    ask: AskWith<NewJoinTokenBody, NetworkRef>,
) -> Answer {
    let request = checked(&service, &ask.context, new_join_token(ask.body)).await?;
    let curve = service.network(ask.context.clone(), ask.path.clone()).await?.curve;
    let made = service.create_join_token(ask.context, ask.path, request, ask.repeat).await?;
    let location = format!("{}/{}", ask.list, made.resource.id);
    let view = JoinTokenView::from(made.resource);
    let view = match &made.secret {
        Some(secret) => showing(view, secret, curve, ask.public.as_ref())?,
        None => view,
    };
    Ok(created(made.is_new, &location, json(view)))
}

/// Read a join token.
#[utoipa::path(get, path = "/networks/{network}/join-tokens/{joinToken}",
    operation_id = "read_join_token", tag = "join-tokens",
    params(("network" = String, Path, description = "The network's name or id."), ("joinToken" = Id, Path)),
    responses((status = 200, description = "The token.", body = JoinTokenView)))]
async fn read_join_token(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, JoinTokenId)>,
) -> Answer {
    let (network, id) = ask.path;
    Ok(json(JoinTokenView::from(service.join_token(ask.context, network, id).await?)))
}

/// Rename a join token. Its secret stays as it is.
#[utoipa::path(patch, path = "/networks/{network}/join-tokens/{joinToken}",
    operation_id = "rename_join_token", tag = "join-tokens", request_body = RenameBody,
    params(("network" = String, Path, description = "The network's name or id."), ("joinToken" = Id, Path)),
    responses((status = 200, description = "The changed resource.", body = JoinTokenView)))]
async fn rename_join_token(
    State(service): State<Arc<Service>>,
    ask: AskWith<RenameBody, (NetworkRef, JoinTokenId)>,
) -> Answer {
    let (network, id) = ask.path;
    let name = read("name", ask.body.name)?;
    let token = service.rename_join_token(ask.context, network, id, name).await?;
    Ok(json(JoinTokenView::from(token)))
}

/// Revoke a join token, permanently. Nodes that joined with it are not affected.
#[utoipa::path(delete, path = "/networks/{network}/join-tokens/{joinToken}",
    operation_id = "revoke_join_token", tag = "join-tokens",
    params(("network" = String, Path, description = "The network's name or id."), ("joinToken" = Id, Path)),
    responses((status = 204, description = "Revoked.")))]
async fn revoke_join_token(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, JoinTokenId)>,
) -> Answer<StatusCode> {
    let (network, id) = ask.path;
    service.revoke_join_token(ask.context, network, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
