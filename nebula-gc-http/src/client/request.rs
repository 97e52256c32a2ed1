//! Requests and answers.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response;
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::connect::Server;
use super::error::{AddressFault, AnswerFault};
use super::{ClientError, Problem};

/// The path of the API.
const ROOT: &str = "/api/v1";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
    headers: HeaderMap,
    repeatable: bool,
    pub(super) waits: Duration,
}

impl Request {
    /// A `GET` of a path below `/api/v1`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// A `POST`, to create something.
    #[must_use]
    pub fn post(path: &str, body: Value) -> Self {
        Self::new(Method::POST, path).body(body)
    }

    /// Any other request. Segments of the path must be encoded by [`segment`](Self::segment).
    #[must_use]
    pub fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: vec![],
            body: None,
            headers: HeaderMap::new(),
            repeatable: false,
            waits: Duration::ZERO,
        }
    }

    /// Percent-encodes a segment of a path.
    #[must_use]
    pub fn segment(text: &str) -> String {
        percent_encoded(text)
    }

    /// With a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// With a body of JSON.
    #[must_use]
    pub fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// With a key by which the server recognises a repeated creation: 1 to 255 printable ASCII
    /// characters.
    ///
    /// # Errors
    /// [`ClientError::Address`] for another text.
    pub fn idempotency_key(self, key: &str) -> Result<Self, ClientError> {
        self.header(HeaderName::from_static(IDEMPOTENCY_KEY), key)
    }

    /// Changes the resource only if it still has this ETag, quotes included.
    ///
    /// # Errors
    /// [`ClientError::Address`] for what is no ETag.
    pub fn if_match(self, etag: &str) -> Result<Self, ClientError> {
        self.header(header::IF_MATCH, etag)
    }

    /// Returns only 304 if the resource still has this ETag, quotes included.
    ///
    /// # Errors
    /// [`ClientError::Address`] for what is no ETag.
    pub fn if_none_match(self, etag: &str) -> Result<Self, ClientError> {
        self.header(header::IF_NONE_MATCH, etag)
    }

    /// Marks the request as safe to repeat after a lost answer, as an enrolment is.
    #[must_use]
    pub fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// For a long poll: how long the server may wait before it answers.
    #[must_use]
    pub fn waiting(self, waits: Duration) -> Self {
        Self { waits, ..self }
    }

    fn header(mut self, name: HeaderName, value: &str) -> Result<Self, ClientError> {
        let value = HeaderValue::try_from(value)
            .map_err(|_| ClientError::Header { name: name.to_string(), value: value.to_owned() })?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(super) fn is_safe_to_repeat(&self) -> bool {
        self.repeatable || self.method == Method::GET || self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    pub(super) fn to_message(
        &self,
        server: &Server,
    ) -> Result<hyper::Request<Full<Bytes>>, ClientError> {
        let mut target = [&server.base, ROOT, &self.path].concat();
        for (number, (name, value)) in self.query.iter().enumerate() {
            target.push(if number == 0 { '?' } else { '&' });
            target += &[name, "=", &percent_encoded(value)].concat();
        }
        let body = self.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut message = hyper::Request::builder()
            .method(self.method.clone())
            .uri(&target)
            .header(header::HOST, server.authority())
            .header(header::USER_AGENT, concat!("nebula-gc/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(body))
            .map_err(|error| {
                let (method, words) = (self.method.to_string(), error.to_string());
                ClientError::Address {
                    text: target,
                    fault: AddressFault::Request { method, words },
                }
            })?;
        message.headers_mut().extend(self.headers.clone());
        if self.body.is_some() {
            let json = HeaderValue::from_static("application/json");
            message.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        Ok(message)
    }
}

/// A successful answer: 2xx, or 304.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
    headers: HeaderMap,
}

impl Answer {
    pub(super) fn read(head: &response::Parts, body: Bytes) -> Result<Self, ClientError> {
        let status = head.status;
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(Self { status: status.as_u16(), body, headers: head.headers.clone() });
        }
        let problem = serde_json::from_slice::<Problem>(&body).ok();
        let Some(mut problem) = problem.filter(|problem| problem.status == status.as_u16()) else {
            let fault = AnswerFault::Refusal;
            return Err(ClientError::Unexpected { status: status.as_u16(), fault });
        };
        let seconds = head.headers.get(header::RETRY_AFTER);
        problem.retry_after = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        Err(ClientError::Refused(Box::new(problem)))
    }

    /// The body as JSON; `null` if it is empty.
    ///
    /// # Errors
    /// [`ClientError::Unexpected`].
    pub fn json(&self) -> Result<Value, ClientError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Unexpected {
            status: self.status,
            fault: AnswerFault::NotJson { line: error.line(), column: error.column() },
        })
    }

    /// A header's value, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Encodes everything but the unreserved characters (RFC 3986, 2.3).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded += &format!("%{other:02X}"),
        }
    }
    encoded
}
