//! Responses with resources.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::tag::{Conditions, header_value};
use crate::service::Tag;

pub(in crate::api) type Answer<T = Response> = Result<T, Problem>;

/// A resource with its `ETag`.
pub(in crate::api) fn tagged(tag: &Tag, body: impl Serialize) -> Response {
    let mut response = json(body);
    if let Some(value) = header_value(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// As [`tagged`], or 304 if the client has it already.
pub(in crate::api) fn unless_known(
    conditions: &Conditions,
    tag: &Tag,
    body: impl Serialize,
) -> Response {
    if !conditions.has(tag) {
        return tagged(tag, body);
    }
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    if let Some(value) = header_value(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// 201 with the location, or 200 for what the same request created before.
pub(in crate::api) fn created(is_new: bool, location: &str, mut response: Response) -> Response {
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
        if let Ok(value) = HeaderValue::try_from(location) {
            response.headers_mut().insert(header::LOCATION, value);
        }
    }
    response
}

/// A response that may contain a secret, which must not be cached.
pub(in crate::api) fn json(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
