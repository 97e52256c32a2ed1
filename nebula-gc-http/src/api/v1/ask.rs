//! Extractors: the credential, path, query and body of a request.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::tag::Conditions;
use super::{ROOT, path};
use crate::api::Public;
use crate::api::bodies::Held;
use crate::api::incoming::{self, BODY_LIMIT, BUSY_SECONDS, BodyError};
use crate::api::json;
use crate::error::Code;
use crate::service::Repeat;
use crate::{Action, Context, Service};

/// A request without a body: who, from where, about what (the path's parameters), and how (the
/// query's). Whether someone has the credential comes before what is wrong with the rest.
pub(in crate::api) struct Ask<P = Nothing, Q = Nothing> {
    pub(in crate::api) context: Context,
    pub(in crate::api) path: P,
    pub(in crate::api) query: Q,
    pub(in crate::api) conditions: Conditions,
}

/// A request with a body of JSON, of at most `LIMIT` bytes. A creation is recognised by its `Idempotency-Key`.
pub(in crate::api) struct AskWith<B, P = Nothing, Q = Nothing, const LIMIT: usize = BODY_LIMIT> {
    pub(in crate::api) context: Context,
    pub(in crate::api) path: P,
    #[allow(dead_code, reason = "it is checked to be empty by being read")]
    pub(in crate::api) query: Q,
    pub(in crate::api) conditions: Conditions,
    pub(in crate::api) body: B,
    pub(in crate::api) repeat: Option<Repeat>,
    /// The path of the list that was asked: what is made lies below it.
    pub(in crate::api) list: String,
    /// Where devices find this server.
    pub(in crate::api) public: Option<Public>,
    #[allow(dead_code, reason = "given back with the answer")]
    pub(in crate::api) held: Held,
}

/// No parameters: any is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Nothing {}

impl<P, Q> FromRequestParts<Arc<Service>> for Ask<P, Q>
where
    P: DeserializeOwned + Send,
    Q: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Self, Problem> {
        let context = who(parts)?;
        service.admit_to_read(&context).await?;
        match read_parts(parts).await {
            Ok((path, query, conditions)) => Ok(Self { context, path, query, conditions }),
            Err(problem) => Err(refuse(service, &context, problem).await),
        }
    }
}

impl<B, P, Q, const LIMIT: usize> FromRequest<Arc<Service>> for AskWith<B, P, Q, LIMIT>
where
    B: DeserializeOwned + Send,
    P: DeserializeOwned + Send,
    Q: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let context = who(&parts)?;
        // The body is read only for a valid credential.
        service.admit(&context).await?;
        let (path, query, conditions) = read_parts(&mut parts).await?;
        if LIMIT > BODY_LIMIT {
            // A body this large is read only for callers who may do what needs it.
            let network = path::read(&mut parts).await?;
            service.authorize(&context, Action::Import, Some(&network)).await?;
        }
        let read = incoming::body(&parts, body, LIMIT).await.map_err(body_problem)?;
        let repeat = repeat(&parts, &read.bytes)?;
        let body = read_json(&read.bytes)?;
        let public = parts.extensions.remove();
        let list = format!("{ROOT}{}", parts.uri.path());
        let held = read.held;
        Ok(Self { context, path, query, conditions, body, repeat, list, public, held })
    }
}

fn who(parts: &Parts) -> Result<Context, Problem> {
    Ok(incoming::context(parts)?)
}

/// The problem, unless the credential is wrong: that is reported first.
async fn refuse(service: &Service, context: &Context, problem: Problem) -> Problem {
    match service.authenticate(context).await {
        Ok(()) => problem,
        Err(error) => error.into(),
    }
}

/// What was read of several fields together, or what is wrong with it; a wrong credential is
/// reported first.
pub(in crate::api) async fn checked<T>(
    service: &Service,
    context: &Context,
    found: Result<T, Problem>,
) -> Result<T, Problem> {
    match found {
        Ok(value) => Ok(value),
        Err(problem) => Err(refuse(service, context, problem).await),
    }
}

async fn read_parts<P, Q>(parts: &mut Parts) -> Result<(P, Q, Conditions), Problem>
where
    P: DeserializeOwned + Send,
    Q: DeserializeOwned + Send,
{
    let path = path::read(parts).await?;
    if !parts.uri.query().is_none_or(incoming::is_text) {
        return Err(Problem::invalid("query", "must be percent-encoded UTF-8"));
    }
    let Query(query) = Query::from_request_parts(parts, &())
        .await
        .map_err(|error| query_problem(&error.body_text()))?;
    Ok((path, query, Conditions::read(&parts.headers)?))
}

/// axum words it "Failed to deserialize query string: FIELD: REASON".
fn query_problem(text: &str) -> Problem {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    match text.split_once(": ") {
        Some((field, reason)) if field.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Problem::invalid(field, json::plain(reason))
        }
        _ => Problem::invalid("query", text),
    }
}

fn body_problem(error: BodyError) -> Problem {
    match error {
        BodyError::ContentType | BodyError::ContentEncoding => {
            Problem::new(Code::UnsupportedMediaType, error.detail())
        }
        BodyError::TooLarge(_) => Problem::new(Code::TooLarge, error.detail()),
        BodyError::Busy => {
            Problem::new(Code::RateLimited, error.detail()).retry_after(BUSY_SECONDS)
        }
        BodyError::Full => {
            Problem::new(Code::Unavailable, error.detail()).retry_after(BUSY_SECONDS)
        }
        BodyError::Late(_) | BodyError::Cut => Problem::invalid("body", error.detail()),
    }
}

fn read_json<B: DeserializeOwned>(bytes: &[u8]) -> Result<B, Problem> {
    json::read(bytes).map_err(|unreadable| Problem::invalid(unreadable.field, unreadable.reason))
}

/// The key by which a repeat of this request is recognised, if the client sent one.
fn repeat(parts: &Parts, body: &[u8]) -> Result<Option<Repeat>, Problem> {
    const NAME: &str = "Idempotency-Key";
    let mut values = parts.headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits || values.next().is_some() {
        let reason = "must stand once, with 1 to 255 printable ASCII characters, no spaces";
        return Err(Problem::invalid(NAME, reason));
    }
    let mut hash = Sha256::new();
    for part in [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(body);
    Ok(Some(Repeat { key: text.to_owned(), request: hash.finalize().into() }))
}
