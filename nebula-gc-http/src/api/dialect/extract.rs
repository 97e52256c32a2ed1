//! What requests carry, with refusals in the dialect's words.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::api::bodies::Held;
use crate::api::incoming::{self, BUSY_SECONDS, BodyError};
use crate::error::{Code, Fault, Field};
use crate::{Context, DeviceId, NetworkRef, Service};

/// The query's `projectId`, which may be left out.
pub(super) struct Project(pub(super) Option<NetworkRef>);

impl<S: Send + Sync> FromRequestParts<S> for Project {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if !parts.uri.query().is_none_or(incoming::is_text) {
            return Err(Problem::invalid("query", "must be percent-encoded UTF-8"));
        }
        let Query(parameters) =
            Query::<Vec<(String, String)>>::from_request_parts(parts, state).await.map_err(
                |_| Problem::invalid("query", "must be projectId=… with percent-encoded UTF-8"),
            )?;
        let mut project = None;
        for (name, value) in parameters {
            if name != "projectId" {
                let reason = format!("unknown parameter {name:?}; allowed: projectId");
                return Err(Problem::invalid("query", reason));
            }
            if project.replace(NetworkRef::new(value)?).is_some() {
                return Err(Fault::Repeated.of(Field::Network).into());
            }
        }
        Ok(Self(project))
    }
}

/// A request about one device. Whether someone has the credential comes before what is wrong with
/// the rest.
pub(super) struct AboutDevice {
    pub(super) context: Context,
    pub(super) device: DeviceId,
    pub(super) project: Option<NetworkRef>,
}

impl FromRequestParts<Arc<Service>> for AboutDevice {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Self, Problem> {
        let context = incoming::context(parts)?;
        // Not `admit_to_read`, which is for node tokens: these routes refuse them.
        service.admit(&context).await?;
        let (device, project) = about(parts).await?;
        Ok(Self { context, device, project })
    }
}

async fn about(parts: &mut Parts) -> Result<(DeviceId, Option<NetworkRef>), Problem> {
    let Path(device) = Path::<String>::from_request_parts(parts, &())
        .await
        .map_err(|_| Problem::invalid("deviceId", "must be percent-encoded UTF-8"))?;
    let Project(project) = Project::from_request_parts(parts, &()).await?;
    Ok((DeviceId::new(device)?, project))
}

/// An authorised caller's JSON body. Whether someone has the credential comes before what is wrong
/// with the body.
pub(super) struct Authenticated<T> {
    pub(super) context: Context,
    pub(super) body: T,
    #[allow(dead_code, reason = "given back with the answer")]
    pub(super) held: Held,
}

impl<T: Parse> FromRequest<Arc<Service>> for Authenticated<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let context = incoming::context(&parts)?;
        service.admit(&context).await?;
        let incoming::Read { bytes, held } = read(&parts, body).await?;
        Ok(Self { context, body: T::parse(&bytes)?, held })
    }
}

/// A request body that is checked on its way in.
pub(super) trait Parse: Sized {
    /// Takes the JSON apart.
    fn parse(bytes: &[u8]) -> Result<Self, Problem>;
}

/// Reads a JSON object into its wire form.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    crate::api::json::read(bytes)
        .map_err(|unreadable| Problem::invalid(&unreadable.field, unreadable.reason))
}

async fn read(parts: &Parts, body: Body) -> Result<incoming::Read, Problem> {
    incoming::body(parts, body, incoming::BODY_LIMIT).await.map_err(|error| match error {
        BodyError::TooLarge(_) => Problem::new(Code::TooLarge, error.detail()),
        BodyError::Busy => {
            Problem::new(Code::RateLimited, error.detail()).retry_after(BUSY_SECONDS)
        }
        BodyError::Full => {
            Problem::new(Code::Unavailable, error.detail()).retry_after(BUSY_SECONDS)
        }
        BodyError::ContentType
        | BodyError::ContentEncoding
        | BodyError::Late(_)
        | BodyError::Cut => Problem::invalid("body", error.detail()),
    })
}
