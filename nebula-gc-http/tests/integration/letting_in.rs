//! What a join token presets, and what its devices may not choose.

use serde_json::{Value, json};

use crate::support::native::{Plane, dialect, enrollment, text};

on_both_engines! {
    a_token_for_one_device_lets_in_no_other
}

async fn demo(plane: &Plane) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24"]});
    plane.post("/networks", &body).await.expect(201);
}

/// Makes a join token like this; its secret.
async fn token(plane: &Plane, like: Value) -> String {
    let mut body = json!({"name": "token", "uses": 9});
    for (field, value) in like.as_object().unwrap() {
        body[field] = value.clone();
    }
    let made = plane.post("/networks/demo/join-tokens", &body).await.expect(201);
    let path = format!("/networks/demo/join-tokens/{}", text(&made, "id"));
    let read = plane.get(&path).await.expect(200);
    for (field, value) in like.as_object().unwrap() {
        assert_eq!((&made[field], &read[field]), (value, value), "{field}");
    }
    text(&made, "secret")
}

async fn a_token_for_one_device_lets_in_no_other(plane: Plane) {
    demo(&plane).await;
    let token = token(&plane, json!({"device": "serial 7"})).await;
    let enroll = async |body: &Value| plane.ask("POST", "/enroll", &token, Some(body)).await;
    let mut other = enrollment("other");
    other["device"] = json!("serial 8");
    let before = plane.rows();
    for _ in 0..2 {
        let refused = enroll(&other).await.problem(403, "join_token_refused");
        assert_eq!(refused["field"], "device", "{refused}");
        assert!(text(&refused, "detail").contains("\"serial 7\""), "{refused}");
    }
    let registration = json!({"projectId": "demo", "deviceId": "serial 8", "deviceName": "other",
        "publicKey": other["publicKey"]});
    let refused = dialect(&plane, "/register", &token, Some(&registration)).await.expect(403);
    assert!(text(&refused, "detail").starts_with("deviceId: "), "{refused}");
    assert_eq!(plane.rows(), before);
    // Who names none gets the token's, and is known by it from then on.
    let first = enrollment("first");
    let node = enroll(&first).await.expect(201);
    assert_eq!(node["device"], "serial 7");
    assert_eq!(enroll(&first).await.expect(200)["node"], node["node"]);
    let second = enroll(&enrollment("second")).await.problem(409, "key_mismatch");
    assert_eq!(second["field"], "device", "{second}");
    // Released, it comes back under its id by its key, with its address.
    plane.delete(&format!("/networks/demo/nodes/{}", text(&node, "node"))).await.expect(204);
    let mut back = enrollment("back");
    back["publicKey"] = first["publicKey"].clone();
    back["device"] = json!("serial 7");
    let again = enroll(&back).await.expect(201);
    assert_eq!((&again["device"], &again["addresses"]), (&node["device"], &node["addresses"]));
    plane.verify();
}
