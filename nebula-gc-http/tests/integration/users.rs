//! To whom nodes belong.

use crate::support::native::{Plane, enrollment, text};
use serde_json::{Value, json};

on_both_engines! {
    a_node_belongs_to_whom_its_token_or_its_operator_names
    nodes_are_listed_by_their_user
    a_user_is_checked_like_a_name
}

async fn demo(plane: &Plane) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24"]});
    plane.post("/networks", &body).await.expect(201);
}

/// Makes a join token for this user, where one is given; its secret.
async fn token(plane: &Plane, user: Option<&str>) -> String {
    let mut body = json!({"name": "laptops", "uses": 9});
    if let Some(user) = user {
        body["user"] = json!(user);
    }
    let made = plane.post("/networks/demo/join-tokens", &body).await.expect(201);
    assert_eq!(made["user"], user.unwrap_or("root"));
    text(&made, "secret")
}

/// Enrols a node; its path.
async fn enroll(plane: &Plane, key: &str, body: &Value) -> String {
    let node = plane.ask("POST", "/enroll", key, Some(body)).await.expect(201);
    format!("/networks/demo/nodes/{}", text(&node, "node"))
}

async fn user_of(plane: &Plane, node: &str) -> String {
    text(&plane.get(node).await.expect(200), "user")
}

async fn a_node_belongs_to_whom_its_token_or_its_operator_names(plane: Plane) {
    demo(&plane).await;
    let anna = token(&plane, Some("anna")).await;
    let laptop = enroll(&plane, &anna, &enrollment("laptop")).await;
    assert_eq!(user_of(&plane, &laptop).await, "anna");
    // Whom the token does not name, a device does not name either.
    let mut other = enrollment("other");
    other["user"] = json!("bert");
    let refused = plane.ask("POST", "/enroll", &anna, Some(&other)).await.problem(403, "forbidden");
    assert_eq!(refused["field"], "user", "{refused}");
    let desk = enroll(&plane, &plane.key, &other).await;
    assert_eq!(user_of(&plane, &desk).await, "bert");
    // Who is not named is the key, and one key is not another.
    let own = token(&plane, None).await;
    let server = enroll(&plane, &own, &enrollment("server")).await;
    assert_eq!(user_of(&plane, &server).await, "root");
    let key = json!({"name": "ci", "role": "operator", "scope": {"network": "demo"}});
    let key = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");
    let build = enroll(&plane, &key, &enrollment("build")).await;
    assert_eq!(user_of(&plane, &build).await, "ci");
    // An operator gives a node to another: its certificates and the other nodes' bundles stay.
    let before = plane.get(&laptop).await.expect(200);
    let changed = plane.patch(&laptop, &json!({"user": "carla"})).await.expect(200);
    assert_eq!(changed["user"], "carla");
    assert_eq!(changed["certificates"], before["certificates"]);
    assert_eq!(plane.get("/networks/demo").await.expect(200)["revision"], 1);
    let again = plane.patch(&laptop, &json!({"user": "carla"})).await.expect(200);
    assert_eq!(again["generation"], changed["generation"]);
    plane.verify();
}

async fn nodes_are_listed_by_their_user(plane: Plane) {
    demo(&plane).await;
    let (anna, bert) = (token(&plane, Some("anna")).await, token(&plane, Some("bert")).await);
    for (name, token) in [("a1", &anna), ("b1", &bert), ("a2", &anna)] {
        enroll(&plane, token, &enrollment(name)).await;
    }
    for (user, names) in
        [("anna", &["a1", "a2"][..]), ("bert", &["b1"]), ("Anna", &[]), ("an", &[])]
    {
        let listed = plane.get(&format!("/networks/demo/nodes?user={user}")).await.expect(200);
        let items = listed["items"].as_array().unwrap();
        assert_eq!(items.iter().map(|it| text(it, "name")).collect::<Vec<_>>(), names, "{user}");
    }
}

async fn a_user_is_checked_like_a_name(plane: Plane) {
    demo(&plane).await;
    let node = enroll(&plane, &plane.key, &enrollment("one")).await;
    let long = "x".repeat(129);
    for user in ["", " anna", "an\nna", "an\u{202e}na", "...", long.as_str()] {
        let mut body = enrollment("two");
        body["user"] = json!(user);
        let token = json!({"name": "laptops", "user": user});
        for answer in [
            plane.post("/enroll", &body).await,
            plane.post("/networks/demo/join-tokens", &token).await,
            plane.patch(&node, &json!({"user": user})).await,
        ] {
            assert_eq!(answer.problem(400, "invalid_request")["field"], "user", "{user:?}");
        }
    }
}
