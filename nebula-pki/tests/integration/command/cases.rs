//! Does `nebula-cert` do what the reference was recorded doing on each command line of the vectors?

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::command::{Outcome, Scratch, without_additions};
use crate::support::deliberate::REFUSED_COMMANDS;
use crate::support::vector;
use crate::support::vector::{cases, text};

#[test]
fn recorded_command_lines() {
    let (mut count, mut signed, mut refused) = (0, 0, 0);
    let (expected_refused, message, _) = REFUSED_COMMANDS;
    for case in cases("cli/cases.json") {
        if text(&case, "tool") != "nebula-cert 1.11.0" {
            continue;
        }
        count += 1;
        let argv: Vec<_> = case["argv"].as_array().unwrap().iter().map(as_str).collect();
        let what = argv.join(" ");
        let scratch = scratch(&argv);
        let before = scratch.files();
        if case["note"].as_str().is_some_and(|note| note.starts_with(ZONE)) && !has_zones() {
            continue;
        }
        let (variables, stdin) = surroundings(&case);
        let outcome = scratch.run_with(&argv, &variables, &stdin);
        let made: Vec<_> =
            scratch.files().into_iter().filter(|file| !before.contains(file)).collect();

        // Groups may be long.
        if argv.iter().any(|argument| argument.len() > 253 && !argument.starts_with("ggg")) {
            assert_eq!(outcome.exit, 1, "{what}");
            assert!(outcome.stderr.starts_with(message), "{}", outcome.stderr);
            refused += 1;
            assert_eq!(made, [], "{what}");
            continue;
        }
        compare(&case, &outcome, &what);
        if let Some(record) = case["result_print"].get("json") {
            let mut expected = vec![("tmp/n.crt".to_owned(), 0o600)];
            if !argv.contains(&"-in-pub") {
                expected.push(("tmp/n.key".to_owned(), 0o600));
            }
            assert_eq!(made, expected, "{what}");
            let printed = scratch.run(&["print", "-json", "-path", "tmp/n.crt"]);
            let mut printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
            assert_eq!(fields(printed[0].take()), fields(record.clone()), "{what}");
            signed += 1;
        } else {
            assert_eq!(made, [], "{what}");
        }
    }
    assert_eq!((count, signed, refused), (95, 18, expected_refused));
}

/// The directory that the cases were recorded in, as far as this one uses it.
fn scratch(argv: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("tmp/exist.crt", "");
    scratch.write("tmp/exist.key", "");
    for name in argv.iter().filter(|argument| vector::path(argument).is_file()) {
        scratch.write(name, fs::read(vector::path(name)).unwrap());
    }
    scratch
}

const ZONE: &str = "times are rendered in the local zone";

/// Without zone data the reference shows UTC.
fn has_zones() -> bool {
    Path::new("/usr/share/zoneinfo/Asia/Kolkata").exists()
}

/// Two cases say only in words what they were run with.
fn surroundings(case: &Value) -> (Vec<(&'static str, &'static str)>, Vec<u8>) {
    match case["note"].as_str() {
        Some("stdin") => (vec![], vector::read("v2-25519/ca-plain.crt")),
        Some(note) if note.starts_with(ZONE) => (vec![("TZ", "Asia/Kolkata")], vec![]),
        _ => (vec![], vec![]),
    }
}

fn compare(case: &Value, outcome: &Outcome, what: &str) {
    assert_eq!(case["exit"], outcome.exit, "{what}: {}", outcome.stderr);
    assert_eq!(outcome.stdout(), text(case, "stdout"), "{what}");
    let stderr = without_additions(&outcome.stderr);
    match text(case, "stderr").strip_suffix("...<cut>") {
        Some(beginning) => assert!(stderr.starts_with(beginning), "{what}: {stderr}"),
        None => assert_eq!(stderr, text(case, "stderr"), "{what}"),
    }
}

/// What a certificate says, without what differs from run to run.
fn fields(mut printed: Value) -> Value {
    for name in ["fingerprint", "signature", "publicKey"] {
        printed[name].take();
    }
    for name in ["notAfter", "notBefore", "publicKey"] {
        printed["details"][name].take();
    }
    printed
}

fn as_str(value: &Value) -> &str {
    value.as_str().unwrap()
}
