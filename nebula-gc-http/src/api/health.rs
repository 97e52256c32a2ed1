//! Health checks and the version, without a credential.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::Service;

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    /// Problems that need an operator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// A problem of some networks. Their names are only for operators.
#[derive(Serialize)]
struct Warning {
    code: &'static str,
    networks: usize,
}

impl Health {
    fn of(status: &'static str) -> Self {
        Self { status, warnings: vec![] }
    }
}

#[derive(Serialize)]
pub(super) struct Version {
    name: &'static str,
    version: &'static str,
}

/// The process is alive.
pub(super) async fn live() -> Json<Health> {
    Json(Health::of("live"))
}

/// The server can work: its writer runs and the database answers.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, Json<Health>) {
    let Some(cas) = service.readiness().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Health::of("unavailable")));
    };
    let warnings = [("ca_expired", cas.expired), ("ca_ends_soon", cas.ends_soon)];
    let warnings = warnings.into_iter().filter(|(_, networks)| *networks > 0);
    let warnings = warnings.map(|(code, networks)| Warning { code, networks }).collect();
    (StatusCode::OK, Json(Health { status: "ready", warnings }))
}

pub(super) async fn version() -> Json<Version> {
    Json(Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") })
}
