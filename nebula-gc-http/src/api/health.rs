//! Whether the server lives, whether it can work, and what it is. Open to everyone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::Service;

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

#[derive(Serialize)]
pub(super) struct Version {
    name: &'static str,
    version: &'static str,
}

/// The process answers.
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// The process can do its work: the writer is up and the database answers.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, Json<Health>) {
    if service.is_ready().await {
        (StatusCode::OK, Json(Health { status: "ready" }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "unavailable" }))
    }
}

pub(super) async fn version() -> Json<Version> {
    Json(Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") })
}
