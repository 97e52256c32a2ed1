//! What every request carries, whatever dialect it is in.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};

use crate::{Bearer, Caller};

/// No body is larger, in bytes, unless its route says so.
pub(super) const BODY_LIMIT: usize = 64 * 1024;
/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Who asks, by the header `Authorization: Bearer …`; else what to send.
pub(super) fn caller(headers: &HeaderMap) -> Result<Caller, &'static str> {
    let header = headers
        .get(header::AUTHORIZATION)
        .ok_or("send an operator key as \"Authorization: Bearer …\"")?;
    let (scheme, secret) = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or("the header must be \"Authorization: Bearer …\"")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("the scheme must be Bearer");
    }
    Bearer::from_client(secret.trim_matches(' '))
        .map(Caller::Bearer)
        .ok_or("this operator key is not known, or was revoked")
}

/// Why a body was not read.
pub(super) enum BodyError {
    /// It is not said to be JSON.
    ContentType,
    /// It is compressed.
    ContentEncoding,
    /// It has more bytes than this.
    TooLarge(usize),
    /// It ended too early, or took too long.
    Incomplete(String),
}

impl BodyError {
    /// What to change.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::ContentType => "must be sent with \"Content-Type: application/json\"".to_owned(),
            Self::ContentEncoding => {
                "must be sent uncompressed, without \"Content-Encoding\"".to_owned()
            }
            Self::TooLarge(limit) => format!("the body may have {limit} bytes at most"),
            Self::Incomplete(detail) => detail.clone(),
        }
    }
}

/// Reads a body of JSON, of at most `limit` bytes.
pub(super) async fn body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, BodyError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(BodyError::ContentType);
    }
    if !["", "identity"].contains(&text(header::CONTENT_ENCODING)) {
        return Err(BodyError::ContentEncoding);
    }
    let declared = text(header::CONTENT_LENGTH).parse::<usize>();
    if declared.is_ok_and(|length| length > limit) {
        return Err(BodyError::TooLarge(limit));
    }
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(BodyError::TooLarge(limit)),
        Ok(Err(_)) => Err(BodyError::Incomplete("ended before it was complete".to_owned())),
        Err(_) => {
            let detail = format!("did not arrive within {} s", BODY_TIME.as_secs());
            Err(BodyError::Incomplete(detail))
        }
    }
}

fn is_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}
