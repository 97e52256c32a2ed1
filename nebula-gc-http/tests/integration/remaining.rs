//! What an operator is told after a change: what happened, who has not applied it, and how to wait.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::native::{Plane, enrollment};
use crate::support::shell::{Shell, text};
use nebula_gc_http::client::{Client, Request};
use serde_json::json;

on_both_engines! {
    answers_to_changes_tell_the_revision_and_who_is_behind
    a_revocation_tells_what_remains_and_how_to_wait
    waiting_ends_when_it_is_applied_and_with_4_when_it_is_not
}

async fn answers_to_changes_tell_the_revision_and_who_is_behind(plane: Plane) {
    plane
        .post("/networks", &json!({"name": "demo", "prefixes": ["10.1.0.0/24"]}))
        .await
        .expect(201);
    let (mut paths, mut tokens) = (vec![], vec![]);
    for name in ["one", "two", "silent"] {
        let body = enrollment(name);
        let node = plane.post("/enroll", &body).await.expect(201);
        paths.push(format!("/networks/demo/nodes/{}", node["node"].as_str().unwrap()));
        tokens.push(body["nodeToken"].as_str().unwrap().to_owned());
    }
    let report = json!({"revision": 1, "generation": 1});
    for token in &tokens[..2] {
        plane.ask("POST", "/node/report", token, Some(&report)).await.expect(204);
    }
    let told = |answer: &crate::support::native::Answer| {
        let number = |name| answer.header(name).parse::<i64>().unwrap();
        (number("nebula-revision"), number("nebula-unapplied"))
    };
    // What is no other node's matter moves nothing.
    let rotated = plane.post(&format!("{}/token", paths[2]), &json!({})).await;
    assert_eq!(told(&rotated), (1, 0));
    let why = json!({"reason": "lost"});
    let suspended = plane.post(&format!("{}/suspend", paths[0]), &why).await;
    assert_eq!((suspended.status, told(&suspended)), (200, (2, 1)));
    // Again, it is as it was.
    assert_eq!(told(&plane.post(&format!("{}/suspend", paths[0]), &why).await), (2, 1));
    let changed = plane.patch("/networks/demo", &json!({"mtu": 1290, "name": "other"})).await;
    assert_eq!(told(&changed), (3, 1));
    let paths: Vec<_> = paths.iter().map(|path| path.replace("/demo/", "/other/")).collect();
    let released = plane.delete(&paths[2]).await;
    assert_eq!((released.status, told(&released)), (204, (4, 1)));
    let report = json!({"revision": 4, "generation": 1});
    plane.ask("POST", "/node/report", &tokens[1], Some(&report)).await.expect(204);
    assert_eq!(told(&plane.delete(&paths[2]).await), (4, 0));
    let unapplied = plane.get("/networks/other/revisions/4/unapplied").await.expect(200);
    let counts = ["count", "reportingCount", "reporting"].map(|name| unapplied[name].as_i64());
    assert_eq!(counts, [Some(0), Some(0), Some(1)]);
    // Refused is not done.
    let refused = plane.post(&format!("{}/suspend", paths[2]), &why).await;
    assert_eq!((refused.status, refused.headers.get("nebula-revision")), (409, None));
}

/// A node that joined by this name, with its client.
fn join(shell: &Shell, name: &str) -> Client {
    let token = shell.json(&format!("join-tokens create home --name {name}"), &[]);
    let link = token["link"].as_str().unwrap();
    shell.says(&["join", link, "--name", name, "--out", name]);
    let key = std::fs::read_to_string(shell.place.path().join(name).join("node.token")).unwrap();
    Client::new(&shell.url).unwrap().with_key(key.trim())
}

async fn report(node: &Client, revision: i64) {
    let own = node.send(Request::get("/node")).await.unwrap().json().unwrap();
    let report = json!({"revision": revision, "generation": own["generation"]});
    node.send(Request::post("/node/report", report)).await.unwrap();
}

fn revision(shell: &Shell) -> i64 {
    shell.json("networks show home", &[])["revision"].as_i64().unwrap()
}

async fn a_revocation_tells_what_remains_and_how_to_wait(shell: Shell) {
    shell.json("networks create --name home --prefixes 10.42.0.0/16 --lifetime 14d", &[]);
    // Nobody is there to apply it.
    let set = shell.says("admin networks set home --mtu 1290");
    assert!(!set.contains("Watch:"), "{set}");
    let nodes: Vec<_> = ["gate", "printer", "laptop-2"].map(|name| join(&shell, name)).into();
    assert_eq!(
        shell.says("admin nodes set home gate --groups gates").lines().collect::<Vec<_>>(),
        [
            format!("gate is changed; revision {}.", revision(&shell)).as_str(),
            "No active node reports what it has applied."
        ]
    );
    for node in &nodes {
        report(node, revision(&shell)).await;
    }
    join(&shell, "phone");
    let before = revision(&shell);
    let said = shell.says("admin nodes revoke home laptop-2 --reason stolen");
    let lines: Vec<_> = said.lines().collect();
    let end = jiff::Timestamp::now().as_second() + 14 * 86_400;
    let day = jiff::Timestamp::from_second(end).unwrap().to_string();
    assert_eq!(lines[0], format!("laptop-2 is revoked; revision {}.", before + 1));
    assert_eq!(lines[1], "0 of 2 nodes have applied it.");
    assert!(lines[2].starts_with("Waiting: gate (seen "), "{said}");
    assert!(lines[2].ends_with(&format!(", revision {before}).")), "{said}");
    assert_eq!(lines[3], "Never report: phone.");
    assert_eq!(lines[4], "Watch:  nebula-gc admin nodes unapplied home --wait");
    assert!(lines[5].starts_with("A node that is offline accepts laptop-2 until "), "{said}");
    assert!(lines[5].contains(&day[..7]) && lines.len() == 6, "{said}");
    // Lines of Nebula's longest names are broken by the terminal.
    assert!(lines.iter().take(5).all(|line| line.len() <= 80), "{said}");
    report(&nodes[0], before + 1).await;
    // Doing it again changes nothing, and tells how far it is.
    let again = shell.says("admin nodes revoke home laptop-2 --reason stolen");
    let one = format!("revision {}.\n1 of 2 nodes have applied it. Waiting: printer (", before + 1);
    assert!(again.contains(&one), "{again}");
    // What programs read is the node alone.
    let as_json = shell.json("nodes revoke home laptop-2 --reason stolen", &[]);
    assert_eq!(as_json["state"], "revoked");
    let unapplied = shell.says("admin nodes unapplied home");
    let lines: Vec<_> = unapplied.lines().collect();
    assert_eq!(lines[0], format!("1 of 2 nodes have applied revision {}.", before + 1));
    assert!(lines[1] == "Waiting for:" && lines[2].starts_with("NAME"), "{unapplied}");
    assert!(
        lines[3].starts_with("printer ") && lines[4].starts_with("Never report"),
        "{unapplied}"
    );
    assert!(lines[6].starts_with("phone ") && lines.len() == 7, "{unapplied}");
    let of_then = shell.says(&format!("admin nodes unapplied home --revision {before}"));
    assert!(of_then.starts_with("All 2 nodes that report have applied"), "{of_then}");
    let refused = shell.fails(1, "admin nodes unapplied home --revision 1000");
    assert!(refused.ends_with("(not_found)\n"), "{refused}");
}

async fn waiting_ends_when_it_is_applied_and_with_4_when_it_is_not(shell: Shell) {
    shell.json("networks create --name home --prefixes 10.42.0.0/16", &[]);
    assert_eq!(shell.json("nodes unapplied home --wait", &[])["count"], 0);
    let gate = join(&shell, "gate");
    // Who never reports is not waited for.
    let never = shell.run("admin nodes unapplied home --wait");
    assert_eq!(never.status.code(), Some(4));
    let told = text(&never.stderr);
    assert_eq!(told, "waiting is of no use for nodes that never report: gate\n");
    report(&gate, revision(&shell)).await;
    join(&shell, "laptop");
    let late = shell.run("admin nodes release home laptop --wait --timeout 0s");
    assert_eq!(late.status.code(), Some(4));
    assert!(text(&late.stderr).starts_with("not applied after 0 s: gate (seen "), "{late:?}");
    assert!(text(&late.stdout).starts_with("laptop is released; revision "), "{late:?}");
    let usage = shell.fails(2, "admin nodes suspend home gate --reason x --wait --timeout soon");
    assert!(usage.contains("--timeout") && usage.contains("duration"), "{usage}");
    assert_eq!(shell.json("nodes show home gate", &[])["state"], "active");
    // It ends once the node says that it has it.
    let mut set = shell.command("admin networks set home --mtu 1290 --wait");
    let mut set = set.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(set.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| !line.starts_with("Watch:"));
    assert!(lines.next().is_some());
    assert!(set.try_wait().unwrap().is_none(), "it ended before the node had it");
    report(&gate, revision(&shell)).await;
    let last = lines.last().unwrap();
    let applied = format!("The one node that reports has applied revision {}.", revision(&shell));
    assert_eq!(last, applied);
    assert!(set.wait().unwrap().success());
    // What is a node's own matter moves no revision, and is waited for all the same.
    let set = shell.run("admin nodes set home gate --add-group more --wait --timeout 0s");
    assert_eq!(set.status.code(), Some(4));
    assert!(text(&set.stdout).contains("0 of 1 nodes have applied it. Waiting: gate ("), "{set:?}");
    report(&gate, revision(&shell)).await;
    shell.says("admin nodes unapplied home --wait");
}
