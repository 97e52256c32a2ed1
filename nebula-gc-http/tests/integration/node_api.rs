//! A node's own view over HTTP.

use crate::support::native::Plane;
use crate::support::requests;
use nebula_gc_http::{Bearer, Context};
use nebula_pki::Curve;
use serde_json::json;

on_both_engines! {
    a_node_reads_itself
    a_bundle_is_sent_once
    a_poll_is_answered_or_runs_out
    a_node_renews_reports_and_replaces_its_token
    what_is_not_a_nodes_is_refused
    a_renewal_with_another_key_asked_again_gets_the_same_certificates
}

/// A network `demo` with one node; its node token.
async fn enrolled(plane: &Plane) -> String {
    requests::make_demo(&plane.service, "10.1.0.0/16").await;
    let request = requests::enrollment("one");
    let token = request.token.clone();
    plane.service.enroll(Context::local(), request).await.unwrap();
    token.expose().to_owned()
}

async fn a_node_reads_itself(plane: Plane) {
    let token = enrolled(&plane).await;
    let own = plane.ask("GET", "/node", &token, None).await.expect(200);
    assert_eq!(own["network"], "demo");
    assert_eq!(own["state"], "active");
    assert_eq!(own["addresses"], json!(["10.1.0.1"]));
    assert_eq!((&own["revision"], &own["generation"]), (&json!(1), &json!(1)));
    assert_eq!(own["certificates"][0]["version"], 1);
    assert_eq!(own["certificates"][0]["notAfter"], "2027-01-29T08:00:00Z");
    assert!(own["renewAt"].as_str().unwrap() > "2027-01-24T");
    assert!(own.get("applied").is_none());
}

async fn a_bundle_is_sent_once(plane: Plane) {
    let token = enrolled(&plane).await;
    let fetch = async |query: &str, headers: &[(&str, &str)]| {
        plane.ask_with("GET", &format!("/node/bundle{query}"), &token, headers, None).await
    };
    let zip = fetch("", &[]).await;
    assert_eq!((zip.status, zip.header("content-type")), (200, "application/zip"));
    assert!(zip.bytes.starts_with(b"PK\x03\x04"));
    let digest = zip.header("nebula-digest").to_owned();
    assert_eq!(zip.header("etag"), format!("\"{digest}\""));
    assert_eq!((zip.header("nebula-revision"), zip.header("nebula-generation")), ("1", "1"));
    assert_eq!(fetch("?format=zip", &[]).await.bytes, zip.bytes);

    let tar = fetch("?format=tar.gz", &[]).await;
    assert_eq!((tar.status, tar.header("content-type")), (200, "application/gzip"));
    assert!(tar.bytes.starts_with(b"\x1f\x8b"));
    assert_eq!(tar.header("nebula-digest"), digest);
    assert_ne!(tar.header("etag"), zip.header("etag"));
    let asked = fetch("", &[("accept", "text/html, application/gzip;q=0.9")]).await;
    assert_eq!(asked.bytes, tar.bytes);

    let yaml = fetch("?format=yaml", &[]).await;
    assert_eq!((yaml.status, yaml.header("content-type")), (200, "application/yaml"));
    assert_eq!(yaml.header("nebula-digest"), digest);
    let text = String::from_utf8(yaml.bytes.to_vec()).unwrap();
    assert!(text.contains("BEGIN NEBULA CERTIFICATE") && text.contains("NODE_KEY_HERE"), "{text}");
    assert!(text.contains("  dev: 'tun"), "{text}");

    let tag = zip.header("etag").to_owned();
    let unchanged = fetch("", &[("if-none-match", &tag)]).await;
    assert_eq!((unchanged.status, unchanged.bytes.len()), (304, 0));
    assert_eq!((unchanged.header("etag"), unchanged.header("nebula-digest")), (&*tag, &*digest));
    let other = fetch("?format=tar.gz", &[("if-none-match", &tag)]).await;
    assert_eq!(other.status, 200);
    fetch("?format=rar", &[]).await.problem(400, "invalid_request");
    fetch("?formt=zip", &[]).await.problem(400, "invalid_request");

    // An operator has the same.
    let own = plane.ask("GET", "/node", &token, None).await.expect(200);
    let path = format!("/networks/demo/nodes/{}/bundle", own["id"].as_str().unwrap());
    assert_eq!(plane.get(&path).await.header("nebula-digest"), digest);
    plane.ask("GET", &path, &token, None).await.problem(403, "forbidden");
    let nobody = "/networks/demo/nodes/01900000-0000-7000-8000-000000000000/bundle";
    plane.get(nobody).await.problem(404, "not_found");
}

async fn a_poll_is_answered_or_runs_out(plane: Plane) {
    let token = enrolled(&plane).await;
    let watch =
        async |query: &str| plane.ask("GET", &format!("/node/watch{query}"), &token, None).await;
    assert_eq!(watch("").await.expect(200), json!({"revision": 1, "generation": 1}));
    assert_eq!(watch("?revision=1&generation=1&waitSeconds=0").await.status, 204);
    for query in "?waitSeconds=61 ?waitSeconds=-1 ?waitSeconds=soon ?revision=one \
            ?revision=1&generation=1&wait=1 ?revision=9223372036854775808"
        .split(' ')
    {
        watch(query).await.problem(400, "invalid_request");
    }
    // What can't be is different, too.
    assert_eq!(watch("?revision=-7&generation=1").await.status, 200);
}

async fn a_node_renews_reports_and_replaces_its_token(plane: Plane) {
    let token = enrolled(&plane).await;
    let early = plane.ask("POST", "/node/renew", &token, Some(&json!({}))).await.expect(200);
    assert_eq!(early["renewed"], false);
    plane.pass(10 * 86_400);
    let due = plane.ask("POST", "/node/renew", &token, Some(&json!({}))).await.expect(200);
    assert_eq!((&due["renewed"], &due["generation"]), (&json!(true), &json!(2)));
    assert_ne!(due["certificates"], early["certificates"]);
    for _ in 0..2 {
        let key = requests::new_key();
        let body = json!({"publicKey": key.to_pem()});
        let rekeyed = plane.ask("POST", "/node/renew", &token, Some(&body)).await;
        if rekeyed.status == 429 {
            rekeyed.problem(429, "rate_limited");
            assert_eq!(rekeyed.header("retry-after"), "60");
        } else {
            assert_eq!(rekeyed.expect(200)["generation"], 3);
        }
    }
    let renew = async |body| plane.ask("POST", "/node/renew", &token, Some(&body)).await;
    renew(json!({"publicKey": "AAAA"})).await.problem(400, "invalid_public_key");
    renew(json!({"publicKey": null})).await.problem(400, "invalid_request");
    renew(json!({"key": "AAAA"})).await.problem(400, "invalid_request");

    let report = async |body| plane.ask("POST", "/node/report", &token, Some(&body)).await;
    assert_eq!(report(json!({"revision": 1, "generation": 2})).await.status, 204);
    let own = plane.ask("GET", "/node", &token, None).await.expect(200);
    assert_eq!(own["applied"], json!({"revision": 1, "generation": 2}));
    let ahead = report(json!({"revision": 1, "generation": 7})).await;
    assert_eq!(ahead.problem(400, "invalid_request")["field"], "generation");
    report(json!({"revision": 1})).await.problem(400, "invalid_request");
    report(json!({"revision": 1.5, "generation": 1})).await.problem(400, "invalid_request");

    let next = "a-token-of-more-than-thirty-two-characters";
    let replace = async |token: &str, next: &str| {
        plane.ask("POST", "/node/token", token, Some(&json!({"nodeToken": next}))).await
    };
    replace(&token, "too-short").await.problem(400, "invalid_request");
    assert_eq!(replace(&token, next).await.status, 204);
    replace(&token, next).await.problem(401, "unauthorized");
    assert_eq!(replace(next, next).await.status, 204);
    plane.ask("GET", "/node", &token, None).await.problem(401, "unauthorized");
    plane.ask("GET", "/node", next, None).await.expect(200);
}

async fn what_is_not_a_nodes_is_refused(plane: Plane) {
    let token = enrolled(&plane).await;
    let routes = [
        ("GET", "/node", None),
        ("GET", "/node/bundle", None),
        ("GET", "/node/watch", None),
        ("POST", "/node/renew", Some(json!({}))),
        ("POST", "/node/report", Some(json!({"revision": 1, "generation": 1}))),
        ("POST", "/node/token", Some(json!({"nodeToken": "x".repeat(32)}))),
    ];
    for (method, path, body) in &routes {
        let ask = async |key: &str| plane.ask(method, path, key, body.as_ref()).await;
        ask("").await.problem(401, "unauthorized");
        ask(&"x".repeat(40)).await.problem(401, "unauthorized");
        ask(&plane.key).await.problem(403, "forbidden");
    }
    plane.ask("GET", "/tenants", &token, None).await.problem(403, "forbidden");
}

/// P256 signatures are never the same again, so that these can only be those that are stored.
async fn a_renewal_with_another_key_asked_again_gets_the_same_certificates(plane: Plane) {
    let body = json!({
        "name": "demo", "prefixes": ["10.1.0.0/16"], "versions": "both", "curve": "P256"
    });
    plane.post("/networks", &body).await.expect(201);
    let key = || requests::new_key_on(Curve::P256).to_pem();
    let token = Bearer::new_node_token().unwrap();
    let token = token.expose();
    let node = json!({"name": "a", "publicKey": key(), "nodeToken": token});
    plane.post("/enroll", &node).await.expect(201);
    let next = json!({"publicKey": key()});
    let ask = async || plane.ask("POST", "/node/renew", token, Some(&next)).await.expect(200);
    let first = ask().await;
    assert_eq!(
        (&first["renewed"], first["certificates"].as_array().unwrap().len()),
        (&json!(true), 2)
    );
    // At once, when the former key's certificates are blocked meanwhile, and after a report.
    for seconds in [0, 7_200, 0] {
        plane.pass(seconds);
        plane.service.upkeep().await.unwrap();
        let again = ask().await;
        assert_eq!(again["renewed"], false);
        assert_eq!(again["certificates"], first["certificates"]);
        let applied = json!({"revision": again["revision"], "generation": again["generation"]});
        let reported = plane.ask("POST", "/node/report", token, Some(&applied)).await;
        assert_eq!(reported.status, 204);
    }
    plane.verify();
}
