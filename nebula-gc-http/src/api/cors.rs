//! Cross-origin requests: which web pages may call the API (Fetch standard, "CORS protocol").

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

/// Request headers that pages may send, besides the safelisted ones.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
/// Response headers that pages may read, besides the safelisted ones.
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "etag, location, nebula-generation, nebula-revision, nebula-unapplied, retry-after, x-request-id",
);
/// How long browsers cache this, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may call the API. Default: none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(Vec<HeaderValue>);

/// A text that is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: must be an origin as browsers send it, as https://panel.example.org")]
pub struct NotOrigin {
    /// The text.
    pub text: String,
}

impl FromStr for Origins {
    type Err = NotOrigin;

    /// Reads origins separated by commas, each written as browsers send it.
    fn from_str(text: &str) -> Result<Self, NotOrigin> {
        text.split(',').map(str::trim).map(origin).collect::<Result<_, _>>().map(Self)
    }
}

fn origin(text: &str) -> Result<HeaderValue, NotOrigin> {
    let schemes = [("https://", ":443"), ("http://", ":80")];
    let parts = schemes.iter().find_map(|(scheme, port)| Some((text.strip_prefix(scheme)?, port)));
    parts
        .filter(|(host, usual_port)| is_host(host, usual_port))
        .and_then(|_| HeaderValue::from_str(text).ok())
        .ok_or_else(|| NotOrigin { text: text.to_owned() })
}

/// Whether it is a host, with a port only if that is not the scheme's default, as browsers send it.
fn is_host(host: &str, usual_port: &str) -> bool {
    let is_written = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    let is_more = host.contains(['/', '?', '#', '@', '*', '\\']) || host.ends_with(usual_port);
    !host.is_empty() && host.bytes().all(is_written) && !is_more
}

impl Origins {
    /// Adds CORS headers for these origins to the routes.
    pub fn admit(self, router: Router) -> Router {
        if self.0.is_empty() {
            return router;
        }
        let origins = Arc::new(self);
        router.layer(middleware::from_fn(move |request, next| {
            let origins = Arc::clone(&origins);
            async move { origins.answer(request, next).await }
        }))
    }

    async fn answer(&self, request: Request, next: Next) -> Response {
        let origin = request.headers().get(header::ORIGIN);
        let origin = origin.filter(|origin| self.0.contains(origin)).cloned();
        let asks_first = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = match (&origin, asks_first) {
            (Some(_), true) => {
                let mut response = StatusCode::NO_CONTENT.into_response();
                let headers = response.headers_mut();
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
                response
            }
            _ => next.run(request).await,
        };
        tell(response.headers_mut(), origin);
        response
    }
}

fn tell(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    // Responses depend on the header, so caches must key on it.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        let good = "https://panel.example.org,http://localhost:3000, https://[2001:db8::1]:8443";
        assert_eq!(good.parse::<Origins>().unwrap().0.len(), 3);
        for wrong in [
            "",
            "*",
            "null",
            "panel.example.org",
            "https://",
            "https://*.example.org",
            "https://a.example/",
            "https://a.example/path",
            "https://A.example",
            "https://a.example:443",
            "http://a.example:80",
            "ftp://a.example",
            "https://a b",
            "https://a.example,",
            "https://user@a.example",
        ] {
            assert!(wrong.parse::<Origins>().is_err(), "{wrong}");
        }
    }
}
