//! Whatever can be wrong with a request: the status and code of the dialect's table, a detail that
//! says what to change, and nothing left behind.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use serde_json::{Value, json};

use crate::support::dialect::{Plane, new_key, registration};

on_both_engines! {
    every_unusable_public_key_is_refused_by_its_reason
    every_unusable_field_is_refused_by_name
    a_body_that_is_no_json_object_or_too_large_is_refused
    only_an_operator_key_opens_and_an_absent_one_comes_before_a_broken_body
    what_is_not_there_is_not_found
    what_another_device_has_is_a_conflict
    a_full_pool_refuses_the_next_and_changes_nothing
    unusable_pools_are_refused
    a_revoked_node_and_its_key_stay_out
    two_credentials_are_refused_before_either_is_looked_at
    a_query_that_is_not_utf8_is_refused
    no_body_is_read_for_who_may_not_send_it
}

/// A body that comes in pieces, so that its length is not known ahead.
struct Chunks(Bytes);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let size = self.0.len().min(8192);
        Poll::Ready((size > 0).then(|| Ok(http_body::Frame::data(self.0.split_to(size)))))
    }
}

/// A registration with one field replaced, or left out for null.
fn with(field: &str, value: Value) -> Value {
    let mut body = registration("device", &new_key());
    body[field] = value;
    body
}

async fn every_unusable_public_key_is_refused_by_its_reason(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let before = plane.rows();
    let pem = |banner: &str, base64: &str| {
        format!("-----BEGIN {banner}-----\n{base64}\n-----END {banner}-----\n")
    };
    const P256_KEY: &str = "BDoNFGp2iIQs8vclOM661IRmVa4UHjnR+KUmrtxpAHsefMOCrSPvAEJ+/6hyhsqr1EZUVozk\
                            wekGkk3QW9g4DZ4=";
    let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let cases = [
        (String::new(), "Base64 or hexadecimal"),
        ("not a key".to_owned(), "Base64 or hexadecimal"),
        ("AAAA".to_owned(), "32"),
        ("ab".repeat(31), "Base64 or hexadecimal"),
        ("0".repeat(64), "small order"),
        (zero.to_owned(), "small order"),
        (format!("01{}", "00".repeat(31)), "small order"),
        (
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f".to_owned(),
            "small order",
        ),
        (pem("NEBULA X25519 PUBLIC KEY", zero), "small order"),
        // The same points in other encodings: Nebula would not pair them with their private keys.
        (format!("{}80", "5a".repeat(31)), "canonical"),
        (format!("f1{}7f", "ff".repeat(30)), "canonical"),
        (pem("NEBULA X25519 PUBLIC KEY", "AAAA"), "32"),
        (pem("NEBULA X25519 PRIVATE KEY", zero), "private"),
        (pem("NEBULA ED25519 PUBLIC KEY", zero), "NEBULA ED25519 PUBLIC KEY"),
        (pem("CERTIFICATE", zero), "CERTIFICATE"),
        (pem("NEBULA P256 PUBLIC KEY", &format!("BA{}", "A".repeat(85) + "=")), "not a point"),
        (pem("NEBULA P256 PUBLIC KEY", P256_KEY), "Curve25519"),
        ("-----BEGIN NEBULA X25519 PUBLIC KEY-----\nAAAA".to_owned(), "PEM"),
    ];
    for (key, reason) in cases {
        let detail = plane
            .post("/register", &with("publicKey", json!(key)))
            .await
            .refusal(400, "invalid_public_key");
        assert!(detail.starts_with("publicKey: ") && detail.contains(reason), "{key:?}: {detail}");
    }
    assert_eq!(plane.rows(), before);
}

async fn every_unusable_field_is_refused_by_name(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let before = plane.rows();
    let cases = [
        ("deviceName", json!("")),
        ("deviceName", json!("any")),
        ("deviceName", json!("x".repeat(254))),
        ("deviceName", json!("line\nbreak")),
        ("deviceName", json!("nul\0")),
        ("deviceId", json!("")),
        ("deviceId", json!("x".repeat(129))),
        ("deviceId", json!("tab\t")),
        ("projectId", json!("")),
        ("groups", json!(["any"])),
        ("groups", json!([""])),
        ("groups", json!(["twice", "twice"])),
        ("groups", json!(["x".repeat(254)])),
        ("groups", json!((0..65).map(|i| i.to_string()).collect::<Vec<_>>())),
        ("groups", json!((0..17).map(|i| format!("{i:0253}")).collect::<Vec<_>>())),
        ("lighthouse.endpoint", json!({"endpoint": "192.0.2.1"})),
        ("lighthouse.endpoint", json!({"endpoint": "192.0.2.1:0"})),
        ("lighthouse.endpoint", json!({"endpoint": "no such host:1"})),
    ];
    for (field, value) in cases {
        let key = field.split('.').next().unwrap();
        let detail = plane
            .post("/register", &with(key, value.clone()))
            .await
            .refusal(400, "invalid_request");
        assert!(detail.starts_with(&format!("{field}: ")), "{field} {value}: {detail}");
    }
    // Of the wrong type, unknown, or missing.
    let mut missing = registration("device", &new_key());
    missing.as_object_mut().unwrap().remove("deviceName");
    for (body, names) in [
        (with("deviceName", json!(7)), "7"),
        (with("deviceName", json!(null)), "null"),
        (with("groups", json!("one")), "one"),
        (with("groups", json!(null)), "null"),
        (with("projectId", json!(null)), "null"),
        (with("lighthouse", json!({})), "endpoint"),
        (with("lighthouse", json!({"endpoint": "a:1", "port": 1})), "port"),
        (with("unknown", json!(1)), "unknown"),
        (missing, "deviceName"),
    ] {
        let detail = plane.post("/register", &body).await.refusal(400, "invalid_request");
        assert!(detail.contains(names), "{body}: {detail}");
    }
    assert_eq!(plane.rows(), before);
}

async fn a_body_that_is_no_json_object_or_too_large_is_refused(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let before = plane.rows();
    let key = Some(plane.key.as_str());
    for body in ["", "null", "[]", "{", "{}", "\u{feff}{}", "{\"deviceId\":1,\"deviceId\":2}"] {
        plane.send("POST", "/register", key, Some(body)).await.refusal(400, "invalid_request");
    }
    let deep = "[".repeat(60_000);
    plane.send("POST", "/register", key, Some(&deep)).await.refusal(400, "invalid_request");

    let fill = |size: usize| {
        let mut body = registration("device", &new_key()).to_string();
        body.push_str(&" ".repeat(size - body.len()));
        body
    };
    let detail = plane
        .send("POST", "/register", key, Some(&fill(64 * 1024 + 1)))
        .await
        .refusal(413, "too_large");
    assert!(detail.contains("65536"), "{detail}");
    // Without a declared length it is counted on its way in.
    let streamed = Body::new(Chunks(fill(70_000).into()));
    let request = Request::post("/api/nebula/register")
        .header("authorization", format!("Bearer {}", plane.key))
        .header("content-type", "application/json");
    plane.ask(request.body(streamed).unwrap()).await.refusal(413, "too_large");

    let request = Request::post("/api/nebula/register")
        .header("authorization", format!("Bearer {}", plane.key));
    let plain = request.body(Body::from(registration("device", &new_key()).to_string())).unwrap();
    let detail = plane.ask(plain).await.refusal(400, "invalid_request");
    assert!(detail.contains("application/json"), "{detail}");
    assert_eq!(plane.rows(), before);

    // The largest that is allowed.
    plane.send("POST", "/register", key, Some(&fill(64 * 1024))).await.expect(200);
}

async fn only_an_operator_key_opens_and_an_absent_one_comes_before_a_broken_body(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    plane.register("device", &new_key()).await.expect(200);
    let before = plane.rows();
    let body = registration("other", &new_key()).to_string();
    let wrong = format!("{}x", &plane.key);
    for key in [None, Some(""), Some("wrong"), Some(wrong.as_str())] {
        for (method, path, body) in [
            ("POST", "/register", Some(body.as_str())),
            ("POST", "/register", Some("not json")),
            ("POST", "/pools", Some("{\"projectId\": \"demo\", \"cidr\": \"10.2.0.0/16\"}")),
            ("POST", "/release/device", None),
            ("GET", "/status/device", None),
            ("GET", "/bundle/device", None),
            ("GET", "/status/%ff", None),
            ("POST", "/release/device?unknown=1", None),
        ] {
            let answer = plane.send(method, path, key, body).await;
            let detail = answer.refusal(401, "unauthorized");
            let says =
                ["operator key", "credential", "Bearer"].iter().any(|word| detail.contains(word));
            assert!(says, "{detail}");
        }
    }
    for scheme in ["Basic", "Token"] {
        let request = Request::get("/api/nebula/status/device")
            .header("authorization", format!("{scheme} {}", &plane.key));
        plane.ask(request.body(Body::empty()).unwrap()).await.refusal(401, "unauthorized");
    }
    assert_eq!(plane.rows(), before);
}

async fn what_is_not_there_is_not_found(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let before = plane.rows();
    let detail = plane
        .post("/register", &with("projectId", json!("nowhere")))
        .await
        .refusal(404, "not_found");
    assert!(detail.contains("nowhere"), "{detail}");
    plane.get("/bundle/nobody?projectId=demo").await.refusal(404, "not_found");
    plane.get("/bundle/nobody?projectId=nowhere").await.refusal(404, "not_found");
    plane.get("/status/nobody?projectId=nowhere").await.refusal(404, "not_found");
    plane.get("/ca?projectId=nowhere").await.refusal(404, "not_found");
    plane.post("/release/nobody?projectId=demo", &json!({})).await.refusal(404, "not_found");
    plane.get("/nothing").await.refusal(404, "not_found");
    plane.get("/register").await.refusal(405, "invalid_request");
    plane.get("/status/nobody?project=demo").await.refusal(400, "invalid_request");
    plane.get("/status/%ff?projectId=demo").await.refusal(400, "invalid_request");
    plane.get("/status/a%00b?projectId=demo").await.refusal(400, "invalid_request");
    let status = plane.get("/status/nobody?projectId=demo").await.expect(200);
    assert_eq!(
        status,
        json!({"success": true, "deviceId": "nobody", "nebulaIp": null, "allocated": false})
    );
    assert_eq!(plane.rows(), before);
}

async fn what_another_device_has_is_a_conflict(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let key = new_key();
    plane.register("first", &key).await.expect(200);
    plane.register("second", &new_key()).await.expect(200);
    let before = plane.rows();
    let detail = plane.register("third", &key).await.refusal(409, "conflict");
    assert!(detail.starts_with("publicKey: "), "{detail}");
    let mut body = registration("third", &new_key());
    body["deviceName"] = json!("first");
    let detail = plane.post("/register", &body).await.refusal(409, "conflict");
    assert!(detail.starts_with("deviceName: "), "{detail}");
    // The same for a device that is there already.
    plane.register("second", &key).await.refusal(409, "conflict");
    body["deviceId"] = json!("second");
    plane.post("/register", &body).await.refusal(409, "conflict");
    assert_eq!(plane.rows(), before);
}

async fn a_full_pool_refuses_the_next_and_changes_nothing(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    for i in 0..254 {
        let data = plane.register(&format!("device-{i}"), &new_key()).await.expect(200);
        assert_eq!(data["nebulaIp"], json!(format!("10.1.0.{}/32", i + 1)));
    }
    let before = plane.rows();
    let detail = plane.register("one-too-many", &new_key()).await.refusal(409, "pool_exhausted");
    assert!(detail.contains("IPv4"), "{detail}");
    assert_eq!(plane.rows(), before);
    // Who is in stays in.
    plane.get("/status/device-7").await.expect(200);
}

async fn unusable_pools_are_refused(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let before = plane.rows();
    for (body, field) in [
        (json!({"projectId": "new", "cidr": "10.2.0.0"}), "cidr"),
        (json!({"projectId": "new", "cidr": "10.2.0.0/33"}), "cidr"),
        (json!({"projectId": "new", "cidr": "10.2.0.1/24"}), "cidr"),
        (json!({"projectId": "new", "cidr": "224.0.0.0/8"}), "cidr"),
        (json!({"projectId": "new", "cidr": "0.0.0.0/0"}), "cidr"),
        (json!({"projectId": "new", "cidr": "127.8.0.0/16"}), "cidr"),
        (json!({"projectId": "new", "cidr": "255.255.255.255/32"}), "cidr"),
        (json!({"projectId": "new", "cidr": "::/64", "certificateVersion": 2}), "cidr"),
        (json!({"projectId": "new", "cidr": "fe80::/64", "certificateVersion": 2}), "cidr"),
        (json!({"projectId": "new", "cidr": "fd00::/64"}), "cidr"),
        (json!({"projectId": "demo", "cidr": "fd00::/64"}), "cidr"),
        (
            json!({"projectId": "new", "cidr": "::ffff:10.0.0.0/104", "certificateVersion": 2}),
            "cidr",
        ),
        (
            json!({"projectId": "new", "cidr": "10.2.0.0/24", "certificateVersion": 3}),
            "certificateVersion",
        ),
    ] {
        let detail = plane.post("/pools", &body).await.refusal(400, "invalid_request");
        assert!(detail.starts_with(&format!("{field}: ")), "{body}: {detail}");
    }
    for body in [
        json!({"projectId": "demo", "cidr": "10.2.0.0/24"}),
        json!({"projectId": "demo", "cidr": "10.1.0.0/24", "certificateVersion": 2}),
    ] {
        plane.post("/pools", &body).await.refusal(409, "conflict");
    }
    assert_eq!(plane.rows(), before);
}

async fn a_revoked_node_and_its_key_stay_out(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let key = new_key();
    plane.register("device", &key).await.expect(200);
    for state in ["revoked", "suspended"] {
        plane.sql(&format!("UPDATE gc_node SET state = '{state}'"));
        let before = plane.rows();
        let detail = plane.register("device", &key).await.refusal(403, "forbidden");
        assert!(detail.contains(state), "{detail}");
        plane.register("device", &new_key()).await.refusal(403, "forbidden");
        // Released, it could come back.
        plane.post("/release/device", &json!({})).await.refusal(409, "conflict");
        // Under another name the key is still that node's.
        plane.register("other", &key).await.refusal(409, "conflict");
        assert_eq!(plane.rows(), before);
    }
}

/// The same request natively and in the dialect, each with the field that says what is wrong.
async fn is_refused(plane: &Plane, request: axum::http::request::Builder, what: &str) {
    let answer = plane.ask(request.body(Body::empty()).unwrap()).await;
    let text = String::from_utf8_lossy(&answer.bytes);
    assert_eq!(answer.status, 400, "{text}");
    assert!(text.contains("invalid_request") && text.contains(what), "{text}");
}

async fn two_credentials_are_refused_before_either_is_looked_at(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    for path in ["/api/v1/networks", "/api/nebula/status/x?projectId=demo"] {
        for second in [plane.key.as_str(), "nobody's"] {
            let request = Request::builder()
                .uri(path)
                .header("authorization", format!("Bearer {}", plane.key))
                .header("authorization", format!("Bearer {second}"));
            is_refused(&plane, request, "Authorization").await;
        }
    }
}

async fn a_query_that_is_not_utf8_is_refused(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    for path in [
        "/api/v1/networks?cursor=%FF",
        "/api/v1/events?kind=%C3%28",
        "/api/nebula/status/x?projectId=%FF",
        "/api/nebula/ca?projectId=demo%FF",
    ] {
        let request =
            Request::builder().uri(path).header("authorization", format!("Bearer {}", plane.key));
        is_refused(&plane, request, "UTF-8").await;
    }
}

/// A body that must not be asked for.
struct Untouched;

impl HttpBody for Untouched {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        unreachable!("the body was read")
    }
}

async fn no_body_is_read_for_who_may_not_send_it(plane: Plane) {
    plane.make_network("10.1.0.0/24").await;
    let ask = async |path: &str, key: &str| {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json");
        plane.ask(request.body(Body::new(Untouched)).unwrap()).await.status
    };
    let make = async |path: &str, body: Value| {
        let request = Request::builder()
            .method("POST")
            .uri(format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {}", plane.key))
            .header("content-type", "application/json");
        let answer = plane.ask(request.body(Body::from(body.to_string())).unwrap()).await;
        let made: Value = serde_json::from_slice(&answer.bytes).unwrap();
        made["secret"].as_str().unwrap().to_owned()
    };
    let token = json!({"name": "token", "expiresInSeconds": 60});
    let token = make("/networks/demo/join-tokens", token).await;
    let viewer = json!({"name": "viewer", "role": "viewer", "scope": "root"});
    let viewer = make("/operator-keys", viewer).await;
    let ends = json!({"name": "ends", "role": "owner", "scope": "root",
        "expiresAt": "2027-01-15T09:00:00Z"});
    let ends = make("/operator-keys", ends).await;
    plane.pass(365 * 86_400);
    // Nobody's, an expired one, and one that is good for other things than megabytes.
    for path in ["/api/v1/networks/demo/import", "/api/v1/networks", "/api/nebula/register"] {
        assert_eq!(ask(path, "nebula-operator-nobody").await, 401, "{path}");
        assert_eq!(ask(path, &ends).await, 401, "{path}");
    }
    for key in [&token, &viewer] {
        assert_eq!(ask("/api/v1/networks/demo/import", key).await, 403);
    }
}
