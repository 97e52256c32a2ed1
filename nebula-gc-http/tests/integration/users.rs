//! To whom nodes belong.

use crate::support::native::{Plane, enrollment, text};
use serde_json::{Value, json};

on_both_engines! {
    a_node_belongs_to_whom_its_token_or_its_operator_names
    nodes_are_listed_by_their_user
    a_user_is_checked_like_a_name
    all_that_a_user_has_ends_at_once
    what_of_a_user_may_not_end_stays
    a_renamed_key_keeps_its_user
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

async fn end(plane: &Plane, key: &str, user: &str, body: &Value) -> crate::support::native::Answer {
    plane.ask("POST", &format!("/users/{user}/end"), key, Some(body)).await
}

/// Of each item: its name and what became of it.
fn outcomes(ended: &Value, what: &str) -> Vec<(String, String)> {
    let items = ended[what].as_array().unwrap();
    items.iter().map(|it| (text(it, "name"), text(it, "outcome"))).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, outcome)| ((*name).to_owned(), (*outcome).to_owned())).collect()
}

async fn all_that_a_user_has_ends_at_once(plane: Plane) {
    demo(&plane).await;
    let body = json!({"name": "lab", "prefixes": ["10.2.0.0/24"]});
    plane.post("/networks", &body).await.expect(201);
    let (anna, bert) = (token(&plane, Some("anna")).await, token(&plane, Some("bert")).await);
    let first = enroll(&plane, &anna, &enrollment("a1")).await;
    let second = enroll(&plane, &anna, &enrollment("a2")).await;
    let other = enroll(&plane, &bert, &enrollment("b1")).await;
    let mut lab = enrollment("a3");
    (lab["network"], lab["user"]) = (json!("lab"), json!("anna"));
    plane.post("/enroll", &lab).await.expect(201);
    plane.post(&format!("{second}/suspend"), &json!({"reason": "lost"})).await.expect(200);
    let key = json!({"name": "anna", "role": "operator", "scope": {"network": "lab"}});
    let key = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");

    // A dry run tells the same and changes nothing.
    let mut body = json!({"action": "suspend", "reason": "left", "dryRun": true});
    let before = plane.rows();
    let dry = end(&plane, &plane.key, "anna", &body).await.expect(200);
    assert_eq!(plane.rows(), before);
    body["dryRun"] = json!(false);
    let ended = end(&plane, &plane.key, "anna", &body).await.expect(200);
    for ended in [&dry, &ended] {
        let nodes = pairs(&[("a1", "suspended"), ("a3", "suspended"), ("a2", "unchanged")]);
        assert_eq!(outcomes(ended, "nodes"), nodes);
        assert_eq!(outcomes(ended, "joinTokens"), pairs(&[("laptops", "revoked")]));
        assert_eq!(outcomes(ended, "operatorKeys"), pairs(&[("anna", "revoked")]));
    }
    let revisions = json!([{"network": "demo", "revision": 3}, {"network": "lab", "revision": 2}]);
    assert_eq!(ended["revisions"], revisions);
    for node in [&first, &second] {
        assert_eq!(plane.get(node).await.expect(200)["state"], "suspended");
    }
    assert_eq!(plane.get(&other).await.expect(200)["state"], "active");
    let refused = plane.ask("POST", "/enroll", &anna, Some(&enrollment("a4"))).await;
    refused.problem(401, "unauthorized");
    plane.ask("GET", "/networks", &key, None).await.problem(401, "unauthorized");
    enroll(&plane, &bert, &enrollment("b2")).await;

    // Again: nothing is left to be done, and no revision moves.
    let again = end(&plane, &plane.key, "anna", &body).await.expect(200);
    assert!(outcomes(&again, "nodes").iter().all(|(_, outcome)| outcome == "unchanged"));
    assert_eq!((&again["joinTokens"], &again["operatorKeys"]), (&json!([]), &json!([])));
    assert_eq!(again["revisions"], revisions);
    // Who is suspended is revoked where that is asked.
    body["action"] = json!("revoke");
    let revoked = end(&plane, &plane.key, "anna", &body).await.expect(200);
    assert_eq!(outcomes(&revoked, "nodes").len(), 3);
    assert_eq!(plane.get(&second).await.expect(200)["state"], "revoked");
    end(&plane, &plane.key, "Anna", &body).await.problem(404, "not_found");
    plane.verify();
}

async fn what_of_a_user_may_not_end_stays(plane: Plane) {
    demo(&plane).await;
    let root = enroll(&plane, &plane.key, &enrollment("mine")).await;
    let body = json!({"action": "suspend", "reason": "left"});
    let key = json!({"name": "anna", "role": "owner", "scope": {"network": "demo"}});
    let owner = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");
    let key = json!({"name": "ops", "role": "operator", "scope": {"network": "demo"}});
    let operator = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");
    let mut node = enrollment("a1");
    node["user"] = json!("anna");
    let node = enroll(&plane, &plane.key, &node).await;
    // An operator ends nodes, but no keys.
    let ended = end(&plane, &operator, "anna", &body).await.expect(200);
    assert_eq!(outcomes(&ended, "nodes"), pairs(&[("a1", "suspended")]));
    assert_eq!(outcomes(&ended, "operatorKeys"), pairs(&[("anna", "kept")]));
    plane.ask("GET", "/networks", &owner, None).await.expect(200);
    // Nobody locks itself out.
    let own = end(&plane, &plane.key, "root", &body).await.expect(200);
    assert_eq!(outcomes(&own, "operatorKeys"), pairs(&[("root", "kept")]));
    assert_eq!(plane.get(&root).await.expect(200)["state"], "suspended");
    // Of what lies beyond a key's scope it is told nothing.
    let tenant = plane.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let key = json!({"name": "acme", "role": "owner", "scope": {"tenant": tenant["id"]}});
    let stranger = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");
    end(&plane, &stranger, "anna", &body).await.problem(404, "not_found");
    assert_eq!(plane.get(&node).await.expect(200)["state"], "suspended");
    plane.verify();
}

async fn a_renamed_key_keeps_its_user(plane: Plane) {
    demo(&plane).await;
    let key = json!({"name": "anna", "role": "operator", "scope": {"network": "demo"}});
    let key = plane.post("/operator-keys", &key).await.expect(201);
    let secret = text(&key, "secret");
    assert_eq!(text(&key, "user"), "anna");
    let first = enroll(&plane, &secret, &enrollment("a1")).await;
    let path = format!("/operator-keys/{}", text(&key, "id"));
    for name in ["anna-laptop", "anna-desk"] {
        let renamed = plane.patch(&path, &json!({"name": name})).await.expect(200);
        assert_eq!((text(&renamed, "name"), text(&renamed, "user")), (name.into(), "anna".into()));
    }
    let second = enroll(&plane, &secret, &enrollment("a2")).await;
    assert_eq!(user_of(&plane, &second).await, "anna");
    let token = json!({"name": "t"});
    let token = plane.ask("POST", "/networks/demo/join-tokens", &secret, Some(&token)).await;
    assert_eq!(token.expect(201)["user"], "anna");
    // The new name is nobody's; the user ends with all of it.
    let body = json!({"action": "suspend", "reason": "left"});
    end(&plane, &plane.key, "anna-desk", &body).await.problem(404, "not_found");
    let ended = end(&plane, &plane.key, "anna", &body).await.expect(200);
    assert_eq!(outcomes(&ended, "nodes"), pairs(&[("a1", "suspended"), ("a2", "suspended")]));
    assert_eq!(outcomes(&ended, "joinTokens"), pairs(&[("t", "revoked")]));
    assert_eq!(outcomes(&ended, "operatorKeys"), pairs(&[("anna-desk", "revoked")]));
    plane.ask("GET", "/networks", &secret, None).await.problem(401, "unauthorized");
    assert_eq!(user_of(&plane, &first).await, "anna");
    plane.verify();
}
