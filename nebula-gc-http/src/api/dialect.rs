//! The compatibility dialect, `/api/nebula`, for clients of the older register endpoint. Its words
//! (`projectId`, `deviceName`, `nebulaIp`) are translated here and go no further; a device's own id is
//! known to the service, too.

mod extract;
pub(super) mod problem;
pub(super) mod wire;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use nebula_bundle::Bundle;

use self::extract::{AboutDevice, Authenticated, Project};
use self::problem::Problem;
use self::wire::{PoolData, RegisterData, Released, Status, Success};
use super::incoming;
use crate::error::Unavailable;
use crate::service::{AddPool, DeviceEnrollment, Service};
use crate::wire::Count;
use crate::{Enrolled, Error, shell_word};

pub(super) fn router() -> Router<Arc<Service>> {
    Router::new()
        .route("/register", post(register))
        .route("/bundle/{device}", get(bundle))
        .route("/ca", get(ca))
        .route("/status/{device}", get(status))
        .route("/release/{device}", post(release))
        .route("/pools", post(add_pool))
}

type Answer<T> = Result<T, Problem>;

async fn register(
    State(service): State<Arc<Service>>,
    request: Authenticated<DeviceEnrollment>,
) -> Answer<Json<Success<RegisterData>>> {
    let enrolled = service.enroll_device(request.context, request.body).await?;
    Ok(Json(Success::new(register_data(enrolled)?)))
}

async fn bundle(State(service): State<Arc<Service>>, request: AboutDevice) -> Answer<Response> {
    let bundle = service.bundle(request.context, request.project, request.device).await?;
    let (_, zip) = bundle.render(Bundle::to_zip).await?;
    Ok(([(header::CONTENT_TYPE, "application/zip")], zip).into_response())
}

async fn ca(
    State(service): State<Arc<Service>>,
    Project(project): Project,
    parts: Parts,
) -> Answer<Response> {
    // Whoever says which network needs no credential.
    let context = match parts.headers.contains_key(header::AUTHORIZATION) && project.is_none() {
        true => Some(incoming::context(&parts)?),
        false => None,
    };
    let pem = service.ca_certificates(context, project).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response())
}

async fn status(State(service): State<Arc<Service>>, request: AboutDevice) -> Answer<Json<Status>> {
    let device_id = request.device.to_string();
    let status = service.status(request.context, request.project, request.device).await?;
    Ok(Json(Status {
        success: true,
        device_id,
        nebula_ip: status.address.map(single),
        allocated: status.address.is_some(),
    }))
}

async fn release(
    State(service): State<Arc<Service>>,
    request: AboutDevice,
) -> Answer<Json<Released>> {
    let message = format!("device {} is released and its certificates are blocked", request.device);
    service.release(request.context, request.project, request.device).await?;
    Ok(Json(Released { success: true, message }))
}

async fn add_pool(
    State(service): State<Arc<Service>>,
    request: Authenticated<AddPool>,
) -> Answer<Json<Success<PoolData>>> {
    let added = service.add_pool(request.context, request.body).await?;
    let notice = (!added.gives_back).then(|| keeps_all(&added.network));
    let data = PoolData {
        project_id: added.network,
        cidr: added.prefix.to_string(),
        capacity: Count(added.capacity),
    };
    Ok(Json(Success::new(data).with_notice(notice)))
}

/// That a network's devices keep their addresses for ever, and how to change that.
fn keeps_all(network: &str) -> String {
    format!(
        "devices that register here keep their addresses until they are released: to release them some time \
         after their last certificate has ended, set giveBackSeconds, which is off (nebula-gc admin networks set \
         {} --give-back 30d)",
        shell_word(network)
    )
}

fn register_data(enrolled: Enrolled) -> Result<RegisterData, Error> {
    let first =
        enrolled.networks.first().ok_or(Unavailable::Missing { what: "the node's address" })?;
    let newest = enrolled
        .certificates
        .last()
        .ok_or(Unavailable::Missing { what: "the node's certificate" })?;
    let zip = enrolled.bundle.to_zip().map_err(Unavailable::from)?;
    Ok(RegisterData {
        nebula_ip: single(first.addr()),
        nebula_ips: enrolled.networks.iter().map(|net| single(net.addr())).collect(),
        network: first.trunc().to_string(),
        device_name: enrolled.name,
        project_id: enrolled.network,
        device_id: enrolled.device,
        fingerprint: newest.fingerprint().to_string(),
        zip_size: zip.len(),
        zip_bundle: wire::base64(&zip),
    })
}

/// An address with /32 or /128, as the dialect writes one.
fn single(address: IpAddr) -> String {
    ipnet::IpNet::from(address).to_string()
}
