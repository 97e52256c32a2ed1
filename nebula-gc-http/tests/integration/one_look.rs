//! A network of 300 nodes, as an operator sees it in one look.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nebula_gc_http::client::{Client, new_node_token};
use nebula_gc_http::wire::{EnrollmentBody, ReasonBody, Report};
use serde_json::Value;

use crate::support::requests::new_key;
use crate::support::shell::{Shell, text};

on_both_engines! {
    three_hundred_nodes_are_told_in_one_look
}

const COUNT: usize = 300;

/// What becomes of each node, by its number.
const KINDS: [&str; 6] = ["active", "behind", "silent", "expired", "suspended", "revoked"];

fn kind(number: usize) -> &'static str {
    KINDS[number % KINDS.len()]
}

/// A name of 30 bytes.
fn name(number: usize) -> String {
    format!("laptop-with-a-name-of-30-{number:05}")
}

/// What a command prints on a terminal of 80 columns, line by line.
fn screen(shell: &Shell, line: &str) -> Vec<String> {
    let output = shell.command(line).env("COLUMNS", "80").output().unwrap();
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    for line in &lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
    lines
}

fn conditions(shell: &Shell) -> BTreeMap<String, String> {
    let list = shell.json("nodes list office", &[]);
    let of = |node: &Value, field: &str| node[field].as_str().unwrap().to_owned();
    let items = list["items"].as_array().unwrap();
    items.iter().map(|node| (of(node, "name"), of(node, "condition"))).collect()
}

/// Within two seconds the list has this condition of this node.
fn is_soon(shell: &Shell, node: &str, condition: &str) {
    let begun = Instant::now();
    loop {
        let found = conditions(shell)[node].clone();
        if found == condition {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{node} is {found}, not {condition}");
    }
}

/// Answers to `-version` and `-test`, and runs as Nebula would, taking over what it is told to.
const NEBULA: &str = r#"#!/bin/sh
case "$1" in
-version) echo "Version: 1.11.0"; exit;;
-test) exit;;
esac
say() { echo "time=t level=info msg=\"$1\""; }
trap 'kill $!; exit 0' TERM
hup() { say 'Caught HUP, reloading config'; say 'New firewall has been installed'; }
trap hup HUP
say 'Nebula interface is active'
while :; do sleep 5 & wait $!; done
"#;
/// Within this time an agent has started.
const STARTED: Duration = Duration::from_secs(30);

/// A machine that joined the network, with the program `nebula-gc-agent`. Dropping it ends the agent.
struct Machine {
    name: &'static str,
    directory: PathBuf,
    agent: Option<Child>,
}

impl Machine {
    fn join(shell: &Shell, name: &'static str, link: &str) -> Self {
        let machine = Self { name, directory: shell.place.path().join(name), agent: None };
        let nebula = shell.place.path().join("nebula");
        let mut join = machine.command(&["join", link, "--name", name]);
        let joined = join.arg("--nebula").arg(nebula).output().unwrap();
        assert!(joined.status.success(), "{}", text(&joined.stderr));
        let local = machine.directory.join("office/local.d");
        DirBuilder::new().mode(0o700).create(&local).unwrap();
        let without_device = "tun: {disabled: true}\nlisten: {port: 0}\n";
        std::fs::write(local.join("test.yml"), without_device).unwrap();
        machine
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nebula-gc-agent"));
        command.env_clear().env("PATH", "/usr/bin:/bin").args(words);
        command.arg("--dir").arg(&self.directory).stdin(Stdio::null());
        command.stdout(Stdio::null());
        command
    }

    fn start(&mut self) {
        let agent = self.command(&["agent", "--poll", "1"]).stderr(Stdio::null()).spawn();
        self.agent = Some(agent.unwrap());
    }

    /// Ends the agent, and with it what it runs.
    fn stop(&mut self) {
        let Some(mut agent) = self.agent.take() else { return };
        let _ = Command::new("kill").arg(agent.id().to_string()).status();
        let _ = agent.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The node is soon up to date with the network's revision, by its own reports.
fn applies(shell: &Shell, machine: &Machine, patience: Duration) {
    let begun = Instant::now();
    let revision = shell.json("networks show office", &[])["revision"].clone();
    loop {
        let node = shell.json(&format!("nodes show office {}", machine.name), &[]);
        if node["condition"] == "active" && node["applied"]["revision"] == revision {
            return;
        }
        assert!(begun.elapsed() < patience, "{node}");
    }
}

/// Three machines with agents among the others.
async fn agents_are_seen_as_they_are(shell: &Shell, root: &Client, members: &[Member]) {
    // Another process writes it: a child of another test would inherit a file that is open here.
    let write = "printf %s \"$0\" > new && chmod 755 new && mv new nebula";
    let mut sh = Command::new("sh");
    let made = sh.current_dir(shell.place.path()).args(["-c", write]).arg(NEBULA).status();
    assert!(made.unwrap().success());
    let token = shell.json("join-tokens create office --name agents --uses 3", &[]);
    let link = token["link"].as_str().unwrap();
    let mut machines =
        ["agent-1", "agent-2", "agent-3"].map(|name| Machine::join(shell, name, link));
    for machine in &mut machines {
        machine.start();
    }
    for machine in &machines {
        applies(shell, machine, STARTED);
    }
    // They apply within two seconds what happens to others.
    let why = ReasonBody { reason: "stolen".to_owned() };
    root.revoke_node("office", &members[12].id, &why, None).await.unwrap();
    for machine in &machines {
        applies(shell, machine, Duration::from_secs(2));
    }
    let lines = screen(shell, "admin nodes list office --name-prefix agent-");
    assert!(lines[1].starts_with("agent-1  10.42.") && lines[1].contains("  active "), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "3 nodes: 3 active.");
    assert_eq!(screen(shell, "admin nodes unapplied office")[0].split(' ').nth(1), Some("of"));

    shell.says("admin nodes suspend office agent-1 --reason audit");
    is_soon(shell, "agent-1", "suspended");
    // Its agent is not there, and time passes.
    machines[1].stop();
    shell.rows().sql(
        "UPDATE gc_node SET seen_at = seen_at - 400, reported_at = reported_at - 400 \
         WHERE name = 'agent-2'",
    );
    is_soon(shell, "agent-2", "silent");
    applies(shell, &machines[2], Duration::from_secs(2));
    machines[1].start();
    applies(shell, &machines[1], STARTED);
    shell.says("admin nodes reinstate office agent-1");
    applies(shell, &machines[0], STARTED);
    shell.says("admin nodes release office agent-3");
    applies(shell, &machines[0], Duration::from_secs(2));
    assert!(!conditions(shell).contains_key("agent-3"));
    let lines = screen(shell, "admin addresses list office");
    assert!(lines.iter().any(|line| line.contains(" quarantined ") && line.contains("agent-3")));
}

struct Member {
    id: String,
    client: Client,
    generation: i64,
}

impl Member {
    async fn report(&self, revision: i64) {
        let report = Report {
            revision,
            generation: self.generation,
            nebula: Some("1.11.0".to_owned()),
            agent: Some("0.2.0".to_owned()),
            platform: Some("linux/x86_64".to_owned()),
            ..Report::default()
        };
        self.client.report_own_node(&report).await.unwrap();
    }
}

async fn enroll(shell: &Shell, root: &Client, name: String) -> Member {
    let body = EnrollmentBody {
        network: Some("office".to_owned()),
        name,
        public_key: new_key().to_pem(),
        node_token: new_node_token().unwrap(),
        ..EnrollmentBody::default()
    };
    let enrolled = root.enroll_node(&body).await.unwrap().enrolled().unwrap();
    let client = Client::new(&shell.url).unwrap().with_key(body.node_token.expose());
    Member { id: enrolled.node, client, generation: enrolled.generation }
}

async fn three_hundred_nodes_are_told_in_one_look(shell: Shell) {
    shell.json("networks create --name office --prefixes 10.42.0.0/16", &[]);
    let key = std::fs::read_to_string(shell.place.path().join("nebula-gc-data/operator.key"));
    let root = Client::new(&shell.url).unwrap().with_key(key.unwrap().trim());
    let mut members = vec![];
    for number in 0..COUNT {
        members.push(enroll(&shell, &root, name(number)).await);
    }
    let why = ReasonBody { reason: "audit".to_owned() };
    for (number, member) in members.iter().enumerate() {
        match kind(number) {
            "suspended" => drop(root.suspend_node("office", &member.id, &why, None).await.unwrap()),
            "revoked" => drop(root.revoke_node("office", &member.id, &why, None).await.unwrap()),
            _ => {}
        }
    }
    let revision = root.read_network("office").await.unwrap().revision;
    for (number, member) in members.iter().enumerate() {
        match kind(number) {
            "active" | "silent" => member.report(revision).await,
            "behind" => member.report(revision - 3).await,
            _ => {}
        }
    }
    // What time would bring about.
    let of_kind = |wanted: &str| {
        let numbers = (0..COUNT).filter(|number| kind(*number) == wanted);
        numbers.map(|number| format!("'{}'", name(number))).collect::<Vec<_>>().join(", ")
    };
    shell.rows().sql(&format!(
        "UPDATE gc_node SET seen_at = seen_at - 400, reported_at = reported_at - 400 \
         WHERE name IN ({}); UPDATE gc_certificate SET not_after = not_before + 1 \
         WHERE node IN (SELECT id FROM gc_node WHERE name IN ({}));",
        of_kind("silent"),
        of_kind("expired"),
    ));

    let found = conditions(&shell);
    for number in 0..COUNT {
        assert_eq!(found[&name(number)], kind(number), "{}", name(number));
    }
    lists(&shell);
    addresses(&shell);
    each_cause_is_seen_at_once(&shell, &root, &members, revision).await;
    agents_are_seen_as_they_are(&shell, &root, &members).await;
}

fn lists(shell: &Shell) {
    let lines = screen(shell, "admin nodes list office");
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["NAME", "ADDRESS", "STATE", "CERT", "SEEN"]
    );
    for number in 0..COUNT {
        let line = lines.iter().find(|line| line.starts_with(&format!("{} ", name(number))));
        let words: Vec<_> = line.unwrap().split_whitespace().collect();
        assert_eq!(words[2], kind(number), "{words:?}");
        if kind(number) == "behind" {
            assert_eq!(words[3], "3", "{words:?}");
        }
    }
    let summary =
        "300 nodes: 50 active, 50 behind, 50 silent, 50 expired, 50 suspended, 50 revoked.";
    assert!(lines.join(" ").ends_with(summary), "{:?}", lines.last());
    let wide = shell.says("admin nodes list office --wide --limit 2");
    assert!(wide.starts_with("ID ") && wide.contains("USER") && wide.contains("linux/x86_64"));

    let lines = screen(shell, "admin nodes expiring office --within 1d");
    assert_eq!(lines.len(), 52, "those that have ended, the head and the summary");
    let ending = shell.json("nodes expiring office --within 1d", &[]);
    let ending = ending["items"].as_array().unwrap();
    assert!(ending.iter().all(|node| node["condition"] == "expired") && ending.len() == 50);
    let all = shell.json("nodes expiring office --within 15d", &[]);
    let all = all["items"].as_array().unwrap();
    assert_eq!(all.len(), 200, "all that are not kept out");
    assert_eq!(all[0]["condition"], "expired", "what ends first comes first");
}

fn addresses(shell: &Shell) {
    shell.says("admin reservations create office --range 10.42.9.1-10.42.9.9 --purpose nobody --note routers");
    shell.says(&["admin", "nodes", "release", "office", &name(0)]);
    let lines = screen(shell, "admin addresses list office");
    assert!(
        lines[1].starts_with("10.42.0.1 ") && lines[1].contains(" quarantined "),
        "{}",
        lines[1]
    );
    assert!(lines[1].contains(" released: laptop-with-a-name"), "{}", lines[1]);
    let summary = "299 leased, 1 in quarantine, 1 reservation, ";
    assert!(lines.last().unwrap().starts_with(summary), "{:?}", lines.last());
    let list = shell.json("addresses list office", &[]);
    let items = list["items"].as_array().unwrap();
    let of = |used: &str| items.iter().filter(|item| item["use"] == used).count();
    assert_eq!((of("leased"), of("reserved"), of("quarantined")), (299, 1, 1));
    // Around the reservation; on PostgreSQL an instance holds a part of one of them.
    assert!((2..=3).contains(&of("free")) && items.len() == 301 + of("free"), "{}", items.len());
    let kept = items.iter().find(|item| item["use"] == "quarantined").unwrap();
    assert!(kept["until"].is_string() && kept["nodeName"] == name(0).as_str(), "{kept}");
}

async fn each_cause_is_seen_at_once(
    shell: &Shell,
    root: &Client,
    members: &[Member],
    revision: i64,
) {
    let revision = root.read_network("office").await.unwrap().revision.max(revision);
    members[1].report(revision).await;
    is_soon(shell, &name(1), "active");
    let why = ReasonBody { reason: "stolen".to_owned() };
    root.revoke_node("office", &members[6].id, &why, None).await.unwrap();
    is_soon(shell, &name(6), "revoked");
    is_soon(shell, &name(1), "behind");
    // Whatever it asks ends its silence.
    members[2].client.read_own_node().await.unwrap();
    is_soon(shell, &name(2), "behind");
    root.reinstate_node("office", &members[4].id, None).await.unwrap();
    is_soon(shell, &name(4), "active");
}
