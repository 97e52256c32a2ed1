//! Ending the quarantine of an address before its time.

use serde_json::{Value, json};

use crate::support::native::{Plane, enrollment, text};
use crate::support::shell::Shell;

on_both_engines! {
    a_quarantine_ends_by_force_after_the_hold_time_and_never_before
    a_quarantine_ends_without_force_once_every_node_has_applied_it
    only_what_is_in_quarantine_leaves_it
    admin_shows_which_certificates_are_in_the_way_and_ends_it_by_force
}

const DAY: i64 = 86_400;

/// A node of `demo`, its address and its token.
struct Joined {
    id: String,
    address: String,
    token: String,
}

async fn join(plane: &Plane, name: &str) -> Joined {
    let body = enrollment(name);
    let id = text(&plane.post("/enroll", &body).await.expect(201), "node");
    let node = plane.get(&format!("/networks/demo/nodes/{id}")).await.expect(200);
    Joined {
        id,
        address: text(&json!({"a": node["addresses"][0]}), "a"),
        token: text(&body, "nodeToken"),
    }
}

async fn report(plane: &Plane, node: &Joined) {
    let network = plane.get("/networks/demo").await.expect(200);
    let report = json!({"revision": network["revision"], "generation": 1});
    plane.ask("POST", "/node/report", &node.token, Some(&report)).await.expect(204);
}

/// A network with a node that was released, and one that has not applied it.
async fn demo(plane: &Plane) -> (Joined, Joined) {
    plane
        .post("/networks", &json!({"name": "demo", "prefixes": ["10.1.0.0/24"]}))
        .await
        .expect(201);
    let (gone, stays) = (join(plane, "gone").await, join(plane, "stays").await);
    report(plane, &stays).await;
    plane.delete(&format!("/networks/demo/nodes/{}", gone.id)).await.expect(204);
    (gone, stays)
}

/// What becomes of an address.
async fn used(plane: &Plane, address: &str) -> Value {
    let list = plane.get("/networks/demo/addresses").await.expect(200);
    let items = list["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["range"] == address && item["use"] != "free");
    found.map_or("free".into(), |item| item["use"].clone())
}

async fn events(plane: &Plane) -> Vec<Value> {
    let list = plane.get("/networks/demo/events?kind=quarantine.ended").await.expect(200);
    list["items"].as_array().unwrap().clone()
}

async fn a_quarantine_ends_by_force_after_the_hold_time_and_never_before(plane: Plane) {
    let released = plane.now();
    let (gone, _) = demo(&plane).await;
    let path = format!("/networks/demo/quarantines/{}", gone.address);
    let certificates = format!("/networks/demo/nodes/{}/certificates", gone.id);
    let certificates = plane.get(&certificates).await.expect(200);
    let certificate = &certificates["items"][0];
    // Within the hold time force is of no use.
    plane.pass(DAY - 1);
    for query in ["", "?force=true", "?force=true&dryRun=true"] {
        let early = plane.delete(&format!("{path}{query}")).await.problem(409, "quarantine_stands");
        assert_eq!(early["until"], time(released + DAY), "{early}");
        assert!(text(&early, "detail").contains(&time(released + DAY)), "{early}");
        assert_eq!(early["certificates"], json!([]));
    }
    plane.pass(1);
    for query in ["", "?dryRun=true", "?force=false"] {
        let refused =
            plane.delete(&format!("{path}{query}")).await.problem(409, "quarantine_stands");
        assert_eq!(refused["certificates"], json!([certificate["fingerprint"]]));
        assert_eq!(refused["until"], certificate["notAfter"]);
        assert!(
            text(&refused, "detail").starts_with("1 certificate that names it is valid until ")
        );
    }
    let rows = plane.rows();
    let would = plane.delete(&format!("{path}?force=true&dryRun=true")).await.expect(200);
    assert_eq!((&would["dryRun"], &would["nodeName"]), (&json!(true), &json!("gone")));
    assert_eq!(would["certificates"][0]["fingerprint"], certificate["fingerprint"]);
    assert_eq!(plane.rows(), rows, "a dry run changes nothing");
    let done = plane.delete(&format!("{path}?force=true")).await.expect(200);
    assert_eq!(done["dryRun"], false);
    assert_eq!(done["until"], would["until"]);
    assert_eq!(used(&plane, &gone.address).await, "free");
    let told = events(&plane).await;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["subject"], &told[0]["address"]), (&json!(gone.id), &json!(gone.address)));
    assert_eq!(told[0]["detail"]["certificates"], json!([certificate["fingerprint"]]));
    plane.verify();
    // There is no more to end.
    plane.delete(&format!("{path}?force=true")).await.problem(404, "not_found");
    assert_eq!(events(&plane).await.len(), 1);
    let next = join(&plane, "next").await;
    // On PostgreSQL an instance has others at hand.
    assert!(plane.place.is_shared() || next.address == gone.address, "{}", next.address);
    plane.verify();
}

async fn a_quarantine_ends_without_force_once_every_node_has_applied_it(plane: Plane) {
    let (gone, stays) = demo(&plane).await;
    let path = format!("/networks/demo/quarantines/{}", gone.address);
    plane.pass(DAY);
    plane.delete(&path).await.problem(409, "quarantine_stands");
    report(&plane, &stays).await;
    let done = plane.delete(&path).await.expect(200);
    assert_eq!(done["certificates"], json!([]), "nobody accepts them");
    assert_eq!(used(&plane, &gone.address).await, "free");
    plane.verify();
}

async fn only_what_is_in_quarantine_leaves_it(plane: Plane) {
    let (_, stays) = demo(&plane).await;
    for address in [&*stays.address, "10.1.0.99", "10.9.9.9", "fd00::1"] {
        let path = format!("/networks/demo/quarantines/{address}?force=true");
        plane.delete(&path).await.problem(404, "not_found");
    }
    assert_eq!(used(&plane, &stays.address).await, "leased");
    let refused = plane.delete("/networks/demo/quarantines/gone").await;
    assert_eq!(refused.problem(400, "invalid_request")["field"], "address");
}

async fn admin_shows_which_certificates_are_in_the_way_and_ends_it_by_force(shell: Shell) {
    shell.json("networks create --name office --prefixes 10.42.0.0/16 --hold 1h", &[]);
    let link = shell.json("join-tokens create office --name all --uses 9", &[]);
    for name in ["gate", "laptop"] {
        shell.says(&["join", link["link"].as_str().unwrap(), "--name", name, "--out", name]);
    }
    shell.says("admin nodes release office laptop");
    let end = "admin addresses end-quarantine office 10.42.0.2";
    let early = shell.fails(1, &format!("{end} --force"));
    assert!(early.contains("hold time has not passed: the quarantine can end from "), "{early}");
    shell.json("networks set office --hold 0s", &[]);
    let refused = shell.fails(1, end);
    assert!(refused.contains("1 certificate that names it is valid until "), "{refused}");
    let would = shell.says(&format!("{end} --force --dry-run"));
    assert!(would.starts_with("10.42.0.2 would be free. laptop had it until "), "{would}");
    assert!(would.ends_with("Nothing was changed: this was a dry run.\n"), "{would}");
    assert!(shell.says("admin addresses list").contains(" quarantined "));
    assert!(would.contains("1 certificate that names it is accepted"), "{would}");
    let done = shell.says(&format!("{end} --force"));
    assert!(done.starts_with("10.42.0.2 is free now. laptop had it until "), "{done}");
    assert!(done.contains("laptop") && !done.contains("dry run"), "{done}");
    assert!(!shell.says("admin addresses list").contains(" quarantined "));
    let again = shell.fails(1, &format!("{end} --force"));
    assert!(again.contains("address in quarantine 10.42.0.2 not found"), "{again}");
    let told = shell.says("admin events of office --kind quarantine.ended");
    assert!(told.contains("10.42.0.2"), "{told}");
}

fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).unwrap().to_string()
}
