//! What of somebody's is theirs still after others were under the same device id or had the same
//! public key, and what is no longer.

use serde_json::{Value, json};

use super::identity::{
    address, delete, demo, device, enroll, fresh_key, native, register, release, token,
};
use super::{dialect, text};
use crate::support::native::Plane;

on_both_engines! {
    a_stranger_under_the_device_id_takes_nothing_from_its_owner
    a_node_token_brings_back_what_others_had_since_by_the_public_key
    a_node_token_brings_back_no_more_than_it_had
    a_key_that_an_operator_replaced_has_nothing
    an_expired_join_token_reads_nothing
}

/// Of this device and with this key.
fn with_key(id: &str, key: &Value) -> Value {
    let mut body = native(id);
    body["publicKey"] = key.clone();
    body
}

/// With the token of a node that it was.
fn after(former: &Value, mut body: Value) -> Value {
    body["formerNodeToken"] = former["nodeToken"].clone();
    body
}

/// Enrols, is released, and had this address.
async fn passing(plane: &Plane, secret: &str, body: &Value) -> String {
    let (node, had) = enroll(plane, secret, body).await;
    delete(plane, &node).await;
    plane.pass(1);
    plane.verify();
    had
}

async fn a_stranger_under_the_device_id_takes_nothing_from_its_owner(plane: Plane) {
    demo(&plane).await;
    let (own, other) = (token(&plane, json!({})).await, token(&plane, json!({})).await);
    let key = fresh_key();
    let had = passing(&plane, &own, &with_key("laptop", &key)).await;
    for _ in 0..3 {
        assert_ne!(passing(&plane, &other, &native("laptop")).await, had);
    }
    assert_eq!(passing(&plane, &own, &with_key("laptop", &key)).await, had);
    // An operator's word goes for the same key first.
    let strangers = passing(&plane, &other, &native("laptop")).await;
    assert_ne!(strangers, had);
    assert_eq!(passing(&plane, &plane.key, &with_key("laptop", &key)).await, had);
    // Where the latest has nothing to give, one from before has.
    let reserved = json!({"range": had, "purpose": "nobody"});
    plane.post("/networks/demo/reservations", &reserved).await.expect(201);
    assert_eq!(passing(&plane, &plane.key, &native("laptop")).await, strangers);

    // In the dialect.
    let key = fresh_key();
    let had = address(&register(&plane, &own, &device("phone", &key)).await);
    release(&plane, "phone").await;
    plane.pass(1);
    let taken = address(&register(&plane, &other, &device("phone", &fresh_key())).await);
    assert_ne!(taken, had);
    release(&plane, "phone").await;
    assert_eq!(address(&register(&plane, &own, &device("phone", &key)).await), had);
    plane.verify();
}

async fn a_node_token_brings_back_what_others_had_since_by_the_public_key(plane: Plane) {
    demo(&plane).await;
    let (own, other) = (token(&plane, json!({})).await, token(&plane, json!({})).await);
    for (n, new_key) in [false, true].into_iter().enumerate() {
        let id = format!("laptop {n}");
        let key = fresh_key();
        let first = with_key(&id, &key);
        let had = passing(&plane, &own, &first).await;
        // By the key alone, twice; and on with a token that shows no more, under another id.
        let second = with_key(&id, &key);
        assert_eq!(passing(&plane, &other, &second).await, had);
        let third = with_key(&id, &key);
        assert_eq!(passing(&plane, &other, &third).await, had);
        let fourth = after(&third, with_key(&format!("thief {n}"), &key));
        assert_eq!(passing(&plane, &other, &fourth).await, had);
        // Those tokens show nothing for another key.
        for made in [&second, &third, &fourth] {
            assert_ne!(passing(&plane, &other, &after(made, native(&id))).await, had);
        }
        let back = match new_key {
            true => after(&first, native(&id)),
            false => after(&first, with_key(&id, &key)),
        };
        let (node, again) = enroll(&plane, &own, &back).await;
        assert_eq!(again, had);
        // It is as free as who was never lent to.
        let renew = json!({"publicKey": fresh_key()});
        let secret = text(&back, "nodeToken");
        plane.ask("POST", "/node/renew", &secret, Some(&renew)).await.expect(200);
        delete(&plane, &node).await;
        plane.pass(1);
        // And it is that one's token that counts now, none from between and not the first.
        for gone in [&first, &second, &third, &fourth] {
            assert_ne!(passing(&plane, &other, &after(gone, native("other"))).await, had);
        }
        assert_eq!(passing(&plane, &own, &after(&back, native(&id))).await, had);
    }
    // To show more is never worse: without the token's address, the key's.
    let key = fresh_key();
    let spent = native("spent");
    passing(&plane, &own, &spent).await;
    passing(&plane, &own, &after(&spent, native("spent"))).await;
    let had = passing(&plane, &own, &with_key("desk", &key)).await;
    assert_eq!(passing(&plane, &own, &after(&spent, with_key("desk", &key))).await, had);
}

async fn a_node_token_brings_back_no_more_than_it_had(plane: Plane) {
    const DAY: i64 = 86_400;
    demo(&plane).await;
    let secret = token(&plane, json!({"expiresInSeconds": 90 * DAY})).await;
    // Once the former holder's quarantine would be over, who has the address is nobody's stand-in.
    let key = fresh_key();
    let first = with_key("laptop", &key);
    let had = passing(&plane, &secret, &first).await;
    let second = with_key("laptop", &key);
    let (node, again) = enroll(&plane, &secret, &second).await;
    assert_eq!(again, had);
    plane.pass(15 * DAY);
    let renew = json!({"publicKey": fresh_key()});
    let own = text(&second, "nodeToken");
    plane.ask("POST", "/node/renew", &own, Some(&renew)).await.expect(200);
    delete(&plane, &node).await;
    assert_ne!(passing(&plane, &secret, &after(&first, native("laptop"))).await, had);
    assert_eq!(passing(&plane, &secret, &after(&second, native("laptop"))).await, had);

    // Nor what an operator gave to another.
    let first = native("server");
    let had = passing(&plane, &secret, &first).await;
    assert_eq!(passing(&plane, &plane.key, &native("server")).await, had);
    assert_ne!(passing(&plane, &secret, &after(&first, native("server"))).await, had);

    // Nor an address that only who came by the key had.
    let key = fresh_key();
    let first = with_key("desk", &key);
    let had = passing(&plane, &secret, &first).await;
    let reserved = json!({"range": had, "purpose": "nobody"});
    let path = "/networks/demo/reservations";
    plane.post(path, &reserved).await.expect(201);
    let others = passing(&plane, &secret, &with_key("desk", &key)).await;
    assert_ne!(others, had);
    assert_ne!(passing(&plane, &secret, &after(&first, native("desk"))).await, others);
}

async fn a_key_that_an_operator_replaced_has_nothing(plane: Plane) {
    demo(&plane).await;
    let secret = token(&plane, json!({})).await;
    let first = native("machine");
    let (node, had) = enroll(&plane, &secret, &first).await;
    let replaced = device("machine", &fresh_key());
    let answer = register(&plane, &plane.key, &replaced).await;
    assert_eq!(address(&answer), had);
    plane.pass(120);
    let (old, key) = (text(&first, "nodeToken"), json!({"publicKey": first["publicKey"]}));
    plane.ask("GET", "/node", &old, None).await.problem(401, "unauthorized");
    plane.ask("POST", "/node/renew", &old, Some(&key)).await.problem(401, "unauthorized");
    plane.ask("POST", "/node/renew", &old, Some(&json!({}))).await.problem(401, "unauthorized");
    let mut again = first.clone();
    again["network"] = json!("demo");
    plane.ask("POST", "/enroll", &secret, Some(&again)).await.expect(409);
    // It is a device of the dialect now, and keeps what it has.
    let kept = register(&plane, &secret, &replaced).await.expect(200);
    assert_eq!(kept["data"]["fingerprint"], answer.expect(200)["data"]["fingerprint"]);
    // With a token that an operator gives it, it may have any key but that one.
    let given = plane.post(&format!("/networks/demo/nodes/{node}/token"), &json!({})).await;
    let given = text(&given.expect(200), "nodeToken");
    plane.ask("POST", "/node/renew", &given, Some(&key)).await.problem(409, "key_mismatch");
    let other = json!({"publicKey": fresh_key()});
    plane.ask("POST", "/node/renew", &given, Some(&other)).await.expect(200);
    plane.pass(120);
    plane.ask("POST", "/node/renew", &given, Some(&key)).await.problem(409, "key_mismatch");
    plane.verify();
    // Nor does the old token bring anything back.
    delete(&plane, &node).await;
    let mut back = after(&first, native("machine"));
    back["network"] = json!("demo");
    plane.ask("POST", "/enroll", &secret, Some(&back)).await.problem(409, "key_mismatch");
}

async fn an_expired_join_token_reads_nothing(plane: Plane) {
    demo(&plane).await;
    let secret = token(&plane, json!({"expiresInSeconds": 60})).await;
    let body = native("guest");
    let (node, _) = enroll(&plane, &secret, &body).await;
    register(&plane, &secret, &device("old", &fresh_key())).await.expect(200);
    let here = format!("/networks/demo/nodes/{node}");
    let native_reads = [here.clone(), format!("{here}/certificates")];
    let dialect_reads = ["/status/old?projectId=demo", "/bundle/old?projectId=demo"];
    for path in &native_reads {
        plane.ask("GET", path, &secret, None).await.expect(200);
    }
    for path in dialect_reads {
        assert_eq!(dialect(&plane, path, &secret, None).await.status, 200);
    }
    plane.pass(60);
    for path in &native_reads {
        let refused = plane.ask("GET", path, &secret, None).await;
        let problem = refused.problem(403, "join_token_refused");
        assert!(text(&problem, "detail").contains("expired"), "{problem}");
    }
    for path in dialect_reads {
        let refused = dialect(&plane, path, &secret, None).await.expect(403);
        assert!(text(&refused, "detail").contains("expired"), "{refused}");
    }
    // Who repeats an enrolment shows more than that.
    let mut again = body.clone();
    again["network"] = json!("demo");
    plane.ask("POST", "/enroll", &secret, Some(&again)).await.expect(200);
}
