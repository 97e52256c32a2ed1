//! The HTTP API of the service.

mod bodies;
mod connection;
mod cors;
pub mod dialect;
mod health;
mod incoming;
mod join_page;
mod json;
mod public_key;
mod refused;
mod v1;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;

pub use self::bodies::Bodies;
pub use self::connection::{Public, Stopping};
pub use self::cors::{NotOrigin, Origins};
use crate::Service;
use crate::api::dialect::problem::Problem;
use crate::api::refused::Internal;
pub use crate::api::v1::openapi;
pub(crate) use crate::api::v1::refused_head;
use crate::log_limit::LogLimit;
use crate::service::asker::asked;
use crate::service::context::Origin;

/// All routes over one service. Serve it with each client's address
/// ([`Router::into_make_service_with_connect_info`]), which the audit log keeps.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .nest("/api/nebula", dialect::router())
        .merge(v1::router())
        .route("/openapi.json", get(v1::serve_openapi))
        // Paths for clients of the older register endpoint.
        .route("/health", get(health::live))
        .route("/readiness", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/version", get(health::version))
        .route("/join", get(join_page::page))
        .fallback(async || Problem::no_such_route())
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(service)
        .layer(middleware::from_fn(note_origin))
}

/// Limits the log lines about failures.
static FAILURES: LogLimit = LogLimit::new();

/// Gives each request its id, which the answer's `X-Request-Id`, the audit log and the log share,
/// and tells the log what the client was not told.
async fn note_origin(mut request: Request, next: Next) -> Response {
    let origin = match request.extensions().get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(address)) => Origin::remote(*address),
        None => Origin::local(),
    };
    request.extensions_mut().insert(origin);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = asked(origin, next.run(request)).await;
    let id = origin.request_id();
    if let Some(Internal(internal)) = response.extensions().get()
        && let Some(left_out) = FAILURES.admit(Instant::now())
    {
        let status = response.status().as_u16();
        tracing::error!(request = %id, %method, path, status, internal, left_out);
    }
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
