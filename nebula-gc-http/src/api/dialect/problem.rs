use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Error;
use crate::api::refused::{Internal, status_of};
use crate::error::{Code, Conflict, Detail, Fault, Field, Kind};

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

/// A code in the dialect, which has fewer.
fn code(code: Code) -> Code {
    match code {
        Code::JoinRefused | Code::JoinTokenRefused | Code::NodeSuspended | Code::NodeRevoked => {
            Code::Forbidden
        }
        Code::NodeReleased
        | Code::LeasesStand
        | Code::QuarantineStands
        | Code::CaExpired
        | Code::CaNotYetValid
        | Code::CaNeeded
        | Code::NodesActive
        | Code::PreconditionFailed
        | Code::IdempotencyKeyReused => Code::Conflict,
        // Its devices were released with it.
        Code::NetworkDeleted => Code::NotFound,
        code => code,
    }
}

/// The dialect's name of a field.
fn field(field: Field) -> &'static str {
    match field {
        Field::Network => "projectId",
        Field::Name => "deviceName",
        Field::Device => "deviceId",
        Field::Prefixes => "cidr",
        Field::Versions => "certificateVersion",
        field => field.word(),
    }
}

/// What is wrong, in the dialect's words.
fn detail(error: &Error) -> String {
    match error {
        Error::NameTaken { kind: Kind::Node, name } => {
            format!("deviceName: another device of the network is called {name:?}")
        }
        Error::NameTaken { kind: Kind::Network, name } => {
            format!("projectId: another network is called {name:?}")
        }
        Error::NameIsId { kind: Kind::Network, .. } => format!("projectId: {}", Detail(error)),
        Error::KeyTaken => {
            "publicKey: another device of the network has this key; make a new pair \
            on this device"
                .to_owned()
        }
        Error::NodeKeptOut { state, .. } => {
            format!("this device is {}; an operator must reinstate it", state.word())
        }
        Error::Conflict(Conflict::ReleaseOfKeptOut { state }) => {
            format!("this device is {}; an operator must reinstate it first", state.word())
        }
        Error::Invalid { fault: Fault::Ipv6NeedsVersion2, .. } => "cidr: IPv6 needs version 2 \
            certificates: make the network with \"certificateVersion\": 2"
            .to_owned(),
        _ => match error.field() {
            Some(about) => format!("{}: {}", field(about), Detail(error)),
            None => Detail(error).to_string(),
        },
    }
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            status: status_of(code),
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
        let retry_after = match error {
            Error::RateLimited { retry_after, .. } => Some(retry_after),
            _ => None,
        };
        let internal = error.cause().map(ToString::to_string);
        Self { retry_after, internal, ..Self::new(code(error.code()), detail(&error)) }
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
        let problem = Problem::from(Fault::Empty.of(Field::Network));
        assert_eq!(problem.detail, "projectId: must not be empty");
    }
}
