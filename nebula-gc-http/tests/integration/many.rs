//! One act on many nodes: by group, by the beginning of their names and by user.

use crate::support::native::{Answer, Plane, dialect, enrollment};
use crate::support::shell::{Shell, text};
use serde_json::{Value, json};

on_both_engines! {
    all_of_a_group_are_revoked_with_one_move_and_a_report_of_each
    what_stands_against_one_node_is_told_and_the_others_are_done
    groups_are_added_and_removed_and_others_stay
    renewals_are_asked_of_nodes_that_can_renew
    a_hundred_nodes_go_in_one_transaction_and_more_in_several
    certificates_of_a_hundred_nodes_are_issued_in_one_transaction
    an_address_that_one_node_cannot_get_stands_against_that_one_alone
    a_request_without_a_filter_or_with_fields_of_another_action_is_refused
    commands_take_a_filter_in_place_of_a_node
    a_network_that_gains_ipv6_makes_its_nodes_due
}

const BATCH: &str = "/networks/demo/nodes/batch";

/// A network `demo` with these nodes, each with its groups and user; their node tokens.
async fn network(plane: &Plane, nodes: &[(&str, &[&str], &str)]) -> Vec<String> {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/16"]});
    plane.post("/networks", &body).await.expect(201);
    let mut tokens = vec![];
    for (name, groups, user) in nodes {
        let mut body = enrollment(name);
        body["groups"] = json!(groups);
        body["user"] = json!(user);
        plane.post("/enroll", &body).await.expect(201);
        tokens.push(body["nodeToken"].as_str().unwrap().to_owned());
    }
    tokens
}

async fn revision(plane: &Plane) -> i64 {
    plane.get("/networks/demo").await.expect(200)["revision"].as_i64().unwrap()
}

/// The state of all nodes, by their names.
async fn states(plane: &Plane) -> Vec<(String, String)> {
    let nodes = plane.get("/networks/demo/nodes?limit=500").await.expect(200);
    let text = |node: &Value, name: &str| node[name].as_str().unwrap().to_owned();
    let items = nodes["items"].as_array().unwrap().iter();
    items.map(|node| (text(node, "name"), text(node, "state"))).collect()
}

/// `NAME OUTCOME CODE` of each node.
fn told(report: &Value) -> Vec<String> {
    let nodes = report["nodes"].as_array().unwrap().iter();
    let text = |node: &Value, name: &str| node[name].as_str().unwrap_or("-").to_owned();
    nodes.map(|node| ["name", "outcome", "code"].map(|name| text(node, name)).join(" ")).collect()
}

const STAFF: &[(&str, &[&str], &str)] = &[
    ("ann-1", &["laptop"], "ann"),
    ("bob-1", &["laptop", "ops"], "bob"),
    ("bob-2", &["phone"], "bob"),
    ("gate", &["gate"], "root"),
];

async fn all_of_a_group_are_revoked_with_one_move_and_a_report_of_each(plane: Plane) {
    network(&plane, STAFF).await;
    let before = revision(&plane).await;
    let mut revoke = json!({
        "action": "revoke", "reason": "stolen", "filter": {"group": "laptop"}, "dryRun": true,
    });
    let foreseen = plane.post(BATCH, &revoke).await.expect(200);
    let each = ["ann-1 done -", "bob-1 done -"];
    assert_eq!(told(&foreseen), each);
    assert_eq!((&foreseen["dryRun"], &foreseen["done"]), (&json!(true), &json!(2)));
    assert!(states(&plane).await.iter().all(|(_, state)| state == "active"));
    assert_eq!(revision(&plane).await, before);
    revoke["dryRun"] = json!(false);
    let done = plane.post(BATCH, &revoke).await;
    assert_eq!(done.header("nebula-revision"), (before + 1).to_string());
    assert_eq!(told(&done.expect(200)), each);
    let states = states(&plane).await;
    let word = |name: &str| states.iter().find(|(it, _)| it == name).unwrap().1.clone();
    assert_eq!(
        ["ann-1", "bob-1", "bob-2", "gate"].map(word),
        ["revoked", "revoked", "active", "active"]
    );
    assert_eq!(revision(&plane).await, before + 1);
    let blocked = plane.get("/networks/demo/blocklist").await.expect(200);
    assert_eq!(blocked["items"].as_array().unwrap().len(), 2);
    let events = plane.get("/networks/demo/events?kind=node.revoked").await.expect(200);
    assert_eq!(events["items"].as_array().unwrap().len(), 2);
    // Again, it is so already.
    let again = plane.post(BATCH, &revoke).await.expect(200);
    assert_eq!(told(&again), ["ann-1 unchanged -", "bob-1 unchanged -"]);
    assert_eq!(revision(&plane).await, before + 1);
    // By user and by the beginning of the name, both of which have to hold.
    let suspend = |filter: Value| json!({"action": "suspend", "reason": "left", "filter": filter});
    let both = suspend(json!({"user": "bob", "namePrefix": "bob-2"}));
    assert_eq!(told(&plane.post(BATCH, &both).await.expect(200)), ["bob-2 done -"]);
    let none = plane.post(BATCH, &suspend(json!({"user": "nobody"}))).await.expect(200);
    assert_eq!((&none["nodes"], &none["done"]), (&json!([]), &json!(0)));
    let in_again = json!({"action": "reinstate", "filter": {"user": "bob"}});
    assert_eq!(
        told(&plane.post(BATCH, &in_again).await.expect(200)),
        ["bob-1 done -", "bob-2 done -"]
    );
    assert_eq!(
        told(&plane.post(BATCH, &in_again).await.expect(200)),
        ["bob-1 unchanged -", "bob-2 unchanged -"]
    );
}

async fn what_stands_against_one_node_is_told_and_the_others_are_done(plane: Plane) {
    network(&plane, STAFF).await;
    let suspend = json!({"action": "suspend", "reason": "left", "filter": {"namePrefix": "bob-2"}});
    plane.post(BATCH, &suspend).await.expect(200);
    let release = json!({"action": "release", "filter": {"user": "bob"}, "dryRun": true});
    let each = ["bob-1 done -", "bob-2 refused conflict"];
    assert_eq!(told(&plane.post(BATCH, &release).await.expect(200)), each);
    let release = json!({"action": "release", "filter": {"user": "bob"}});
    let report = plane.post(BATCH, &release).await.expect(200);
    assert_eq!(told(&report), each);
    assert_eq!((&report["done"], &report["refused"]), (&json!(1), &json!(1)));
    assert!(report["nodes"][1]["detail"].as_str().unwrap().contains("reinstate it first"));
    // What is released is no longer found.
    let again = plane.post(BATCH, &release).await.expect(200);
    assert_eq!(told(&again), ["bob-2 refused conflict"]);
    let quarantined = plane.get("/networks/demo/pools").await.expect(200);
    assert_eq!(quarantined["items"][0]["usage"]["quarantined"], 1);
}

async fn groups_are_added_and_removed_and_others_stay(plane: Plane) {
    network(&plane, STAFF).await;
    let groups = async |name: &str| {
        let path = format!("/networks/demo/nodes?namePrefix={name}");
        plane.get(&path).await.expect(200)["items"][0]["groups"].clone()
    };
    let mut set = json!({
        "action": "set", "filter": {"group": "laptop"}, "addGroups": ["vpn", "ops"], "dryRun": true,
    });
    let each = ["ann-1 done -", "bob-1 done -"];
    assert_eq!(told(&plane.post(BATCH, &set).await.expect(200)), each);
    assert_eq!(groups("ann-1").await, json!(["laptop"]));
    set["dryRun"] = json!(false);
    let before = revision(&plane).await;
    assert_eq!(told(&plane.post(BATCH, &set).await.expect(200)), each);
    assert_eq!(groups("ann-1").await, json!(["laptop", "vpn", "ops"]));
    assert_eq!(groups("bob-1").await, json!(["laptop", "ops", "vpn"]));
    // What is only added blocks nothing.
    assert_eq!(revision(&plane).await, before);
    let again = plane.post(BATCH, &set).await.expect(200);
    assert_eq!(told(&again), ["ann-1 unchanged -", "bob-1 unchanged -"]);
    let remove = json!({"action": "set", "filter": {"user": "bob"}, "removeGroups": ["ops"]});
    let report = plane.post(BATCH, &remove).await.expect(200);
    assert_eq!(told(&report), ["bob-1 done -", "bob-2 unchanged -"]);
    assert_eq!(groups("bob-1").await, json!(["laptop", "vpn"]));
    assert_eq!(revision(&plane).await, before + 1);
    // One node alike, and not beyond what a node can have.
    let nodes = plane.get("/networks/demo/nodes?namePrefix=gate").await.expect(200);
    let path = format!("/networks/demo/nodes/{}", nodes["items"][0]["id"].as_str().unwrap());
    let one = json!({"addGroups": ["door"], "removeGroups": ["gate", "none"]});
    assert_eq!(plane.patch(&path, &one).await.expect(200)["groups"], json!(["door"]));
    let many: Vec<_> = (0..64).map(|number| format!("g{number}")).collect();
    let refused = plane.patch(&path, &json!({"addGroups": many})).await;
    assert_eq!(refused.problem(400, "invalid_request")["field"], "groups");
    let all = json!({"action": "set", "filter": {"namePrefix": "gate"}, "addGroups": many});
    assert_eq!(told(&plane.post(BATCH, &all).await.expect(200)), ["gate refused invalid_request"]);
}

async fn renewals_are_asked_of_nodes_that_can_renew(plane: Plane) {
    let tokens = network(&plane, &STAFF[..2]).await;
    let device = enrollment("device");
    let register = json!({
        "projectId": "demo", "deviceId": "d", "deviceName": "ann-d", "publicKey": device["publicKey"],
    });
    let registered = dialect(&plane, "/register", &plane.key, Some(&register)).await;
    registered.expect(200);
    let renew_at = async |name: &str| {
        let path = format!("/networks/demo/nodes?namePrefix={name}");
        let node = plane.get(&path).await.expect(200)["items"][0].clone();
        (node["renewAt"].as_str().map(str::to_owned), node["generation"].clone())
    };
    let before = renew_at("ann-1").await;
    plane.pass(60);
    let renew = json!({"action": "renew", "filter": {"namePrefix": "ann"}});
    let report = plane.post(BATCH, &renew).await.expect(200);
    assert_eq!(told(&report), ["ann-1 done -", "ann-d refused conflict"]);
    let after = renew_at("ann-1").await;
    assert!(after.0 < before.0 && after.1 == json!(2), "{before:?} {after:?}");
    assert_eq!(renew_at("bob-1").await.1, json!(1));
    let again = plane.post(BATCH, &renew).await.expect(200);
    assert_eq!(told(&again), ["ann-1 unchanged -", "ann-d refused conflict"]);
    // It renews once, and then has what it needs.
    let own = async |path: &str| plane.ask("POST", path, &tokens[0], Some(&json!({}))).await;
    assert_eq!(own("/node/renew").await.expect(200)["renewed"], true);
    assert_eq!(own("/node/renew").await.expect(200)["renewed"], false);
    assert!(renew_at("ann-1").await.0 > after.0);
}

async fn a_hundred_nodes_go_in_one_transaction_and_more_in_several(plane: Plane) {
    network(&plane, &[]).await;
    for number in 0..105 {
        plane.post("/enroll", &enrollment(&format!("n-{number}"))).await.expect(201);
    }
    let before = revision(&plane).await;
    let release = json!({"action": "release", "filter": {"namePrefix": "n-"}});
    let report = plane.post(BATCH, &release).await.expect(200);
    assert_eq!((&report["done"], &report["refused"]), (&json!(105), &json!(0)));
    assert_eq!(revision(&plane).await, before + 2);
    assert!(states(&plane).await.is_empty());
    plane.verify();
}

async fn certificates_of_a_hundred_nodes_are_issued_in_one_transaction(plane: Plane) {
    network(&plane, &[]).await;
    for number in 0..205 {
        let mut body = enrollment(&format!("n-{number}"));
        body["groups"] = json!(["old"]);
        if number % 40 == 0 {
            body["lighthouse"] = json!({"endpoint": format!("192.0.2.{}:4242", number + 1)});
        }
        plane.post("/enroll", &body).await.expect(201);
    }
    let ask = async |mut body: Value, moves: i64| {
        body["filter"] = json!({"namePrefix": "n-"});
        let before = revision(&plane).await;
        let report = plane.post(BATCH, &body).await.expect(200);
        assert_eq!((&report["done"], &report["refused"]), (&json!(205), &json!(0)), "{body}");
        assert_eq!(revision(&plane).await, before + moves, "{body}");
        let again = plane.post(BATCH, &body).await.expect(200);
        assert_eq!(again["unchanged"], 205, "{body}");
        assert_eq!(revision(&plane).await, before + moves, "{body}");
    };
    ask(json!({"action": "set", "removeGroups": ["old"]}), 3).await;
    ask(json!({"action": "set", "addGroups": ["new"]}), 0).await;
    ask(json!({"action": "suspend", "reason": "away"}), 3).await;
    ask(json!({"action": "reinstate"}), 3).await;
    // For six lighthouses: the event of one tells of each move, and those of the others with which they came.
    let mut told = [0, 0];
    let mut cursor = String::new();
    loop {
        let path = format!("/networks/demo/events?kind=node.reinstated&limit=100{cursor}");
        let events = plane.get(&path).await.expect(200);
        for event in events["items"].as_array().unwrap() {
            let has = |field: &str| usize::from(event["detail"][field].is_i64());
            told = [told[0] + has("revision"), told[1] + has("with_revision")];
        }
        let Some(next) = events["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(told, [3, 3]);
    plane.verify();
}

async fn an_address_that_one_node_cannot_get_stands_against_that_one_alone(plane: Plane) {
    let nodes: [(&str, &[&str], &str); 4] =
        ["a", "b", "c", "d"].map(|name| (name, &["all"][..], "ann"));
    network(&plane, &nodes).await;
    // Three addresses for four nodes.
    let gains = json!({"prefixes": ["10.1.0.0/16", "fd42::/126"]});
    plane.patch("/networks/demo", &gains).await.expect(200);
    let set = json!({"action": "set", "filter": {"group": "all"}, "addGroups": ["vpn"]});
    let report = plane.post(BATCH, &set).await.expect(200);
    assert_eq!(told(&report), ["a done -", "b done -", "c done -", "d refused pool_exhausted"]);
    let again = plane.post(BATCH, &set).await.expect(200);
    let each = ["a unchanged -", "b unchanged -", "c unchanged -", "d refused pool_exhausted"];
    assert_eq!(told(&again), each);
    plane.verify();
}

async fn a_request_without_a_filter_or_with_fields_of_another_action_is_refused(plane: Plane) {
    network(&plane, &STAFF[..1]).await;
    let group = json!({"group": "laptop"});
    let refused: [(Value, &str); 7] = [
        (json!({"action": "release", "filter": {}}), "filter"),
        (json!({"action": "release"}), "body"),
        (json!({"action": "revoke", "filter": group}), "reason"),
        (json!({"action": "renew", "filter": group, "reason": "x"}), "reason"),
        (json!({"action": "set", "filter": group}), "groups"),
        (json!({"action": "release", "filter": group, "addGroups": ["a"]}), "addGroups"),
        (json!({"action": "set", "filter": group, "addGroups": ["any"]}), "addGroups"),
    ];
    for (body, field) in refused {
        let problem = plane.post(BATCH, &body).await.problem(400, "invalid_request");
        assert_eq!(problem["field"], field, "{body}");
    }
    let elsewhere = json!({"action": "release", "filter": group});
    plane.post("/networks/other/nodes/batch", &elsewhere).await.problem(404, "not_found");
    assert_eq!(states(&plane).await, [("ann-1".to_owned(), "active".to_owned())]);
}

async fn commands_take_a_filter_in_place_of_a_node(shell: Shell) {
    shell.json("networks create --name home --prefixes 10.42.0.0/16", &[]);
    for (name, user) in [("ann-1", "ann"), ("bob-1", "bob"), ("bob-2", "bob")] {
        let token = format!("join-tokens create home --name {name} --groups staff --user {user}");
        let token = shell.json(&token, &[]);
        shell.says(&["join", token["link"].as_str().unwrap(), "--name", name, "--out", name]);
    }
    let state = |name: &str| shell.json(&format!("nodes show home {name}"), &[])["state"].clone();
    let suspend = "admin nodes suspend home --user bob --reason left";
    let dry = shell.says(&format!("{suspend} --dry-run"));
    let lines: Vec<_> = dry.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["NAME", "OUTCOME", "DETAIL"]);
    assert_eq!(lines[3], "2 nodes: 2 would be suspended, 0 unchanged, 0 refused.");
    assert_eq!(lines[4], "Nothing was changed: this was a dry run.");
    assert_eq!(state("bob-1"), "active");
    // Nobody is there to say yes.
    assert!(shell.fails(2, suspend).contains("give --yes"));
    assert_eq!(state("bob-1"), "active");
    let done = shell.says(&format!("{suspend} --yes"));
    assert!(
        done.contains("\n2 nodes: 2 suspended, 0 unchanged, 0 refused.\nRevision 2. "),
        "{done}"
    );
    let until = "A node that is offline accepts them until ";
    assert!(done.lines().last().unwrap().starts_with(until), "{done}");
    assert_eq!(
        [state("ann-1"), state("bob-1"), state("bob-2")],
        ["active", "suspended", "suspended"]
    );
    assert!(shell.says(&format!("{suspend} --yes")).contains("0 suspended, 2 unchanged"));
    // Some are done, and some refused: ann is released, the others would have to be reinstated first.
    let release = shell.run("admin nodes release home --group staff --yes --output json");
    assert_eq!(release.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&release.stdout).unwrap();
    assert_eq!((&report["done"], &report["refused"]), (&json!(1), &json!(2)));
    let all_refused = shell.run("admin nodes release home --group staff --yes");
    assert_eq!(all_refused.status.code(), Some(1));
    assert!(text(&all_refused.stdout).contains("reinstate it first"), "{all_refused:?}");
    let none = shell.run("admin nodes suspend home --user mallory --reason left --yes");
    assert_eq!(
        (none.status.code(), text(&none.stderr).contains("no node of home")),
        (Some(1), true)
    );
    shell.says("admin nodes reinstate home --name-prefix bob --yes");
    let set = ["--add-group", "vpn", "--remove-group", "staff", "--yes"];
    shell.says(&[&["admin", "nodes", "set", "home", "--user", "bob"], &set[..]].concat()[..]);
    assert_eq!(shell.json("nodes show home bob-2", &[])["groups"], json!(["vpn"]));
    let one = shell.json("nodes set home bob-1 --add-group ops --user carol", &[]);
    assert_eq!((&one["groups"], &one["user"]), (&json!(["vpn", "ops"]), &json!("carol")));
    shell.says("admin nodes renew home --user bob --yes");
    // The only network is left out here.
    assert!(shell.fails(1, "admin nodes release home").contains("has the name \"home\""));
    for wrong in [
        "admin nodes release",
        "admin nodes release home bob-1 --group staff",
        "admin nodes release home bob-1 --yes",
        "admin nodes rename home --group vpn --name x --yes",
    ] {
        shell.fails(2, wrong);
    }
}

async fn a_network_that_gains_ipv6_makes_its_nodes_due(plane: Plane) {
    let tokens = network(&plane, &STAFF[..1]).await;
    let own = async || plane.ask("GET", "/node", &tokens[0], None).await.expect(200);
    let before = own().await;
    plane.pass(60);
    let gains = json!({"prefixes": ["10.1.0.0/16", "fd42::/64"]});
    let changed = plane.patch("/networks/demo", &gains).await;
    assert_eq!(changed.header("nebula-revision"), "2");
    let due = own().await;
    assert_eq!(due["revision"], 2);
    assert!(due["renewAt"].as_str() < before["renewAt"].as_str(), "{before} {due}");
    let renewed = plane.ask("POST", "/node/renew", &tokens[0], Some(&json!({}))).await;
    assert_eq!(renewed.expect(200)["renewed"], true);
    assert_eq!(own().await["addresses"], json!(["10.1.0.1", "fd42::1"]));
    let again: Answer = plane.ask("POST", "/node/renew", &tokens[0], Some(&json!({}))).await;
    assert_eq!(again.expect(200)["renewed"], false);
}
