//! What refusals of the native API and of the dialect share.

use axum::http::StatusCode;

use crate::error::Code;

/// What a refusal keeps from the client, on its way to the log.
#[derive(Debug, Clone)]
pub(super) struct Internal(pub(super) String);

/// The status of an answer with a code.
pub(super) fn status_of(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
