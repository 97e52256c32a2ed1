//! Does one file hold all that a node needs but its key?

use std::fs;

use nebula_bundle::KEY_PLACE;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cases::cases;
use crate::support::inputs::{configuration, node_key};
use crate::support::peers::{numbers, releases};

#[test]
fn it_says_what_the_files_say() {
    for case in cases() {
        let bundle = case.bundle();
        let found: Value = serde_saphyr::from_str(&bundle.to_yaml()).unwrap();
        let mut expected = configuration(&bundle);
        expected["pki"]["ca"] = json!(bundle.file("ca.crt").unwrap());
        expected["pki"]["cert"] = json!(bundle.file("node.crt").unwrap());
        expected["pki"]["key"] = json!(format!("{KEY_PLACE}\n"));
        assert_eq!(found, expected, "{}", case.name);
    }
}

/// As the note at its top says.
#[test]
fn nebula_starts_with_it_when_the_key_is_in_its_place() {
    for peer in releases() {
        for case in cases() {
            if numbers(&peer.release) < numbers(case.since) {
                continue;
            }
            let directory = TempDir::new().unwrap();
            let yaml = case.bundle().to_yaml();
            let write = |text: &str| fs::write(directory.path().join("nebula.yml"), text).unwrap();
            write(&yaml);
            assert!(!peer.test(directory.path()).status.success(), "{}", peer.release);

            let key = String::from_utf8(node_key(case.curve).to_pem().as_bytes().to_vec()).unwrap();
            let indented: Vec<String> = key.lines().map(|line| format!("    {line}")).collect();
            write(&yaml.replace(&format!("    {KEY_PLACE}"), &indented.join("\n")));
            let output = peer.test(directory.path());
            assert!(output.status.success(), "{} {}: {output:?}", peer.release, case.name);
        }
    }
}
