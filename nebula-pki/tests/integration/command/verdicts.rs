//! Does `nebula-cert` give the reference's verdicts, and its words, on every set of the vectors?
//!
//! The time at which the verdicts were recorded lies before all ends of validity that matter.

use std::num::NonZero;
use std::thread;

use serde_json::Value;

use crate::support::command::{Outcome, Scratch};
use crate::support::deliberate::REFUSED;
use crate::support::vector;
use crate::support::vector::{cases, files, text};

const CORPORA: [&str; 8] = [
    "crafted-v1/25519",
    "crafted-v1/p256",
    "crafted-v2/25519",
    "crafted-v2/p256",
    "mutated-v1/mutated",
    "mutated-v2/mutated",
    "tampered/v1",
    "tampered/v2",
];

#[test]
fn certificates_of_the_reference() {
    let shown = files()
        .into_iter()
        .filter(|file| matches!(text(file, "kind"), "ca-cert" | "host-cert"))
        .filter(|file| !text(file, "path").starts_with("encrypted/"));
    let count = each(shown.collect(), |scratch, file| {
        assert_eq!(print(scratch, &full(text(file, "path"))), [file["parsed"].clone()]);
        1
    });
    assert_eq!(count, 142);
}

#[test]
fn malformed_and_tampered_certificates() {
    let corpus = CORPORA.iter().flat_map(|folder| cases(&format!("{folder}.json")));
    let count = each(corpus.collect(), |scratch, case| {
        let Some(der) = case["der_b64"].as_str() else { return 0 };
        scratch.write("c.pem", vector::pem(text(case, "banner"), &vector::base64(der)));
        let mut count = 1;
        let json = scratch.run(&["print", "-json", "-path", "c.pem"]);
        check(case, &case["print"], &json);
        if case["print"]["json"].is_object() {
            let printed: Value = serde_json::from_slice(&json.stdout).unwrap();
            assert_eq!(printed[0], case["print"]["json"], "{}", text(case, "id"));
        }
        if let Some(verify) = case.get("verify") {
            let ca = full(text(verify, "ca"));
            check(case, verify, &scratch.run(&["verify", "-ca", &ca, "-crt", "c.pem"]));
            count += 1;
        }
        if let Some(verify) = case.get("verify_as_ca") {
            let crt = full(text(verify, "crt"));
            check(case, verify, &scratch.run(&["verify", "-ca", "c.pem", "-crt", &crt]));
            count += 1;
        }
        count
    });
    assert_eq!(count, 2618);
}

#[test]
fn pairs_of_bundle_and_certificate() {
    let count = each(cases("verify/cases.json"), |scratch, case| {
        let (ca, crt) = (full(text(case, "ca")), full(text(case, "crt")));
        let outcome = scratch.run(&["verify", "-ca", &ca, "-crt", &crt]);
        assert_eq!(case["exit"], outcome.exit, "{case}");
        assert_eq!(outcome.stderr, text(case, "stderr"), "{case}");
        assert_eq!(outcome.stdout, b"", "{case}");
        1
    });
    assert_eq!(count, 56);
}

#[test]
fn bundles_of_odd_pem() {
    let count = each(cases("bundles/cases.json"), |scratch, case| {
        let Some(file) = case["file"].as_str().map(full) else { return 0 };
        let mut count = 0;
        if case["print"].is_object() {
            let outcome = scratch.run(&["print", "-json", "-path", &file]);
            check(case, &case["print"], &outcome);
            if let Some(fingerprints) = case["print"]["fingerprints"].as_array() {
                let shown: Vec<_> = print(scratch, &file)
                    .into_iter()
                    .map(|mut shown| shown["fingerprint"].take())
                    .collect();
                assert_eq!(&shown, fingerprints, "{case}");
            }
            if let Some(before) = case["print"]["text_blocks_before_error"].as_u64() {
                let text = scratch.run(&["print", "-path", &file]).stdout();
                assert_eq!(text.matches("\n}\n").count() as u64, before, "{case}");
            }
            count += 1;
        }
        for (crt, verify) in case["verify_as_ca"].as_object().into_iter().flatten() {
            check(case, verify, &scratch.run(&["verify", "-ca", &file, "-crt", &full(crt)]));
            count += 1;
        }
        count
    });
    assert_eq!(count, 200);
}

#[test]
fn key_files() {
    let count = each(cases("keys-malformed/cases.json"), |scratch, case| {
        let ca = full(text(case, "ca"));
        let ca_key = ca.replace(".crt", ".key");
        scratch.write("k.pem", text(case, "pem"));
        let own = if text(case, "flag") == "-ca-key" {
            ["-ca-key", "k.pem", "-out-key", "out.key"]
        } else {
            ["-ca-key", &ca_key, "-in-pub", "k.pem"]
        };
        let networks = if ca.contains("70") { "10.70.9.9/24" } else { "10.1.1.1/24" };
        let sign =
            ["sign", "-ca-crt", &ca, "-name", "k", "-networks", networks, "-out-crt", "out.crt"];
        let outcome = scratch.run(&[&sign[..], &own].concat());
        let id = text(case, "id");
        if case["accept"] == true && REFUSED.iter().any(|(refused, _)| *refused == id) {
            assert_eq!(outcome.exit, 1, "{id}");
            return 1;
        }
        assert_eq!(case["exit"], outcome.exit, "{id}: {}", outcome.stderr);
        // Ours may go on to say why no certificate belongs to such a key.
        let message = case["message"].as_str().unwrap_or_default();
        assert!(outcome.stderr.starts_with(message), "{id}: {}", outcome.stderr);
        1
    });
    assert_eq!(count, 55);
}

/// Runs the cases on all processors, each in a directory of its own, and adds up what they count.
fn each(cases: Vec<Value>, run: impl Fn(&Scratch, &Value) -> usize + Sync) -> usize {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let part = cases.len().div_ceil(threads);
    thread::scope(|scope| {
        let parts: Vec<_> = cases
            .chunks(part)
            .map(|part| {
                let run = &run;
                scope.spawn(move || {
                    part.iter().map(|case| run(&Scratch::new(), case)).sum::<usize>()
                })
            })
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    })
}

fn check(case: &Value, verdict: &Value, outcome: &Outcome) {
    let what = case["id"].as_str().or(case["what"].as_str()).unwrap();
    assert_eq!(verdict["exit"], outcome.exit, "{what}: {}", outcome.stderr);
    let message = verdict["message"].as_str().unwrap_or_default();
    assert_eq!(abbreviated(&outcome.stderr), message, "{what}");
}

/// The message as the vectors keep it: a certificate in it is left out.
fn abbreviated(stderr: &str) -> String {
    let stderr = stderr.trim_end_matches('\n');
    match (stderr.find("certificate {\n"), stderr.rfind("\n}: ")) {
        (Some(begin), Some(end)) => {
            format!("{}certificate <cert-json>{}", &stderr[..begin], &stderr[end + 2..])
        }
        _ => stderr.to_owned(),
    }
}

fn print(scratch: &Scratch, path: &str) -> Vec<Value> {
    let outcome = scratch.run(&["print", "-json", "-path", path]);
    assert_eq!((outcome.exit, &*outcome.stderr), (0, ""), "{path}");
    serde_json::from_slice(&outcome.stdout).unwrap()
}

fn full(name: &str) -> String {
    vector::path(name).to_str().unwrap().to_owned()
}
