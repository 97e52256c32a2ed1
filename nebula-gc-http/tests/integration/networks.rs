//! Networks, pools, blocks and reservations as operators handle them.

use crate::support::native::{Answer, Plane, dialect, enrollment, text};
use serde_json::{Value, json};

on_both_engines! {
    a_network_is_made_read_and_changed
    the_revision_moves_exactly_where_bundles_change
    prefixes_grow_and_versions_go_forward
    nodes_of_both_versions_begin_as_the_network_says
    pools_tell_exactly_how_full_they_are
    a_pool_in_use_is_refused_with_its_leases
    blocks_and_reservations
    a_reservation_goes_in_the_form_it_came_in
    a_device_has_addresses_reserved_before_it_enrols
    a_device_never_gets_another_address_than_the_one_reserved
    a_reserved_device_keeps_its_addresses_from_node_to_node
    a_reservation_goes_by_its_holder
    a_change_takes_what_was_read
    enrolling_again_answers_the_same
    unusable_networks_are_refused_by_field
    ipv6_has_the_mtu_that_it_needs
    a_lighthouse_is_outside_of_its_own_network
}

async fn network(plane: &Plane, body: Value) -> Value {
    plane.post("/networks", &body).await.expect(201)
}

async fn a_network_is_made_read_and_changed(plane: Plane) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24", "fd00:1::/64"]});
    let made = plane.post("/networks", &body).await;
    let network = made.expect(201);
    assert_eq!(
        made.header("location"),
        format!("/api/v1/networks/{}", network["id"].as_str().unwrap())
    );
    for (field, value) in [
        ("versions", json!("2")),
        ("curve", json!("25519")),
        ("lifetimeSeconds", json!(14 * 86_400)),
        ("holdSeconds", json!(86_400)),
        ("holdAlone", json!(false)),
        ("silenceSeconds", json!(null)),
        ("mtu", json!(1300)),
        ("initiatingVersion", json!(null)),
        ("revision", json!(1)),
        ("createdAt", json!("2027-01-15T08:00:00Z")),
    ] {
        assert_eq!(network[field], value, "{field}");
    }
    assert_eq!(plane.get("/networks/demo").await.expect(200), network);
    let by_id = format!("/networks/{}", network["id"].as_str().unwrap());
    assert_eq!(plane.get(&by_id).await.expect(200), network);
    plane.post("/networks", &body).await.problem(409, "conflict");

    let patch = json!({"name": "renamed", "lifetimeSeconds": 86_400, "silenceSeconds": 7200});
    let changed = plane.patch("/networks/demo", &patch).await.expect(200);
    assert_eq!(changed["name"], "renamed");
    assert_eq!(changed["silenceSeconds"], 7200);
    assert_eq!(changed["revision"], 1);
    plane.get("/networks/demo").await.problem(404, "not_found");
    let off = plane.patch("/networks/renamed", &json!({"silenceSeconds": null})).await;
    assert_eq!(off.expect(200)["silenceSeconds"], json!(null));
    let same = plane.patch("/networks/renamed", &json!({"silenceSeconds": null})).await;
    assert_eq!(same.header("etag"), off.header("etag"));

    let pem = plane.get("/networks/renamed/ca").await;
    assert_eq!((pem.status, pem.header("content-type")), (200, "application/x-pem-file"));
    let pem = String::from_utf8(pem.bytes).unwrap();
    assert_eq!(pem.matches("BEGIN NEBULA CERTIFICATE V2").count(), 1);

    let p256 =
        json!({"name": "p", "prefixes": ["10.9.0.0/16"], "versions": "both", "curve": "P256"});
    assert_eq!(plane.post("/networks", &p256).await.expect(201)["curve"], "P256");
    let names: Vec<_> = plane.get("/networks").await.expect(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|network| network["name"].clone())
        .collect();
    assert_eq!(names, ["renamed", "p"]);
}

async fn the_revision_moves_exactly_where_bundles_change(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24"]})).await;
    let mut revision = 1;
    for (patch, moves) in [
        (json!({"lifetimeSeconds": 3600}), 0),
        (json!({"holdSeconds": 0, "holdAlone": true}), 0),
        (json!({"mtu": 1400}), 1),
        (json!({"mtu": 1400}), 0),
        (json!({"mtu": 1300, "name": "demo"}), 1),
    ] {
        revision += moves;
        let answer = plane.patch("/networks/demo", &patch).await.expect(200);
        assert_eq!(answer["revision"], revision, "{patch}");
        assert_eq!(plane.get("/networks/demo").await.expect(200), answer);
    }
}

async fn prefixes_grow_and_versions_go_forward(plane: Plane) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24"], "versions": "1"});
    network(&plane, body).await;
    let member = enrollment("one");
    plane.post("/enroll", &member).await.expect(201);
    let patch = |body: Value| {
        let plane = &plane;
        async move { plane.patch("/networks/demo", &body).await }
    };
    let v6 = json!({"prefixes": ["10.1.0.0/24", "fd00:1::/64"]});
    assert_eq!(patch(v6.clone()).await.problem(400, "invalid_request")["field"], "prefixes");
    patch(json!({"versions": "both"})).await.expect(200);
    patch(json!({"versions": "1"})).await.problem(409, "conflict");
    patch(v6).await.expect(200);
    // The node has both with its next certificates.
    plane.verify();
    let due = 10 * 86_400;
    plane.pass(due);
    let token = member["nodeToken"].as_str().unwrap();
    let renewed = plane.ask("POST", "/node/renew", token, Some(&json!({}))).await.expect(200);
    assert_eq!(renewed["certificates"].as_array().unwrap().len(), 2);
    plane.verify();
    let pools = plane.get("/networks/demo/pools").await.expect(200);
    assert_eq!(pools["items"].as_array().unwrap().len(), 2);
    for prefixes in [
        json!(["10.1.0.0/24"]),
        json!(["10.1.0.0/25", "fd00:1::/64"]),
        json!(["10.2.0.0/16", "fd00:1::/64"]),
    ] {
        patch(json!({"prefixes": prefixes})).await.problem(409, "conflict");
    }
    patch(json!({"prefixes": ["10.1.0.0/16", "fd00:1::/48"]})).await.expect(200);
    let pool = plane.post("/networks/demo/pools", &json!({"range": "10.1.7.0/24"})).await;
    // All of a part's addresses are usable, but those at the network's own ends.
    assert_eq!(pool.expect(201)["usage"]["capacity"], 256);
    patch(json!({"versions": "2"})).await.expect(200);
    // Certificates from before are as sound as they were.
    assert_eq!(plane.service.upkeep().await.unwrap().unwrap().unsound, 0);
    plane.verify();
    plane.sql("DELETE FROM gc_certificate WHERE version = 1 AND state = 'issued'");
    assert_ne!(plane.place.read(|tx| nebula_gc_http::verify(tx, plane.now())), []);
}

async fn nodes_of_both_versions_begin_as_the_network_says(plane: Plane) {
    let of =
        |versions: &str| json!({"name": "demo", "prefixes": ["10.1.0.0/24"], "versions": versions});
    for (versions, initiating) in [("1", "1"), ("2", "2"), ("2", "1")] {
        let mut body = of(versions);
        body["initiatingVersion"] = json!(initiating);
        let refused = plane.post("/networks", &body).await.problem(400, "invalid_request");
        assert_eq!(refused["field"], "initiatingVersion");
    }
    network(&plane, of("1")).await;
    let patch = |body: Value| {
        let plane = &plane;
        async move { plane.patch("/networks/demo", &body).await }
    };
    let refused = patch(json!({"initiatingVersion": "2"})).await.problem(400, "invalid_request");
    assert_eq!(refused["field"], "initiatingVersion");
    assert!(refused["detail"].as_str().unwrap().contains("both"), "{refused}");
    let both = patch(json!({"versions": "both"})).await.expect(200);
    assert_eq!((&both["initiatingVersion"], &both["revision"]), (&json!("1"), &json!(1)));

    let device = enrollment("one");
    let enrolled = plane.post("/enroll", &device).await.expect(201);
    let yaml = |enrolled: &Value| enrolled["bundle"]["files"]["nebula.yml"].to_string();
    assert!(!yaml(&enrolled).contains("initiating_version"), "1 is Nebula's own default");

    let before = plane.get("/networks/demo").await.header("etag").to_owned();
    let change = json!({"initiatingVersion": "2"});
    let changed = patch(change.clone()).await.expect(200);
    assert_eq!((&changed["initiatingVersion"], &changed["revision"]), (&json!("2"), &json!(2)));
    assert_eq!(patch(change.clone()).await.expect(200), changed, "the same again moves nothing");
    let matching = [("if-match", before.as_str())];
    let late =
        plane.ask_with("PATCH", "/networks/demo", &plane.key, &matching, Some(&change)).await;
    late.problem(412, "precondition_failed");
    let enrolled = plane.post("/enroll", &device).await.expect(200);
    assert!(yaml(&enrolled).contains("initiating_version: 2"), "{enrolled}");
    for wrong in [json!("3"), json!(2), json!(null)] {
        patch(json!({"initiatingVersion": wrong})).await.problem(400, "invalid_request");
    }

    // With version 2 alone there is nothing to choose, and nothing to be told anew.
    let only = patch(json!({"versions": "2"})).await.expect(200);
    assert_eq!((&only["initiatingVersion"], &only["revision"]), (&json!(null), &json!(2)));
    patch(change).await.problem(400, "invalid_request");

    let from_both = json!({"name": "later", "prefixes": ["10.2.0.0/24"], "versions": "both"});
    network(&plane, from_both).await;
    // Those that still have both begin in the version that the others have.
    let only = plane.patch("/networks/later", &json!({"versions": "2"})).await.expect(200);
    assert_eq!(only["revision"], 2);
}

async fn pools_tell_exactly_how_full_they_are(plane: Plane) {
    let pools = json!(["10.1.0.0/28", "10.1.0.100-10.1.0.109", "fd00::/64"]);
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24", "fd00::/64"], "pools": pools});
    network(&plane, body).await;
    let enrolled = plane.post("/enroll", &enrollment("one")).await.expect(201);
    assert_eq!(enrolled["addresses"], json!(["10.1.0.1/24", "fd00::1/64"]));
    let listed = plane.get("/networks/demo/pools").await.expect(200);
    let pools = listed["items"].as_array().unwrap();
    assert_eq!(pools[0]["range"], "10.1.0.1-10.1.0.15");
    assert_eq!(pools[0]["usage"]["capacity"], 15);
    assert_eq!(pools[0]["usage"]["active"], 1);
    assert_eq!(pools[0]["usage"]["free"], 14);
    assert_eq!(pools[1]["position"], 1);
    // Beyond what JSON numbers hold exactly.
    assert_eq!(pools[2]["usage"]["capacity"], "18446744073709551615");
    assert_eq!(pools[2]["usage"]["free"], "18446744073709551614");

    let mut seen = vec![];
    let mut query = "?limit=1".to_owned();
    loop {
        let page = plane.get(&format!("/networks/demo/pools{query}")).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=1&cursor={next}");
    }
    assert_eq!(&seen, pools);
    // A cursor is of its list.
    let foreign = plane.get("/networks?limit=1").await.expect(200);
    assert!(foreign.get("next").is_none());
    let cursor = query.split("cursor=").nth(1).unwrap();
    let other = plane.get(&format!("/networks?cursor={cursor}")).await;
    assert_eq!(other.problem(400, "invalid_request")["field"], "cursor");
}

async fn a_pool_in_use_is_refused_with_its_leases(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24"], "pools": []})).await;
    let problem = plane.post("/enroll", &enrollment("one")).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("IPv4 pool"), "{problem}");
    let made = plane.post("/networks/demo/pools", &json!({"range": "10.1.0.0/25"})).await;
    let path = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    let tag = made.header("etag").to_owned();
    plane.post("/enroll", &enrollment("one")).await.expect(201);
    let refused = plane.delete(&path).await.problem(409, "leases_stand");
    assert_eq!(refused["leases"], json!(["10.1.0.1"]));
    assert_eq!(refused["moreLeases"], false);
    let shrunk = json!({"range": "10.1.0.2-10.1.0.20"});
    plane.patch(&path, &shrunk).await.problem(409, "leases_stand");
    let wider = json!({"range": "10.1.0.1-10.1.0.200"});
    // The lease came after the tag, and is not what a change of the range builds on.
    let matching = [("if-match", tag.as_str())];
    let resized = plane.ask_with("PATCH", &path, &plane.key, &matching, Some(&wider)).await;
    assert_eq!(resized.expect(200)["usage"]["capacity"], 200);
    let late = plane.ask_with("PATCH", &path, &plane.key, &matching, Some(&shrunk)).await;
    late.problem(412, "precondition_failed");
    for (body, status) in [
        (json!({"range": "10.1.0.100-10.1.0.250"}), 409),
        (json!({"range": "10.1.1.0/24"}), 400),
        (json!({"range": "10.1.0.255"}), 400),
        (json!({"range": "fd00::/64"}), 400),
        (json!({"range": "10.1.0.9-10.1.0.1"}), 400),
        (json!({"range": "10.1.0.1/24"}), 400),
        (json!({"range": "ten"}), 400),
        (json!({"range": "10.1.0.201", "position": "1"}), 400),
    ] {
        let answer = plane.post("/networks/demo/pools", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.expect(answer.status));
    }
    let spare = plane.post("/networks/demo/pools", &json!({"range": "10.1.0.201"})).await;
    let spare = spare.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    plane.delete(&spare).await.expect(204);
    plane.get(&spare).await.problem(404, "not_found");
}

async fn blocks_and_reservations(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24"]})).await;
    let pool = plane.get("/networks/demo/pools").await.expect(200)["items"][0]["id"].clone();
    let block = json!({"name": "printers", "pool": pool, "size": 16});
    let made = plane.post("/networks/demo/blocks", &block).await;
    let path = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    assert_eq!(made.expect(201)["range"], "10.1.0.224-10.1.0.239");
    plane.post("/networks/demo/blocks", &block).await.problem(409, "conflict");
    assert_eq!(plane.get(&path).await.expect(200), made.expect(201));
    for body in [
        json!({"name": "x", "pool": pool}),
        json!({"name": "x", "pool": pool, "size": 0}),
        json!({"name": "x", "pool": pool, "size": 1, "range": "10.1.0.1"}),
        json!({"name": "x", "pool": "x", "size": 1}),
    ] {
        plane.post("/networks/demo/blocks", &body).await.problem(400, "invalid_request");
    }
    let vast = json!({"name": "x", "pool": pool, "size": 255});
    plane.post("/networks/demo/blocks", &vast).await.problem(409, "conflict");
    let nowhere = json!({"name": "x", "pool": "01890a5d-ac96-774b-bcce-b302099a8057", "size": 1});
    plane.post("/networks/demo/blocks", &nowhere).await.problem(404, "not_found");
    assert_eq!(
        plane.get("/networks/demo/blocks").await.expect(200)["items"],
        json!([made.expect(201)])
    );
    plane.delete(&path).await.expect(204);
    plane.delete(&path).await.problem(404, "not_found");

    let node = plane.post("/enroll", &enrollment("one")).await.expect(201)["node"].clone();
    let reserve = |body: Value| {
        let plane = &plane;
        async move { plane.post("/networks/demo/reservations", &body).await }
    };
    let gateway = json!({"range": "10.1.0.2-10.1.0.9", "purpose": "nobody", "note": "routers"});
    let made = reserve(gateway.clone()).await;
    assert_eq!(made.expect(201), gateway);
    let path = made.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    assert_eq!(reserve(gateway.clone()).await.expect(201), gateway, "asking again is safe");
    let other = json!({"range": "10.1.0.2-10.1.0.9", "purpose": "nobody", "note": "switches"});
    reserve(other).await.problem(409, "conflict");
    let pinned = json!({"range": "10.1.0.77", "purpose": "node", "node": node});
    assert_eq!(reserve(pinned.clone()).await.expect(201)["node"], node);
    reserve(json!({"range": "10.1.0.78", "purpose": "node", "node": node}))
        .await
        .problem(409, "conflict");
    reserve(json!({"range": "10.1.0.1", "purpose": "nobody"})).await.problem(409, "leases_stand");
    for body in [
        json!({"range": "10.1.0.80", "purpose": "node"}),
        json!({"range": "10.1.0.80", "purpose": "asking", "node": node}),
        json!({"range": "10.1.0.80", "purpose": "else"}),
        json!({"range": "10.1.0.80-10.1.0.81", "purpose": "node", "node": node}),
        json!({"range": "10.1.0.80", "purpose": "node", "node": pool}),
        json!({"range": "10.1.0.0", "purpose": "nobody"}),
    ] {
        reserve(body).await.problem(400, "invalid_request");
    }
    let second = plane.post("/enroll", &enrollment("two")).await.expect(201);
    assert_eq!(second["addresses"], json!(["10.1.0.10/24"]));
    let page = plane.get("/networks/demo/reservations?limit=1").await.expect(200);
    let next = page["next"].as_str().unwrap();
    let rest = plane.get(&format!("/networks/demo/reservations?cursor={next}")).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    plane.delete(&path).await.expect(204);
    plane.delete(&path).await.problem(404, "not_found");
    plane.delete("/networks/demo/reservations/10.1.0.0%2F24").await.problem(404, "not_found");
    plane.delete("/networks/demo/reservations/10.2.0.0%2F24").await.problem(400, "invalid_request");
    plane.delete("/networks/demo/reservations/10.1.0.77").await.expect(204);
}

async fn a_reservation_goes_in_the_form_it_came_in(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24", "fd00::/64"]})).await;
    for range in
        "10.1.0.16/28 10.1.0.0/28 10.1.0.7 10.1.0.8/32 10.1.0.3-10.1.0.5 fd00::/112".split(' ')
    {
        let body = json!({"range": range, "purpose": "nobody"});
        let made = plane.post("/networks/demo/reservations", &body).await;
        made.expect(201);
        let path = format!("/networks/demo/reservations/{}", range.replace('/', "%2F"));
        plane.delete(&path).await.expect(204);
        plane.post("/networks/demo/reservations", &body).await.expect(201);
        let location = made.header("location").strip_prefix("/api/v1").unwrap();
        plane.delete(location).await.expect(204);
    }
    assert_eq!(plane.get("/networks/demo/reservations").await.expect(200)["items"], json!([]));
}

async fn a_change_takes_what_was_read(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24"]})).await;
    network(&plane, json!({"name": "both", "prefixes": ["10.1.0.0/24"], "versions": "both"})).await;
    let mut node = enrollment("one");
    node["network"] = json!("demo");
    let node = plane.post("/enroll", &node).await.expect(201);
    let pool = plane.get("/networks/demo/pools").await.expect(200)["items"][0].clone();
    let tenant = plane.get("/tenants").await.expect(200)["items"][0].clone();
    for path in [
        "/networks/demo".to_owned(),
        "/networks/both".to_owned(),
        format!("/networks/demo/nodes/{}", node["node"].as_str().unwrap()),
        format!("/networks/demo/pools/{}", pool["id"].as_str().unwrap()),
        format!("/tenants/{}", tenant["id"].as_str().unwrap()),
    ] {
        let read = plane.get(&path).await;
        let (tag, shown) = (read.header("etag").to_owned(), read.expect(200));
        let changed = plane.patch(&path, &shown).await;
        assert_eq!(changed.expect(200), shown, "{path}");
        assert_eq!(plane.get(&path).await.header("etag"), tag, "{path}: nothing is written");
        for fixed in "id createdAt tenant curve network device state native position".split(' ') {
            if shown.get(fixed).is_some() {
                let mut other = shown.clone();
                other[fixed] = json!("other");
                let problem = plane.patch(&path, &other).await.problem(400, "invalid_request");
                assert_eq!(problem["field"], fixed, "{path}");
            }
        }
    }
    // What is not there may be null, and what counts on its own may have moved.
    let path = format!("/networks/demo/nodes/{}", node["node"].as_str().unwrap());
    let mut shown = plane.get(&path).await.expect(200);
    for absent in ["stateReason", "joinToken", "lighthouse", "mtu", "applied"] {
        shown[absent] = Value::Null;
    }
    for moving in ["generation", "seenAt", "renewAt", "certificates", "addresses"] {
        shown[moving] = json!(1);
    }
    plane.patch(&path, &shown).await.expect(200);
    // With what was read besides there is one change, the one that was made.
    let mut demo = plane.get("/networks/demo").await.expect(200);
    demo["mtu"] = json!(1400);
    let changed = plane.patch("/networks/demo", &demo).await.expect(200);
    assert_eq!(changed["mtu"], 1400);
    let two = json!({"initiatingVersion": "2"});
    assert_eq!(plane.patch("/networks/both", &two).await.expect(200)["initiatingVersion"], "2");
}

async fn enrolling_again_answers_the_same(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24"], "versions": "both"})).await;
    let body = enrollment("one");
    let first = plane.post("/enroll", &body).await.expect(201);
    assert_eq!(first["certificates"].as_array().unwrap().len(), 2);
    assert!(first["bundle"]["files"]["nebula.yml"].as_str().unwrap().contains("pki:"));
    assert_eq!((&first["revision"], &first["generation"]), (&json!(1), &json!(1)));
    assert_eq!(plane.post("/enroll", &body).await.expect(200), first);
    let mut thief = body.clone();
    thief["nodeToken"] = json!("x".repeat(32));
    plane.post("/enroll", &thief).await.problem(409, "key_mismatch");
    let mut bad = body;
    for (field, value, named) in [
        ("publicKey", json!("nonsense"), "publicKey"),
        ("nodeToken", json!("short"), "nodeToken"),
        ("mtu", json!(1), "mtu"),
        ("lighthouse", json!({"endpoint": "x"}), "lighthouse.endpoint"),
    ] {
        bad[field] = value;
        assert_eq!(plane.post("/enroll", &bad).await.expect(400)["field"], named);
        bad.as_object_mut().unwrap().remove(field);
        if field != "mtu" {
            bad[field] = enrollment("two")[field].clone();
        }
        if field == "lighthouse" || field == "mtu" {
            bad.as_object_mut().unwrap().remove(field);
        }
    }
}

async fn ipv6_has_the_mtu_that_it_needs(plane: Plane) {
    let refused = async |answer: Answer| {
        let problem = answer.problem(400, "invalid_request");
        assert_eq!(problem["field"], "mtu", "{problem}");
    };
    let mut demo = json!({"name": "demo", "prefixes": ["10.1.0.0/24", "fd00::/64"], "mtu": 1279});
    refused(plane.post("/networks", &demo).await).await;
    demo["mtu"] = json!(1280);
    network(&plane, demo).await;
    refused(plane.patch("/networks/demo", &json!({"mtu": 1279})).await).await;
    let mut node = enrollment("one");
    node["network"] = json!("demo");
    node["mtu"] = json!(1279);
    refused(plane.post("/enroll", &node).await).await;
    node["mtu"] = json!(1400);
    let id = plane.post("/enroll", &node).await.expect(201)["node"].as_str().unwrap().to_owned();
    let path = format!("/networks/demo/nodes/{id}");
    refused(plane.patch(&path, &json!({"mtu": 1279})).await).await;

    // Where there is none it may be less, until there is.
    network(&plane, json!({"name": "old", "prefixes": ["10.2.0.0/24"], "mtu": 500})).await;
    let both = json!({"prefixes": ["10.2.0.0/24", "fd01::/64"]});
    refused(plane.patch("/networks/old", &both).await).await;
    let both = json!({"prefixes": ["10.2.0.0/24", "fd01::/64"], "mtu": 1280});
    let mut small = enrollment("small");
    small["network"] = json!("old");
    small["mtu"] = json!(1279);
    let id = plane.post("/enroll", &small).await.expect(201)["node"].as_str().unwrap().to_owned();
    plane.patch("/networks/old", &both).await.problem(409, "conflict");
    plane.patch(&format!("/networks/old/nodes/{id}"), &json!({"mtu": null})).await.expect(200);
    plane.patch("/networks/old", &both).await.expect(200);
}

async fn a_lighthouse_is_outside_of_its_own_network(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24"]})).await;
    let mut node = enrollment("one");
    node["network"] = json!("demo");
    for inside in ["10.1.0.77:4242", "192.0.2.1:4242,10.1.0.1:1", "127.0.0.1:4242", "[fe80::1]:1"] {
        node["lighthouse"] = json!({"endpoint": inside});
        let refused = plane.post("/enroll", &node).await.problem(400, "invalid_request");
        assert_eq!(refused["field"], "lighthouse.endpoint", "{inside}");
    }
    let several = "10.1.1.1:4242,[fd00::1]:7777,lighthouse.example.com:443";
    node["lighthouse"] = json!({"endpoint": several});
    let id = plane.post("/enroll", &node).await.expect(201)["node"].as_str().unwrap().to_owned();
    let path = format!("/networks/demo/nodes/{id}");
    assert_eq!(plane.get(&path).await.expect(200)["lighthouse"]["endpoint"], several);
    for inside in ["10.1.0.77:4242", "localhost:4242"] {
        let body = json!({"lighthouse": {"endpoint": inside}});
        let refused = plane.patch(&path, &body).await.problem(400, "invalid_request");
        assert_eq!(refused["field"], "lighthouse.endpoint", "{inside}");
    }
    // Nor does the network grow around it.
    for prefixes in [json!(["10.1.0.0/23"]), json!(["10.1.0.0/24", "fd00::/64"])] {
        let refused = plane.patch("/networks/demo", &json!({"prefixes": prefixes})).await;
        refused.problem(409, "conflict");
    }
    plane
        .patch("/networks/demo", &json!({"prefixes": ["10.1.0.0/24", "fd01::/64"]}))
        .await
        .expect(200);

    let mut other = enrollment("two");
    other["network"] = json!("demo");
    let key = plane.post("/enroll", &other).await.expect(201);
    let yaml = key["bundle"]["files"]["nebula.yml"].as_str().unwrap().to_owned();
    for endpoint in several.split(',') {
        assert!(yaml.contains(&format!("  - '{endpoint}'\n")), "{yaml}");
    }
    // While it is suspended, the network may; then it comes back only with another endpoint.
    plane.post(&format!("{path}/suspend"), &json!({"reason": "moved"})).await.expect(200);
    let wider = json!({"prefixes": ["10.1.0.0/23", "fd01::/64"]});
    plane.patch("/networks/demo", &wider).await.expect(200);
    let back = format!("{path}/reinstate");
    let refused = plane.post(&back, &json!({})).await.problem(400, "invalid_request");
    assert_eq!(refused["field"], "lighthouse.endpoint");
    let outside = json!({"lighthouse": {"endpoint": "192.0.2.1:4242"}});
    plane.patch(&path, &outside).await.expect(200);
    plane.post(&back, &json!({})).await.expect(200);
}

async fn unusable_networks_are_refused_by_field(plane: Plane) {
    let good = json!({"name": "demo", "prefixes": ["10.1.0.0/24"]});
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("x".repeat(129))),
        ("name", json!(null)),
        ("prefixes", json!([])),
        ("prefixes", json!(["10.1.0.0/24", "10.2.0.0/24"])),
        ("prefixes", json!(["127.0.0.0/8"])),
        ("prefixes", json!(["0.0.0.0/0"])),
        ("prefixes[0]", json!(["10.1.0.1/24"])),
        ("prefixes[0]", json!(["10.1.0.0/33"])),
        ("prefixes[0]", json!([1])),
        ("versions", json!("3")),
        ("versions", json!(2)),
        ("curve", json!("ed448")),
        ("lifetimeSeconds", json!(599)),
        ("lifetimeSeconds", json!(315_360_001)),
        ("lifetimeSeconds", json!("3600")),
        ("lifetimeSeconds", json!(null)),
        ("holdSeconds", json!(-1)),
        ("silenceSeconds", json!(3599)),
        ("giveBackSeconds", json!(3599)),
        ("mtu", json!(0)),
        ("mtu", json!(-1)),
        ("mtu", json!(70_000)),
        ("holdAlone", json!("yes")),
        ("tenant", json!("default")),
        ("pools", json!(["10.2.0.0/24"])),
        ("pools[0]", json!(["x"])),
        ("unknown", json!(1)),
    ] {
        let mut body = good.clone();
        body[field.split('[').next().unwrap()] = value.clone();
        let problem = plane.post("/networks", &body).await.problem(400, "invalid_request");
        assert_eq!(problem["field"], field, "{value}: {problem}");
    }
    for (versions, prefix) in [("1", "fd00::/64"), ("both", "fd00::/64")] {
        let body = json!({"name": "demo", "prefixes": [prefix], "versions": versions});
        let problem = plane.post("/networks", &body).await.problem(400, "invalid_request");
        assert_eq!(problem["field"], "prefixes");
    }
    let mut foreign = good.clone();
    foreign["tenant"] = json!("01890a5d-ac96-774b-bcce-b302099a8057");
    plane.post("/networks", &foreign).await.problem(404, "not_found");
    let overlapping =
        json!({"name": "demo", "prefixes": ["10.1.0.0/24"], "pools": ["10.1.0.1", "10.1.0.1"]});
    plane.post("/networks", &overlapping).await.problem(409, "conflict");
    assert_eq!(plane.get("/networks").await.expect(200)["items"], json!([]));
}

/// Reserves an address of `demo` for a device.
async fn reserve_for(plane: &Plane, device: &str, range: &str) -> Answer {
    let body = json!({"range": range, "purpose": "device", "device": device});
    plane.post("/networks/demo/reservations", &body).await
}

async fn join_token(plane: &Plane, device: Option<&str>) -> String {
    let mut body = json!({"name": "x", "uses": 9});
    if let Some(device) = device {
        body["device"] = json!(device);
    }
    text(&plane.post("/networks/demo/join-tokens", &body).await.expect(201), "secret")
}

fn of_device(name: &str, device: &str) -> Value {
    let mut body = enrollment(name);
    body["device"] = json!(device);
    body
}

async fn a_device_has_addresses_reserved_before_it_enrols(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24", "fd00::/64"]})).await;
    let made = reserve_for(&plane, "printer-7", "10.1.0.50").await.expect(201);
    let expected =
        json!({"range": "10.1.0.50-10.1.0.50", "purpose": "device", "device": "printer-7"});
    assert_eq!(made, expected);
    assert_eq!(reserve_for(&plane, "printer-7", "10.1.0.50").await.expect(201), expected, "again");
    reserve_for(&plane, "printer-7", "fd00::50").await.expect(201);
    reserve_for(&plane, "printer-7", "10.1.0.51").await.problem(409, "conflict");
    reserve_for(&plane, "other", "10.1.0.50").await.problem(409, "conflict");
    for body in [
        json!({"range": "10.1.0.60", "purpose": "device"}),
        json!({"range": "10.1.0.60", "purpose": "nobody", "device": "x"}),
        json!({"range": "10.1.0.60-10.1.0.61", "purpose": "device", "device": "x"}),
    ] {
        let refused = plane.post("/networks/demo/reservations", &body).await;
        refused.problem(400, "invalid_request");
    }

    // Whoever may join may not join as it.
    let (any, its_own) =
        (join_token(&plane, None).await, join_token(&plane, Some("printer-7")).await);
    let body = of_device("printer", "printer-7");
    let refused = plane.ask("POST", "/enroll", &any, Some(&body)).await;
    let problem = refused.problem(403, "join_token_refused");
    assert_eq!(problem["field"], "device", "{problem}");
    let register = json!({"projectId": "demo", "deviceId": "printer-7", "deviceName": "printer",
        "publicKey": body["publicKey"]});
    dialect(&plane, "/register", &any, Some(&register)).await.expect(403);
    assert_eq!(plane.get("/networks/demo/nodes").await.expect(200)["items"], json!([]));
    let first = plane.ask("POST", "/enroll", &any, Some(&enrollment("first"))).await.expect(201);
    assert_eq!(first["addresses"], json!(["10.1.0.1/24", "fd00::1/64"]));

    let joined = plane.ask("POST", "/enroll", &its_own, Some(&body)).await.expect(201);
    assert_eq!(joined["addresses"], json!(["10.1.0.50/24", "fd00::50/64"]));
    let again = plane.ask("POST", "/enroll", &its_own, Some(&body)).await.expect(200);
    assert_eq!(again["addresses"], joined["addresses"]);
    let listed = plane.get("/networks/demo/reservations").await.expect(200);
    let item = &listed["items"][0];
    assert_eq!((&item["device"], &item["nodeName"]), (&json!("printer-7"), &json!("printer")));
    let addresses = plane.get("/networks/demo/addresses").await.expect(200);
    let addresses = addresses["items"].as_array().unwrap().iter();
    let reserved = addresses.filter(|it| it["use"] == "reserved").collect::<Vec<_>>();
    assert_eq!((&reserved[0]["node"], reserved.len()), (&joined["node"], 2));
    assert_eq!(reserved[0]["purpose"], "device");

    // Through the dialect, too.
    reserve_for(&plane, "scanner", "10.1.0.70").await.expect(201);
    let key = enrollment("x")["publicKey"].clone();
    let register = json!({"projectId": "demo", "deviceId": "scanner", "deviceName": "scanner",
        "publicKey": key});
    let registered = dialect(&plane, "/register", &plane.key, Some(&register)).await.expect(200);
    assert_eq!(registered["data"]["nebulaIps"][0], "10.1.0.70/32");
    // A token's pool is where others get addresses.
    reserve_for(&plane, "copier", "10.1.0.71").await.expect(201);
    let pool = plane.get("/networks/demo/pools").await.expect(200)["items"][0]["id"].clone();
    let block = json!({"name": "b", "pool": pool, "size": 4});
    let block = plane.post("/networks/demo/blocks", &block).await.expect(201)["id"].clone();
    let body = json!({"name": "x", "device": "copier", "pool": block});
    let token = plane.post("/networks/demo/join-tokens", &body).await.expect(201);
    let token = text(&token, "secret");
    let copier = plane.ask("POST", "/enroll", &token, Some(&enrollment("copier"))).await;
    assert_eq!(copier.expect(201)["addresses"][0], "10.1.0.71/24");
    plane.verify();
}

async fn a_device_never_gets_another_address_than_the_one_reserved(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "pools": ["10.1.0.0/24"]}))
        .await;
    let pool = plane.get("/networks/demo/pools").await.expect(200)["items"][0]["id"].clone();
    let block = json!({"name": "b", "pool": pool, "range": "10.1.0.64/28"});
    let block = plane.post("/networks/demo/blocks", &block).await.expect(201)["id"].clone();
    for (device, address) in [("inside", "10.1.0.70"), ("outside", "10.1.9.9")] {
        reserve_for(&plane, device, address).await.expect(201);
        let token = join_token(&plane, Some(device)).await;
        let refused = plane.ask("POST", "/enroll", &token, Some(&enrollment(device))).await;
        let problem = refused.problem(409, "conflict");
        assert!(text(&problem, "detail").contains(address), "{problem}");
        let operators = plane.post("/enroll", &of_device(device, device)).await;
        operators.problem(409, "conflict");
    }
    // A token that names the block gives it.
    let body = json!({"name": "x", "device": "inside", "pool": block});
    let token = plane.post("/networks/demo/join-tokens", &body).await.expect(201);
    let token = text(&token, "secret");
    let joined = plane.ask("POST", "/enroll", &token, Some(&enrollment("inside"))).await;
    assert_eq!(joined.expect(201)["addresses"], json!(["10.1.0.70/16"]));
    plane.verify();
}

async fn a_reserved_device_keeps_its_addresses_from_node_to_node(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24"]})).await;
    reserve_for(&plane, "printer-7", "10.1.0.50").await.expect(201);
    let token = join_token(&plane, Some("printer-7")).await;
    let body = of_device("printer", "printer-7");
    let first = plane.ask("POST", "/enroll", &token, Some(&body)).await.expect(201);
    let release = async |node: &Value| {
        plane.delete(&format!("/networks/demo/nodes/{}", text(node, "node"))).await.expect(204);
    };
    release(&first).await;
    let listed = plane.get("/networks/demo/reservations").await.expect(200);
    let kept =
        json!([{"range": "10.1.0.50-10.1.0.50", "purpose": "device", "device": "printer-7"}]);
    assert_eq!(listed["items"], kept);
    // With another key it would have to show more as long as peers may know the former one.
    let other = of_device("printer", "printer-7");
    let refused = plane.ask("POST", "/enroll", &token, Some(&other)).await;
    assert_eq!(refused.status, 409, "{}", refused.expect(409));
    // The same device has it back, and so has who comes with an operator's key.
    let mut again = body.clone();
    again["nodeToken"] = enrollment("x")["nodeToken"].clone();
    let second = plane.ask("POST", "/enroll", &token, Some(&again)).await.expect(201);
    assert_eq!(second["addresses"], json!(["10.1.0.50/24"]));
    assert_ne!(second["node"], first["node"]);
    plane.verify();
    release(&second).await;
    let third = plane.post("/enroll", &other).await.expect(201);
    assert_eq!(third["addresses"], json!(["10.1.0.50/24"]));
    let listed = plane.get("/networks/demo/reservations").await.expect(200);
    assert_eq!(listed["items"][0]["nodeName"], "printer");
    // One that had another address before gets the reserved one with its next node.
    let loose = plane.post("/enroll", &of_device("loose", "loose")).await.expect(201);
    reserve_for(&plane, "loose", "10.1.0.60").await.expect(201);
    release(&loose).await;
    let loose = plane.post("/enroll", &of_device("loose", "loose")).await.expect(201);
    assert_eq!(loose["addresses"], json!(["10.1.0.60/24"]));
    plane.verify();
}

async fn a_reservation_goes_by_its_holder(plane: Plane) {
    network(&plane, json!({"name": "demo", "prefixes": ["10.1.0.0/24", "fd00::/64"]})).await;
    let path = |holder: &str| format!("/networks/demo/reservations/{holder}");
    plane.delete(&path("printer-7")).await.problem(404, "not_found");
    for range in ["10.1.0.50", "fd00::50"] {
        reserve_for(&plane, "printer-7", range).await.expect(201);
    }
    plane.delete(&path("printer-7")).await.expect(204);
    plane.delete(&path("printer-7")).await.problem(404, "not_found");
    // Nothing is left of it: anybody may join under its id.
    let token = join_token(&plane, None).await;
    let body = of_device("printer", "printer-7");
    let joined = plane.ask("POST", "/enroll", &token, Some(&body)).await.expect(201);
    let node = text(&joined, "node");
    for holder in ["printer", &node, "printer-7"] {
        let body = json!({"range": "10.1.0.77", "purpose": "node", "node": node});
        plane.post("/networks/demo/reservations", &body).await.expect(201);
        plane.delete(&path(holder)).await.expect(204);
    }
    // One of two by its address.
    for range in ["10.1.0.50", "fd00::50"] {
        reserve_for(&plane, "scanner", range).await.expect(201);
    }
    plane.delete(&path("fd00::50")).await.expect(204);
    let refused = plane.ask("POST", "/enroll", &token, Some(&of_device("s", "scanner"))).await;
    refused.problem(403, "join_token_refused");
    plane.delete(&path("10.1.0.50")).await.expect(204);
    plane.ask("POST", "/enroll", &token, Some(&of_device("s", "scanner"))).await.expect(201);
    assert_eq!(plane.get("/networks/demo/reservations").await.expect(200)["items"], json!([]));
    plane.verify();
}
