use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Error;

/// A refusal as the dialect words it: `{"success": false, "error": <code>, "detail": …}`.
#[derive(Debug)]
pub(in crate::api) struct Problem {
    status: StatusCode,
    code: Code,
    detail: String,
    /// Seconds after which to ask again.
    retry_after: Option<i64>,
    /// What only the log is told.
    internal: Option<String>,
}

/// What a refusal keeps from the client, on its way to the log.
#[derive(Debug, Clone)]
pub(in crate::api) struct Internal(pub(in crate::api) String);

/// The dialect's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum Code {
    InvalidRequest,
    InvalidPublicKey,
    Unauthorized,
    Forbidden,
    NotFound,
    PoolExhausted,
    KeyMismatch,
    Conflict,
    TooLarge,
    RateLimited,
    Unavailable,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::InvalidPublicKey => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::PoolExhausted | Self::KeyMismatch | Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code,
            detail: detail.into(),
            retry_after: None,
            internal: None,
        }
    }

    /// What is wrong with a field or parameter.
    pub(super) fn invalid(field: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidRequest, format!("{field}: {reason}"))
    }

    /// `Retry-After`, in seconds.
    pub(super) fn retry_after(self, seconds: i64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(in crate::api) fn no_such_route() -> Self {
        Self::new(Code::NotFound, "there is no such route")
    }

    pub(in crate::api) fn no_such_method() -> Self {
        let detail = "this route does not take this method";
        Self { status: StatusCode::METHOD_NOT_ALLOWED, ..Self::new(Code::InvalidRequest, detail) }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::InvalidRequest { .. } => Code::InvalidRequest,
            Error::InvalidPublicKey { .. } => Code::InvalidPublicKey,
            Error::Unauthorized { .. } => Code::Unauthorized,
            Error::Forbidden { .. }
            | Error::JoinTokenRefused { .. }
            | Error::NodeKeptOut { .. } => Code::Forbidden,
            Error::RateLimited { .. } => Code::RateLimited,
            Error::NotFound { .. } => Code::NotFound,
            Error::PoolExhausted { .. } => Code::PoolExhausted,
            Error::KeyMismatch { .. } => Code::KeyMismatch,
            Error::NameTaken { .. }
            | Error::NameIsId { .. }
            | Error::NodeReleased
            | Error::KeyTaken
            | Error::Overtaken
            | Error::Conflict { .. }
            | Error::Precondition { .. }
            | Error::LeasesStand { .. }
            | Error::CaExpired { .. }
            | Error::CaNotYetValid { .. }
            | Error::CaNeeded { .. }
            | Error::IdempotencyKeyReused => Code::Conflict,
            Error::Unavailable { .. } | Error::SignerAway { .. } => Code::Unavailable,
        };
        // The dialect has fields and words of its own.
        let detail = match &error {
            Error::InvalidRequest { field, reason } => format!("{}: {reason}", word_for(field)),
            Error::NameTaken { name } => {
                format!("deviceName: another device of the network is called {name:?}")
            }
            Error::NameIsId { name, .. } => {
                format!("deviceName: {name:?} is the id of another node; choose another name")
            }
            Error::KeyTaken => "publicKey: another device of the network has this key; \
                make a new pair on this device"
                .to_owned(),
            _ => error.to_string(),
        };
        let retry_after = match &error {
            Error::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        };
        let internal = match error {
            Error::Unavailable { internal } | Error::SignerAway { internal, .. } => Some(internal),
            _ => None,
        };
        Self { retry_after, internal, ..Self::new(code, detail) }
    }
}

/// What the dialect calls a field of a native command.
fn word_for(field: &str) -> &str {
    match field {
        "network" => "projectId",
        "device" => "deviceId",
        "name" => "deviceName",
        _ => field,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            success: bool,
            error: Code,
            detail: String,
        }
        let body = Json(Body { success: false, error: self.code, detail: self.detail });
        let mut response = (self.status, body).into_response();
        if let Some(internal) = self.internal {
            response.extensions_mut().insert(Internal(internal));
        }
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(axum::http::header::RETRY_AFTER, axum::http::HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            // RFC 9110, 11.6.1: a 401 names the scheme.
            response.headers_mut().insert(
                axum::http::header::WWW_AUTHENTICATE,
                axum::http::HeaderValue::from_static("Bearer"),
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_native_commands_have_the_dialects_names() {
        let problem = Problem::from(Error::invalid("network", "must be given"));
        assert_eq!(problem.detail, "projectId: must be given");
    }
}
