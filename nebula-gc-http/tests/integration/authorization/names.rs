//! A name takes nothing from what has it as its id.

use serde_json::{Value, json};

use super::{dialect, text};
use crate::support::native::{Answer, Plane, enrollment};

on_both_engines! {
    a_name_that_is_anothers_id_is_refused
    ids_come_before_names_that_are_there_already
    names_that_differ_in_case_or_a_last_dot_are_one
    a_new_name_has_nothing_that_nobody_sees
}

/// The forms in which an id can be written.
fn forms(id: &str) -> [String; 4] {
    [id.to_owned(), id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}")]
}

/// A network of the default tenant, and the key of another tenant's operator.
async fn two_tenants(plane: &Plane) -> (Value, String) {
    let network = json!({"name": "prod", "prefixes": ["10.1.0.0/16"], "versions": "1"});
    let prod = plane.post("/networks", &network).await.expect(201);
    let other = plane.post("/tenants", &json!({"name": "rival"})).await.expect(201);
    let key = json!({"name": "k", "role": "operator", "scope": {"tenant": other["id"]}});
    let key = plane.post("/operator-keys", &key).await.expect(201);
    (prod, text(&key, "secret"))
}

async fn a_name_that_is_anothers_id_is_refused(plane: Plane) {
    let (prod, rival) = two_tenants(&plane).await;
    let as_rival = async |method: &str, path: &str, body: &Value| {
        plane.ask(method, path, &rival, Some(body)).await
    };
    let own = json!({"name": "own", "prefixes": ["10.1.0.0/16"]});
    as_rival("POST", "/networks", &own).await.expect(201);
    let refused = |answer: Answer, about: &str| {
        let problem = answer.problem(409, "conflict");
        assert_eq!(problem["field"], "name", "{about}: {problem}");
        assert!(text(&problem, "detail").contains("is the id of another"), "{about}: {problem}");
    };
    for name in forms(&text(&prod, "id")) {
        let named = json!({"name": name, "prefixes": ["10.1.0.0/16"]});
        refused(as_rival("POST", "/networks", &named).await, &name);
        refused(as_rival("PATCH", "/networks/own", &json!({"name": name})).await, &name);
        let pool = json!({"projectId": name, "cidr": "10.1.0.0/16"});
        let answer = dialect(&plane, "/pools", &rival, Some(&pool)).await.expect(404);
        assert_eq!(answer["error"], "not_found");
    }

    let mut first = enrollment("first");
    first["network"] = json!("prod");
    let first = text(&plane.post("/enroll", &first).await.expect(201), "node");
    let device = json!({"projectId": "prod", "deviceId": "second", "deviceName": "second", "publicKey": enrollment("")["publicKey"]});
    dialect(&plane, "/register", &plane.key, Some(&device)).await.expect(200);
    let listed = plane.get("/networks/prod/nodes?namePrefix=second").await.expect(200);
    let second = format!("/networks/prod/nodes/{}", text(&listed["items"][0], "id"));
    for name in forms(&first) {
        let mut named = enrollment(&name);
        named["network"] = json!("prod");
        refused(plane.post("/enroll", &named).await, &name);
        refused(plane.patch(&second, &json!({"name": name})).await, &name);
        let mut device = device.clone();
        device["deviceName"] = json!(name);
        let answer = dialect(&plane, "/register", &plane.key, Some(&device)).await.expect(409);
        assert!(text(&answer, "detail").starts_with("deviceName: "), "{answer}");
        device["deviceId"] = json!("third");
        device["publicKey"] = enrollment("")["publicKey"].clone();
        let answer = dialect(&plane, "/register", &plane.key, Some(&device)).await.expect(409);
        assert!(text(&answer, "detail").starts_with("deviceName: "), "{answer}");
    }

    let pools = plane.get("/networks/prod/pools").await.expect(200);
    let pool = pools["items"][0]["id"].clone();
    for (path, mut body) in [
        ("/tenants", json!({})),
        ("/operator-keys", json!({"role": "viewer", "scope": "root"})),
        ("/networks/prod/join-tokens", json!({})),
        ("/networks/prod/blocks", json!({"pool": pool, "size": 1})),
    ] {
        body["name"] = json!("made");
        let made = plane.post(path, &body).await.expect(201);
        for name in forms(&text(&made, "id")) {
            body["name"] = json!(name);
            refused(plane.post(path, &body).await, path);
        }
    }
    let tenants = plane.get("/tenants").await.expect(200);
    let other = tenants["items"].as_array().unwrap().iter().find(|it| it["name"] == "made");
    let made = format!("/tenants/{}", text(other.unwrap(), "id"));
    refused(plane.patch(&made, &json!({"name": tenants["items"][0]["id"]})).await, "a tenant");

    // One that only looks like an id is a name like any other, its own id too.
    let free = "01890a5d-ac96-774b-bcce-b302099a8057";
    for (path, mut body) in [
        ("/networks", json!({"prefixes": ["10.1.0.0/16"]})),
        ("/tenants", json!({})),
        ("/enroll", enrollment("")),
    ] {
        body["name"] = json!(free);
        if path == "/enroll" {
            body["network"] = json!("prod");
        }
        plane.post(path, &body).await.expect(201);
    }
    assert_eq!(plane.get(&format!("/networks/{free}")).await.expect(200)["name"], free);
    let own = json!({"name": second.rsplit('/').next()});
    plane.patch(&second, &own).await.expect(200);
}

async fn ids_come_before_names_that_are_there_already(plane: Plane) {
    let (prod, rival) = two_tenants(&plane).await;
    let network = json!({"name": "own", "prefixes": ["10.9.0.0/16"]});
    let own = plane.ask("POST", "/networks", &rival, Some(&network)).await.expect(201);
    let id = text(&prod, "id");
    // As it could be made before that was refused.
    plane.sql(&format!("UPDATE gc_network SET name = '{id}' WHERE name = 'own'"));
    for (n, name) in forms(&id).into_iter().enumerate() {
        let path = format!("/networks/{name}");
        assert_eq!(plane.get(&path).await.expect(200)["id"], prod["id"], "{name}");
        let made = json!({"name": "x"});
        let token = plane.post(&format!("{path}/join-tokens"), &made).await.expect(201);
        let node = enrollment(&format!("node {n}"));
        let secret = text(&token, "secret");
        let node = plane.ask("POST", "/enroll", &secret, Some(&node)).await.expect(201);
        assert_eq!(node["network"], "prod");
    }
    let of_rival = plane.ask("GET", &format!("/networks/{id}"), &rival, None).await.expect(200);
    assert_eq!(of_rival["id"], own["id"], "what it sees no other of is its own");
    let public = dialect(&plane, &format!("/ca?projectId={id}"), "", None).await;
    assert_eq!(public.bytes, plane.get("/networks/prod/ca").await.bytes);
    let key = json!({"name": "k", "role": "viewer", "scope": {"network": id}});
    let key = plane.post("/operator-keys", &key).await.expect(201);
    let seen = plane.ask("GET", "/networks", &text(&key, "secret"), None).await.expect(200);
    assert_eq!(seen["items"][0]["id"], prod["id"]);
    // What was there stays, under its own id.
    let path = format!("/networks/{}", text(&own, "id"));
    assert_eq!(plane.get(&path).await.expect(200)["name"], id);
    plane.patch(&path, &json!({"mtu": 1400})).await.expect(200);
    plane.patch(&path, &json!({"name": "own again"})).await.expect(200);
}

/// A kind of thing, as it is made under a name.
async fn make(plane: &Plane, path: &str, name: &str) -> Answer {
    let mut body = match path {
        "/networks" => json!({"prefixes": ["10.1.0.0/16"], "versions": "1"}),
        "/enroll" => enrollment(""),
        "/operator-keys" => json!({"role": "viewer", "scope": "root"}),
        "/networks/demo/blocks" => {
            let pools = plane.get("/networks/demo/pools").await.expect(200);
            json!({"pool": pools["items"][0]["id"], "size": 1})
        }
        _ => json!({}),
    };
    body["name"] = json!(name);
    if path == "/enroll" {
        body["network"] = json!("demo");
    }
    plane.post(path, &body).await
}

async fn names_that_differ_in_case_or_a_last_dot_are_one(plane: Plane) {
    make(&plane, "/networks", "demo").await.expect(201);
    for (path, list) in
        [("/networks", "/networks"), ("/tenants", "/tenants"), ("/enroll", "/networks/demo/nodes")]
    {
        let first = make(&plane, path, "Wéb.example.").await.expect(201);
        for alike in ["wéb.example", "WÉB.EXAMPLE", "Wéb.example"] {
            let problem = make(&plane, path, alike).await.problem(409, "conflict");
            // What it collides with is told as it is written.
            let detail = text(&problem, "detail");
            assert!(detail.contains("another") && detail.contains("Wéb.example."), "{problem}");
        }
        let second = make(&plane, path, "other").await.expect(201);
        let of = |made: &Value| {
            let id = made.get("node").or(made.get("id")).unwrap().as_str().unwrap();
            format!("{list}/{id}")
        };
        let taken = json!({"name": "WÉB.example"});
        plane.patch(&of(&second), &taken).await.problem(409, "conflict");
        // It may be written otherwise, and is found as it is written.
        plane.patch(&of(&first), &taken).await.expect(200);
        make(&plane, path, "wéb.EXAMPLE.").await.problem(409, "conflict");
        plane.patch(&of(&first), &json!({"name": "elsewhere"})).await.expect(200);
        make(&plane, path, "wéb.example").await.expect(201);
    }
    plane.get("/networks/DEMO").await.problem(404, "not_found");
    let pool = json!({"projectId": "Demo", "cidr": "10.1.0.0/16"});
    let answer = dialect(&plane, "/pools", &plane.key, Some(&pool)).await.expect(409);
    assert_eq!(answer["error"], "conflict");
    let (_, rival) = two_tenants(&plane).await;
    let answer = dialect(&plane, "/pools", &rival, Some(&pool)).await.expect(404);
    assert_eq!(answer["error"], "not_found");
    // A device id is the client's own: it is told from others as it is.
    for (n, id) in ["device", "DEVICE", "device."].into_iter().enumerate() {
        let device = json!({"projectId": "demo", "deviceId": id, "deviceName": format!("d{n}"), "publicKey": enrollment("")["publicKey"]});
        dialect(&plane, "/register", &plane.key, Some(&device)).await.expect(200);
    }
    plane.verify();
}

async fn a_new_name_has_nothing_that_nobody_sees(plane: Plane) {
    make(&plane, "/networks", "demo").await.expect(201);
    for unseen in
        ["\u{200b}", "\u{202e}", "\u{2066}", "\u{feff}", "\u{ad}", "\u{3164}", "\u{e0041}"]
    {
        for path in "/networks /tenants /enroll /operator-keys /networks/demo/join-tokens \
            /networks/demo/blocks"
            .split(' ')
        {
            let name = format!("a{unseen}b");
            let problem = make(&plane, path, &name).await.problem(400, "invalid_request");
            assert_eq!(problem["field"], "name", "{path}");
        }
        let pool = json!({"projectId": unseen, "cidr": "10.1.0.0/16"});
        dialect(&plane, "/pools", &plane.key, Some(&pool)).await.expect(400);
        let device = json!({"projectId": "demo", "deviceId": "d", "deviceName": unseen, "publicKey": enrollment("")["publicKey"]});
        dialect(&plane, "/register", &plane.key, Some(&device)).await.expect(400);
    }
    for name in [" home", "web ", ".", "...", "\u{a0}x"] {
        for path in ["/networks", "/tenants", "/enroll", "/operator-keys"] {
            let problem = make(&plane, path, name).await.problem(400, "invalid_request");
            assert_eq!(problem["field"], "name", "{path} {name:?}");
        }
    }
    let id = plane.get("/networks/demo").await.expect(200)["id"].as_str().unwrap().to_owned();
    make(&plane, "/networks", &format!("{id}.")).await.problem(409, "conflict");
    // One that is there already stays, and is known.
    plane.sql("UPDATE gc_network SET name = 'de\u{200b}mo'");
    let path = "/networks/de%E2%80%8Bmo";
    assert_eq!(plane.get(path).await.expect(200)["name"], "de\u{200b}mo");
    assert_eq!(plane.patch(path, &json!({"mtu": 1400})).await.expect(200)["mtu"], 1400);
    let device =
        json!({"deviceId": "d", "deviceName": "old", "publicKey": enrollment("")["publicKey"]});
    let registered = dialect(&plane, "/register", &plane.key, Some(&device)).await.expect(200);
    plane.sql("UPDATE gc_node SET name = 'ol\u{200b}d'");
    let mut known = device.clone();
    known["deviceName"] = json!("ol\u{200b}d");
    known["groups"] = json!(["a"]);
    let again = dialect(&plane, "/register", &plane.key, Some(&known)).await.expect(200);
    assert_eq!(again["data"]["nebulaIp"], registered["data"]["nebulaIp"]);
}
