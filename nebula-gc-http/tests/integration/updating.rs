//! `nebula-gc update`: what a round brings to a machine without an agent, and what it tells the server.

use crate::support::shell::{Shell, text};
use serde_json::Value;
use std::time::{Duration, Instant};

on_both_engines! {
    a_round_renews_when_an_operator_asks_for_it
    what_nebula_has_not_taken_over_is_not_reported
    a_round_learns_which_servers_there_are
    a_broken_file_of_the_users_own_keeps_no_revocation_away
    another_link_of_the_same_network_makes_no_second_node
}

const UPDATE: &str = "update device";

/// One device of a network, whose Nebula somebody else runs.
fn join(shell: &Shell) {
    shell.json("networks create --name office --prefixes 10.42.0.0/16", &[]);
    let token = shell.json("join-tokens create office --name laptops", &[]);
    let link = token["link"].as_str().unwrap();
    shell.says(&["join", link, "--name", "laptop", "--out", "device", "--tun-device", "mine"]);
}

/// A program that says it is nebula, and accepts a configuration once there is a file `accepts`. Another
/// program writes it: a child of another test would inherit a file that is open here.
fn fake_nebula(shell: &Shell) -> String {
    let script = r#"#!/bin/sh
case "$1" in
-version) echo "Version: 1.9.3";;
-test) test -e "${0%/*}/accepts";;
esac
"#;
    let mut command = std::process::Command::new("sh");
    command
        .current_dir(shell.place.path())
        .args(["-c", "printf %s \"$0\" > nebula; chmod 755 nebula"]);
    assert!(command.arg(script).status().unwrap().success());
    shell.place.path().join("nebula").to_str().unwrap().to_owned()
}

/// The exit code of a command line, and what it prints.
fn round(shell: &Shell, line: &str) -> (Option<i32>, String) {
    let output = shell.run(line);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

fn file(shell: &Shell, name: &str) -> Value {
    let path = shell.place.path().join("device").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What the server knows to be applied: a generation.
fn applied(shell: &Shell) -> Value {
    shell.json("nodes show office laptop", &[])["applied"]["generation"].clone()
}

async fn a_round_renews_when_an_operator_asks_for_it(shell: Shell) {
    join(&shell);
    assert_eq!(round(&shell, UPDATE).0, Some(0));
    // What is asked for in the second of the certificate's issue is not before it.
    let begun = Instant::now();
    let mut last = (None, String::new());
    while last.0 != Some(10) {
        assert!(begun.elapsed() < Duration::from_secs(9), "it does not renew: {last:?}");
        shell.json("networks renew office", &[]);
        last = round(&shell, UPDATE);
    }
    let certificates = shell.json("nodes certificates office laptop", &[]);
    assert_eq!(certificates["items"].as_array().unwrap().len(), 2);
    assert_eq!(round(&shell, UPDATE).0, Some(0));
}

async fn what_nebula_has_not_taken_over_is_not_reported(shell: Shell) {
    join(&shell);
    // Joined, and no Nebula was started.
    assert_eq!(applied(&shell), Value::Null);
    // A round that changes nothing finds what the one before has brought in force.
    assert_eq!(round(&shell, UPDATE).0, Some(0));
    assert_eq!(applied(&shell), 1);
    shell.json("nodes set office laptop --groups sales", &[]);
    let (code, said) = round(&shell, UPDATE);
    assert_eq!((code, applied(&shell)), (Some(11), 1.into()), "{said}");
    let told = shell.json("nodes show office laptop", &[]);
    assert_eq!((&told["restartNeeded"], &told["condition"]), (&true.into(), &"behind".into()));
    assert_eq!(round(&shell, UPDATE).0, Some(0));
    assert_eq!(applied(&shell), 2);
    let told = shell.json("nodes show office laptop", &[]);
    assert_eq!((&told["restartNeeded"], &told["condition"]), (&false.into(), &"active".into()));
    // By a command of the user's it is at once, if that does what it should.
    shell.json("nodes set office laptop --groups sales,tea", &[]);
    let output = shell.run(&["update", "device", "--restart", "touch restarted"]);
    assert_eq!((output.status.code(), applied(&shell)), (Some(11), 3.into()));
    assert!(shell.place.path().join("restarted").exists());
    shell.json("nodes set office laptop --groups tea", &[]);
    let output = shell.run(&["update", "device", "--restart", "exit 3"]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), applied(&shell)), (Some(1), 3.into()), "{said}");
    assert!(said.contains("the next round runs it again"), "{said}");
    let output = shell.run(&["update", "device", "--restart", "touch again"]);
    assert_eq!((output.status.code(), applied(&shell)), (Some(11), 4.into()));
    assert!(shell.place.path().join("again").exists());
    let output = shell.run(&["update", "device", "--restart", "exit 3"]);
    assert_eq!(output.status.code(), Some(0), "nothing is left to be done");
    // What the machine's user chose stays.
    let configuration = shell.place.path().join("device/current/nebula.yml");
    assert!(std::fs::read_to_string(configuration).unwrap().contains("mine"));
}

async fn a_round_learns_which_servers_there_are(shell: Shell) {
    join(&shell);
    let list = format!(r#"[{{"url": "http://127.0.0.1:9"}}, {{"url": "{}"}}]"#, shell.url);
    std::fs::write(shell.place.path().join("servers.json"), list).unwrap();
    let set = shell.json("servers set --servers @servers.json", &[]);
    assert_eq!(round(&shell, UPDATE).0, Some(0));
    let known = file(&shell, "node.json");
    assert_eq!(known["serial"], set["serial"]);
    assert_eq!(known["servers"].as_array().unwrap().len(), 2);
    // The first does not answer, and the other does.
    assert_eq!(round(&shell, UPDATE).0, Some(0));
}

#[test]
fn a_first_configuration_that_nebula_refuses_is_not_to_be_started() {
    let shell = Shell::new();
    let nebula = fake_nebula(&shell);
    shell.json("networks create --name office --prefixes 10.42.0.0/16", &[]);
    let link = shell.json("join-tokens create office --name laptops", &[])["link"].clone();
    let join = ["join", link.as_str().unwrap(), "--name", "laptop", "--out", "device", "--nebula"];
    let output = shell.run(&[&join[..], &["nowhere"]].concat()[..]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("nowhere is not there"), "{said}");
    let output = shell.run(&[&join[..], &[&nebula]].concat()[..]);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("refuses the configuration"), "{said}");

    let update = ["update", "device", "--restart", "touch restarted"];
    let is_restarted = || shell.place.path().join("restarted").exists();
    let refused = || {
        let output = shell.run(&update);
        let said = text(&output.stderr);
        assert!(said.contains("there is no former one to go back to"), "{said}");
        assert_eq!((output.status.code(), applied(&shell)), (Some(1), Value::Null));
        assert!(!is_restarted());
    };
    refused();
    refused();
    // Another one, which is refused as well, has nothing to go back to either.
    shell.json("nodes set office laptop --groups sales", &[]);
    refused();
    shell.file("accepts", "");
    let output = shell.run(&update);
    assert_eq!((output.status.code(), applied(&shell)), (Some(11), 2.into()));
    assert!(is_restarted());
}

#[test]
fn a_nebula_for_one_round_is_to_be_there_and_is_not_kept() {
    let shell = Shell::new();
    join(&shell);
    let nebula = fake_nebula(&shell);
    shell.file("accepts", "");
    let said = shell.fails(1, "update device --nebula nowhere");
    assert!(said.contains("nowhere is not there"), "{said}");
    let said = shell.fails(1, "update device --nebula /bin/false");
    assert!(said.contains("does not answer as a release of nebula does"), "{said}");
    // A round that changes what is kept.
    let list = format!(r#"[{{"url": "{}"}}]"#, shell.url);
    shell.file("servers.json", &list);
    shell.json("servers set --servers @servers.json", &[]);
    assert_eq!(round(&shell, &format!("{UPDATE} --nebula {nebula}")).0, Some(0));
    let known = file(&shell, "node.json");
    assert_eq!(known["local"]["nebula"], Value::Null);
    assert!(known["serial"].as_i64() > Some(0), "{known}");
}

#[test]
fn while_another_uses_the_directory_nothing_is_done_and_no_choice_is_lost() {
    let shell = Shell::new();
    join(&shell);
    let link = shell.json("join-tokens create office --name more", &[])["link"].clone();
    let again = format!("join {} --name laptop --out device", link.as_str().unwrap());
    let lock = std::fs::File::open(shell.place.path().join("device/lock")).unwrap();
    lock.lock().unwrap();
    let said = "is in use by an agent or another command; nothing to do\n";
    assert!(shell.says(&again).ends_with(said));
    let (code, printed) = round(&shell, UPDATE);
    assert!(code == Some(12) && printed.ends_with(said), "{printed}");
    for choice in ["--tun-device x", "--allow-sshd", "--nebula x", "--endpoint 192.0.2.1:4242"] {
        let refused = shell.fails(1, &format!("{again} {choice}"));
        assert!(refused.contains("stop the agent to change this"), "{choice}: {refused}");
    }
}

async fn a_broken_file_of_the_users_own_keeps_no_revocation_away(shell: Shell) {
    join(&shell);
    let link = shell.json("join-tokens create office --name more", &[])["link"].clone();
    let stolen = ["join", link.as_str().unwrap(), "--name", "stolen", "--out", "stolen"];
    shell.says(&stolen);
    let issued = shell.json("nodes certificates office stolen", &[]);
    let fingerprint = issued["items"][0]["fingerprint"].as_str().unwrap();
    assert_eq!(round(&shell, UPDATE).0, Some(0));
    let before = applied(&shell);
    shell.json("nodes set office laptop --groups sales", &[]);
    shell.json("nodes revoke office stolen --reason lost", &[]);

    std::fs::create_dir(shell.place.path().join("device/local.d")).unwrap();
    shell.file("device/local.d/mine.yml", "tun: [");
    let current = || {
        let file = shell.place.path().join("device/current/nebula.yml");
        std::fs::read_to_string(file).unwrap()
    };
    let (code, said) = round(&shell, UPDATE);
    assert!(code == Some(10) && said.contains("only revocations and CAs"), "{code:?} {said}");
    assert!(current().contains(fingerprint));
    let (code, said) = round(&shell, UPDATE);
    assert!(code == Some(1) && said.contains("mine.yml"), "{code:?} {said}");
    assert_eq!(applied(&shell), before, "it is behind");
    shell.file("device/local.d/mine.yml", "tun: {tx_queue: 600}");
    assert!(matches!(round(&shell, UPDATE).0, Some(10 | 11)));
    assert!(current().contains("600") && current().contains(fingerprint));
}

async fn another_link_of_the_same_network_makes_no_second_node(shell: Shell) {
    let link = |network: &str, name: &str| {
        let token = shell.json(&format!("join-tokens create {network} --name {name}"), &[]);
        token["link"].as_str().unwrap().to_owned()
    };
    let join = |link: &str| {
        shell.run(&["join", link, "--name", "laptop", "--dir", "nodes"]);
        let nodes = std::fs::read_dir(shell.place.path().join("nodes")).unwrap();
        let mut names: Vec<_> =
            nodes.map(|node| node.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    shell.json("networks create --name office --prefixes 10.42.0.0/16", &[]);
    shell.json("networks create --name home --prefixes 10.43.0.0/16", &[]);
    assert_eq!(join(&link("office", "first")), ["office"]);
    assert_eq!(join(&link("home", "first")), ["home", "office"]);
    assert_eq!(join(&link("office", "second")), ["home", "office"]);
    assert_eq!(join(&link("home", "second")), ["home", "office"]);
    for network in ["office", "home"] {
        let nodes = shell.json(&format!("nodes list {network}"), &[]);
        assert_eq!(nodes["items"].as_array().unwrap().len(), 1, "{nodes}");
    }
}

#[test]
fn status_is_about_the_directories_of_nodes_alone() {
    let shell = Shell::new();
    join(&shell);
    // The server's data is beside the node's directory.
    let output = shell.run("status --dir . --output json");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let networks = status["networks"].as_array().unwrap();
    assert_eq!((networks.len(), &networks[0]["network"]), (1, &"office".into()), "{status}");
}
