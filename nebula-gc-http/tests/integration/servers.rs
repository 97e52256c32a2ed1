//! Do nodes learn from the store, and only from it, which servers there are?

use crate::support::native::{Plane, enrollment};
use nebula_gc_http::server_list::{ServerListKey, SignedServerList};
use serde_json::{Value, json};

on_both_engines! {
    nodes_are_told_the_servers_that_an_operator_of_the_store_sets
    a_list_is_changed_by_who_has_read_it
}

/// The list of an answer, if the store signed it.
fn verified(answer: &Value, key: &Value) -> Vec<String> {
    let key: ServerListKey = key.as_str().unwrap().parse().unwrap();
    let list: SignedServerList = serde_json::from_value(answer.clone()).unwrap();
    let list = list.verify(&key).unwrap();
    list.servers().iter().map(|server| server.url.clone()).collect()
}

async fn nodes_are_told_the_servers_that_an_operator_of_the_store_sets(plane: Plane) {
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/24"]});
    plane.post("/networks", &network).await.expect(201);
    let body = enrollment("laptop");
    let joined = plane.post("/enroll", &body).await.expect(201);
    let key = &joined["serversKey"];
    assert_eq!(verified(&joined["servers"], key), [""; 0]);
    let token = body["nodeToken"].as_str().unwrap();
    let own = async || plane.ask("GET", "/node/servers", token, None).await;
    assert_eq!(own().await.expect(200)["serial"], 0);

    let servers = json!({"servers": [
        {"url": "https://a.example", "pin": "07".repeat(32), "nextPin": "A".repeat(43)},
        {"url": "https://b.example", "pin": "A".repeat(43)},
    ]});
    let set = plane.ask("PUT", "/servers", &plane.key, Some(&servers)).await.expect(200);
    assert!(set["serial"].as_i64() > Some(0) && &set["key"] == key, "{set}");
    let told = own().await;
    let list = told.expect(200);
    assert_eq!(verified(&list, key), ["https://a.example", "https://b.example"]);
    // By it nobody else learns anything.
    assert!(list.get("key").is_none());
    // The same again is no change.
    let again = plane.ask("PUT", "/servers", &plane.key, Some(&servers)).await.expect(200);
    assert_eq!(again, set);
    let events = plane.get("/events?kind=servers.changed").await.expect(200);
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events}");
    let repeated = plane.post("/enroll", &body).await.expect(200);
    assert_eq!((&repeated["servers"], &repeated["serversKey"]), (&list, key));
}

async fn a_list_is_changed_by_who_has_read_it(plane: Plane) {
    let servers = |name: &str| json!({"servers": [{"url": format!("https://{name}.example")}]});
    let first = plane.ask("PUT", "/servers", &plane.key, Some(&servers("a"))).await;
    let tag = first.header("etag").to_owned();
    plane.ask("PUT", "/servers", &plane.key, Some(&servers("b"))).await.expect(200);
    let late = plane
        .ask_with("PUT", "/servers", &plane.key, &[("if-match", tag.as_str())], Some(&servers("c")))
        .await;
    late.problem(412, "precondition_failed");
    assert_eq!(plane.get("/servers").await.expect(200)["servers"], servers("b")["servers"]);
}
