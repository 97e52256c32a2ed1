//! Join tokens whose devices wait until an operator has approved them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::Arc;

use axum::Router;
use nebula_gc_http::api;
use serde_json::{Value, json};

use crate::support::native::{Plane, dialect, enrollment, text};
use crate::support::shell::{Shell, text as said};

on_both_engines! {
    a_device_waits_until_an_operator_approves_it
    who_is_refused_stays_out_with_that_token_for_a_day
    no_more_wait_than_the_token_still_lets_in
    the_dialect_does_not_go_around_an_approval
    who_asks_for_something_else_is_approved_anew
    a_public_key_alone_does_not_use_an_approval
    what_waits_ends_with_its_token
    who_is_not_approved_in_a_day_is_forgotten
    one_of_many_who_decide_at_once_decides
    an_approval_lets_in_once_or_not_at_all
    join_shows_a_fingerprint_and_waits
}

const DAY: i64 = 86_400;
const PENDING: &str = "/networks/demo/pending";

/// A network, and the secret and path of a join token like this that needs approval.
async fn demo(plane: &Plane, like: Value) -> (String, String) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24"]});
    plane.post("/networks", &body).await.expect(201);
    token(plane, like).await
}

async fn token(plane: &Plane, like: Value) -> (String, String) {
    let mut body = json!({"name": "laptops", "uses": 9, "approval": true});
    for (field, value) in like.as_object().unwrap() {
        body[field] = value.clone();
    }
    let made = plane.post("/networks/demo/join-tokens", &body).await.expect(201);
    assert_eq!(made["approval"], body["approval"]);
    (text(&made, "secret"), format!("/networks/demo/join-tokens/{}", text(&made, "id")))
}

async fn ask(plane: &Plane, token: &str, body: &Value) -> crate::support::native::Answer {
    plane.ask("POST", "/enroll", token, Some(body)).await
}

/// Asks, and waits; the id of the pending device and its key's fingerprint.
async fn wait(plane: &Plane, token: &str, body: &Value) -> (String, String) {
    let answer = ask(plane, token, body).await;
    let pending = answer.expect(202);
    assert_eq!(answer.header("retry-after"), "5");
    (text(&pending, "pending"), text(&pending, "keyFingerprint"))
}

async fn approve(plane: &Plane, (id, fingerprint): &(String, String)) -> Value {
    let body = json!({"keyFingerprint": fingerprint});
    plane.post(&format!("{PENDING}/{id}/approve"), &body).await.expect(200)
}

async fn refuse(plane: &Plane, (id, _): &(String, String)) -> Value {
    plane.post(&format!("{PENDING}/{id}/refuse"), &json!({"reason": "unknown"})).await.expect(200)
}

async fn listed(plane: &Plane) -> Vec<Value> {
    plane.get(PENDING).await.expect(200)["items"].as_array().unwrap().clone()
}

/// The kinds of the events about joining, oldest first, each with the kind of its actor.
async fn events(plane: &Plane) -> Vec<String> {
    let events = plane.get("/networks/demo/events?limit=500").await.expect(200);
    let events = events["items"].as_array().unwrap().clone();
    let told = events.iter().filter(|event| text(event, "kind").starts_with("join."));
    told.map(|event| {
        let actor = text(event, "actor");
        format!("{} by {}", text(event, "kind"), actor.split(':').next().unwrap())
    })
    .collect()
}

async fn a_device_waits_until_an_operator_approves_it(plane: Plane) {
    let (token, path) = demo(&plane, json!({"groups": ["laptop"]})).await;
    let device = enrollment("laptop");
    let waits = wait(&plane, &token, &device).await;
    // It asks again, and nothing is written.
    let before = plane.rows();
    assert_eq!(wait(&plane, &token, &device).await, waits);
    assert_eq!(plane.rows(), before);
    let shown = listed(&plane).await;
    assert_eq!(shown.len(), 1);
    for (field, value) in [
        ("name", json!("laptop")),
        ("state", json!("pending")),
        ("groups", json!(["laptop"])),
        ("joinTokenName", json!("laptops")),
        ("keyFingerprint", json!(waits.1)),
        ("user", json!("root")),
    ] {
        assert_eq!(shown[0][field], value, "{field}");
    }
    // It holds no address and no use, and others may have the name.
    assert_eq!(plane.number("SELECT COUNT(*) FROM alloc_lease"), 0);
    assert_eq!(plane.get(&path).await.expect(200)["used"], 0);
    let other = ask(&plane, &plane.key, &enrollment("laptop")).await.expect(201);
    plane.delete(&format!("/networks/demo/nodes/{}", text(&other, "node"))).await.expect(204);

    // Only who has seen the device's fingerprint approves it.
    let approval = format!("{PENDING}/{}/approve", waits.0);
    let say = async |fingerprint: &str| {
        plane.post(&approval, &json!({"keyFingerprint": fingerprint})).await
    };
    let before = plane.rows();
    for none in ["", "laptop", &waits.1[..18]] {
        assert_eq!(say(none).await.problem(400, "invalid_request")["field"], "keyFingerprint");
    }
    let other = if waits.1.starts_with('0') { "1" } else { "0" };
    let refused = say(&[other, &waits.1[1..]].concat()).await.problem(409, "key_mismatch");
    assert_eq!(refused["field"], "keyFingerprint", "{refused}");
    assert_eq!(plane.rows(), before);
    let approved = say(&waits.1[..19].to_uppercase()).await.expect(200);
    assert_eq!(approved["state"], "approved");
    assert!(text(&approved, "decidedBy").starts_with("operator_key:"), "{approved}");
    let before = plane.rows();
    assert_eq!(approve(&plane, &waits).await, approved);
    assert_eq!(plane.rows(), before);

    let node = ask(&plane, &token, &device).await.expect(201);
    assert_eq!(node["name"], "laptop");
    assert_eq!(ask(&plane, &token, &device).await.expect(200)["node"], node["node"]);
    assert_eq!(listed(&plane).await, [] as [Value; 0]);
    assert_eq!(plane.get(&path).await.expect(200)["used"], 1);
    let expected = ["join.asked by join_token", "join.approved by operator_key"];
    assert_eq!(events(&plane).await, expected);
    // Released, it is approved anew.
    plane.delete(&format!("/networks/demo/nodes/{}", text(&node, "node"))).await.expect(204);
    let mut back = device.clone();
    back["nodeToken"] = enrollment("")["nodeToken"].clone();
    back["formerNodeToken"] = device["nodeToken"].clone();
    approve(&plane, &wait(&plane, &token, &back).await).await;
    let again = ask(&plane, &token, &back).await.expect(201);
    assert_eq!(again["addresses"], node["addresses"]);
    plane.verify();
}

async fn who_is_refused_stays_out_with_that_token_for_a_day(plane: Plane) {
    let (laptops, _) = demo(&plane, json!({"expiresInSeconds": 9 * DAY})).await;
    let (other, _) =
        token(&plane, json!({"approval": false, "name": "other", "expiresInSeconds": 9 * DAY}))
            .await;
    let device = enrollment("laptop");
    let waits = wait(&plane, &laptops, &device).await;
    assert_eq!(refuse(&plane, &waits).await["state"], "refused");
    let before = plane.rows();
    refuse(&plane, &waits).await;
    for _ in 0..2 {
        let refused = ask(&plane, &laptops, &device).await.problem(403, "join_refused");
        assert!(text(&refused, "detail").contains(&waits.1), "{refused}");
    }
    assert_eq!(plane.rows(), before);
    // An operator may think better of it.
    approve(&plane, &waits).await;
    refuse(&plane, &waits).await;
    plane.pass(DAY - 1);
    ask(&plane, &laptops, &device).await.problem(403, "join_refused");
    plane.pass(1);
    let anew = wait(&plane, &laptops, &device).await;
    assert_ne!(anew.0, waits.0);
    // With another token it may come.
    refuse(&plane, &anew).await;
    ask(&plane, &other, &device).await.expect(201);
    let decided = ["join.asked by join_token", "join.refused by operator_key"];
    let better = ["join.approved by operator_key", "join.refused by operator_key"];
    let expected = [&decided[..], &better, &decided].concat();
    assert_eq!(events(&plane).await, expected);
    plane.verify();
}

async fn no_more_wait_than_the_token_still_lets_in(plane: Plane) {
    let (token, _) = demo(&plane, json!({"uses": 2})).await;
    let devices = ["a", "b", "c"].map(enrollment);
    let first = wait(&plane, &token, &devices[0]).await;
    let second = wait(&plane, &token, &devices[1]).await;
    let before = plane.rows();
    for _ in 0..2 {
        let refused = ask(&plane, &token, &devices[2]).await.problem(403, "join_token_refused");
        assert!(text(&refused, "detail").starts_with("2 devices wait"), "{refused}");
    }
    assert_eq!(plane.rows(), before);
    // Who waits already is not in its own way, and who is refused in nobody's.
    assert_eq!(wait(&plane, &token, &devices[0]).await, first);
    refuse(&plane, &second).await;
    let third = wait(&plane, &token, &devices[2]).await;
    for waits in [&first, &third] {
        approve(&plane, waits).await;
    }
    for device in [&devices[0], &devices[2]] {
        ask(&plane, &token, device).await.expect(201);
    }
    ask(&plane, &token, &enrollment("d")).await.problem(403, "join_token_refused");
    plane.verify();
}

async fn the_dialect_does_not_go_around_an_approval(plane: Plane) {
    let (token, _) = demo(&plane, json!({})).await;
    let device = enrollment("laptop");
    let mut registration = json!({"projectId": "demo", "deviceId": "d", "deviceName": "laptop"});
    registration["publicKey"] = device["publicKey"].clone();
    let register = async || dialect(&plane, "/register", &token, Some(&registration)).await;
    let waits = wait(&plane, &token, &device).await;
    approve(&plane, &waits).await;
    // What is approved is the device that has the node token.
    let refused = register().await.expect(409);
    assert_eq!(refused["error"], "key_mismatch", "{refused}");
    assert_eq!(plane.number("SELECT COUNT(*) FROM gc_node"), 0);
    registration["publicKey"] = enrollment("")["publicKey"].clone();
    for _ in 0..2 {
        let waits = dialect(&plane, "/register", &token, Some(&registration)).await.expect(403);
        assert_eq!(waits["error"], "forbidden", "{waits}");
        assert!(text(&waits, "detail").contains("until an operator approves it"), "{waits}");
    }
    let shown = listed(&plane).await;
    assert_eq!((shown.len(), &shown[1]["device"]), (2, &json!("d")));
    let fingerprint = text(&shown[1], "keyFingerprint");
    approve(&plane, &(text(&shown[1], "id"), fingerprint)).await;
    dialect(&plane, "/register", &token, Some(&registration)).await.expect(200);
    dialect(&plane, "/register", &token, Some(&registration)).await.expect(200);
    assert_eq!(plane.number("SELECT COUNT(*) FROM gc_node"), 1);
    plane.verify();
}

async fn who_asks_for_something_else_is_approved_anew(plane: Plane) {
    let (token, _) = demo(&plane, json!({"groups": ["a", "b"], "relay": true})).await;
    let mut device = enrollment("laptop");
    (device["groups"], device["relay"]) = (json!(["a"]), json!(false));
    let first = wait(&plane, &token, &device).await;
    approve(&plane, &first).await;
    let mut last = first.clone();
    for (field, value) in [
        ("name", json!("gate")),
        ("groups", json!(["a", "b"])),
        ("relay", json!(true)),
        ("mtu", json!(1400)),
        ("device", json!("serial 7")),
    ] {
        device[field] = value;
        let waits = wait(&plane, &token, &device).await;
        assert_ne!(waits.0, last.0, "{field}");
        let body = json!({"keyFingerprint": last.1});
        plane.post(&format!("{PENDING}/{}/approve", last.0), &body).await.problem(404, "not_found");
        last = waits;
    }
    assert_eq!(listed(&plane).await.len(), 1);
    let approved = approve(&plane, &last).await;
    let node = ask(&plane, &token, &device).await.expect(201);
    assert_eq!((&approved["device"], &approved["name"]), (&node["device"], &node["name"]));
    plane.verify();
}

async fn a_public_key_alone_does_not_use_an_approval(plane: Plane) {
    let (token, _) = demo(&plane, json!({})).await;
    let device = enrollment("laptop");
    let waits = wait(&plane, &token, &device).await;
    let mut thief = enrollment("laptop");
    thief["publicKey"] = device["publicKey"].clone();
    for _ in 0..2 {
        let refused = ask(&plane, &token, &thief).await.problem(409, "key_mismatch");
        assert_eq!(refused["field"], "publicKey", "{refused}");
        approve(&plane, &waits).await;
    }
    ask(&plane, &token, &device).await.expect(201);
    plane.verify();
}

async fn what_waits_ends_with_its_token(plane: Plane) {
    let (laptops, path) = demo(&plane, json!({"expiresInSeconds": 3600})).await;
    let device = enrollment("laptop");
    let waits = wait(&plane, &laptops, &device).await;
    approve(&plane, &waits).await;
    plane.delete(&path).await.expect(204);
    assert_eq!(listed(&plane).await, [] as [Value; 0]);
    let body = json!({"keyFingerprint": waits.1});
    let pending = format!("{PENDING}/{}", waits.0);
    plane.post(&format!("{pending}/approve"), &body).await.problem(404, "not_found");
    plane.get(&pending).await.problem(404, "not_found");
    ask(&plane, &laptops, &device).await.problem(401, "unauthorized");
    // An approval is worth nothing beyond its token's time.
    let (short, _) = token(&plane, json!({"expiresInSeconds": 60})).await;
    let waits = wait(&plane, &short, &device).await;
    plane.pass(30);
    approve(&plane, &waits).await;
    plane.pass(30);
    ask(&plane, &short, &device).await.problem(403, "join_token_refused");
    assert_eq!(listed(&plane).await, [] as [Value; 0]);
    plane.verify();
}

async fn who_is_not_approved_in_a_day_is_forgotten(plane: Plane) {
    let (token, _) = demo(&plane, json!({"expiresInSeconds": 9 * DAY})).await;
    let devices: Vec<_> = (0..3).map(|number| enrollment(&format!("n{number}"))).collect();
    let mut waits = vec![];
    for device in &devices {
        waits.push(wait(&plane, &token, device).await);
    }
    plane.pass(DAY - 1);
    assert_eq!(plane.service.upkeep().await.unwrap().unwrap().pending_joins, 0);
    // Who is approved has a day from then on.
    approve(&plane, &waits[2]).await;
    plane.pass(1);
    assert_eq!(listed(&plane).await.len(), 1);
    let body = json!({"keyFingerprint": waits[0].1});
    let late = plane.post(&format!("{PENDING}/{}/approve", waits[0].0), &body).await;
    late.problem(404, "not_found");
    assert_ne!(wait(&plane, &token, &devices[0]).await.0, waits[0].0);
    assert_eq!(plane.service.upkeep().await.unwrap().unwrap().pending_joins, 1);
    assert_eq!(plane.service.upkeep().await.unwrap().unwrap().pending_joins, 0);
    assert_eq!(plane.number("SELECT COUNT(*) FROM gc_pending_join"), 2);
    plane.pass(DAY - 1);
    wait(&plane, &token, &devices[2]).await;
    assert_eq!(plane.number("SELECT COUNT(*) FROM gc_node"), 0);
    plane.verify();
}

/// Two servers of one database where several can be, else the one twice.
fn servers(plane: &Plane) -> [Router; 2] {
    let other = match plane.place.is_shared() {
        true => plane.another(),
        false => Arc::clone(&plane.service),
    };
    [plane.router.clone(), api::router(other)]
}

/// Asks servers in turn, all at once; the statuses.
pub async fn at_once(plane: &Plane, asked: Vec<(String, String, Value)>) -> Vec<u16> {
    let servers = servers(plane);
    let tasks: Vec<_> = asked
        .into_iter()
        .enumerate()
        .map(|(number, (path, key, body))| {
            let router = servers[number % 2].clone();
            tokio::spawn(
                async move { crate::support::native::post(&router, &path, &key, &body).await },
            )
        })
        .collect();
    let mut statuses = vec![];
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    statuses
}

async fn one_of_many_who_decide_at_once_decides(plane: Plane) {
    let (token, _) = demo(&plane, json!({})).await;
    let waits = wait(&plane, &token, &enrollment("laptop")).await;
    let path = format!("{PENDING}/{}/approve", waits.0);
    let approval = (path, plane.key.clone(), json!({"keyFingerprint": waits.1}));
    let statuses = at_once(&plane, vec![approval; 8]).await;
    assert_eq!(statuses, [200; 8]);
    let expected = ["join.asked by join_token", "join.approved by operator_key"];
    assert_eq!(events(&plane).await, expected);
    // And of many who ask at once no more wait than may.
    let (token, _) = self::token(&plane, json!({"uses": 2})).await;
    let asked = (0..8).map(|number| {
        let device = enrollment(&format!("n{number}"));
        ("/enroll".to_owned(), token.clone(), device)
    });
    let mut statuses = at_once(&plane, asked.collect()).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 202, 403, 403, 403, 403, 403, 403]);
    plane.verify();
}

async fn an_approval_lets_in_once_or_not_at_all(plane: Plane) {
    let (token, path) = demo(&plane, json!({"expiresInSeconds": 9 * DAY})).await;
    let mut joined = 0;
    for round in 0..6 {
        let device = enrollment(&format!("n{round}"));
        let waits = wait(&plane, &token, &device).await;
        approve(&plane, &waits).await;
        let enrol = ("/enroll".to_owned(), token.clone(), device.clone());
        let refusal = (format!("{PENDING}/{}/refuse", waits.0), plane.key.clone(), json!({}));
        // It also races its end.
        plane.pass(DAY - 1);
        let clock = Arc::clone(&plane.clock);
        let tick = tokio::spawn(async move {
            tokio::task::yield_now().await;
            clock.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        let asked = if round % 2 == 0 { vec![enrol.clone(), refusal] } else { vec![enrol.clone()] };
        let statuses = at_once(&plane, [asked, vec![enrol]].concat()).await;
        tick.await.unwrap();
        let is_in = statuses.contains(&201);
        joined += i64::from(is_in);
        assert!(statuses.iter().filter(|status| **status == 201).count() <= 1, "{statuses:?}");
        let known = [200, 201, 202, 403, 404, 409];
        assert!(statuses.iter().all(|status| known.contains(status)), "{statuses:?}");
        assert_eq!(plane.number("SELECT COUNT(*) FROM gc_node"), joined, "{statuses:?}");
        assert_eq!(plane.get(&path).await.expect(200)["used"], joined);
    }
    plane.verify();
}

/// A `join` that waits, what it says from now on, and the fingerprint that it shows.
fn joining(shell: &Shell, line: &str) -> (Child, BufReader<ChildStderr>, String) {
    let mut command = shell.command(line);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = String::new();
    for _ in 0..4 {
        stderr.read_line(&mut lines).unwrap();
    }
    assert!(lines.starts_with("Waiting until an operator approves"), "{lines}");
    let shown = lines.lines().nth(1).unwrap().trim().to_owned();
    assert_eq!(shown.len(), 79, "{lines}");
    assert!(lines.contains(&format!("--key-fingerprint {}\n", &shown[..19])), "{lines}");
    (child, stderr, shown)
}

/// How it ends: its code, and what it printed on both outputs.
fn ended(child: Child, mut stderr: BufReader<ChildStderr>) -> (Option<i32>, String, String) {
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), said(&output.stdout), rest)
}

async fn join_shows_a_fingerprint_and_waits(shell: Shell) {
    shell.json("networks create --name office --prefixes 10.1.0.0/24", &[]);
    let link = |name: &str| {
        let create = format!("join-tokens create office --name {name} --approval --uses 3");
        shell.json(&create, &[])["link"].as_str().unwrap().to_owned()
    };
    let guests = link("guests");
    let join = |name: &str| format!("join {guests} --name {name} --out {name}");
    // Who stops waiting goes on with the same key and the same row.
    let (mut child, _, shown) = joining(&shell, &join("laptop"));
    let first = shell.json("pending list office", &[])["items"].clone();
    child.kill().unwrap();
    child.wait().unwrap();
    let (child, stderr, again) = joining(&shell, &join("laptop"));
    assert_eq!((&again, &shell.json("pending list office", &[])["items"]), (&shown, &first));
    let table = shell.says("admin pending list office");
    assert!(table.lines().nth(1).unwrap().starts_with(&shown[..19]), "{table}");
    assert!(table.contains("1 pending, 0 approved, 0 refused."), "{table}");

    let named = "admin pending approve office laptop --key-fingerprint";
    let other = if shown.starts_with('0') { "1" } else { "0" };
    let refused = shell.fails(1, &format!("{named} {other}{}", &shown[1..]));
    assert!(refused.contains("compare it with what the device shows"), "{refused}");
    shell.fails(2, "admin pending approve office laptop");
    let missing = shell.fails(1, "admin pending approve office none --key-fingerprint 0");
    assert!(missing.contains("no pending device of office has the name"), "{missing}");
    let approved = shell.says(&format!("{named} {}", &shown[..19]));
    assert!(approved.contains("approved"), "{approved}");
    let (code, stdout, rest) = ended(child, stderr);
    assert_eq!((code, rest.as_str()), (Some(0), "Approved.\n"), "{rest}");
    assert!(stdout.starts_with("laptop is 10.1.0.1/24 in office\n"), "{stdout}");
    // It is in, and asks nobody any more.
    assert!(shell.says(&join("laptop")).starts_with("laptop is 10.1.0.1/24"));

    // A name or an address that another has is not the end of it.
    let taken = shell.fails(1, &format!("join {guests} --name laptop --out other"));
    assert!(taken.contains("on this device: join with another --name"), "{taken}");
    let taken = shell.fails(1, &format!("join {guests} --name x --address 10.1.0.1 --out other"));
    assert!(taken.contains("10.1.0.1 is another node's"), "{taken}");
    assert!(taken.contains("on this device: join with another --address"), "{taken}");

    let (child, stderr, _) = joining(&shell, &join("phone"));
    let refused = shell.json("pending refuse office phone --reason lost", &[]);
    assert_eq!((&refused["state"], &refused["reason"]), (&"refused".into(), &"lost".into()));
    let again = shell.json("pending refuse office phone", &[]);
    assert_eq!(again, refused);
    let (code, stdout, rest) = ended(child, stderr);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(rest.contains("an operator has refused this device (\"lost\"), whose key's"), "{rest}");
    // Of two of one name the fingerprint decides.
    let guests_key = link("twins");
    let twins = ["one", "two"]
        .map(|out| joining(&shell, &format!("join {guests_key} --name twin --out {out}")));
    let ambiguous = shell.fails(1, "admin pending refuse office twin");
    assert!(ambiguous.contains("more than one pending device"), "{ambiguous}");
    let fingerprint = &twins[1].2[..19];
    shell.says(&format!("admin pending approve office twin --key-fingerprint {fingerprint}"));
    let [(mut first, ..), (second, stderr, _)] = twins;
    let (code, stdout, rest) = ended(second, stderr);
    assert_eq!(code, Some(0), "{rest}");
    assert!(stdout.starts_with("twin is 10.1.0.2/24"), "{stdout}");
    first.kill().unwrap();
    first.wait().unwrap();
    // A link that is revoked meanwhile ends it, too.
    let (child, stderr, _) = joining(&shell, &join("tablet"));
    shell.says("admin join-tokens revoke office guests");
    let (code, _, rest) = ended(child, stderr);
    assert_eq!(code, Some(1), "{rest}");
    assert!(rest.contains("revoked"), "{rest}");
}
