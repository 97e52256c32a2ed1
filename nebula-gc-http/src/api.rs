//! How the service is asked over HTTP.

pub mod dialect;
mod extract;
mod health;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::Service;
use crate::api::problem::Problem;

/// All routes over one service. Serve it with each client's address
/// ([`Router::into_make_service_with_connect_info`]), which the audit log keeps.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .nest("/api/nebula", dialect::router())
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/version", get(health::version))
        .fallback(async || Problem::no_such_route())
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .with_state(service)
}
