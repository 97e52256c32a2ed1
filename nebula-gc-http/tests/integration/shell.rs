//! What people give `nebula-gc` in place of JSON and ids, and what they are shown.

use crate::support::shell::{Shell, text};
use nebula_pki::{Certificate, Curve};
use serde_json::{Value, json};

/// The certificates that a network trusts.
fn cas(shell: &Shell, network: &str) -> Vec<Certificate> {
    let pem = shell.says(&format!("admin networks ca {network}"));
    Certificate::from_pem_many(pem.as_bytes()).unwrap()
}

#[test]
fn a_networks_ca_is_said_in_flags() {
    let shell = Shell::new();
    let made = shell.json("networks create --name a --prefixes 10.1.0.0/24 --curve P256 --ca-name roots --ca-lifetime 2y", &[]);
    assert_eq!(made["curve"], "P256");
    let ca = cas(&shell, "a")[0].clone();
    let details = ca.unverified_details();
    assert_eq!((details.name_bytes(), ca.curve()), (b"roots".as_slice(), Curve::P256));
    // It begins an hour before now.
    assert_eq!(details.not_after() - details.not_before(), 2 * 365 * 86_400 + 3600);

    // Another, by its name; whoever asks again does not get one more.
    shell.says("admin networks add-ca a --name roots-2");
    assert_eq!(cas(&shell, "a").len(), 2);
    let again = shell.fails(1, "admin networks add-ca a --name roots-2");
    assert!(again.contains("name") && again.ends_with("(conflict)\n"), "{again}");
    assert_eq!(cas(&shell, "a").len(), 2);

    let elsewhere = shell.ca_from_elsewhere();
    let flags = "--ca-certificate @old.crt --ca-key @old.key";
    shell.says(&format!("admin networks create --name b --prefixes 10.2.0.0/24 {flags}"));
    assert_eq!(cas(&shell, "b")[0].fingerprint(), elsewhere.certificate().fingerprint());

    // Of which only the lifetime is said, it has the network's name.
    shell.says("admin networks create --name d --prefixes 10.4.0.0/24 --ca-lifetime 30d");
    let ca = cas(&shell, "d")[0].clone();
    let details = ca.unverified_details();
    assert_eq!(details.name_bytes(), b"d");
    assert_eq!(details.not_after() - details.not_before(), 30 * 86_400 + 3600);

    let create = "admin networks create --name c --prefixes 10.3.0.0/24";
    for (code, flags, told) in [
        (2, "--ca {} --ca-name x", "--ca"),
        (2, "--ca-certificate old.crt --ca-key @old.key", "@FILE"),
        (2, "--ca-certificate @old.crt --ca-key old.key", "@FILE"),
        (2, "--ca-certificate @none.crt --ca-key @old.key", "No such file"),
        (1, "--ca-certificate @old.crt", "key: is missing"),
        (1, "--ca-lifetime 1h", "nebula-gc: --ca-lifetime: "),
        (1, "--ca-name x --ca-lifetime 1h", "nebula-gc: --ca-lifetime: "),
        (1, "--ca-name x --ca-signer hsm", "name"),
        (1, "--ca-signer hsm", "signer"),
        (1, "--ca-certificate @old.key --ca-key @old.key", "certificate"),
    ] {
        let said = shell.fails(code, &format!("{create} {flags}"));
        assert!(said.contains(told), "{flags}: {said}");
    }
    shell.fails(1, "admin networks show c");
}

#[test]
fn nodes_are_named_by_their_names() {
    let shell = Shell::new();
    shell.says("admin networks create --name n --prefixes 10.1.0.0/24");
    let link = shell.json("join-tokens create n --name t --uses 3", &[])["link"].clone();
    for name in ["web", "web-2"] {
        shell.says(&format!("join {} --name {name} --out {name}", link.as_str().unwrap()));
    }
    let by_name = shell.json("nodes show n web", &[]);
    assert_eq!(by_name["addresses"], json!(["10.1.0.1"]));
    let id = by_name["id"].as_str().unwrap();
    assert_eq!(shell.json(&format!("nodes show n {id}"), &[]), by_name);
    assert_eq!(shell.json("nodes set n web-2 --groups a", &[])["groups"], json!(["a"]));
    assert!(shell.says("admin nodes release n web").starts_with("web is released; revision "));
    // A released node is still read by its name, but has none that others might not have.
    assert_eq!(shell.json("nodes show n web", &[])["id"], id);
    let gone = shell.fails(1, "admin nodes renew n web");
    assert!(gone.contains("no node of n has the name \"web\""), "{gone}");
    assert_eq!(shell.json(&format!("nodes show n {id}"), &[])["state"], "released");
    assert!(shell.fails(1, "admin nodes show m web").contains("(not_found)"));
}

#[test]
fn what_is_in_the_way_of_an_import_is_a_table() {
    let shell = Shell::new();
    shell.says("admin networks create --name n --prefixes 10.1.0.0/24");
    shell.ca_from_elsewhere();
    // It keeps the import undone, which the exit code tells.
    let output = shell.run("admin networks import n --certificates @old.crt --dry-run");
    assert_eq!(output.status.code(), Some(1));
    let report = text(&output.stdout);
    let lines: Vec<_> = report.lines().skip_while(|line| *line != "CONFLICTS").collect();
    assert!(lines[1].starts_with("  INDEX  NAME  REASON"), "{report}");
    assert!(lines[2].starts_with("  0      old   "), "{report}");
    let file = shell.fails(2, "admin networks import n --certificates hosts.pem");
    assert!(file.contains("@FILE"), "{file}");
}

#[test]
fn what_cant_be_done_is_told_with_what_to_do() {
    let shell = Shell::new();
    // With nothing in it but the first operator key.
    assert_eq!(shell.says("verify"), "No inconsistencies found.\n");
    shell.says("admin networks create --name n --prefixes 10.1.0.0/24");
    let link = shell.json("join-tokens create n --name t --uses 9", &[])["link"].clone();
    let link = link.as_str().unwrap();
    let https = shell.url.replacen("http:", "https:", 1);
    shell.file("empty", "\n");
    shell.file("signers.toml", "[signers.hsm]\npkcs11 = \"token=x\"\n");
    let port = shell.url.rsplit(':').next().unwrap();
    for (line, told) in [
        (format!("admin --server {https} networks list"), "does it speak HTTPS?"),
        ("admin --key-file empty networks list".to_owned(), "empty: contains no operator key"),
        ("admin --key-file signers.toml networks list".to_owned(), "contains no operator key"),
        (format!("serve --data other --listen 127.0.0.1:{port}"), "--listen names another"),
        ("serve --data empty --listen 127.0.0.1:0".to_owned(), "data: empty: "),
        ("serve --config none".to_owned(), "config: none: "),
        ("serve --listen 127.0.0.1:0 --tls-certificate none --tls-key none".to_owned(), "tls-cert"),
        ("serve --config signers.toml --listen 127.0.0.1:0".to_owned(), "begins with pkcs11:"),
        ("verify --database postgres://u:secret@127.0.0.1:1/x".to_owned(), "refused"),
        (format!("join {link} --name a --out p --curve P256"), "--curve"),
        (
            format!("join {link} --name a --out p --curve 25519"),
            "another --out than p, which already contains a key",
        ),
    ] {
        let said = shell.fails(1, &line);
        assert!(said.contains(told) && !said.contains("secret"), "{line}: {said}");
    }
    let foreign = shell.place.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    let other = rusqlite::Connection::open(foreign.join("nebula-gc.db")).unwrap();
    other.execute("CREATE TABLE songs (title TEXT)", []).unwrap();
    let told = shell.fails(1, "verify --data foreign");
    assert!(told.contains("another program"), "{told}");
    // A field is named once, without a place in a text that nobody has seen.
    let prefix = shell.fails(1, "admin networks create --name b --prefixes 10.0.0.1/8");
    assert!(prefix.contains("did you mean 10.0.0.0/8? (invalid_request)"), "{prefix}");
    shell.says(&format!("join {link} --name a --out a"));
    let called = shell.run(&format!("join {link} --name b --out a"));
    assert!(text(&called.stderr).contains("already in the network as \"a\""), "{called:?}");
}

#[test]
fn a_device_joins_as_a_lighthouse() {
    let shell = Shell::new();
    shell.says("admin networks create --name n --prefixes 10.1.0.0/24");
    let plain = shell.json("join-tokens create n --name t", &[])["link"].clone();
    let join = |link: &Value, endpoint: &str| {
        format!("join {} --name a --out a --endpoint {endpoint}", link.as_str().unwrap())
    };
    let refused = shell.fails(1, &join(&plain, "192.0.2.1:4242"));
    assert!(refused.contains("lighthouse"), "{refused}");
    let link = shell.json("join-tokens create n --name t --lighthouse", &[])["link"].clone();
    for (endpoint, told) in [("192.0.2.1", "lighthouse.endpoint"), ("192.0.2.1:0", "lighthouse")] {
        let refused = shell.fails(1, &join(&link, endpoint));
        assert!(refused.contains(told), "{refused}");
    }
    shell.says(&join(&link, "192.0.2.1:4242"));
    let yaml = std::fs::read_to_string(shell.place.path().join("a/current/nebula.yml")).unwrap();
    assert!(yaml.contains("am_lighthouse: true") && yaml.contains("4242"), "{yaml}");
    let node = shell.json("nodes show n a", &[]);
    assert_eq!(node["lighthouse"]["endpoint"], "192.0.2.1:4242");
}
