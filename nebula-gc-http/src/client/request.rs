//! Requests and answers.

use std::fmt;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::connect::Server;
use super::error::{AddressFault, AnswerFault};
use super::{ClientError, Key, Problem};
use crate::text::percent_encode;

/// The path of the API.
const ROOT: &str = "/api/v1";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The largest accepted answer, in bytes: the largest are bundles and reports of imports.
const ANSWER_LIMIT: usize = 64 << 20;
/// What most bodies fit into, in bytes, so that writing one leaves no copies of a secret behind.
const BODY_SIZE: usize = 16 << 10;

/// A request.
#[derive(Clone)]
pub struct Request {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    /// Wiped from memory when it is dropped.
    body: Option<Bytes>,
    headers: HeaderMap,
    repeatable: bool,
    pub(super) waits: Duration,
    /// The largest accepted answer, in bytes.
    pub(super) limit: usize,
    /// Sent instead of the client's.
    pub(super) key: Option<Key>,
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

    /// A `PATCH`, to change something.
    #[must_use]
    pub fn patch(path: &str, body: Value) -> Self {
        Self::new(Method::PATCH, path).body(body)
    }

    /// A `DELETE`.
    #[must_use]
    pub fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
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
            limit: ANSWER_LIMIT,
            key: None,
        }
    }

    /// Percent-encodes a segment of a path.
    #[must_use]
    pub fn segment(text: &str) -> String {
        percent_encode(text)
    }

    /// With a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// With those query parameters that have a value.
    pub(super) fn filtered(self, filters: &[(&str, Option<&str>)]) -> Self {
        let given = filters.iter().filter_map(|(name, value)| Some((name, (*value)?)));
        given.fold(self, |request, (name, value)| request.query(name, value))
    }

    /// With a body of JSON.
    #[must_use]
    pub fn body(self, body: Value) -> Self {
        // A `Value` can always be written.
        let body = written(&body).unwrap_or_default();
        Self { body: Some(body), ..self }
    }

    /// With a body of one of the API's types.
    pub(super) fn json(self, body: &impl Serialize) -> Result<Self, ClientError> {
        match written(body) {
            Ok(body) => Ok(Self { body: Some(body), ..self }),
            Err(error) => Err(ClientError::Body { path: self.path, reason: error.to_string() }),
        }
    }

    /// Takes answers of at most this many bytes. Default: 64 MiB.
    #[must_use]
    pub fn at_most(self, bytes: usize) -> Self {
        Self { limit: bytes, ..self }
    }

    /// With a key by which the server recognises a repeated creation: 1 to 255 printable ASCII
    /// characters.
    ///
    /// # Errors
    /// [`ClientError::Header`] for another text.
    pub fn idempotency_key(self, key: &str) -> Result<Self, ClientError> {
        self.header(HeaderName::from_static(IDEMPOTENCY_KEY), key)
    }

    /// Changes the resource only if it still has this ETag, quotes included.
    ///
    /// # Errors
    /// [`ClientError::Header`] for what is no ETag.
    pub fn if_match(self, etag: &str) -> Result<Self, ClientError> {
        self.header(header::IF_MATCH, etag)
    }

    /// Returns only 304 if the resource still has this ETag, quotes included.
    ///
    /// # Errors
    /// [`ClientError::Header`] for what is no ETag.
    pub fn if_none_match(self, etag: &str) -> Result<Self, ClientError> {
        self.header(header::IF_NONE_MATCH, etag)
    }

    /// Marks the request as safe to repeat after a lost answer, as an enrolment is.
    #[must_use]
    pub fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// With another bearer secret than the client's.
    pub(super) fn with_key(self, key: Key) -> Self {
        Self { key: Some(key), ..self }
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

    pub(super) fn has_body(&self) -> bool {
        self.body.is_some()
    }

    pub(super) fn is_safe_to_repeat(&self) -> bool {
        self.repeatable || self.method == Method::GET || self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    pub(super) fn to_message(
        &self,
        server: &Server,
    ) -> Result<hyper::Request<Full<Bytes>>, ClientError> {
        // Percent-encoding doesn't help: these are taken away in that form, too (RFC 3986, 6.2.2).
        if self.path.split('/').skip(1).any(|segment| ["", ".", ".."].contains(&segment)) {
            let fault = AddressFault::Segment;
            return Err(ClientError::Address { text: self.path.clone(), fault });
        }
        let mut target = [&server.base, ROOT, &self.path].concat();
        for (number, (name, value)) in self.query.iter().enumerate() {
            target.push(if number == 0 { '?' } else { '&' });
            target += &[name, "=", &percent_encode(value)].concat();
        }
        let body = self.body.clone().unwrap_or_default();
        let mut message = hyper::Request::builder()
            .method(self.method.clone())
            .uri(&target)
            .header(header::HOST, server.authority())
            .header(header::USER_AGENT, concat!("nebula-gc/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
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
#[derive(Clone)]
pub struct Answer {
    /// The server that answered.
    pub server: String,
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
    headers: HeaderMap,
}

impl Answer {
    pub(super) fn read(
        server: &Server,
        head: &response::Parts,
        body: Bytes,
    ) -> Result<Self, ClientError> {
        let status = head.status;
        let server = server.to_string();
        let answer = Self { server, status: status.as_u16(), body, headers: head.headers.clone() };
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
        let Some(mut problem) = problem.filter(|problem| problem.status == answer.status) else {
            return Err(answer.unexpected(AnswerFault::Refusal));
        };
        problem.retry_after = answer.header("retry-after").and_then(|text| text.parse().ok());
        Err(ClientError::Refused { server: answer.server, problem: Box::new(problem) })
    }

    /// The body as JSON; `null` if it is empty.
    ///
    /// # Errors
    /// [`ClientError::Unexpected`].
    pub fn json(&self) -> Result<Value, ClientError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        self.read_as()
    }

    /// The body as one of the API's types.
    pub(super) fn read_as<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            self.unexpected(match error.is_data() {
                true => AnswerFault::Form { line, column, reason: error.to_string() },
                false => AnswerFault::NotJson { line, column },
            })
        })
    }

    pub(super) fn unexpected(&self, fault: AnswerFault) -> ClientError {
        ClientError::Unexpected { server: self.server.clone(), status: self.status, fault }
    }

    /// The body as text.
    pub(super) fn body_text(&self) -> Result<String, ClientError> {
        let text = std::str::from_utf8(&self.body).map(str::to_owned);
        text.map_err(|_| self.unexpected(AnswerFault::Field { name: "body" }))
    }

    /// A header that answers of this kind have.
    pub(super) fn text(&self, name: &'static str) -> Result<String, ClientError> {
        let text = self.header(name).map(str::to_owned);
        text.ok_or_else(|| self.unexpected(AnswerFault::Field { name }))
    }

    /// A header that is a number.
    pub(super) fn number(&self, name: &'static str) -> Result<i64, ClientError> {
        let number = self.header(name).and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.unexpected(AnswerFault::Field { name }))
    }

    /// A header's value, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A body, which is wiped from memory when its last copy is dropped.
fn written(body: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut buffer = Zeroizing::new(Vec::with_capacity(BODY_SIZE));
    serde_json::to_writer(&mut *buffer, body)?;
    Ok(Bytes::from_owner(buffer))
}

/// Bodies may hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Request");
        shown.field("method", &self.method).field("path", &self.path);
        shown.field("body_bytes", &self.body.as_ref().map(Bytes::len)).finish_non_exhaustive()
    }
}

/// Bodies may hold secrets.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Answer");
        shown.field("server", &self.server).field("status", &self.status);
        shown.field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn no_segment_leads_to_another_resource_and_no_body_is_printed() {
        let server = Server::parse("https://a.example/base").unwrap();
        for segment in ["..", ".", ""] {
            let path = ["/networks/home/pools/", &Request::segment(segment)].concat();
            assert!(Request::new(Method::DELETE, &path).to_message(&server).is_err(), "{path}");
        }
        let secret = serde_json::json!({"nodeToken": "secret"});
        let request = Request::post("/networks/..x", secret);
        assert!(request.to_message(&server).is_ok());
        assert!(!format!("{request:?}").contains("secret"));
    }
}
