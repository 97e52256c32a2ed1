//! Operator keys, join tokens and the audit log, natively; join tokens in the dialect, too.

use crate::support::native::{Answer, Plane, enrollment, request, text};
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use nebula_gc_http::api::Public;
use serde_json::{Value, json};

on_both_engines! {
    an_operator_key_has_no_more_than_its_maker
    a_revoked_or_expired_key_opens_nothing
    a_key_that_ends_makes_none_that_outlives_it
    the_last_root_owner_key_stays
    a_tenant_sees_nothing_of_another
    a_join_token_gives_what_it_presets
    a_join_token_ends
    a_join_token_is_one_link
    a_join_token_opens_the_dialect
    events_tell_what_happened_and_who_did_it
}

async fn demo(plane: &Plane) -> Value {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24"]});
    plane.post("/networks", &body).await.expect(201)
}

async fn make(plane: &Plane, maker: &str, role: &str, scope: Value) -> Answer {
    let key = json!({"name": "key", "role": role, "scope": scope});
    plane.ask("POST", "/operator-keys", maker, Some(&key)).await
}

async fn an_operator_key_has_no_more_than_its_maker(plane: Plane) {
    demo(&plane).await;
    let tenant = plane.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let own = json!({"tenant": tenant["id"]});
    let made = make(&plane, &plane.key, "owner", own.clone()).await;
    let key = made.expect(201);
    let path = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    let secret = text(&key, "secret");
    assert!(secret.starts_with("nebula-operator-"));
    let mut without = key.clone();
    without.as_object_mut().unwrap().remove("secret");
    assert_eq!(plane.get(&path).await.expect(200), without);

    for (scope, status) in [
        (json!("root"), 403),
        (json!({"network": "demo"}), 404),
        (json!({"tenant": "01890a5d-ac96-774b-bcce-b302099a8057"}), 404),
        (own.clone(), 201),
    ] {
        let answer = make(&plane, &secret, "owner", scope.clone()).await;
        assert_eq!(answer.status, status, "{scope}");
    }
    let viewer = text(&make(&plane, &secret, "viewer", own).await.expect(201), "secret");
    make(&plane, &viewer, "viewer", json!("root")).await.problem(403, "forbidden");
    let listed = plane.ask("GET", "/operator-keys", &viewer, None).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    for scope in [json!("everything"), json!({}), json!({"root": null, "tenant": "x"}), json!(null)]
    {
        make(&plane, &plane.key, "owner", scope).await.problem(400, "invalid_request");
    }
    make(&plane, &plane.key, "king", json!("root")).await.problem(400, "invalid_request");

    // A repeated request does not tell the secret again.
    let key = json!({"name": "once", "role": "viewer", "scope": "root"});
    let headers = [("idempotency-key", "k")];
    let ask =
        async || plane.ask_with("POST", "/operator-keys", &plane.key, &headers, Some(&key)).await;
    let first = ask().await.expect(201);
    let again = ask().await.expect(200);
    assert_eq!(again["id"], first["id"]);
    assert!(first["secret"].is_string() && again.get("secret").is_none());
}

async fn a_revoked_or_expired_key_opens_nothing(plane: Plane) {
    let body = json!({"name": "k", "role": "viewer", "scope": "root", "expiresAt": "2027-01-15T09:00:00+00:00"});
    let made = plane.post("/operator-keys", &body).await;
    let (secret, path) = (text(&made.expect(201), "secret"), made.header("location").to_owned());
    let path = path.strip_prefix("/api/v1").unwrap();
    let ask = async || plane.ask("GET", "/tenants", &secret, None).await;
    ask().await.expect(200);
    plane.pass(3599);
    ask().await.expect(200);
    plane.pass(1);
    ask().await.problem(401, "unauthorized");
    plane.post("/operator-keys", &body).await.problem(400, "invalid_request");

    let body = json!({"name": "k", "role": "owner", "scope": "root"});
    let made = plane.post("/operator-keys", &body).await;
    let secret = text(&made.expect(201), "secret");
    let ask = async |method, path: &str| plane.ask(method, path, &secret, None).await;
    ask("GET", "/tenants").await.expect(200);
    let own = made.header("location").strip_prefix("/api/v1").unwrap();
    plane.delete(own).await.expect(204);
    ask("GET", "/tenants").await.problem(401, "unauthorized");
    ask("DELETE", path).await.problem(401, "unauthorized");
    plane.delete(own).await.expect(204);
    assert!(plane.get(own).await.expect(200)["revokedAt"].is_string());
    plane
        .delete("/operator-keys/01890a5d-ac96-774b-bcce-b302099a8057")
        .await
        .problem(404, "not_found");
}

async fn a_key_that_ends_makes_none_that_outlives_it(plane: Plane) {
    let body = |end: Option<&str>| {
        let mut body = json!({"name": "key", "role": "owner", "scope": "root"});
        if let Some(end) = end {
            body["expiresAt"] = json!(end);
        }
        body
    };
    let maker = body(Some("2027-02-01T00:00:00Z"));
    let maker = plane.post("/operator-keys", &maker).await.expect(201);
    let maker = text(&maker, "secret");
    let make = async |end| plane.ask("POST", "/operator-keys", &maker, Some(&body(end))).await;
    for end in [None, Some("2027-02-01T00:00:01Z")] {
        let refused = make(end).await.problem(400, "invalid_request");
        assert_eq!(refused["field"], "expiresAt");
        assert!(refused["detail"].as_str().unwrap().contains("2027-02-01T00:00:00Z"), "{refused}");
    }
    make(Some("2027-02-01T00:00:00Z")).await.expect(201);
}

async fn the_last_root_owner_key_stays(plane: Plane) {
    let listed = plane.get("/operator-keys").await.expect(200);
    let root = format!("/operator-keys/{}", text(&listed["items"][0], "id"));
    plane.delete(&root).await.problem(409, "conflict");
    // One that ends does not take its place, nor one of less.
    let ends =
        json!({"name": "k", "role": "owner", "scope": "root", "expiresAt": "2030-01-01T00:00:00Z"});
    plane.post("/operator-keys", &ends).await.expect(201);
    make(&plane, &plane.key, "operator", json!("root")).await.expect(201);
    plane.delete(&root).await.problem(409, "conflict");
    let second =
        text(&make(&plane, &plane.key, "owner", json!("root")).await.expect(201), "secret");
    plane.ask("DELETE", &root, &second, None).await.expect(204);
    plane.get("/tenants").await.problem(401, "unauthorized");
}

async fn a_tenant_sees_nothing_of_another(plane: Plane) {
    demo(&plane).await;
    let tenant = plane.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let key = make(&plane, &plane.key, "owner", json!({"tenant": tenant["id"]})).await.expect(201);
    let secret = text(&key, "secret");
    let get = async |path: &str| plane.ask("GET", path, &secret, None).await;
    get("/networks/demo").await.problem(404, "not_found");
    assert_eq!(get("/networks").await.expect(200)["items"], json!([]));
    assert_eq!(get("/events").await.expect(200)["items"], json!([]));
    assert_eq!(get("/tenants").await.expect(200)["items"].as_array().unwrap().len(), 1);
    let network = json!({"name": "own", "prefixes": ["10.1.0.0/24"]});
    let made = plane.ask("POST", "/networks", &secret, Some(&network)).await.expect(201);
    assert_eq!(made["tenant"], tenant["id"]);
    let kinds: Vec<_> = get("/events").await.expect(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| text(event, "kind"))
        .collect();
    assert_eq!(kinds, ["network.created", "pool.created"]);
    let path = format!("/tenants/{}", text(&tenant, "id"));
    plane.delete(&path).await.problem(409, "conflict");
    // Names are unique over all tenants. That one is taken is told, not what has it.
    plane.post("/tenants", &json!({"name": "rival"})).await.expect(201);
    let own = plane.ask("GET", "/networks/own", &secret, None).await.expect(200);
    let (rival, others) = (json!({"name": "rival"}), json!({"name": "demo"}));
    let mine = json!({"name": "own", "prefixes": ["10.1.0.0/24"]});
    let demo = json!({"name": "demo", "prefixes": ["10.1.0.0/24"]});
    for (method, path, body, told) in [
        ("PATCH", &*path, &rival, "not available"),
        ("POST", "/networks", &demo, "not available"),
        ("PATCH", "/networks/own", &others, "not available"),
        ("POST", "/networks", &mine, "another network is called"),
    ] {
        let problem = plane.ask(method, path, &secret, Some(body)).await.problem(409, "conflict");
        let detail = text(&problem, "detail");
        assert!(detail.contains(told), "{detail}");
        assert!(!detail.contains("rival") && !detail.contains("demo"), "{detail}");
    }
    assert_eq!(plane.ask("GET", "/networks/own", &secret, None).await.expect(200), own);
}

async fn a_join_token_gives_what_it_presets(plane: Plane) {
    demo(&plane).await;
    let pool = plane.get("/networks/demo/pools").await.expect(200)["items"][0]["id"].clone();
    let block = json!({"name": "web", "pool": pool, "range": "10.1.0.128/28"});
    let block = plane.post("/networks/demo/blocks", &block).await.expect(201)["id"].clone();
    let token = json!({
        "name": "web servers", "uses": 2, "namePattern": "web-*", "groups": ["web", "prod"],
        "relay": true, "pool": block
    });
    let made = plane.post("/networks/demo/join-tokens", &token).await;
    let path = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    let token = made.expect(201);
    assert_eq!((token["uses"].clone(), token["used"].clone()), (json!(2), json!(0)));
    assert_eq!(token["expiresAt"], "2027-01-16T08:00:00Z");
    let secret = text(&token, "secret");
    let enroll = async |body: &Value| plane.ask("POST", "/enroll", &secret, Some(body)).await;
    enroll(&enrollment("db-1")).await.problem(403, "join_token_refused");
    let mut greedy = enrollment("web-1");
    greedy["groups"] = json!(["admin"]);
    enroll(&greedy).await.problem(403, "join_token_refused");
    greedy["groups"] = json!(["web"]);
    greedy["lighthouse"] = json!({"endpoint": "192.0.2.1:4242"});
    enroll(&greedy).await.problem(403, "join_token_refused");

    let first = enrollment("web-1");
    let enrolled = enroll(&first).await.expect(201);
    assert_eq!(enrolled["addresses"], json!(["10.1.0.128/24"]));
    let listed = plane.get(&path).await.expect(200);
    assert_eq!(listed["used"], 1);
    assert!(listed.get("secret").is_none());
    enroll(&enrollment("web-2")).await.expect(201);
    enroll(&enrollment("web-3")).await.problem(403, "join_token_refused");
    // Who is in gets its own again, and spends nothing.
    let again = enroll(&first).await.expect(200);
    for field in ["node", "addresses", "certificates", "generation"] {
        assert_eq!(again[field], enrolled[field], "{field}");
    }
    assert_eq!(plane.get(&path).await.expect(200)["used"], 2);

    for (body, field) in [
        (json!({"name": "x", "uses": 0}), "uses"),
        (json!({"name": "x", "uses": 1_000_001}), "uses"),
        (json!({"name": "x", "expiresInSeconds": 0}), "expiresInSeconds"),
        (json!({"name": "x", "expiresInSeconds": 31_536_001}), "expiresInSeconds"),
        (json!({"name": "x", "expiresAt": "2027-01-15T08:00:00Z"}), "expiresAt"),
        (json!({"name": "x", "expiresAt": "tomorrow"}), "expiresAt"),
        (json!({"name": "x", "groups": ["any"]}), "groups"),
        (json!({"name": "x", "pool": "01890a5d-ac96-774b-bcce-b302099a8057"}), "pool"),
    ] {
        let answer = plane.post("/networks/demo/join-tokens", &body).await;
        assert_eq!(answer.problem(400, "invalid_request")["field"], field);
    }
}

async fn a_join_token_ends(plane: Plane) {
    demo(&plane).await;
    let make = async |body: Value| {
        let made = plane.post("/networks/demo/join-tokens", &body).await;
        let path = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
        (path, text(&made.expect(201), "secret"))
    };
    let (_, short) = make(json!({"name": "short", "expiresInSeconds": 60, "uses": 9})).await;
    let (path, revoked) = make(json!({"name": "revoked", "uses": 9})).await;
    let enroll =
        async |secret: &str, body: &Value| plane.ask("POST", "/enroll", secret, Some(body)).await;
    let first = enrollment("one");
    let mut enrolled = enroll(&short, &first).await.expect(201);
    plane.pass(60);
    enroll(&short, &enrollment("two")).await.problem(403, "join_token_refused");
    let mut again = enroll(&short, &first).await.expect(200);
    // It says when it was given.
    assert_ne!(again["bundle"]["receipt"].take(), enrolled["bundle"]["receipt"].take());
    assert_eq!(again, enrolled);
    enroll(&revoked, &enrollment("two")).await.expect(201);
    plane.delete(&path).await.expect(204);
    plane.delete(&path).await.expect(204);
    enroll(&revoked, &enrollment("three")).await.problem(401, "unauthorized");
    assert!(plane.get(&path).await.expect(200)["revokedAt"].is_string());
    // Another network's token leads nowhere else.
    let beside = json!({"name": "beside", "prefixes": ["10.1.0.0/24"]});
    plane.post("/networks", &beside).await.expect(201);
    let (_, secret) = make(json!({"name": "x"})).await;
    let mut astray = enrollment("four");
    astray["network"] = json!("beside");
    enroll(&secret, &astray).await.problem(404, "not_found");
    let elsewhere = path.replace("demo", "beside");
    plane.get(&elsewhere).await.problem(404, "not_found");
    plane.delete(&elsewhere).await.problem(404, "not_found");
}

async fn a_join_token_is_one_link(plane: Plane) {
    demo(&plane).await;
    let body = json!({"name": "x"}).to_string();
    let ask = request("POST", "/networks/demo/join-tokens", &plane.key)
        .header("content-type", "application/json")
        .extension(Public { url: Some("https://gc.example:8443".into()), pin: Some([7; 32]) });
    let made = plane.send(ask.body(Body::from(body)).unwrap()).await.expect(201);
    let pin = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    let secret = text(&made, "secret");
    let link = format!("https://gc.example:8443/join#token={secret}&pin={pin}&curve=25519");
    assert_eq!(made["link"], link);
    let png = base64::engine::general_purpose::STANDARD.decode(text(&made, "qrPng")).unwrap();
    assert_eq!(png, nebula_pki::qr_png(&link).unwrap());
    assert!(made.get("warning").is_none());
    for (url, has_link, warning) in [
        (Some("http://gc.example:8080"), true, Some("plain HTTP")),
        (Some("http://127.0.0.1:8080"), true, None),
        (Some("http://[::1]:8080"), true, None),
        (None, false, Some("public-url")),
    ] {
        let body = json!({"name": format!("{url:?}")}).to_string();
        let ask = request("POST", "/networks/demo/join-tokens", &plane.key)
            .header("content-type", "application/json")
            .extension(Public { url: url.map(Into::into), pin: None });
        let made = plane.send(ask.body(Body::from(body)).unwrap()).await.expect(201);
        assert_eq!((made["link"].is_string(), made["qrPng"].is_string()), (has_link, has_link));
        let told = made["warning"].as_str();
        assert_eq!(told.is_some(), warning.is_some(), "{url:?} {told:?}");
        assert!(told.is_none_or(|told| told.contains(warning.unwrap())), "{url:?} {told:?}");
    }
    // A device makes its key on the network's curve.
    let network = json!({"name": "p256", "prefixes": ["10.2.0.0/24"], "curve": "P256"});
    plane.post("/networks", &network).await.expect(201);
    let ask = request("POST", "/networks/p256/join-tokens", &plane.key)
        .header("content-type", "application/json")
        .extension(Public { url: Some("https://gc.example".into()), pin: None });
    let body = Body::from(json!({"name": "x"}).to_string());
    let made = plane.send(ask.body(body).unwrap()).await.expect(201);
    assert!(text(&made, "link").ends_with("&curve=P256"), "{made}");
    // A server that does not know where it is found says nothing of it.
    let made = plane.post("/networks/demo/join-tokens", &json!({"name": "y"})).await.expect(201);
    assert!(
        made["secret"].is_string() && made.get("link").is_none() && made.get("qrPng").is_none()
    );
}

async fn a_join_token_opens_the_dialect(plane: Plane) {
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/24"], "versions": "1"});
    plane.post("/networks", &network).await.expect(201);
    let token = json!({"name": "x", "uses": 5, "groups": ["laptops"]});
    let token = plane.post("/networks/demo/join-tokens", &token).await.expect(201);
    let secret = text(&token, "secret");
    let ask = async |method: &str, path: &str, body: Value| {
        let request = Request::builder().method(method).uri(format!("/api/nebula{path}"));
        let request = request.header("authorization", format!("Bearer {secret}"));
        let request = request.header("content-type", "application/json");
        plane.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let device = |name: &str| json!({"deviceId": name, "deviceName": name, "publicKey": enrollment(name)["publicKey"]});
    let registered = ask("POST", "/register", device("one")).await.expect(200);
    assert_eq!(registered["data"]["nebulaIp"], "10.1.0.1/32");
    let status = ask("GET", "/status/one", json!({})).await.expect(200);
    assert_eq!(status["allocated"], true);
    assert_eq!(ask("GET", "/bundle/one", json!({})).await.status, 200);
    // What others joined with, it does not see.
    let operator =
        request("POST", "/enroll", &plane.key).header("content-type", "application/json");
    let mut other = enrollment("two");
    other["device"] = json!("two");
    plane.send(operator.body(Body::from(other.to_string())).unwrap()).await.expect(201);
    assert_eq!(ask("GET", "/status/two", json!({})).await.expect(200)["allocated"], false);
    assert_eq!(ask("GET", "/bundle/two", json!({})).await.expect(404)["error"], "not_found");
    let mut greedy = device("three");
    greedy["groups"] = json!(["admin"]);
    assert_eq!(ask("POST", "/register", greedy).await.expect(403)["error"], "forbidden");
    assert_eq!(ask("POST", "/release/one", json!({})).await.expect(403)["error"], "forbidden");
    let pool = json!({"projectId": "demo", "cidr": "10.1.0.0/24"});
    assert_eq!(ask("POST", "/pools", pool).await.expect(403)["error"], "forbidden");
}

async fn events_tell_what_happened_and_who_did_it(plane: Plane) {
    let network = demo(&plane).await;
    let token = json!({"name": "x"});
    let token = plane.post("/networks/demo/join-tokens", &token).await.expect(201);
    let secret = text(&token, "secret");
    let answer = plane.ask("POST", "/enroll", &secret, Some(&enrollment("one"))).await;
    let node = answer.expect(201)["node"].clone();
    let events = async |query: &str| {
        plane.get(&format!("/networks/demo/events{query}")).await.expect(200)["items"].clone()
    };
    let all = events("").await;
    let kinds: Vec<_> = all.as_array().unwrap().iter().map(|event| text(event, "kind")).collect();
    let expected = [
        "network.created",
        "pool.created",
        "join_token.created",
        "lease.allocated",
        "node.enrolled",
    ];
    assert_eq!(kinds, expected);
    let enrolled = &all[4];
    assert_eq!(enrolled["actor"], format!("join_token:{}", text(&token, "id")));
    assert_eq!(enrolled["subject"], node);
    assert_eq!(enrolled["network"], network["id"]);
    assert_eq!(enrolled["requestId"], answer.header("x-request-id"));
    assert_eq!(enrolled["detail"]["addresses"], json!(["10.1.0.1"]));
    let mut newest = all.as_array().unwrap().clone();
    newest.reverse();
    assert_eq!(events("?order=newest_first").await, json!(newest));
    assert_eq!(events("?kind=node.enrolled").await, json!([enrolled]));
    let about = format!("?subject={}", text(enrolled, "subject"));
    assert_eq!(events(&about).await, json!([all[3], enrolled]));
    // Page by page, in both directions.
    for order in ["oldest_first", "newest_first"] {
        let (mut seen, mut cursor) = (vec![], String::new());
        loop {
            let path = format!("/networks/demo/events?limit=2&order={order}{cursor}");
            let page = plane.get(&path).await.expect(200);
            seen.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        if order == "newest_first" {
            seen.reverse();
        }
        assert_eq!(json!(seen), all);
        let other = if order == "newest_first" { "oldest_first" } else { "newest_first" };
        let path = format!("/networks/demo/events?order={other}{cursor}");
        plane.get(&path).await.problem(400, "invalid_request");
    }
    // Of all networks, and of none.
    let everywhere = plane.get("/events?limit=500").await.expect(200);
    assert_eq!(everywhere["items"][0]["kind"], "operator_key.created");
    assert_eq!(everywhere["items"].as_array().unwrap().len(), 6);
}
