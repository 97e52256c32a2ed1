//! What is installed of a bundle: absolute paths, the machine's choices, its own settings merged.

use std::fs;
use std::process::Command;

use nebula_bundle::{
    Allowed, CheckedBundle, Error, InstallDefect, InstallFiles, InstallOptions, Installation,
    LocalDefect, LocalFile, Network, check,
};
use nebula_pki::Curve;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cases::{Case, cases};
use crate::support::inputs::{VALIDITY, blocklist, issuer, network, node_key, render};
use crate::support::peers::{numbers, releases};

const NOW: i64 = VALIDITY.not_before + 1;

fn checked(case: &Case) -> CheckedBundle {
    check(case.bundle().files(), &node_key(case.curve).public_key(), NOW).unwrap()
}

fn bundle(name: &str) -> CheckedBundle {
    checked(cases().iter().find(|case| case.name == name).unwrap())
}

fn options() -> InstallOptions {
    InstallOptions {
        directory: "/etc/nebula-gc/nodes/office/current".into(),
        key: "/etc/nebula-gc/nodes/office/node.key".into(),
        tun_device: None,
        listen_host: None,
        local: vec![],
        allowed: Allowed::default(),
        firewall_generation: 17,
    }
}

fn with_local(texts: &[&str]) -> InstallOptions {
    let local = texts
        .iter()
        .map(|text| LocalFile { name: "a.yml".to_owned(), contents: (*text).to_owned() });
    InstallOptions { local: local.collect(), ..options() }
}

fn config(files: &InstallFiles) -> Value {
    let yaml = files.files().find(|file| file.0 == "nebula.yml").unwrap().1;
    serde_saphyr::from_str(yaml).unwrap()
}

#[test]
fn every_path_is_absolute_and_all_else_is_the_bundles() {
    for case in cases() {
        let installed = checked(&case).to_install(&options()).unwrap();
        let mut expected: Value =
            serde_saphyr::from_str(case.bundle().file("nebula.yml").unwrap()).unwrap();
        expected["pki"]["ca"] = json!("/etc/nebula-gc/nodes/office/current/ca.crt");
        expected["pki"]["cert"] = json!("/etc/nebula-gc/nodes/office/current/node.crt");
        expected["pki"]["key"] = json!("/etc/nebula-gc/nodes/office/node.key");
        expected["firewall"]["x_generation"] = json!(17);
        assert_eq!(config(&installed), expected, "{}", case.name);
        assert_eq!(installed.overridden(), [""; 0]);
        assert_eq!(installed.firewall_generation(), Ok(17));
    }
    for (directory, key) in [("current", "/k"), ("/current", "node.key"), ("", "/k")] {
        let options = InstallOptions { directory: directory.into(), key: key.into(), ..options() };
        let refused = bundle("groups").to_install(&options);
        assert!(
            matches!(refused, Err(Error::Install { defect: InstallDefect::NotAbsolute, .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn the_node_chooses_its_device_and_the_address_to_listen_on() {
    let chosen = InstallOptions {
        tun_device: Some("office".to_owned()),
        listen_host: Some("0.0.0.0".to_owned()),
        ..options()
    };
    let config = config(&bundle("groups").to_install(&chosen).unwrap());
    assert_eq!((&config["tun"]["dev"], &config["tun"]["mtu"]), (&json!("office"), &json!(1300)));
    assert_eq!(config["listen"], json!({"host": "0.0.0.0", "port": 0}));

    for device in ["", "a/b", "sixteen-letters-"] {
        let chosen = InstallOptions { tun_device: Some(device.to_owned()), ..options() };
        let refused = bundle("groups").to_install(&chosen);
        assert!(matches!(refused, Err(Error::TunDevice { .. })), "{device}: {refused:?}");
    }
    let chosen = InstallOptions { listen_host: Some("somewhere".to_owned()), ..options() };
    let refused = bundle("groups").to_install(&chosen);
    assert!(
        matches!(refused, Err(Error::Install { defect: InstallDefect::NotAnAddress, .. })),
        "{refused:?}"
    );
}

#[test]
fn own_settings_merge_as_mappings_and_replace_all_else() {
    let local = with_local(&[
        "# nothing\n\n",
        "listen:\n  port: 4343\ntun:\n  unsafe_routes: []\nlogging: {level: debug}\n",
        "listen: {port: 4444}\nlogging: {level: warning, format: json}\npreferred_ranges: ['10.0.0.0/8']\n",
    ]);
    let installed = bundle("groups").to_install(&local).unwrap();
    let found = config(&installed);
    assert_eq!(found["listen"], json!({"host": "::", "port": 4444}));
    assert_eq!(found["tun"]["unsafe_routes"], json!([]));
    assert_eq!(found["tun"]["mtu"], json!(1300));
    assert_eq!(found["logging"], json!({"level": "warning", "format": "json"}));
    assert_eq!(
        installed.overridden(),
        ["listen.port", "logging", "preferred_ranges", "tun.unsafe_routes"]
    );
    // What it sets as the bundle does overrides nothing.
    let same = bundle("groups").to_install(&with_local(&["listen: {port: 0}"])).unwrap();
    assert_eq!(same.overridden(), [""; 0]);
    assert_eq!(same, bundle("groups").to_install(&options()).unwrap());
    // Unlike with Nebula's own merging, a later file can turn off what an earlier one turned on.
    let off = bundle("groups").to_install(&with_local(&["punchy: {punch: false}"])).unwrap();
    assert_eq!(config(&off)["punchy"]["punch"], json!(false));
}

#[test]
fn identity_and_peers_are_never_set_by_the_machine() {
    for (section, text) in [
        ("pki", "pki: {blocklist: []}"),
        ("pki", "pki:"),
        ("pki", "\"pki\": {key: /k}"),
        ("static_host_map", "static_host_map: {}"),
        ("lighthouse", "lighthouse: {hosts: []}"),
        ("relay", "relay: {am_relay: true}"),
        ("firewall", "firewall: {inbound: []}"),
        ("sshd", "sshd: {enabled: true}"),
    ] {
        let refused = bundle("groups").to_install(&with_local(&["a: 1", text]));
        let defect = LocalDefect::Section { section: section.to_owned() };
        assert_eq!(refused, Err(Error::Local { file: "a.yml".to_owned(), defect }), "{text}");
    }
}

#[test]
fn a_firewall_is_set_where_the_network_allows_it_and_keeps_its_generation() {
    let rule = "{port: 22, proto: tcp, host: any}";
    let text = format!("firewall: {{inbound: [{rule}], x_generation: 3}}\n");
    let allowed = Allowed { firewall: true, sshd: false };
    let options = InstallOptions { allowed, ..with_local(&[&text]) };
    let installed = bundle("groups").to_install(&options).unwrap();
    let found = config(&installed);
    assert_eq!(found["firewall"]["inbound"], json!([{"port": 22, "proto": "tcp", "host": "any"}]));
    assert_eq!(found["firewall"]["x_generation"], json!(17));
    assert!(installed.overridden().contains(&"firewall.inbound".to_owned()));

    let ssh = "sshd: {enabled: true, listen: '127.0.0.1:2222'}";
    let allowed = Allowed { firewall: false, sshd: true };
    let options = InstallOptions { allowed, ..with_local(&[ssh]) };
    let installed = bundle("groups").to_install(&options).unwrap();
    assert_eq!(config(&installed)["sshd"]["enabled"], json!(true));
}

#[test]
fn what_is_no_mapping_of_sections_is_refused() {
    for text in [
        "[]",
        "text",
        "~",
        "listen: 4242",
        "tun:",
        "a: &a 1\nb: *a",
        "a: 1\na: 2",
        "<<: {listen: {}}",
        "a: 1\n---\nb: 2",
        "a:\n\tb: 1",
        "\u{1b}[2J: [",
        &format!("a: {}", "[".repeat(10_000)),
        &format!("a: '{}'", "x".repeat(64 << 10)),
    ] {
        let refused = bundle("groups").to_install(&with_local(&[text]));
        let Err(Error::Local { file, defect }) = refused else { panic!("{text:.60}: {refused:?}") };
        assert_eq!(file, "a.yml");
        let reason = defect.to_string();
        assert!(!reason.chars().any(char::is_control) && reason.len() < 2000, "{reason}");
    }
}

#[test]
fn a_file_names_a_device_that_there_can_be() {
    for text in ["null", "", "[]", "{}", "7", "false", "''", "a/b", "sixteen-letters-"] {
        let mut local = with_local(&["a: 1", &format!("tun: {{dev: {text}}}"), "tun: {dev: fine}"]);
        local.local[1].name = "b.yml".to_owned();
        let refused = bundle("groups").to_install(&local);
        let Err(Error::Local { file, defect }) = refused else { panic!("{text}: {refused:?}") };
        let is_text = ["''", "a/b", "sixteen-letters-"].contains(&text);
        assert_eq!(matches!(defect, LocalDefect::Device { .. }), is_text, "{text}: {defect}");
        assert_eq!(matches!(defect, LocalDefect::DeviceNotText), !is_text, "{text}: {defect}");
        assert_eq!(file, "b.yml");
    }
    let installed = bundle("groups").to_install(&with_local(&["tun: {dev: mine}"])).unwrap();
    assert_eq!(config(&installed)["tun"]["dev"], json!("mine"));
}

#[test]
fn a_device_with_ipv6_keeps_the_mtu_that_it_needs() {
    for text in ["tun: {mtu: 1279}", "tun: {mtu: '1279'}", "tun: {mtu: -1}"] {
        let refused = bundle("version-2-dual-stack").to_install(&with_local(&[text]));
        assert!(matches!(refused, Err(Error::Ipv6Mtu { .. })), "{text}: {refused:?}");
        assert!(bundle("groups").to_install(&with_local(&[text])).is_ok());
    }
    assert!(bundle("version-2-dual-stack").to_install(&with_local(&["tun: {mtu: 1280}"])).is_ok());
}

#[test]
fn going_back_never_unblocks_anyone_and_trusts_no_former_ca() {
    let case = |network: Network| {
        let all = cases();
        let groups = all.into_iter().find(|case| case.name == "groups").unwrap();
        let bundle = render(&network, &groups.node).unwrap();
        check(bundle.files(), &node_key(Curve::Curve25519).public_key(), NOW).unwrap()
    };
    let older = case(Network { blocklist: blocklist(&[1]), ..network() });
    let new_ca = issuer("new-ca", nebula_pki::Version::V1, Curve::Curve25519).certificate().clone();
    let mut newer = Network { blocklist: blocklist(&[2, 3]), lighthouses: vec![], ..network() };
    newer.cas.push(new_ca);
    let newer = case(newer);

    let local = with_local(&["listen: {port: 4343}"]);
    let before = older.to_install(&local).unwrap();
    let back = before.with_trust_of(&newer, 18).unwrap();
    let mut expected = config(&before);
    expected["pki"]["blocklist"] =
        config(&newer.to_install(&local).unwrap())["pki"]["blocklist"].clone();
    expected["firewall"]["x_generation"] = json!(18);
    assert_eq!(config(&back), expected);
    assert_eq!(file(back.files(), "ca.crt"), file(newer.files(), "ca.crt"));
    assert_ne!(file(back.files(), "ca.crt"), file(before.files(), "ca.crt"));
    assert_eq!(file(back.files(), "node.crt"), file(before.files(), "node.crt"));
}

fn file<'a>(mut files: impl Iterator<Item = (&'static str, &'a str)>, name: &str) -> &'a str {
    files.find(|file| file.0 == name).unwrap().1
}

/// Every case, installed in a directory of its own, from another directory.
#[cfg(unix)]
#[test]
fn nebula_starts_with_what_is_installed_from_anywhere() {
    for peer in releases() {
        for case in cases() {
            if numbers(&peer.release) < numbers(case.since) {
                continue;
            }
            let directory = TempDir::new().unwrap();
            let installation = Installation::new(directory.path());
            let key = directory.path().join("node.key");
            fs::write(&key, node_key(case.curve).to_pem().as_bytes()).unwrap();
            let options = InstallOptions {
                directory: installation.link(),
                key,
                ..with_local(&["logging: {level: error}"])
            };
            installation.install(&checked(&case).to_install(&options).unwrap()).unwrap();
            let config = installation.link().join("nebula.yml");
            let output = Command::new(&peer.program)
                .args(["-test", "-config"])
                .arg(&config)
                .current_dir("/")
                .output()
                .unwrap();
            assert!(output.status.success(), "{} {}: {output:?}", peer.release, case.name);

            let back = installation.current().unwrap().unwrap().files().unwrap();
            installation.install(&back.with_trust_of(&checked(&case), 18).unwrap()).unwrap();
            let output = Command::new(&peer.program)
                .args(["-test", "-config"])
                .arg(&config)
                .current_dir("/")
                .output()
                .unwrap();
            assert!(output.status.success(), "{} {}: {output:?}", peer.release, case.name);
        }
    }
}
