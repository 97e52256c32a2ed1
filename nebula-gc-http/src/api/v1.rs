//! The native API, `/api/v1`: JSON in camelCase, described by an OpenAPI document that the server
//! also serves.
//!
//! A file per thing. Its handlers take an [`ask::Ask`], so that who asks comes before what is wrong
//! with the rest, and answer resources or a [`problem::Problem`]. [`document`] adds to each
//! operation the refusals that it can meet.

pub(super) mod addresses;
mod ask;
mod blocks;
mod bundle;
mod cas;
mod document;
mod enroll;
mod events;
mod join_tokens;
mod networks;
mod node;
mod nodes;
mod operator_keys;
mod page;
mod path;
mod pending;
mod pools;
mod problem;
mod remaining;
mod reservations;
mod respond;
mod servers;
mod tag;
mod tenants;
mod users;
mod values;

use std::sync::{Arc, LazyLock};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use self::problem::Problem;
pub(crate) use self::problem::refused_head;
use crate::Service;
use crate::error::Code;

/// Where the API is.
const ROOT: &str = "/api/v1";

/// All routes, and their description.
fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::with_openapi(document::base()).nest(ROOT, things())
}

/// One line per thing.
fn things() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .merge(blocks::router())
        .merge(bundle::router())
        .merge(cas::router())
        .merge(enroll::router())
        .merge(events::router())
        .merge(join_tokens::router())
        .merge(networks::router())
        .merge(node::router())
        .merge(nodes::router())
        .merge(operator_keys::router())
        .merge(addresses::router())
        .merge(pending::router())
        .merge(pools::router())
        .merge(reservations::router())
        .merge(servers::router())
        .merge(tenants::router())
        .merge(users::router())
}

pub(super) fn router() -> Router<Arc<Service>> {
    let (router, _) = things().split_for_parts();
    let router = router
        .fallback(async || Problem::new(Code::NotFound, "there is no such route"))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "this route does not take this method")
        })
        .layer(middleware::from_fn(problem::finish));
    Router::new().nest(ROOT, router)
}

/// The description of all routes, OpenAPI 3.1.
#[must_use]
pub fn openapi() -> OpenApi {
    document::finish(routes().into_openapi())
}

/// The description as it is served and committed.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| openapi().to_pretty_json().unwrap_or_default() + "\n");

pub(super) async fn serve_openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}
