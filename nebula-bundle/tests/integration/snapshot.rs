//! Do bundles stay what they are, does the real Nebula start with them, and does it read every key?
//!
//! After a change of what is rendered: `UPDATE_SNAPSHOTS=1 cargo test -p nebula-bundle`.
//! Without `nebula` what needs it is skipped, unless `REQUIRE_PEERS=1`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nebula_pki::Curve;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::cases::cases;
use crate::support::inputs::{configuration, node_key};
use crate::support::peers::{numbers, releases};

/// The releases that bundles are for.
const RELEASES: [&str; 4] = ["1.6", "1.9", "1.10", "1.11"];

#[test]
fn every_file_is_as_committed() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut expected = BTreeSet::new();
    for case in cases() {
        for (name, contents) in case.bundle().files() {
            let path = directory(case.name).join(name);
            if update {
                fs::create_dir_all(directory(case.name)).unwrap();
                fs::write(&path, contents).unwrap();
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == contents, "{} differs:\n{contents}", path.display());
            expected.insert(path);
        }
    }
    let committed: BTreeSet<PathBuf> =
        files(&directory("")).iter().flat_map(|case| files(case)).collect();
    assert_eq!(committed, expected);
}

#[test]
fn nebula_starts_with_each() {
    for peer in releases() {
        let cases = cases();
        let of_its_time = |since| numbers(&peer.release) >= numbers(since);
        for case in cases.iter().filter(|case| of_its_time(case.since)) {
            let said = peer.test(unpacked(case.name, case.curve).path());
            assert!(said.status.success(), "{} refuses {}: {said:?}", peer.release, case.name);
        }
    }
}

/// That it starts would prove nothing if it always did.
#[test]
fn nebula_refuses_what_is_broken() {
    for peer in releases() {
        let another_s_key = unpacked("version-1", Curve::Curve25519);
        let key = nebula_pki::key::AgreementKey::from_bytes(Curve::Curve25519, &[7; 32]).unwrap();
        fs::write(another_s_key.path().join("node.key"), key.to_pem().as_bytes()).unwrap();
        let unknown_lighthouse = unpacked("version-1", Curve::Curve25519);
        edit(&unknown_lighthouse, "- '10.1.0.1'", "- '10.1.0.2'");
        let no_port = unpacked("groups", Curve::Curve25519);
        edit(&no_port, "- port: 'any'\n    proto: 'any'", "- proto: 'any'");
        for broken in [another_s_key, unknown_lighthouse, no_port] {
            assert!(!peer.test(broken.path()).status.success(), "{} accepts it", peer.release);
        }
    }
}

/// Keys that are written although a release does not know them: it waits 5 s there.
const IGNORED: [(&str, &str); 1] = [("1.6", "punchy.respond_delay")];

#[test]
fn every_key_is_one_that_the_release_reads() {
    let known = known_keys();
    for case in cases() {
        let rendered = keys(&configuration(&case.bundle()));
        assert!(rendered.len() > 15, "{rendered:?}");
        for release in RELEASES.into_iter().filter(|at| numbers(at) >= numbers(case.since)) {
            for key in &rendered {
                // What a release does not read has its default there, which does no harm.
                if IGNORED.contains(&(release, key)) {
                    continue;
                }
                let is_read =
                    known.iter().any(|known| known.name == *key && known.is_read(release));
                assert!(is_read, "{release} does not read {key}, which {} has", case.name);
            }
        }
    }
}

/// Nebula looks most keys up by their full name, which so stands in its program.
#[test]
fn the_list_of_keys_is_that_of_the_releases() {
    for peer in releases() {
        let program = fs::read(&peer.program).unwrap();
        for key in known_keys().iter().filter(|key| !key.name.contains("[]")) {
            let name = key.name.trim_end_matches(".*");
            let found = memchr::memmem::find(&program, name.as_bytes()).is_some();
            assert_eq!(found, key.is_read(&peer.release), "{name} in {}", peer.release);
        }
    }
}

struct Key {
    name: String,
    first: Vec<u32>,
    last: Option<Vec<u32>>,
}

impl Key {
    fn is_read(&self, release: &str) -> bool {
        let release = numbers(release);
        // 1.8.2 is of 1.8.
        let is_past = |last: &Vec<u32>| release.iter().take(last.len()).gt(last);
        release >= self.first && !self.last.as_ref().is_some_and(is_past)
    }
}

fn known_keys() -> Vec<Key> {
    let list = include_str!("../nebula-keys.txt");
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let mut next = || words.next();
            let (name, first) = (next().unwrap().to_owned(), numbers(next().unwrap()));
            Key { name, first, last: next().map(numbers) }
        })
        .collect()
}

/// The keys of a configuration, as the list writes them.
fn keys(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, name: String, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    let key = if name == "static_host_map" { "*" } else { key };
                    let separator = if name.is_empty() { "" } else { "." };
                    walk(value, format!("{name}{separator}{key}"), found);
                }
            }
            Value::Array(entries) if entries.iter().any(Value::is_object) => {
                entries.iter().for_each(|entry| walk(entry, format!("{name}[]"), found));
            }
            _ => drop(found.insert(name)),
        }
    }
    let mut found = BTreeSet::new();
    walk(value, String::new(), &mut found);
    found
}

/// A committed bundle as a person unpacks it: beside the node's key.
fn unpacked(case: &str, curve: Curve) -> TempDir {
    let unpacked = TempDir::new().unwrap();
    for file in files(&directory(case)) {
        fs::copy(&file, unpacked.path().join(file.file_name().unwrap())).unwrap();
    }
    fs::write(unpacked.path().join("node.key"), node_key(curve).to_pem().as_bytes()).unwrap();
    unpacked
}

#[track_caller]
fn edit(unpacked: &TempDir, from: &str, to: &str) {
    let path = unpacked.path().join("nebula.yml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn directory(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(case)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}
