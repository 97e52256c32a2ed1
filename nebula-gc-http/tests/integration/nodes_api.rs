//! Nodes over HTTP, as operators handle them.

use crate::support::native::{Plane, enrollment};
use crate::support::requests;
use serde_json::{Value, json};

on_both_engines! {
    a_node_is_read_changed_kept_out_and_released
    a_change_builds_on_what_is_there
    both_forms_of_a_p256_fingerprint_are_blocked
    what_another_node_has_is_a_conflict_by_its_field
    what_is_not_usable_is_refused_by_its_field
    lists_come_in_pages
}

/// A network `demo`, on this curve.
async fn network(plane: &Plane, curve: &str) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24"], "curve": curve});
    plane.post("/networks", &body).await.expect(201);
}

/// Enrols a node; its path.
async fn enroll(plane: &Plane, body: &Value) -> String {
    let node = plane.post("/enroll", body).await.expect(201);
    format!("/networks/demo/nodes/{}", node["node"].as_str().unwrap())
}

async fn a_node_is_read_changed_kept_out_and_released(plane: Plane) {
    network(&plane, "25519").await;
    let mut body = enrollment("one");
    body["groups"] = json!(["web"]);
    let path = enroll(&plane, &body).await;
    let read = plane.get(&path).await.expect(200);
    assert_eq!((&read["state"], &read["name"]), (&json!("active"), &json!("one")));
    assert_eq!(read["addresses"], json!(["10.1.0.1"]));
    assert_eq!((&read["native"], &read["generation"]), (&json!(true), &json!(1)));
    assert_eq!(read["certificates"][0]["reason"], "enrolled");
    assert!(read["renewAt"].is_string() && read.get("applied").is_none());
    let change = json!({
        "name": "two", "groups": [], "lighthouse": {"endpoint": "192.0.2.1:4242"},
        "relay": true, "mtu": 1400,
    });
    let changed = plane.patch(&path, &change).await.expect(200);
    assert_eq!((&changed["name"], &changed["groups"]), (&json!("two"), &json!([])));
    assert_eq!(changed["lighthouse"]["endpoint"], "192.0.2.1:4242");
    assert_eq!((&changed["relay"], &changed["mtu"]), (&json!(true), &json!(1400)));
    assert_eq!(changed["generation"], 2);
    let changed = plane.patch(&path, &json!({"lighthouse": null, "mtu": null})).await.expect(200);
    assert!(changed.get("lighthouse").is_none() && changed.get("mtu").is_none());
    let kept_out = plane.post(&format!("{path}/suspend"), &json!({"reason": "lost"})).await;
    let kept_out = kept_out.expect(200);
    assert_eq!(
        (&kept_out["state"], &kept_out["stateReason"]),
        (&json!("suspended"), &json!("lost"))
    );
    assert_eq!(kept_out["certificates"], json!([]));
    let token = body["nodeToken"].as_str().unwrap();
    let own = plane.ask("GET", "/node", token, None).await;
    own.problem(403, "node_suspended");
    let again = plane.post("/enroll", &body).await.problem(403, "node_suspended");
    assert!(again["detail"].as_str().unwrap().contains("(lost)"), "{again}");
    let mut stranger = body.clone();
    stranger["nodeToken"] = json!("s".repeat(40));
    let refused = plane.post("/enroll", &stranger).await.problem(403, "node_suspended");
    assert!(!refused["detail"].as_str().unwrap().contains("lost"), "{refused}");
    plane.delete(&path).await.problem(409, "conflict");
    plane.ask("POST", &format!("{path}/reinstate"), &plane.key, None).await.expect(200);
    plane.ask("GET", "/node", token, None).await.expect(200);
    let rotated = plane.ask("POST", &format!("{path}/token"), &plane.key, None).await.expect(200);
    let new = rotated["nodeToken"].as_str().unwrap();
    plane.ask("GET", "/node", token, None).await.problem(401, "unauthorized");
    plane.ask("GET", "/node", new, None).await.expect(200);
    let ledger = plane.get(&format!("{path}/certificates")).await.expect(200);
    let states: Vec<_> =
        ledger["items"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["revoked", "revoked", "issued"]);
    let blocked = plane.get("/networks/demo/blocklist").await.expect(200);
    assert_eq!(blocked["items"].as_array().unwrap().len(), 2);
    assert!(blocked["items"][0].get("alternateFingerprint").is_none());
    // Who has applied that it is released.
    let other = enrollment("other");
    enroll(&plane, &other).await;
    assert_eq!(plane.delete(&path).await.status, 204);
    assert_eq!(plane.delete(&path).await.status, 204);
    assert_eq!(plane.get(&path).await.expect(200)["state"], "released");
    let revision = plane.get("/networks/demo").await.expect(200)["revision"].clone();
    let unapplied = format!("/networks/demo/revisions/{revision}/unapplied");
    let waiting = plane.get(&unapplied).await.expect(200);
    assert_eq!((&waiting["count"], &waiting["appliedByAll"]), (&json!(1), &json!(false)));
    assert_eq!(waiting["nodes"]["items"][0]["name"], "other");
    let token = other["nodeToken"].as_str().unwrap();
    let report = json!({"revision": revision, "generation": 1});
    plane.ask("POST", "/node/report", token, Some(&report)).await.expect(204);
    let applied = plane.get(&unapplied).await.expect(200);
    assert_eq!((&applied["count"], &applied["appliedByAll"]), (&json!(0), &json!(true)));
}

async fn a_change_builds_on_what_is_there(plane: Plane) {
    network(&plane, "25519").await;
    let path = enroll(&plane, &enrollment("one")).await;
    let tag = plane.get(&path).await.header("etag").to_owned();
    let change = async |mtu: u32| {
        let headers = [("if-match", tag.as_str())];
        let body = json!({"mtu": mtu});
        plane.ask_with("PATCH", &path, &plane.key, &headers, Some(&body)).await
    };
    let known = [("if-none-match", tag.as_str())];
    assert_eq!(plane.ask_with("GET", &path, &plane.key, &known, None).await.status, 304);
    let answers: [_; 2] = tokio::join!(change(1400), change(1401)).into();
    let mut statuses = answers.each_ref().map(|answer| answer.status);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let done = answers.iter().find(|answer| answer.status == 200).unwrap();
    assert_ne!(done.header("etag"), tag);
    assert_eq!(plane.get(&path).await.header("etag"), done.header("etag"));
    for (method, end) in [("POST", "/reinstate"), ("POST", "/token"), ("DELETE", "")] {
        let headers = [("if-match", tag.as_str())];
        let answer =
            plane.ask_with(method, &format!("{path}{end}"), &plane.key, &headers, None).await;
        answer.problem(412, "precondition_failed");
    }
}

async fn both_forms_of_a_p256_fingerprint_are_blocked(plane: Plane) {
    use nebula_pki::{Certificate, Curve};

    network(&plane, "P256").await;
    let p256 = |name: &str| {
        let key = requests::new_key_on(Curve::P256);
        let mut body = enrollment(name);
        body["publicKey"] = json!(key.to_pem());
        body
    };
    let gone = plane.post("/enroll", &p256("gone")).await.expect(201);
    let pem = gone["certificates"][0].as_str().unwrap();
    let certificate = Certificate::from_pem(pem.as_bytes()).unwrap();
    let alternate = certificate.alternate_fingerprint().unwrap().to_string();
    let stays = enroll(&plane, &p256("stays")).await;
    let path = format!("/networks/demo/nodes/{}", gone["node"].as_str().unwrap());
    plane.post(&format!("{path}/revoke"), &json!({"reason": "stolen"})).await.expect(200);
    let blocked = plane.get("/networks/demo/blocklist").await.expect(200);
    assert_eq!(blocked["items"].as_array().unwrap().len(), 1);
    assert_eq!(blocked["items"][0]["fingerprint"], certificate.fingerprint().to_string());
    assert_eq!(blocked["items"][0]["alternateFingerprint"], alternate);
    assert_eq!(blocked["items"][0]["node"], gone["node"]);
    let bundle = plane.get(&format!("{stays}/bundle")).await;
    let text = String::from_utf8_lossy(&bundle.bytes);
    assert!(text.contains(&certificate.fingerprint().to_string()), "{text}");
    assert!(text.contains(&alternate), "{text}");
}

async fn what_another_node_has_is_a_conflict_by_its_field(plane: Plane) {
    network(&plane, "25519").await;
    let (one, path) = (enrollment("one"), enroll(&plane, &enrollment("two")).await);
    enroll(&plane, &one).await;
    let mut its_key = enrollment("three");
    its_key["publicKey"] = one["publicKey"].clone();
    plane.post("/enroll", &its_key).await.problem(409, "key_mismatch");
    let named = plane.post("/enroll", &enrollment("one")).await.problem(409, "conflict");
    let renamed = plane.patch(&path, &json!({"name": "one"})).await.problem(409, "conflict");
    for problem in [named, renamed] {
        assert_eq!(problem["field"], "name");
        assert_eq!(problem["detail"], "another node of the network is called \"one\"");
    }
    let four = enrollment("four");
    enroll(&plane, &four).await;
    let token = four["nodeToken"].as_str().unwrap();
    let wish = json!({"publicKey": one["publicKey"]});
    let refused = plane.ask("POST", "/node/renew", token, Some(&wish)).await;
    assert_eq!(refused.problem(409, "conflict")["field"], "publicKey");
}

async fn what_is_not_usable_is_refused_by_its_field(plane: Plane) {
    network(&plane, "25519").await;
    let path = enroll(&plane, &enrollment("one")).await;
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": null}), "name"),
        (json!({"name": "x".repeat(254)}), "name"),
        (json!({"groups": ["any"]}), "groups"),
        (json!({"lighthouse": {"endpoint": "nowhere"}}), "lighthouse.endpoint"),
        (json!({"lighthouse": "192.0.2.1:4242"}), "lighthouse"),
        (json!({"relay": 1}), "relay"),
        (json!({"mtu": 1}), "mtu"),
        (json!({"mtu": -1}), "mtu"),
        (json!({"publicKey": ""}), "body"),
        (json!([]), "body"),
    ] {
        let problem = plane.patch(&path, &body).await.problem(400, "invalid_request");
        let named = problem["field"].as_str().unwrap_or_default();
        assert!(named == field || named == "publicKey", "{body}: {problem}");
    }
    for body in [json!({}), json!({"reason": ""}), json!({"reason": "\0"})] {
        plane.post(&format!("{path}/suspend"), &body).await.problem(400, "invalid_request");
    }
    for query in "state=gone role=boss namePrefix= namePrefix=%00 group=any limit=0 limit=501 \
            notAppliedRevision=x notAppliedRevision=-1 cursor=AAAA order=name"
        .split(' ')
    {
        let answer = plane.get(&format!("/networks/demo/nodes?{query}")).await;
        let problem = answer.problem(400, "invalid_request");
        assert_eq!(problem["field"], query.split('=').next().unwrap(), "{problem}");
    }
    for path in [
        "/networks/demo/nodes/00000000-0000-0000-0000-000000000000",
        "/networks/other/nodes",
        "/networks/demo/revisions/0/unapplied",
        "/networks/demo/revisions/1000/unapplied",
    ] {
        plane.get(path).await.problem(404, "not_found");
    }
    plane.get("/networks/demo/nodes/one").await.problem(400, "invalid_request");
    plane.get("/networks/demo/revisions/x/unapplied").await.problem(400, "invalid_request");
    // A node of another network is none of this one.
    let body = json!({"name": "beside", "prefixes": ["10.2.0.0/24"]});
    plane.post("/networks", &body).await.expect(201);
    let elsewhere = path.replace("/demo/", "/beside/");
    plane.get(&elsewhere).await.problem(404, "not_found");
    plane.delete(&elsewhere).await.problem(404, "not_found");
}

async fn lists_come_in_pages(plane: Plane) {
    network(&plane, "25519").await;
    for index in 0..5 {
        let mut body = enrollment(&format!("node-{index}"));
        body["groups"] = json!([if index % 2 == 0 { "even" } else { "odd" }]);
        let path = enroll(&plane, &body).await;
        if index < 3 {
            plane.post(&format!("{path}/revoke"), &json!({"reason": "test"})).await.expect(200);
        }
    }
    for (list, count) in [
        ("/networks/demo/nodes?limit=2", 5),
        ("/networks/demo/nodes?limit=1&group=even", 3),
        ("/networks/demo/nodes?limit=1&state=revoked&namePrefix=node-", 3),
        ("/networks/demo/blocklist?limit=2", 3),
    ] {
        let (mut path, mut found) = (list.to_owned(), vec![]);
        loop {
            let page = plane.get(&path).await.expect(200);
            found.extend(page["items"].as_array().unwrap().iter().map(Value::to_string));
            let Some(next) = page.get("next").and_then(Value::as_str) else { break };
            path = format!("{list}&cursor={next}");
        }
        let total = found.len();
        found.sort();
        found.dedup();
        assert_eq!((found.len(), total), (count, count), "{list}");
    }
}
