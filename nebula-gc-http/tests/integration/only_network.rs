//! The network of a command, where it is not named: from a flag, the environment, or the only one.

use serde_json::Value;

use crate::support::shell::{Shell, text};

on_both_engines! {
    the_only_network_need_not_be_named
    of_several_networks_one_is_named_by_an_argument_a_flag_or_the_environment
}

fn make(shell: &Shell, network: &str, prefix: &str, nodes: &[&str]) {
    shell.json(&format!("networks create --name {network} --prefixes {prefix}"), &[]);
    let link =
        shell.json(&format!("join-tokens create {network} --name all --uses 9 --user anna"), &[]);
    for name in nodes {
        let out = format!("{network}-{name}");
        shell.says(&["join", link["link"].as_str().unwrap(), "--name", name, "--out", &out]);
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

/// What a command answers where `NEBULAGC_NETWORK` names this network.
fn with_variable(shell: &Shell, network: &str, line: &str) -> Value {
    let line = format!("admin {line} --output json");
    let output = shell.command(&line).env("NEBULAGC_NETWORK", network).output().unwrap();
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn the_only_network_need_not_be_named(shell: Shell) {
    let none = shell.fails(1, "admin nodes list");
    assert!(none.contains("network: there is none yet") && none.contains("create"), "{none}");
    make(&shell, "office", "10.42.0.0/16", &["gate", "laptop"]);
    // An answer is the same with the network and without.
    for (without, with) in [
        ("nodes list", "nodes list office"),
        ("nodes show laptop", "nodes show office laptop"),
        ("networks show", "networks show office"),
        ("addresses list", "addresses list office"),
        ("events of", "events of office"),
        ("nodes unapplied --revision 1", "nodes unapplied office --revision 1"),
    ] {
        assert_eq!(shell.json(without, &[]), shell.json(with, &[]), "{without}");
    }
    let cas = shell.json("networks cas", &[]);
    let ca = cas["items"][0]["id"].as_str().unwrap();
    assert_eq!(shell.json("networks show-ca", &[ca])["id"], ca);
    let changed = shell.says("admin nodes set --add-group sales laptop");
    assert!(changed.starts_with("laptop is changed; revision "), "{changed}");
    assert_eq!(shell.json("networks set --lifetime 30d", &[])["lifetimeSeconds"], 30 * 86_400);
    let many = shell.says("admin nodes suspend --group sales --reason audit --yes");
    assert!(many.contains("1 node: 1 suspended"), "{many}");
    assert!(
        many.contains("Watch:  nebula-gc admin nodes unapplied office")
            || many.contains("No active")
    );
    let missing = shell.fails(1, "admin nodes show office");
    assert!(missing.contains("no node of office has the name \"office\""), "{missing}");
    let usage = shell.fails(2, "admin nodes show");
    assert!(usage.contains("<NODE>") && usage.contains("[NETWORK] <NODE>"), "{usage}");
    // What is about all networks takes none.
    assert!(shell.fails(2, "admin networks list --network office").contains("--network"));
}

async fn of_several_networks_one_is_named_by_an_argument_a_flag_or_the_environment(shell: Shell) {
    make(&shell, "home", "10.41.0.0/16", &["gate", "phone"]);
    make(&shell, "office", "10.42.0.0/16", &["gate", "laptop"]);
    for line in [
        "nodes list",
        "nodes show gate",
        "nodes revoke gate --reason lost",
        "nodes suspend --user anna --reason lost --yes",
        "networks set --lifetime 30d",
    ] {
        let said = shell.fails(2, &format!("admin {line}"));
        assert!(said.contains("network: there are several (home, office); name one"), "{said}");
        assert!(said.contains("--network") && said.contains("NEBULAGC_NETWORK"), "{said}");
    }
    for network in ["home", "office"] {
        let list = shell.json(&format!("nodes list {network}"), &[]);
        assert!(list["items"].as_array().unwrap().iter().all(|node| node["state"] == "active"));
        assert_eq!(with_variable(&shell, network, "nodes list"), list);
        for flag in ["--network", "-n"] {
            assert_eq!(shell.json(&format!("nodes list {flag} {network}"), &[]), list);
        }
        let gate = shell.json(&format!("nodes show {network} gate"), &[]);
        assert_eq!(with_variable(&shell, network, "nodes show gate"), gate);
        assert_eq!(shell.json(&format!("nodes show -n {network} gate"), &[]), gate);
        assert_eq!(shell.json(&format!("nodes show gate --network {network}"), &[]), gate);
    }
    // An argument counts for more than the environment, and a flag as well.
    assert_eq!(names(&with_variable(&shell, "home", "nodes list office")), ["gate", "laptop"]);
    assert_eq!(names(&with_variable(&shell, "home", "nodes list -n office")), ["gate", "laptop"]);
    assert_eq!(with_variable(&shell, "home", "nodes show office laptop")["name"], "laptop");
    let both = shell.fails(2, "admin nodes show -n home office laptop");
    assert!(both.contains("unexpected argument 'laptop'"), "{both}");
    // With a filter the first argument is the network, as it is without one.
    let set =
        ["admin", "nodes", "set", "office", "--user", "anna", "--add-group", "sales", "--yes"];
    assert!(shell.says(&set).contains("2 nodes: 2 changed"));
    let groups =
        |network: &str| shell.json(&format!("nodes show {network} gate"), &[])["groups"].clone();
    assert_eq!(
        (groups("home"), groups("office")),
        (serde_json::json!([]), serde_json::json!(["sales"]))
    );
    let set = "nodes set -n home gate --user berta";
    assert_eq!(shell.json(set, &[])["user"], "berta");
    let nobody = shell.fails(1, "admin nodes list -n cellar");
    assert!(nobody.contains("(not_found)"), "{nobody}");
}
