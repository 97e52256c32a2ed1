//! Where a join link leads: a page without a script, the same for everyone.

use crate::support::native::{Plane, request};
use axum::body::Body;

on_both_engines! {
    a_join_link_leads_to_a_page_that_explains_it
}

async fn a_join_link_leads_to_a_page_that_explains_it(plane: Plane) {
    for method in ["GET", "HEAD"] {
        let ask = axum::http::Request::builder().method(method).uri("/join");
        let answer = plane.send(ask.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "text/html; charset=utf-8")
        );
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none';") && !policy.contains("script"),
            "{policy}"
        );
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
        let page = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert_eq!(page.contains("nebula-gc join"), method == "GET");
    }
    // What a link's token would be is not looked at, and the page takes nothing.
    let other = plane.send(request("POST", "", "").uri("/join").body(Body::empty()).unwrap()).await;
    assert_eq!(other.status, 405);
}
