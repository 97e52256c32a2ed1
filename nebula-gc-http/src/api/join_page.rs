//! `/join`, where join links lead: a page that explains what the link is. It is the same for everyone, and
//! sees nothing of the link: browsers keep what follows the `#`.

use axum::http::header;
use axum::response::IntoResponse;

const PAGE: &str = include_str!("join.html");
/// No script, no form, no frame; the only style is the page's own, by its hash (CSP level 3).
const POLICY: &str = "default-src 'none'; style-src 'sha256-AaJHcvyf9zJ/QqPYw1boUwWPHBRiurB6LliY1d3gOJc='; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The page.
pub(super) async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_the_pages_own_style_and_no_script() {
        let style = PAGE.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next());
        let hash = STANDARD.encode(Sha256::digest(style.unwrap()));
        assert!(POLICY.contains(&format!("style-src 'sha256-{hash}'")), "sha256-{hash}");
        for forbidden in ["<script", "javascript:", "onload", "onclick", "<form", "<iframe", "<img"]
        {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
    }
}
