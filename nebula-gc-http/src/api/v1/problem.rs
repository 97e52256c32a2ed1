//! Refusals as `application/problem+json` (RFC 9457).

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::dialect::problem::Internal;
use crate::api::incoming;
use crate::service::context::Origin;
use crate::{Error, NodeState};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $title:literal;)*) => {
        /// What is wrong, for programs. A client has to expect codes that it does not know.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = ProblemCode)]
        pub(in crate::api) enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// A field is missing, unknown or unusable.
    InvalidRequest = BAD_REQUEST, "The request is not usable";
    /// The public key can't be used.
    InvalidPublicKey = BAD_REQUEST, "The public key is not usable";
    /// No credential, or one that nobody has.
    Unauthorized = UNAUTHORIZED, "A credential is needed";
    /// The credential does not permit this.
    Forbidden = FORBIDDEN, "The credential does not permit this";
    /// The node is suspended until an operator reinstates it.
    NodeSuspended = FORBIDDEN, "The node is suspended";
    /// The node is revoked until an operator reinstates it.
    NodeRevoked = FORBIDDEN, "The node is revoked";
    /// The join token lets nobody join any more, or not this node.
    JoinTokenRefused = FORBIDDEN, "The join token does not permit this";
    /// It is not there, or not for this credential to see.
    NotFound = NOT_FOUND, "Not found";
    /// The route does not take this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "The route does not take this method";
    /// Somebody else has it, or it contradicts what is there.
    Conflict = CONFLICT, "In conflict with what is there";
    /// The device is known with another public key, or the key with another node token.
    KeyMismatch = CONFLICT, "Known with another key";
    /// The node token is that of a node that was released; a new node needs a new one.
    NodeReleased = CONFLICT, "The node is released";
    /// The network has no free address left.
    PoolExhausted = CONFLICT, "No address is free";
    /// Leases are in the way; `leases` has their addresses.
    LeasesStand = CONFLICT, "Leases stand in the way";
    /// The network's CA has ended, and nothing can be issued until an operator adds another.
    CaExpired = CONFLICT, "The network's CA has expired";
    /// The network's CA has not begun, and nothing can be issued yet.
    CaNotYetValid = CONFLICT, "The network's CA is not valid yet";
    /// Nodes have certificates of the CA; `nodes` has their names.
    CaNeeded = CONFLICT, "Nodes need the CA";
    /// The resource is not what `If-Match` expects.
    PreconditionFailed = PRECONDITION_FAILED, "Changed meanwhile";
    /// The body is too large.
    TooLarge = PAYLOAD_TOO_LARGE, "The body is too large";
    /// The path with its query is too long.
    UriTooLong = URI_TOO_LONG, "The path is too long";
    /// The head of the request is too large.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large";
    /// The body is not said to be JSON.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "The Idempotency-Key was used for another request";
    /// Asked too often; `Retry-After` says when to ask again.
    RateLimited = TOO_MANY_REQUESTS, "Asked too often";
    /// A defect of the server.
    Internal = INTERNAL_SERVER_ERROR, "The server failed";
    /// The server can't do its work now. Asking again is safe.
    Unavailable = SERVICE_UNAVAILABLE, "The server can't do this now";
}

/// Why a request was refused.
#[derive(Debug, Clone)]
pub(in crate::api) struct Problem {
    code: Code,
    detail: String,
    field: Option<String>,
    /// Which, and whether there are more.
    leases: Option<Box<(Vec<IpAddr>, bool)>>,
    /// The names of nodes that are in the way, and whether there are more.
    nodes: Option<Box<(Vec<String>, bool)>>,
    /// Seconds after which to ask again.
    retry_after: Option<i64>,
    /// What only the log is told.
    internal: Option<String>,
}

/// A refusal, as RFC 9457 describes one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(super) struct Document {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// What the code means.
    #[schema(value_type = String)]
    title: &'static str,
    /// The answer's status.
    status: u16,
    /// What is wrong with this request, for people.
    detail: String,
    code: Code,
    /// The field or parameter that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// The addresses of the leases that stand in the way, the first 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    leases: Option<Vec<IpAddr>>,
    /// Whether there are more leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    more_leases: Option<bool>,
    /// The names of the nodes that are in the way, the first 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    nodes: Option<Vec<String>>,
    /// Whether there are more nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    more_nodes: Option<bool>,
    /// What the log and the events call this request.
    request_id: String,
}

impl Problem {
    pub(in crate::api) fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let (leases, nodes) = (None, None);
        Self { code, detail, field: None, leases, nodes, retry_after: None, internal: None }
    }

    /// What is wrong with a field or parameter.
    pub(in crate::api) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, reason).about(field)
    }

    fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// `Retry-After`, in seconds.
    pub(in crate::api) fn retry_after(self, seconds: i64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    fn document(self, request_id: String) -> Document {
        let (leases, more_leases) = self.leases.map(|leases| *leases).unzip();
        let (nodes, more_nodes) = self.nodes.map(|nodes| *nodes).unzip();
        Document {
            kind: "about:blank",
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail,
            code: self.code,
            field: self.field,
            leases,
            more_leases,
            nodes,
            more_nodes,
            request_id,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let code = match error {
            Error::InvalidRequest { field, reason } => return Self::invalid(field, reason),
            Error::InvalidPublicKey { reason } => {
                return Self::new(Code::InvalidPublicKey, reason).about("publicKey");
            }
            Error::NameTaken { .. } | Error::NameIsId { .. } => {
                return Self::new(Code::Conflict, detail).about("name");
            }
            Error::KeyTaken => return Self::new(Code::Conflict, detail).about("publicKey"),
            Error::LeasesStand { addresses, more } => {
                let leases = Some(Box::new((addresses, more)));
                return Self { leases, ..Self::new(Code::LeasesStand, detail) };
            }
            Error::CaNeeded { nodes, more } => {
                let nodes = Some(Box::new((nodes, more)));
                return Self { nodes, ..Self::new(Code::CaNeeded, detail) };
            }
            Error::CaExpired { .. } => Code::CaExpired,
            Error::CaNotYetValid { .. } => Code::CaNotYetValid,
            Error::Unavailable { internal } | Error::SignerAway { internal, .. } => {
                let internal = Some(internal);
                return Self { internal, ..Self::new(Code::Unavailable, detail) };
            }
            Error::RateLimited { retry_after, .. } => {
                return Self::new(Code::RateLimited, detail).retry_after(retry_after);
            }
            Error::NodeKeptOut { state: NodeState::Suspended, .. } => Code::NodeSuspended,
            Error::NodeKeptOut { .. } => Code::NodeRevoked,
            Error::Unauthorized { .. } => Code::Unauthorized,
            Error::Forbidden { .. } => Code::Forbidden,
            Error::JoinTokenRefused { .. } => Code::JoinTokenRefused,
            Error::NotFound { .. } => Code::NotFound,
            Error::PoolExhausted { .. } => Code::PoolExhausted,
            Error::KeyMismatch { .. } => Code::KeyMismatch,
            Error::NodeReleased => {
                return Self::new(Code::NodeReleased, detail).about("nodeToken");
            }
            Error::Conflict { .. } | Error::Overtaken => Code::Conflict,
            Error::Precondition { .. } => Code::PreconditionFailed,
            Error::IdempotencyKeyReused => Code::IdempotencyKeyReused,
        };
        Self::new(code, detail)
    }
}

/// The whole answer to a head that is no request, with this status.
pub(crate) fn refused_head(status: u16) -> Option<Vec<u8>> {
    let problem = match status {
        414 => Problem::new(Code::UriTooLong, "the path with its query is too long"),
        431 => Problem::new(Code::HeadTooLarge, "the head may have 8192 bytes at most"),
        _ => Problem::new(Code::InvalidRequest, "this is not an HTTP request that can be read"),
    };
    let status = problem.code.status();
    let id = Origin::local().request_id().to_string();
    let reason = status.canonical_reason()?;
    let body = serde_json::to_string(&problem.document(id.clone())).ok()?;
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\nx-request-id: {id}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        status.as_u16(),
        body.len()
    );
    Some((head + &body).into_bytes())
}

/// The body follows in [`finish`], which knows the request.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the bodies of problems, and makes one of a panic.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let origin = incoming::origin(request.extensions());
    let mut answering = pin!(next.run(request));
    let answered = std::future::poll_fn(|context| {
        // What a panic leaves behind is dropped with the request.
        match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await;
    let mut response = answered.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let internal = Some(format!("panicked: {}", text.unwrap_or("without a message")));
        let detail = "the server failed; its log says more under this requestId";
        Problem { internal, ..Problem::new(Code::Internal, detail) }.into_response()
    });
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.remove(header::CONTENT_LENGTH);
    if problem.code == Code::Unauthorized {
        // RFC 9110, 11.6.1: a 401 names the scheme.
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(internal) = problem.internal.clone() {
        response.extensions_mut().insert(Internal(internal));
    }
    let document = problem.document(origin.request_id().to_string());
    // Serialising strings and numbers has no way to fail.
    *response.body_mut() = serde_json::to_vec(&document).unwrap_or_default().into();
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Router, middleware};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_the_client_nothing_of_it() {
        async fn fail() -> &'static str {
            if Code::Internal.status().is_server_error() {
                panic!("a secret reason");
            }
            ""
        }
        let router = Router::new().route("/", get(fail)).layer(middleware::from_fn(finish));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let Internal(internal) = response.extensions().get().unwrap();
        assert!(internal.contains("a secret reason"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "internal");
        assert!(!body.to_string().contains("secret"));
    }
}
