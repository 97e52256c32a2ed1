//! Who somebody is has to be shown: an address, a certificate and a name are no claims of whoever
//! knows how they are called.

use serde_json::{Value, json};

use super::{dialect, text};
use crate::support::native::{Answer, Plane, enrollment};

on_both_engines! {
    a_released_address_goes_to_who_shows_that_it_was_theirs
    who_shows_a_public_key_alone_keeps_that_key
    who_comes_back_gets_only_what_it_may_have
    a_device_is_registered_again_with_the_token_it_came_with
    a_join_token_that_ended_renews_nothing
}

const DAY: i64 = 86_400;

pub(crate) async fn demo(plane: &Plane) {
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "versions": "1", "pools": ["10.1.0.0/17", "10.1.128.0/17"]});
    plane.post("/networks", &network).await.expect(201);
}

/// The secret of a join token like this.
pub(crate) async fn token(plane: &Plane, mut like: Value) -> String {
    like["name"] = json!("token");
    like["uses"] = like.get("uses").cloned().unwrap_or(json!(100));
    let made = plane.post("/networks/demo/join-tokens", &like).await.expect(201);
    text(&made, "secret")
}

pub(crate) fn fresh_key() -> Value {
    enrollment("")["publicKey"].clone()
}

pub(crate) fn device(id: &str, key: &Value) -> Value {
    json!({"projectId": "demo", "deviceId": id, "deviceName": id, "publicKey": key})
}

pub(crate) async fn register(plane: &Plane, secret: &str, body: &Value) -> Answer {
    dialect(plane, "/register", secret, Some(body)).await
}

pub(crate) fn address(answer: &Answer) -> String {
    text(&answer.expect(200)["data"], "nebulaIp").trim_end_matches("/32").to_owned()
}

pub(crate) async fn release(plane: &Plane, device: &str) {
    let path = format!("/release/{device}?projectId=demo");
    dialect(plane, &path, &plane.key, None).await.expect(200);
}

/// Enrols natively under this device id; answers the node's id and address.
pub(crate) async fn enroll(plane: &Plane, secret: &str, body: &Value) -> (String, String) {
    let mut body = body.clone();
    body["network"] = json!("demo");
    let made = plane.ask("POST", "/enroll", secret, Some(&body)).await.expect(201);
    let address = made["addresses"][0].as_str().unwrap().split('/').next().unwrap().to_owned();
    (text(&made, "node"), address)
}

pub(crate) fn native(device: &str) -> Value {
    let mut body = enrollment(device);
    body["device"] = json!(device);
    body
}

pub(crate) async fn delete(plane: &Plane, node: &str) {
    plane.delete(&format!("/networks/demo/nodes/{node}")).await.expect(204);
}

async fn a_released_address_goes_to_who_shows_that_it_was_theirs(plane: Plane) {
    demo(&plane).await;
    let (one, other) = (token(&plane, json!({})).await, token(&plane, json!({})).await);

    // A device of the dialect, by whatever join token.
    for (n, secret) in [&one, &other].into_iter().enumerate() {
        let id = format!("device {n}");
        let had = address(&register(&plane, &one, &device(&id, &fresh_key())).await);
        release(&plane, &format!("device%20{n}")).await;
        let thief = register(&plane, secret, &device(&id, &fresh_key())).await;
        assert_ne!(address(&thief), had, "another key");
        plane.verify();
    }
    let key = fresh_key();
    let had = address(&register(&plane, &one, &device("same", &key)).await);
    release(&plane, "same").await;
    assert_eq!(address(&register(&plane, &other, &device("same", &key)).await), had);
    let had = address(&register(&plane, &one, &device("lost", &fresh_key())).await);
    release(&plane, "lost").await;
    let by_operator = register(&plane, &plane.key, &device("lost", &fresh_key())).await;
    assert_eq!(address(&by_operator), had);
    plane.verify();

    // A native node.
    let first = native("laptop");
    let (node, had) = enroll(&plane, &one, &first).await;
    let mut thief = native("laptop");
    thief["formerNodeToken"] = first["nodeToken"].clone();
    thief["device"] = json!("thief");
    let mut early = thief.clone();
    early["network"] = json!("demo");
    let refused = plane.ask("POST", "/enroll", &other, Some(&early)).await;
    refused.problem(409, "conflict");
    early["name"] = json!("thief");
    plane.ask("POST", "/enroll", &other, Some(&early)).await.problem(409, "key_mismatch");
    delete(&plane, &node).await;
    let mut guess = native("laptop");
    guess["formerNodeToken"] = native("x")["nodeToken"].clone();
    guess["network"] = json!("demo");
    plane.ask("POST", "/enroll", &other, Some(&guess)).await.problem(409, "key_mismatch");
    let (thief, taken) = enroll(&plane, &other, &native("laptop")).await;
    assert_ne!(taken, had, "another key");
    delete(&plane, &thief).await;
    // The token it had is told to be that, and shows what it was, also when others came between.
    let mut again = first.clone();
    again["network"] = json!("demo");
    plane.ask("POST", "/enroll", &other, Some(&again)).await.problem(409, "node_released");
    let mut back = native("laptop");
    back["formerNodeToken"] = first["nodeToken"].clone();
    let (_, again) = enroll(&plane, &other, &back).await;
    assert_eq!(again, had);
    let newest = "/networks/demo/events?kind=node.enrolled&order=newest_first";
    let events = plane.get(newest).await.expect(200);
    assert_eq!(events["items"][0]["address"], had, "its event names what it was given back");
    back["network"] = json!("demo");
    let repeated = plane.ask("POST", "/enroll", &other, Some(&back)).await.expect(200);
    assert_eq!(repeated["addresses"], json!([format!("{had}/16")]));

    // Without an id of the device's own, the token alone tells.
    let first = enrollment("nameless");
    let (node, had) = enroll(&plane, &one, &first).await;
    delete(&plane, &node).await;
    let mut back = enrollment("nameless");
    back["formerNodeToken"] = first["nodeToken"].clone();
    assert_eq!(enroll(&plane, &one, &back).await.1, had);

    // Of another network it shows nothing.
    let beside = json!({"name": "beside", "prefixes": ["10.1.0.0/16"]});
    plane.post("/networks", &beside).await.expect(201);
    let mut stranger = enrollment("stranger");
    stranger["formerNodeToken"] = first["nodeToken"].clone();
    stranger["network"] = json!("beside");
    plane.post("/enroll", &stranger).await.problem(409, "key_mismatch");
    plane.verify();
}

async fn who_shows_a_public_key_alone_keeps_that_key(plane: Plane) {
    demo(&plane).await;
    let secret = token(&plane, json!({"expiresInSeconds": 30 * DAY})).await;
    let first = native("laptop");
    let (node, had) = enroll(&plane, &secret, &first).await;
    delete(&plane, &node).await;
    plane.pass(DAY);
    // Whoever knows the key may be anybody.
    let mut second = native("laptop");
    second["publicKey"] = first["publicKey"].clone();
    let (node, again) = enroll(&plane, &secret, &second).await;
    assert_eq!(again, had);
    plane.verify();
    let renew = async |who: &Value, body: Value| {
        plane.ask("POST", "/node/renew", &text(who, "nodeToken"), Some(&body)).await
    };
    let another = json!({"publicKey": fresh_key()});
    renew(&second, another.clone()).await.problem(409, "key_mismatch");
    renew(&second, json!({})).await.expect(200);

    // Nor by way of another release, with the token that it made.
    delete(&plane, &node).await;
    let mut third = native("laptop");
    third["formerNodeToken"] = second["nodeToken"].clone();
    let (node, taken) = enroll(&plane, &secret, &third).await;
    assert_ne!(taken, had);
    delete(&plane, &node).await;
    let mut fourth = native("laptop");
    fourth["formerNodeToken"] = second["nodeToken"].clone();
    fourth["publicKey"] = first["publicKey"].clone();
    let (node, again) = enroll(&plane, &secret, &fourth).await;
    assert_eq!(again, had);
    renew(&fourth, another.clone()).await.problem(409, "key_mismatch");
    plane.verify();

    // Until the quarantine would have ended: the first node's certificate has.
    plane.pass(13 * DAY - 120);
    renew(&fourth, another.clone()).await.problem(409, "key_mismatch");
    plane.pass(240);
    assert_eq!(renew(&fourth, another).await.expect(200)["renewed"], true);
    plane.verify();
    delete(&plane, &node).await;

    // With the token of the first, or with an operator key, it is free.
    let first = native("server");
    let (node, had) = enroll(&plane, &secret, &first).await;
    delete(&plane, &node).await;
    let mut second = native("server");
    second["publicKey"] = first["publicKey"].clone();
    second["formerNodeToken"] = first["nodeToken"].clone();
    assert_eq!(enroll(&plane, &secret, &second).await.1, had);
    renew(&second, json!({"publicKey": fresh_key()})).await.expect(200);
    let key = fresh_key();
    register(&plane, &secret, &device("old", &key)).await.expect(200);
    release(&plane, "old").await;
    let had = address(&register(&plane, &secret, &device("old", &key)).await);
    let changed = register(&plane, &plane.key, &device("old", &fresh_key())).await;
    assert_eq!(address(&changed), had);
    plane.verify();
}

async fn who_comes_back_gets_only_what_it_may_have(plane: Plane) {
    demo(&plane).await;
    let pools = plane.get("/networks/demo/pools").await.expect(200);
    let pool = |n: usize| pools["items"][n]["id"].clone();
    let block = json!({"name": "block", "pool": pool(0), "size": 16});
    let block = plane.post("/networks/demo/blocks", &block).await.expect(201);
    let of = async |pool: &Value| token(&plane, json!({"pool": pool})).await;
    let (low, high, blocked) = (of(&pool(0)).await, of(&pool(1)).await, of(&block["id"]).await);
    let any = token(&plane, json!({})).await;
    for (n, (first, second, keeps)) in [
        (&low, &high, false),
        (&blocked, &any, false),
        (&any, &blocked, false),
        (&any, &low, true),
        (&blocked, &blocked, true),
        (&high, &any, true),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("device {n}");
        let (body, mut back) = (native(&id), native(&id));
        let (node, had) = enroll(&plane, first, &body).await;
        delete(&plane, &node).await;
        back["publicKey"] = body["publicKey"].clone();
        if n % 2 == 1 {
            back["formerNodeToken"] = body["nodeToken"].clone();
        }
        let (_, has) = enroll(&plane, second, &back).await;
        assert_eq!(has == had, keeps, "{n}: {had} {has}");
        plane.verify();
    }
    // What is reserved since is not to be had.
    let body = native("reserved");
    let (node, had) = enroll(&plane, &any, &body).await;
    delete(&plane, &node).await;
    let reserved = json!({"range": had, "purpose": "nobody"});
    plane.post("/networks/demo/reservations", &reserved).await.expect(201);
    let mut back = native("reserved");
    back["formerNodeToken"] = body["nodeToken"].clone();
    assert_ne!(enroll(&plane, &any, &back).await.1, had);
    plane.verify();
}

async fn a_device_is_registered_again_with_the_token_it_came_with(plane: Plane) {
    demo(&plane).await;
    let limited = json!({"uses": 1, "namePattern": "web-*", "groups": ["web"]});
    let (own, other) = (token(&plane, limited).await, token(&plane, json!({})).await);
    let body = device("web-1", &fresh_key());
    let first = register(&plane, &own, &body).await.expect(200);
    // It is used up, and the device is known.
    assert_eq!(register(&plane, &own, &body).await.expect(200), first);
    assert_eq!(register(&plane, &plane.key, &body).await.expect(200), first);
    let refused = register(&plane, &other, &body).await.expect(403);
    assert!(text(&refused, "detail").starts_with("deviceId: "), "{refused}");
    for (field, value) in [("deviceName", json!("db-1")), ("groups", json!(["web", "admin"]))] {
        let mut greedy = body.clone();
        greedy[field] = value;
        register(&plane, &own, &greedy).await.expect(403);
    }
    let by_operator = device("db", &fresh_key());
    register(&plane, &plane.key, &by_operator).await.expect(200);
    for secret in [&own, &other] {
        register(&plane, secret, &by_operator).await.expect(403);
    }
    // What an operator has made of it, it may say.
    let mut changed = body.clone();
    changed["deviceName"] = json!("frontend");
    changed["groups"] = json!(["web", "front"]);
    register(&plane, &plane.key, &changed).await.expect(200);
    let again = register(&plane, &own, &changed).await.expect(200);
    assert_eq!(again["data"]["deviceName"], "frontend");
    // Only the last registration of a device counts.
    release(&plane, "web-1").await;
    register(&plane, &other, &body).await.expect(200);
    register(&plane, &own, &body).await.expect(403);
}

async fn a_join_token_that_ended_renews_nothing(plane: Plane) {
    demo(&plane).await;
    let short = token(&plane, json!({"expiresInSeconds": 60})).await;
    let long = token(&plane, json!({"expiresInSeconds": 364 * DAY})).await;
    let (guest, other) = (device("guest", &fresh_key()), device("other", &fresh_key()));
    register(&plane, &short, &guest).await.expect(200);
    let first = register(&plane, &long, &other).await.expect(200);
    let rows = || plane.number("SELECT COUNT(*) FROM gc_certificate");
    // Renewal is due.
    plane.pass(300 * DAY);
    let before = rows();
    for body in [&guest, &other] {
        register(&plane, &short, body).await.expect(403);
    }
    register(&plane, &long, &guest).await.expect(403);
    assert_eq!(rows(), before);
    let renewed = register(&plane, &long, &other).await.expect(200);
    assert_ne!(renewed["data"]["fingerprint"], first["data"]["fingerprint"]);
    let tokens = plane.get("/networks/demo/join-tokens").await.expect(200);
    for token in tokens["items"].as_array().unwrap() {
        let path = format!("/networks/demo/join-tokens/{}", text(token, "id"));
        plane.delete(&path).await.expect(204);
    }
    register(&plane, &long, &other).await.expect(401);
    // A native node's own token renews, whatever became of the join token; who has another learns
    // nothing with one that is expired.
    let soon = token(&plane, json!({"expiresInSeconds": 60})).await;
    let node = enrollment("node");
    let ask = async |body: &Value| plane.ask("POST", "/enroll", &soon, Some(body)).await;
    ask(&node).await.expect(201);
    plane.pass(120);
    ask(&node).await.expect(200);
    let mut stranger = enrollment("stranger");
    stranger["publicKey"] = node["publicKey"].clone();
    ask(&stranger).await.problem(403, "join_token_refused");
}
