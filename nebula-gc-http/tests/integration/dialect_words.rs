//! Do the dialect's words stay in the dialect?

use std::fs;
use std::path::{Path, PathBuf};

/// Words of the dialect alone, and its types, in small letters. `device` is not among them: a node's
/// row has the device's own id.
const WORDS: [&str; 8] = [
    "project",
    "devicename",
    "nebulaip",
    "zipbundle",
    "registration",
    "addpool",
    "pooladded",
    "dialect",
];

/// Where they are spelled out for a reason: the re-exports of the service.
const ALLOWED: [(&str, &str); 3] = [
    ("service.rs", "mod dialect;"),
    ("service.rs", "pub use self::dialect::add_pool::{AddPool, PoolAdded};"),
    ("service.rs", "pub use self::dialect::NodeStatus;"),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The lines that have a word of the dialect.
fn with_words(name: &str, text: &str) -> Vec<String> {
    let has_word = |line: &&str| {
        let small = line.to_lowercase().replace('_', "");
        WORDS.iter().any(|word| small.contains(word)) && !ALLOWED.contains(&(name, line.trim()))
    };
    text.lines().filter(has_word).map(|line| format!("{name}: {line}")).collect()
}

#[test]
fn service_and_store_have_no_word_of_the_dialect() {
    let mut all = vec![source().join("service.rs"), source().join("store.rs")];
    files(&source().join("service"), &mut all);
    files(&source().join("store"), &mut all);
    assert!(all.len() > 50, "{}", all.len());
    let mut found = vec![];
    for path in all {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("service/dialect") {
            found.extend(with_words(&name, &fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_word_of_the_dialect_is_found_however_it_is_written() {
    for line in
        ["let project_id = 1;", "    Error::invalid(\"deviceName\", ..)", "/// A Registration."]
    {
        assert_eq!(with_words("service/nodes.rs", line).len(), 1, "{line}");
    }
    assert!(with_words("service.rs", "mod dialect;").is_empty());
    assert_eq!(with_words("store.rs", "mod dialect;").len(), 1);
}
