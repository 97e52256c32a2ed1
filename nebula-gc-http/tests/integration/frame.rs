//! What holds for every resource: problems, paging, ETags, idempotent creation. Shown by tenants.

use crate::support::native::{self, Plane};
use axum::body::Body;
use serde_json::json;

on_both_engines! {
    what_is_made_once_is_made_once
    a_change_builds_on_what_is_there
    of_changes_at_once_one_builds_on_the_other
    lists_come_in_pages
    refusals_are_problems
}

async fn what_is_made_once_is_made_once(plane: Plane) {
    let make = |key: &'static str, name: &'static str| {
        let plane = &plane;
        async move {
            let body = json!({"name": name});
            let headers = [("idempotency-key", key)];
            plane.ask_with("POST", "/tenants", &plane.key, &headers, Some(&body)).await
        }
    };
    let first = make("one", "acme").await;
    let made = first.expect(201);
    let location = format!("/api/v1/tenants/{}", made["id"].as_str().unwrap());
    assert_eq!(first.header("location"), location);
    let again = make("one", "acme").await;
    assert_eq!(again.expect(200), made);
    assert_eq!(again.header("etag"), first.header("etag"));
    make("one", "other").await.problem(422, "idempotency_key_reused");
    make("two", "acme").await.problem(409, "conflict");
    for key in ["", "with space", "ü"] {
        let problem = make(key, "third").await.problem(400, "invalid_request");
        assert_eq!(problem["field"], "Idempotency-Key");
    }
    // A day later the key is free again.
    plane.pass(86_400);
    make("one", "other").await.expect(201);
    make("one", "acme").await.problem(422, "idempotency_key_reused");
}

async fn a_change_builds_on_what_is_there(plane: Plane) {
    let made = plane.post("/tenants", &json!({"name": "acme"})).await;
    let path = format!("/tenants/{}", made.expect(201)["id"].as_str().unwrap());
    let old = made.header("etag").to_owned();
    let change = |tag: String, name: &'static str| {
        let (plane, path) = (&plane, &path);
        async move {
            let headers = [("if-match", tag.as_str())];
            plane.ask_with("PATCH", path, &plane.key, &headers, Some(&json!({"name": name}))).await
        }
    };
    let changed = change(old.clone(), "second").await;
    assert_eq!(changed.expect(200)["name"], "second");
    let new = changed.header("etag").to_owned();
    assert_ne!(new, old);
    change(old.clone(), "third").await.problem(412, "precondition_failed");
    change(format!("W/{new}"), "third").await.problem(412, "precondition_failed");
    change("unquoted".to_owned(), "third").await.problem(400, "invalid_request");
    change(format!("{old}, {new}"), "third").await.expect(200);
    change("*".to_owned(), "fourth").await.expect(200);

    let read = plane.get(&path).await;
    let tag = read.header("etag").to_owned();
    let known = [("if-none-match", tag.as_str())];
    let unchanged = plane.ask_with("GET", &path, &plane.key, &known, None).await;
    unchanged.expect(304);
    assert_eq!((unchanged.header("etag"), unchanged.bytes.len()), (tag.as_str(), 0));
    let stale = [("if-none-match", old.as_str())];
    plane.ask_with("GET", &path, &plane.key, &stale, None).await.expect(200);

    let stale = [("if-match", old.as_str())];
    let refused = plane.ask_with("DELETE", &path, &plane.key, &stale, None).await;
    refused.problem(412, "precondition_failed");
    plane.delete(&path).await.expect(200);
    plane.get(&path).await.problem(404, "not_found");
    plane.delete(&path).await.problem(404, "not_found");
}

async fn of_changes_at_once_one_builds_on_the_other(plane: Plane) {
    let made = plane.post("/tenants", &json!({"name": "acme"})).await;
    let path = format!("/tenants/{}", made.expect(201)["id"].as_str().unwrap());
    let tag = made.header("etag").to_owned();
    let rename = async |name: &str| {
        let headers = [("if-match", tag.as_str())];
        let body = json!({"name": name});
        plane.ask_with("PATCH", &path, &plane.key, &headers, Some(&body)).await.status
    };
    let (a, b, c) = tokio::join!(rename("a"), rename("b"), rename("c"));
    let mut statuses = [a, b, c];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);

    let body = json!({"name": "once"});
    let make = async || {
        let headers = [("idempotency-key", "k")];
        plane.ask_with("POST", "/tenants", &plane.key, &headers, Some(&body)).await.status
    };
    let (a, b, c) = tokio::join!(make(), make(), make());
    let mut statuses = [a, b, c];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 201]);

    // The key is its caller's alone.
    let other = json!({"name": "k", "role": "owner", "scope": "root"});
    let other = plane.post("/operator-keys", &other).await.expect(201);
    let (secret, headers) = (other["secret"].as_str().unwrap(), [("idempotency-key", "k")]);
    let answer = plane.ask_with("POST", "/tenants", secret, &headers, Some(&body)).await;
    answer.problem(409, "conflict");
}

async fn lists_come_in_pages(plane: Plane) {
    for name in ["a", "b", "c", "d"] {
        plane.post("/tenants", &json!({"name": name})).await.expect(201);
    }
    let mut names = vec![];
    let mut query = "?limit=2".to_owned();
    loop {
        let page = plane.get(&format!("/tenants{query}")).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(names, ["default", "a", "b", "c", "d"]);
    let all = plane.get("/tenants").await.expect(200);
    assert!(all["items"].as_array().unwrap().len() == 5 && all.get("next").is_none());
    for query in
        ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=%2B5", "limit=1&limit=2"]
    {
        let problem = plane.get(&format!("/tenants?{query}")).await.problem(400, "invalid_request");
        assert!(problem["field"] == "limit" || query.contains('&'), "{query}: {problem}");
    }
    for cursor in ["", "x", "AAAA", "dGVuYW50cwA"] {
        let answer = plane.get(&format!("/tenants?cursor={cursor}")).await;
        assert_eq!(answer.problem(400, "invalid_request")["field"], "cursor");
    }
    plane.get("/tenants?unknown=1").await.problem(400, "invalid_request");
}

async fn refusals_are_problems(plane: Plane) {
    plane.get("/nothing").await.problem(404, "not_found");
    plane.ask("PUT", "/tenants", &plane.key, None).await.problem(405, "method_not_allowed");
    let anonymous = plane.ask("GET", "/tenants/%ff", "", None).await;
    anonymous.problem(401, "unauthorized");
    assert_eq!(anonymous.header("www-authenticate"), "Bearer");
    plane.ask("GET", "/tenants?x=1", "nebula-operator-x", None).await.problem(401, "unauthorized");
    for id in ["%ff", "x", "00000000-0000-0000-0000-00000000000G"] {
        let problem = plane.get(&format!("/tenants/{id}")).await.problem(400, "invalid_request");
        assert_eq!(problem["field"], "tenant");
    }
    let send = |content_type: &'static str, body: String| {
        let request = native::request("POST", "/tenants", &plane.key);
        plane.send(request.header("content-type", content_type).body(Body::from(body)).unwrap())
    };
    let json = "application/json";
    send("text/plain", "{\"name\": \"x\"}".into()).await.problem(415, "unsupported_media_type");
    send(json, " ".repeat(65_537)).await.problem(413, "too_large");
    for (body, field) in [
        ("", "body"),
        ("[", "body"),
        ("{}", "body"),
        ("null", "body"),
        ("{\"name\": \"x\"} {}", "body"),
        ("{\"name\": 1}", "name"),
        ("{\"name\": null}", "name"),
        ("{\"name\": \"\"}", "name"),
        ("{\"name\": \"a\\nb\"}", "name"),
        ("{\"name\": \"x\", \"extra\": 1}", "extra"),
    ] {
        let problem = send(json, body.into()).await.problem(400, "invalid_request");
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    let long = json!({"name": "x".repeat(129)}).to_string();
    assert_eq!(send(json, long).await.problem(400, "invalid_request")["field"], "name");
    let longest = json!({"name": "ü".repeat(128)}).to_string();
    send(json, longest).await.expect(201);
}
