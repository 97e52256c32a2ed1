//! Deleting a network, and then its tenant: for everybody at once, and without a trace that hurts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nebula_gc_http::{Context, Deletion, Error, Expected, NetworkRef, Service, Violation, verify};
use nebula_pki::key::SigningKey;
use nebula_pki::{CaParameters, Certificate, Curve, Issuer, SystemRandom, Validity, Version};
use serde_json::{Value, json};

use crate::support::native::{Plane, START, enrollment, text};
use crate::support::shell::Shell;

on_both_engines! {
    a_deleted_network_is_there_for_nobody_and_leaves_nothing
    a_network_with_active_nodes_is_deleted_by_force_alone
    a_dry_run_deletes_nothing
    only_owners_delete_a_network_and_only_as_it_was
    its_name_and_prefixes_can_be_used_at_once
    a_node_that_waits_is_told_at_once
    who_comes_later_with_a_token_of_it_is_told_so
    a_deletion_that_was_interrupted_is_finished_by_any_server
    two_servers_finish_it_once
    others_are_served_while_a_large_network_goes
    certificates_of_a_ca_that_comes_back_are_blocked
    a_ca_that_left_too_many_certificates_does_not_come_back
    what_is_missing_elsewhere_is_still_found
    events_of_a_deleted_network_keep_their_names_and_readers
    a_tenant_goes_after_its_networks_and_with_its_keys
    admin_deletes_networks_and_tenants
}

/// A network with two nodes, of which one is released, a join token, a pool more, a block and reservations.
async fn furnished(plane: &Plane, name: &str) -> Value {
    let network = json!({"name": name, "prefixes": ["10.1.0.0/16", "fd00::/48"],
        "pools": ["10.1.0.0/24", "fd00::/64"]});
    let network = plane.post("/networks", &network).await.expect(201);
    let path = format!("/networks/{name}");
    let pool = json!({"range": "10.1.9.0/24"});
    let pool = plane.post(&format!("{path}/pools"), &pool).await.expect(201);
    let block = json!({"name": "printers", "pool": pool["id"], "size": 8});
    plane.post(&format!("{path}/blocks"), &block).await.expect(201);
    for reserved in [
        json!({"range": "10.1.0.4/31", "purpose": "nobody"}),
        json!({"range": "10.1.0.77", "purpose": "device", "device": "printer"}),
    ] {
        plane.post(&format!("{path}/reservations"), &reserved).await.expect(201);
    }
    let gone = join(plane, name, "gone").await;
    plane.delete(&format!("{path}/nodes/{}", gone.0)).await.expect(204);
    network
}

/// A node's id and token.
async fn join(plane: &Plane, network: &str, name: &str) -> (String, String) {
    let mut body = enrollment(name);
    body["network"] = json!(network);
    let joined = plane.post("/enroll", &body).await.expect(201);
    (text(&joined, "node"), text(&body, "nodeToken"))
}

async fn token(plane: &Plane, network: &str, more: Value) -> String {
    let mut body = json!({"name": "token", "uses": 9});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = plane.post(&format!("/networks/{network}/join-tokens"), &body).await;
    text(&made.expect(201), "secret")
}

/// How many rows there are of networks and of what they have.
fn rows(plane: &Plane) -> i64 {
    let tables = [
        "gc_network",
        "gc_ca",
        "gc_node",
        "gc_certificate",
        "gc_blocklist",
        "gc_former_key",
        "gc_lent",
        "gc_join_token",
        "gc_pending_join",
        "gc_device_reservation",
        "gc_report",
        "alloc_lease",
        "alloc_pool",
        "alloc_interval",
        "alloc_reservation",
    ];
    tables.iter().map(|table| plane.number(&format!("SELECT count(*) FROM {table}"))).sum()
}

async fn a_deleted_network_is_there_for_nobody_and_leaves_nothing(plane: Plane) {
    let network = furnished(&plane, "demo").await;
    let (_, node) = join(&plane, "demo", "laptop").await;
    let secret = token(&plane, "demo", json!({})).await;
    let asks = token(&plane, "demo", json!({"approval": true})).await;
    plane.ask("POST", "/enroll", &asks, Some(&enrollment("waits"))).await.expect(202);
    let report = json!({"revision": 1, "generation": 1});
    plane.ask("POST", "/node/report", &node, Some(&report)).await.expect(204);
    let scope = json!({"network": "demo"});
    let key = json!({"name": "theirs", "role": "owner", "scope": scope});
    let key = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");

    let deleted = plane.delete("/networks/demo?force=true").await.expect(200);
    let expected = json!({"id": network["id"], "name": "demo", "dryRun": false, "nodes": 1,
        "complete": true});
    assert_eq!(deleted, expected);
    assert_eq!(rows(&plane), 0);
    plane.verify();
    let told = plane.get("/events?kind=network.deleted").await.expect(200);
    assert_eq!(told["items"].as_array().unwrap().len(), 1);
    assert_eq!(told["items"][0]["subject"], network["id"]);

    for named in ["demo", network["id"].as_str().unwrap()] {
        plane.get(&format!("/networks/{named}")).await.problem(404, "not_found");
        // There is no more to delete.
        let again = plane.delete(&format!("/networks/{named}?force=true")).await;
        again.problem(404, "not_found");
    }
    assert_eq!(plane.get("/networks").await.expect(200)["items"], json!([]));
    plane.ask("GET", "/networks", &key, None).await.problem(401, "unauthorized");
    for (method, path) in [("GET", "/node"), ("GET", "/node/bundle"), ("POST", "/node/renew")] {
        let body = (method == "POST").then(|| json!({}));
        let refused = plane.ask(method, path, &node, body.as_ref()).await;
        let refused = refused.problem(410, "network_deleted");
        assert!(text(&refused, "detail").starts_with("the network \"demo\" was deleted at "));
    }
    let late = plane.ask("POST", "/enroll", &secret, Some(&enrollment("late"))).await;
    late.problem(410, "network_deleted");
}

async fn a_network_with_active_nodes_is_deleted_by_force_alone(plane: Plane) {
    furnished(&plane, "demo").await;
    let (laptop, _) = join(&plane, "demo", "laptop").await;
    join(&plane, "demo", "tablet").await;
    let before = plane.rows();
    for query in ["", "?force=false", "?dryRun=true"] {
        let refused = plane.delete(&format!("/networks/demo{query}")).await;
        let refused = refused.problem(409, "nodes_active");
        assert_eq!(refused["nodes"], json!(["laptop", "tablet"]));
        assert_eq!(refused["moreNodes"], false);
        assert!(text(&refused, "detail").starts_with("2 nodes are active: \"laptop\", \"tablet\""));
    }
    assert_eq!(plane.rows(), before, "a refusal changes nothing");
    // Who is kept out or gone is not in the way.
    let (_, tablet) = (laptop.clone(), "tablet");
    let nodes = plane.get("/networks/demo/nodes").await.expect(200);
    let items = nodes["items"].as_array().unwrap();
    let id = items.iter().find(|node| node["name"] == tablet).unwrap()["id"].clone();
    let path = format!("/networks/demo/nodes/{}/revoke", id.as_str().unwrap());
    plane.post(&path, &json!({"reason": "stolen"})).await.expect(200);
    plane.delete(&format!("/networks/demo/nodes/{laptop}")).await.expect(204);
    assert_eq!(plane.delete("/networks/demo").await.expect(200)["nodes"], 0);
    assert_eq!(rows(&plane), 0);
    plane.verify();
}

async fn a_dry_run_deletes_nothing(plane: Plane) {
    furnished(&plane, "demo").await;
    join(&plane, "demo", "laptop").await;
    let before = plane.rows();
    let would = plane.delete("/networks/demo?force=true&dryRun=true").await.expect(200);
    assert_eq!((&would["dryRun"], &would["nodes"]), (&json!(true), &json!(1)));
    assert_eq!(would["complete"], false);
    assert_eq!(plane.rows(), before);
}

async fn only_owners_delete_a_network_and_only_as_it_was(plane: Plane) {
    furnished(&plane, "demo").await;
    let key = json!({"name": "operator", "role": "operator", "scope": "root"});
    let key = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");
    let refused = plane.ask("DELETE", "/networks/demo", &key, None).await;
    refused.problem(403, "forbidden");
    let tag = plane.get("/networks/demo").await.header("etag").to_owned();
    plane.patch("/networks/demo", &json!({"holdSeconds": 60})).await.expect(200);
    let ask = |tag: String| {
        let plane = &plane;
        async move {
            let headers = [("if-match", &*tag)];
            plane.ask_with("DELETE", "/networks/demo", &plane.key, &headers, None).await
        }
    };
    ask(tag).await.problem(412, "precondition_failed");
    let tag = plane.get("/networks/demo").await.header("etag").to_owned();
    ask(tag).await.expect(200);
}

async fn its_name_and_prefixes_can_be_used_at_once(plane: Plane) {
    let first = furnished(&plane, "demo").await;
    join(&plane, "demo", "laptop").await;
    plane.delete("/networks/demo?force=true").await.expect(200);
    let second = furnished(&plane, "demo").await;
    assert_ne!(first["id"], second["id"]);
    join(&plane, "demo", "laptop").await;
    plane.verify();
    plane.delete("/networks/demo?force=true").await.expect(200);
    assert_eq!(rows(&plane), 0);
    plane.verify();
}

async fn a_node_that_waits_is_told_at_once(plane: Plane) {
    furnished(&plane, "demo").await;
    let (_, token) = join(&plane, "demo", "laptop").await;
    let own = plane.ask("GET", "/node", &token, None).await.expect(200);
    let (revision, generation) = (&own["revision"], &own["generation"]);
    let path = format!("/node/watch?revision={revision}&generation={generation}&waitSeconds=60");
    let poll = plane.ask("GET", &path, &token, None);
    let delete = async {
        while plane.service.waiting_polls() == 0 {
            tokio::task::yield_now().await;
        }
        let begun = Instant::now();
        plane.delete("/networks/demo?force=true").await.expect(200);
        begun
    };
    let (told, begun) = tokio::join!(poll, delete);
    told.problem(410, "network_deleted");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

async fn who_comes_later_with_a_token_of_it_is_told_so(plane: Plane) {
    furnished(&plane, "demo").await;
    let (_, node) = join(&plane, "demo", "laptop").await;
    let secret = token(&plane, "demo", json!({})).await;
    plane.delete("/networks/demo?force=true").await.expect(200);
    plane.pass(300 * 86_400);
    plane.service.upkeep().await.unwrap();
    plane.ask("GET", "/node", &node, None).await.problem(410, "network_deleted");
    plane
        .ask("POST", "/enroll", &secret, Some(&enrollment("late")))
        .await
        .problem(410, "network_deleted");
    // A token of another network is no more than it was.
    let stranger = enrollment("stranger");
    let unknown = plane.ask("GET", "/node", &text(&stranger, "nodeToken"), None).await;
    unknown.problem(401, "unauthorized");
    // After a year nobody remembers.
    plane.pass(66 * 86_400);
    plane.service.upkeep().await.unwrap();
    plane.ask("GET", "/node", &node, None).await.problem(401, "unauthorized");
    assert_eq!(plane.number("SELECT count(*) FROM gc_deleted_credential"), 0);
    plane.verify();
}

/// Deletes `demo`, and is interrupted as soon as nobody sees it any more.
async fn interrupted(plane: &Plane) {
    let asked = Context::local();
    let deletion = Deletion { is_forced: true, is_dry_run: false };
    let network = NetworkRef::new("demo").unwrap();
    let delete = plane.service.delete_network(asked, network, Expected::Anything, deletion);
    let seen = async {
        while plane.number("SELECT count(*) FROM gc_network WHERE deleting_at IS NULL") > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = seen => {}
        deleted = delete => assert!(deleted.is_ok(), "{deleted:?}"),
    }
}

async fn many(plane: &Plane, count: usize) -> Vec<String> {
    let mut tokens = vec![];
    for number in 0..count {
        tokens.push(join(plane, "demo", &format!("node {number}")).await.1);
    }
    tokens
}

async fn a_deletion_that_was_interrupted_is_finished_by_any_server(plane: Plane) {
    furnished(&plane, "demo").await;
    let tokens = many(&plane, 70).await;
    interrupted(&plane).await;
    assert!(rows(&plane) > 0, "it was not interrupted");
    // Half of it is as sound as the whole, and nobody sees it.
    plane.verify();
    plane.get("/networks/demo").await.problem(404, "not_found");
    for token in tokens.iter().take(3).chain(tokens.last()) {
        plane.ask("GET", "/node", token, None).await.problem(410, "network_deleted");
    }
    let (server, key) = plane.into_server();
    let other: Arc<Service> = match server.place.is_shared() {
        true => server.another(),
        false => Arc::clone(&server.service),
    };
    let done = other.upkeep().await.unwrap();
    // Another instance may have the duty.
    if let Some(done) = done {
        assert_eq!(done.removed, 1);
        assert_eq!(server.number("SELECT count(*) FROM gc_network"), 0);
        assert_eq!(server.number("SELECT count(*) FROM alloc_lease"), 0);
    }
    server.verify();
    drop(key);
}

async fn two_servers_finish_it_once(plane: Plane) {
    if !plane.place.is_shared() {
        return;
    }
    furnished(&plane, "demo").await;
    many(&plane, 40).await;
    let other = plane.another();
    let network = || NetworkRef::new("demo").unwrap();
    let deletion = Deletion { is_forced: true, is_dry_run: false };
    let (one, two, three) = tokio::join!(
        plane.service.delete_network(Context::local(), network(), Expected::Anything, deletion),
        other.delete_network(Context::local(), network(), Expected::Anything, deletion),
        other.upkeep(),
    );
    three.unwrap();
    let done = [&one, &two].iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(done, 1, "{one:?} {two:?}");
    let refused = one.err().or(two.err()).unwrap();
    assert!(matches!(refused, Error::NotFound { .. } | Error::Conflict(_)), "{refused}");
    plane.service.upkeep().await.unwrap();
    assert_eq!(rows(&plane), 0);
    assert_eq!(plane.number("SELECT count(*) FROM alloc_event WHERE kind = 'network.deleted'"), 1);
    plane.verify();
}

async fn others_are_served_while_a_large_network_goes(plane: Plane) {
    furnished(&plane, "demo").await;
    many(&plane, 300).await;
    plane
        .post("/networks", &json!({"name": "other", "prefixes": ["10.2.0.0/24"]}))
        .await
        .expect(201);
    let is_over = AtomicBool::new(false);
    let delete = async {
        let deleted = plane.delete("/networks/demo?force=true").await.expect(200);
        is_over.store(true, Ordering::Relaxed);
        deleted
    };
    let others = async {
        let mut longest = Duration::ZERO;
        let mut served = 0;
        while !is_over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            join(&plane, "other", &format!("beside {served}")).await;
            longest = longest.max(begun.elapsed());
            served += 1;
        }
        (served, longest)
    };
    let (deleted, (served, longest)) = tokio::join!(delete, others);
    // Each waits for one step, not for the whole.
    assert!(served >= 5, "{served} were served, the longest after {longest:?}");
    if deleted["complete"] == false {
        plane.service.upkeep().await.unwrap();
    }
    assert_eq!(plane.number("SELECT count(*) FROM gc_node"), served);
    let removed = "SELECT count(*) FROM alloc_event WHERE kind = 'lease.removed'";
    assert_eq!(plane.number(removed), 2 * 301);
    plane.verify();
}

/// A CA that was made elsewhere.
fn imported() -> Value {
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let validity = Validity { not_before: START - 60, not_after: START + 31_536_000 };
    let pem = key.to_pem();
    let parameters = CaParameters::new("imported", validity);
    let ca = Issuer::self_signed(Version::V2, parameters, key).unwrap();
    json!({"certificate": ca.certificate().to_pem(), "key": pem.as_str()})
}

async fn certificates_of_a_ca_that_comes_back_are_blocked(plane: Plane) {
    let ca = imported();
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "ca": ca});
    plane.post("/networks", &network).await.expect(201);
    let (laptop, _) = join(&plane, "demo", "laptop").await;
    let issued = format!("/networks/demo/nodes/{laptop}/certificates");
    let issued = plane.get(&issued).await.expect(200)["items"][0].clone();
    // What was signed elsewhere, and blocked here by its fingerprint alone.
    let theirs = "5f".repeat(32);
    let block = json!({"fingerprints": [&theirs]});
    plane.post("/networks/demo/blocklist", &block).await.expect(200);
    plane.delete("/networks/demo?force=true").await.expect(200);
    assert_eq!(plane.number("SELECT count(*) FROM gc_former_certificate"), 2);
    let blocked = async |network: &str| {
        let list = plane.get(&format!("/networks/{network}/blocklist")).await.expect(200);
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|it| (text(it, "fingerprint"), it["until"].clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let expected = BTreeMap::from([
        (text(&issued, "fingerprint"), issued["notAfter"].clone()),
        (theirs, Value::Null),
    ]);

    // With it from the beginning.
    plane.post("/networks", &network).await.expect(201);
    assert_eq!(blocked("demo").await, expected);
    plane.verify();
    plane.delete("/networks/demo").await.expect(200);
    // And where it is added.
    let other = json!({"name": "other", "prefixes": ["10.1.0.0/16"]});
    plane.post("/networks", &other).await.expect(201);
    plane.post("/networks/other/cas", &ca).await.expect(200);
    assert_eq!(blocked("other").await, expected);
    plane.verify();
    // They are forgotten once nobody would accept them: where that is known.
    plane.pass(17 * 86_400);
    plane.service.upkeep().await.unwrap();
    assert_eq!(plane.number("SELECT count(*) FROM gc_former_certificate"), 1);
    plane.verify();
}

async fn a_ca_that_left_too_many_certificates_does_not_come_back(plane: Plane) {
    let ca = imported();
    let fingerprint = Certificate::from_pem(text(&ca, "certificate").as_bytes()).unwrap();
    let fingerprint = fingerprint.fingerprint();
    let blob = |hex: String| match plane.place.is_shared() {
        true => format!("'\\x{hex}'"),
        false => format!("x'{hex}'"),
    };
    let until = START + 30 * 86_400;
    let rows: Vec<_> = (0..=1_000)
        .map(|n| {
            let (one, ca) = (blob(format!("{n:064x}")), blob(fingerprint.to_string()));
            format!("({one}, {ca}, {until})")
        })
        .collect();
    let insert = "INSERT INTO gc_former_certificate (fingerprint, ca, not_after) VALUES";
    // Each is an argument of a program.
    for part in rows.chunks(200) {
        plane.sql(&format!("{insert} {}", part.join(", ")));
    }
    plane
        .post("/networks", &json!({"name": "other", "prefixes": ["10.2.0.0/16"]}))
        .await
        .expect(201);
    let before = plane.rows();
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "ca": ca});
    for refused in
        [plane.post("/networks", &network).await, plane.post("/networks/other/cas", &ca).await]
    {
        let refused = refused.problem(409, "conflict");
        let detail = text(&refused, "detail");
        assert!(
            detail.starts_with("more than 1000 certificates of deleted networks with this CA"),
            "{detail}"
        );
    }
    assert_eq!(plane.rows(), before);
    // Once they have ended it does.
    plane.pass(30 * 86_400 + 1);
    plane.post("/networks", &network).await.expect(201);
    plane.verify();
}

async fn what_is_missing_elsewhere_is_still_found(plane: Plane) {
    furnished(&plane, "gone").await;
    join(&plane, "gone", "laptop").await;
    plane
        .post("/networks", &json!({"name": "stays", "prefixes": ["10.2.0.0/24"]}))
        .await
        .expect(201);
    let (node, _) = join(&plane, "stays", "laptop").await;
    plane.delete("/networks/gone?force=true").await.expect(200);
    plane.verify();
    let id = node.replace('-', "");
    let blob = match plane.place.is_shared() {
        true => format!("'\\x{id}'"),
        false => format!("x'{id}'"),
    };
    plane.sql(&format!(
        "DELETE FROM gc_certificate WHERE node = {blob}; DELETE FROM gc_report WHERE node = {blob};
         DELETE FROM gc_node WHERE id = {blob};"
    ));
    let found: Vec<Violation> = plane.place.read(|tx| verify(tx, START));
    let is_told = |what: &str| found.iter().any(|violation| violation.what.contains(what));
    assert!(is_told(&format!("the node {node} came and is not there")), "{found:?}");
    assert!(is_told("was issued and is gone"), "{found:?}");
}

async fn events_of_a_deleted_network_keep_their_names_and_readers(plane: Plane) {
    let tenant = plane.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "tenant": tenant["id"]});
    plane.post("/networks", &network).await.expect(201);
    let key = json!({"name": "acme", "role": "owner", "scope": {"tenant": tenant["id"]}});
    let key = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");
    let ann = json!({"name": "ann", "role": "operator", "scope": {"network": "demo"}});
    let ann = text(&plane.post("/operator-keys", &ann).await.expect(201), "secret");
    let links = json!({"name": "links"});
    let made = plane.ask("POST", "/networks/demo/join-tokens", &ann, Some(&links)).await;
    let link = text(&made.expect(201), "secret");
    plane.ask("POST", "/enroll", &link, Some(&enrollment("laptop"))).await.expect(201);
    plane.post("/networks/demo/cas", &json!({"name": "second"})).await.expect(200);
    plane.ask("DELETE", "/networks/demo?force=true", &key, None).await.expect(200);
    let told = plane.ask("GET", "/events", &key, None).await.expect(200);
    let named = |kind: &str| {
        let items = told["items"].as_array().unwrap();
        let event = items.iter().find(|event| event["kind"] == kind).unwrap();
        [event["actorName"].clone(), event["subjectName"].clone()]
    };
    assert_eq!(named("join_token.created"), [json!("ann"), json!("links")]);
    assert_eq!(named("node.enrolled"), [json!("links"), json!("laptop")]);
    assert_eq!(named("ca.activated")[1], "second");
    let told = told["items"].as_array().unwrap();
    let kinds: Vec<_> = told.iter().map(|event| text(event, "kind")).collect();
    assert!(kinds.contains(&"network.created".into()) && kinds.contains(&"network.deleted".into()));
    assert!(told.iter().all(|event| event["networkName"] == "demo"), "{told:?}");
}

async fn a_tenant_goes_after_its_networks_and_with_its_keys(plane: Plane) {
    let tenant = plane.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let path = format!("/tenants/{}", text(&tenant, "id"));
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "tenant": tenant["id"]});
    plane.post("/networks", &network).await.expect(201);
    let key = json!({"name": "acme", "role": "operator", "scope": {"tenant": tenant["id"]}});
    let key = text(&plane.post("/operator-keys", &key).await.expect(201), "secret");
    let rows = plane.rows();
    let refused = plane.delete(&path).await.problem(409, "conflict");
    assert_eq!(refused["detail"], "the tenant has networks: \"demo\"; delete them first");
    assert_eq!(plane.rows(), rows);
    join(&plane, "demo", "laptop").await;
    interrupted(&plane).await;
    if plane.number("SELECT count(*) FROM gc_network") > 0 {
        let refused = plane.delete(&path).await.problem(409, "conflict");
        assert!(text(&refused, "detail").contains("is being removed"), "{refused}");
    }
    plane.service.upkeep().await.unwrap();
    let rows = plane.rows();
    let would = plane.delete(&format!("{path}?dryRun=true")).await.expect(200);
    let expected = json!({"id": tenant["id"], "name": "acme", "dryRun": true, "operatorKeys": 1});
    assert_eq!(would, expected);
    assert_eq!(plane.rows(), rows, "a dry run changes nothing");
    plane.ask("GET", "/networks", &key, None).await.expect(200);
    assert_eq!(plane.delete(&path).await.expect(200)["dryRun"], false);
    plane.ask("GET", "/networks", &key, None).await.problem(401, "unauthorized");
    plane.delete(&path).await.problem(404, "not_found");
    plane.verify();
    let default = plane.get("/tenants").await.expect(200)["items"][0].clone();
    let default = format!("/tenants/{}", text(&default, "id"));
    plane.delete(&default).await.problem(409, "conflict");
}

async fn admin_deletes_networks_and_tenants(shell: Shell) {
    shell.json("tenants create --name acme", &[]);
    shell.json("networks create --name office --prefixes 10.42.0.0/16 --tenant acme", &[]);
    let link = shell.json("join-tokens create office --name all --uses 9", &[]);
    let link = link["link"].as_str().unwrap();
    shell.says(&["join", link, "--name", "laptop", "--out", "laptop"]);
    let refused = shell.fails(1, "admin networks delete office --yes");
    assert!(refused.contains("1 node is active: \"laptop\"; release them first"), "{refused}");
    let unanswered = shell.fails(2, "admin networks delete office --force");
    assert!(unanswered.contains("--yes") && unanswered.contains("--dry-run"), "{unanswered}");
    // The only network is not meant by nothing.
    shell.fails(2, "admin networks delete --yes --force");
    let would = shell.says("admin networks delete office --force --dry-run");
    let expected =
        "office would be deleted, with 1 active node.\nNothing was changed: this was a dry run.\n";
    assert_eq!(would, expected);
    let refused = shell.fails(1, "admin tenants delete acme");
    assert!(refused.contains("the tenant has networks: \"office\""), "{refused}");
    let done = shell.says("admin networks delete office --force --yes");
    assert_eq!(done, "office is deleted, with 1 active node.\n");
    let again = shell.fails(1, "admin networks delete office --force --yes");
    assert!(again.contains("(not_found)"), "{again}");
    let would = shell.says("admin tenants delete acme --dry-run");
    assert!(would.starts_with("acme would be deleted, with 0 operator keys.\n"), "{would}");
    assert_eq!(shell.says("admin tenants delete acme"), "acme is deleted, with 0 operator keys.\n");
    let told = shell.says("admin events list --kind network.deleted");
    assert!(told.contains("office"), "{told}");
}
