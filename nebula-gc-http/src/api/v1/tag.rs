//! Conditional requests with ETags (RFC 9110, 8.8.3 and 13), and idempotency keys.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use utoipa::IntoParams;

use super::problem::Problem;
use crate::service::{Expected, Tag};

/// What the client expects of the resource.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Conditions {
    /// `If-Match`, for the service to check where it writes.
    pub(in crate::api) expected: Expected,
    if_none_match: Option<Vec<String>>,
    if_none_match_any: bool,
}

/// `If-Match`, for an operation's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it only describes")]
pub(in crate::api) struct IfMatch {
    /// An `ETag` that the resource must still have, or `*`.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// `If-None-Match`, for an operation's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it only describes")]
pub(in crate::api) struct IfNoneMatch {
    /// The `ETag` of what the client has; if the resource has not changed, the answer is 304.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// `Idempotency-Key`, for an operation's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it only describes")]
pub(in crate::api) struct IdempotencyKey {
    /// Chosen by the client for this request: repeating the request with it within 24 hours returns
    /// what was created, without its secret, and creates nothing.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: Option<String>,
}

impl Conditions {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let if_match = tags(headers, &header::IF_MATCH, "If-Match")?;
        let if_none_match = tags(headers, &header::IF_NONE_MATCH, "If-None-Match")?;
        Ok(Self {
            expected: match if_match {
                None | Some(Tags::Any) => Expected::Anything,
                Some(Tags::Some(tags)) => Expected::OneOf(tags),
            },
            if_none_match_any: matches!(if_none_match, Some(Tags::Any)),
            if_none_match: match if_none_match {
                Some(Tags::Some(tags)) => Some(tags),
                _ => None,
            },
        })
    }

    /// Whether the client has this already.
    pub(in crate::api) fn has(&self, tag: &Tag) -> bool {
        let among = |tags: &Vec<String>| tags.iter().any(|text| text == tag.as_str());
        self.if_none_match_any || self.if_none_match.as_ref().is_some_and(among)
    }
}

/// A tag as the header has it.
pub(in crate::api) fn header_value(tag: &Tag) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{}\"", tag.as_str())).ok()
}

enum Tags {
    Any,
    Some(Vec<String>),
}

/// Reads `*`, or `"tag", W/"tag"`; ours have no commas.
fn tags(
    headers: &HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<Tags>, Problem> {
    let refuse = || Problem::invalid(name, "must be * or a list of ETags, each in quotes");
    let mut found = vec![];
    for value in headers.get_all(header) {
        for item in value.to_str().map_err(|_| refuse())?.split(',').map(str::trim) {
            if item == "*" {
                return Ok(Some(Tags::Any));
            }
            let strong = item.strip_prefix("W/");
            // A weak tag matches nothing where it must not have changed (RFC 9110, 13.1.1).
            if strong.is_some() && *header == header::IF_MATCH {
                continue;
            }
            let text = strong.unwrap_or(item);
            let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            found.push(text.filter(|text| !text.contains('"')).ok_or_else(refuse)?.to_owned());
        }
    }
    Ok(headers.contains_key(header).then_some(Tags::Some(found)))
}
