//! Refusals as `application/problem+json` (RFC 9457).

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nebula_pki::Fingerprint;
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::Error;
use crate::api::incoming;
use crate::api::refused::{Internal, status_of};
use crate::error::{Code, Detail};
use crate::service::context::Origin;
use crate::wire::Timestamp;

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
    /// The end of a quarantine, in seconds since the Unix epoch, and the certificates that are in the way.
    quarantine: Option<Box<(i64, Vec<Fingerprint>)>>,
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
    code: ProblemCode,
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
    /// From when on the quarantine can end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Timestamp, required = false)]
    until: Option<Timestamp>,
    /// The fingerprints of certificates that name the address and may be accepted, the first 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    certificates: Option<Vec<String>>,
    /// What the log and the events call this request.
    request_id: String,
}

/// A code, as the description of the API has it.
#[derive(Serialize)]
pub(super) struct ProblemCode(Code);

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        let description =
            "What is wrong, for programs. A client has to expect codes that it does not know.";
        let codes = Code::ALL.iter().map(|code| code.as_str());
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes));
        schema.description(Some(description)).into()
    }
}

impl ToSchema for ProblemCode {}

impl Problem {
    /// Its code, and what it says for people.
    pub(super) fn said(self) -> (String, String) {
        (self.code.as_str().to_owned(), self.detail)
    }

    pub(in crate::api) fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let (leases, nodes, quarantine) = (None, None, None);
        let (field, retry_after, internal) = (None, None, None);
        Self { code, detail, field, leases, nodes, quarantine, retry_after, internal }
    }

    /// What is wrong with a field or parameter.
    pub(in crate::api) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Code::InvalidRequest, reason) }
    }

    /// `Retry-After`, in seconds.
    pub(in crate::api) fn retry_after(self, seconds: i64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    fn document(self, request_id: String) -> Document {
        let (leases, more_leases) = self.leases.map(|leases| *leases).unzip();
        let (nodes, more_nodes) = self.nodes.map(|nodes| *nodes).unzip();
        let (until, certificates) = self.quarantine.map(|quarantine| *quarantine).unzip();
        let in_the_way = |all: Vec<Fingerprint>| all.iter().map(Fingerprint::to_string).collect();
        Document {
            kind: "about:blank",
            title: self.code.title(),
            status: self.code.status(),
            detail: self.detail,
            code: ProblemCode(self.code),
            field: self.field,
            leases,
            more_leases,
            nodes,
            more_nodes,
            until: until.map(Timestamp),
            certificates: certificates.map(in_the_way),
            request_id,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let mut problem = Self::new(error.code(), Detail(&error).to_string());
        problem.field = error.field().map(|field| field.word().to_owned());
        problem.internal = error.cause().map(ToString::to_string);
        match error {
            Error::LeasesStand { addresses, more } => {
                problem.leases = Some(Box::new((addresses, more)));
            }
            Error::NodesActive { nodes, count } => {
                let more = usize::try_from(count).is_ok_and(|count| count > nodes.len());
                problem.nodes = Some(Box::new((nodes, more)));
            }
            Error::CaNeeded { nodes, more } => problem.nodes = Some(Box::new((nodes, more))),
            Error::QuarantineStands { until, certificates, .. } => {
                problem.quarantine = Some(Box::new((until, certificates)));
            }
            Error::RateLimited { retry_after, .. } => problem.retry_after = Some(retry_after),
            _ => {}
        }
        problem
    }
}

/// The whole answer to a head that is no request, with this status.
pub(crate) fn refused_head(status: u16) -> Option<Vec<u8>> {
    let problem = match status {
        414 => Problem::new(Code::UriTooLong, "the path with its query is too long"),
        431 => Problem::new(Code::HeadTooLarge, "the head may have 8192 bytes at most"),
        _ => Problem::new(Code::InvalidRequest, "this is not an HTTP request that can be read"),
    };
    let status = status_of(problem.code);
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
        let mut response = status_of(self.code).into_response();
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
    use axum::http::StatusCode;
    use axum::routing::get;
    use axum::{Router, middleware};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_the_client_nothing_of_it() {
        async fn fail() -> &'static str {
            if Code::Internal.status() == 500 {
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
