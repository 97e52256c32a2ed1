//! Names in the audit log, and commands that take the names of what has ended.

use serde_json::Value;

use crate::support::shell::Shell;

on_both_engines! {
    events_name_what_they_are_about_also_when_it_is_renamed_or_gone
    what_has_ended_is_named_where_it_is_only_read
}

fn join(shell: &Shell, token: &str, name: &str) -> String {
    let link = shell.json(&format!("join-tokens create office --name {token}"), &[]);
    shell.says(&["join", link["link"].as_str().unwrap(), "--name", name, "--out", token]);
    shell.json(&format!("nodes show office {name}"), &[])["id"].as_str().unwrap().to_owned()
}

fn make(shell: &Shell) {
    shell.json("networks create --name office --prefixes 10.42.0.0/16", &[]);
}

/// What happened, and to what.
fn events(list: &Value) -> Vec<(String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or("-").to_owned();
    let items = list["items"].as_array().unwrap();
    items.iter().map(|it| (text(it, "kind"), text(it, "subjectName"))).collect()
}

async fn events_name_what_they_are_about_also_when_it_is_renamed_or_gone(shell: Shell) {
    make(&shell);
    let node = join(&shell, "laptops", "laptop");
    shell.json("nodes rename office laptop --name build-1", &[]);
    shell.json("networks rename office --name hq", &[]);
    shell.says("admin join-tokens revoke hq laptops");
    let tenant = shell.json("tenants create --name short", &[])["id"].clone();
    shell.says("admin tenants delete short");
    shell.json("networks add-ca hq --name hq-2", &[]);
    let list = shell.json("events list", &[]);
    let told = events(&list);
    for (kind, name) in [
        ("node.enrolled", "build-1"),
        ("network.created", "hq"),
        ("join_token.revoked", "laptops"),
        ("ca.activated", "hq-2"),
        ("tenant.created", "short"),
        ("tenant.deleted", "short"),
    ] {
        assert!(told.contains(&(kind.to_owned(), name.to_owned())), "{kind} {name}: {told:#?}");
    }
    // Programs have both.
    let items = list["items"].as_array().unwrap();
    let of = |kind: &str| items.iter().find(|it| it["kind"] == kind).unwrap();
    assert_eq!(of("node.enrolled")["subject"], node.as_str());
    assert_eq!(of("node.enrolled")["actorName"], "laptops");
    assert_eq!(of("node.enrolled")["networkName"], "hq");
    assert_eq!(of("tenant.deleted")["subject"], tenant);
    let table = shell.says("admin events list");
    let line = table.lines().find(|line| line.contains(" node.enrolled ")).unwrap();
    for name in [" join_token:laptops ", " hq ", " build-1 "] {
        assert!(line.contains(name), "{line}");
    }
    assert!(!line.contains(&node), "{line}");

    let of_node = shell.json(&format!("events of hq --subject {node}"), &[]);
    assert!(!of_node["items"].as_array().unwrap().is_empty());
    assert_eq!(shell.json("events of hq --subject build-1", &[]), of_node);
    let token = events(&shell.json("events of hq --subject laptops", &[]));
    assert_eq!(token.last().unwrap().0, "join_token.revoked");
    let network = events(&shell.json("events list --subject hq", &[]));
    assert_eq!(network[0].0, "network.created");
    let nothing = shell.fails(1, "admin events of hq --subject nobody");
    assert!(nothing.contains("none of the nodes, join-tokens, cas has the name"), "{nothing}");
}

async fn what_has_ended_is_named_where_it_is_only_read(shell: Shell) {
    make(&shell);
    let first = join(&shell, "one", "laptop");
    shell.says("admin nodes release office laptop");
    assert_eq!(shell.json("nodes show office laptop", &[])["id"], first.as_str());
    assert_eq!(shell.json("nodes show laptop", &[])["state"], "released");
    assert!(shell.says("admin nodes certificates laptop").contains("revoked"));
    let refused = shell.fails(1, "admin nodes revoke office laptop --reason stolen");
    assert!(refused.contains("no node of office has the name"), "{refused}");
    // One that there is comes first; of several that there were, one is chosen by its id.
    let second = join(&shell, "two", "laptop");
    assert_eq!(shell.json("nodes show office laptop", &[])["id"], second.as_str());
    let about = events(&shell.json("events of --subject laptop --kind node.enrolled", &[]));
    assert_eq!(about.len(), 1);
    shell.says("admin nodes release office laptop");
    let several = shell.fails(1, "admin nodes show office laptop");
    assert!(several.contains("give the id: ") && several.contains(&first), "{several}");
    let ca = shell.json("networks cas", &[])["items"][0].clone();
    let third = join(&shell, "three", "phone");
    let of_ca = shell.json("nodes list office", &["--ca", ca["name"].as_str().unwrap()]);
    assert_eq!(of_ca["items"][0]["id"], third.as_str());
}
