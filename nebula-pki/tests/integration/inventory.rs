//! Is everything that was recorded of the reference run by a test?
//!
//! The tests go through the vectors by the manifest and assert how many they ran. Here is asserted
//! what there is, so that a new kind of file, a new set or a new corpus fails until a test runs it.

use std::collections::BTreeMap;
use std::fs;

use sha2::{Digest, Sha256};

use crate::support::vector;
use crate::support::vector::{cases, files, hex, read, text};

/// A kind of file, how many there are, the cases in them, and the test files that run them.
type Kind = (&'static str, usize, usize, &'static [&'static str]);

const KINDS: [Kind; 17] = [
    ("alternate-fingerprints", 1, 8, &["vectors"]),
    ("bundle-cases", 1, 51, &["vectors"]),
    ("ca-cert", 50, 0, &["vectors", "reissue"]),
    ("ca-cert-rejected-by-1.11.0", 3, 0, &["vectors"]),
    ("ca-signing-key", 50, 0, &["encrypted_keys", "key_files"]),
    ("cli-cases", 1, 104, &["command/cases"]),
    ("corpus", 8, 1_319, &["vectors"]),
    ("crt-pem-cases", 1, 14, &["vectors"]),
    ("dh-private-key", 12, 0, &["key_files"]),
    ("dh-public-key", 12, 0, &["key_files"]),
    ("encrypted-key-corpus", 1, 38, &["encrypted_keys"]),
    ("handshake-form", 1, 4, &["vectors"]),
    ("host-cert", 108, 0, &["vectors", "reissue"]),
    ("host-dh-key", 95, 0, &["key_files"]),
    ("input-file", 68, 0, &["vectors"]),
    ("key-corpus", 1, 55, &["vectors"]),
    ("verify-cases", 1, 56, &["vectors"]),
];

const SETS: [&str; 21] = [
    "blocklist",
    "bundles",
    "cli",
    "crafted-v1",
    "crafted-v2",
    "encrypted",
    "expired",
    "handshake",
    "keypairs",
    "keys-malformed",
    "legacy-1.6.1-25519",
    "legacy-1.9.3-25519",
    "legacy-1.9.3-p256",
    "mutated-v1",
    "mutated-v2",
    "tampered",
    "v1-25519",
    "v1-p256",
    "v2-25519",
    "v2-p256",
    "verify",
];

#[test]
fn every_kind_of_file_and_every_case_is_known_to_a_test() {
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in files() {
        let (name, kind) = (text(&file, "path"), text(&file, "kind"));
        let (files, count) = found.entry(kind.to_owned()).or_default();
        *files += 1;
        if file["cases"].is_u64() {
            assert_eq!(cases(name).len(), file["cases"], "{name}");
        }
        *count += usize::try_from(file["cases"].as_u64().unwrap_or_default()).unwrap();
    }
    let known = KINDS.map(|(kind, files, cases, _)| (kind.to_owned(), (files, cases)));
    assert_eq!(found, known.into());
    for test in KINDS.iter().flat_map(|(.., tests)| *tests) {
        let path = format!("{}/tests/integration/{test}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(fs::exists(&path).unwrap(), "{path}");
    }
}

#[test]
fn every_set_is_one_of_the_manifest() {
    let mut sets: Vec<String> = files()
        .iter()
        .map(|file| text(file, "path").split('/').next().unwrap().to_owned())
        .collect();
    sets.sort();
    sets.dedup();
    assert_eq!(sets, SETS);
    let folders = fs::read_dir(vector::path("")).unwrap().map(Result::unwrap);
    let mut folders: Vec<String> = folders
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, SETS);
}

#[test]
fn every_file_is_the_recorded_one() {
    let mut count = 0;
    for file in files() {
        let name = text(&file, "path");
        assert_eq!(hex(&Sha256::digest(read(name))), text(&file, "sha256"), "{name}");
        count += 1;
    }
    assert_eq!(count, 414);
}
