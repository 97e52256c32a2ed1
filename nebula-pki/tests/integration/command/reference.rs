//! Do our `nebula-cert` and the real one do the same on every command line? Run side by side, in two
//! directories with the same files.
//!
//! Skipped without release 1.11.0 of the reference, unless `REQUIRE_PEERS=1`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use nebula_pki::Certificate;

use crate::support::command;
use crate::support::command::{Outcome, Scratch, without_additions};
use crate::support::vector;
use crate::support::vector::{cases, read, text};

/// Command lines: `VARIABLE=value` first, `< file` last, `%20` for a blank within an argument. An
/// argument may be empty: `''`.
const GLOBAL: &str = include_str!("command-lines/global.txt");

const CA: &str = include_str!("command-lines/ca.txt");

const KEYGEN: &str = include_str!("command-lines/keygen.txt");

const SIGN: &str = include_str!("command-lines/sign.txt");

const PRINT_AND_VERIFY: &str = include_str!("command-lines/print-and-verify.txt");

#[test]
fn usage_and_modes() {
    assert_eq!(compare(GLOBAL), 31);
}

#[test]
fn ca() {
    assert_eq!(compare(CA), 102);
}

#[test]
fn keygen() {
    assert_eq!(compare(KEYGEN), 19);
}

#[test]
fn sign() {
    assert_eq!(compare(SIGN), 116);
}

#[test]
fn print_and_verify() {
    assert_eq!(compare(PRINT_AND_VERIFY), 88);
}

#[test]
fn each_opens_what_the_other_encrypted() {
    let Some(reference) = command::reference() else { return };
    let variables = [("NEBULA_CA_PASSPHRASE", "p\u{e4}ss ")];
    for (maker, signer) in [(command::ours(), reference.clone()), (reference, command::ours())] {
        for (curve, memory) in [("25519", "64"), ("P256", "1")] {
            let maker = Scratch::of(maker.clone());
            let ca = ["ca", "-name", "n", "-curve", curve, "-encrypt", "-argon-memory", memory];
            assert_eq!(maker.run_with(&ca, &variables, b"").exit, 0);
            let signer = Scratch::of(signer.clone());
            ["ca.crt", "ca.key"].iter().for_each(|name| signer.write(name, maker.read(name)));
            let sign = ["sign", "-name", "h", "-networks", "10.1.1.1/24"];
            assert_eq!(signer.run_with(&sign, &variables, b"").exit, 0);
            maker.write("h.crt", signer.read("h.crt"));
            maker.succeed(&["verify", "-ca", "ca.crt", "-crt", "h.crt"]);
        }
    }
}

/// Runs each command line with both programs and gives their number.
fn compare(lines: &str) -> usize {
    let lines: Vec<_> = lines.lines().filter(|line| !line.is_empty()).collect();
    let Some(reference) = command::reference() else { return lines.len() };
    let files = files();
    // The released reference is built without PKCS#11, and knows no such flag.
    let has_token_flag = |line: &str| cfg!(feature = "pkcs11") && line.contains(" -pkcs11 ");
    for line in lines.iter().filter(|line| !has_token_flag(line)) {
        let [ours, theirs] = [command::ours(), reference.clone()].map(|program| {
            let scratch = Scratch::of(program);
            files.iter().for_each(|(name, content)| scratch.write(name, content));
            fs::create_dir(scratch.path("d")).unwrap();
            symlink("target", scratch.path("dangling")).unwrap();
            fs::set_permissions(scratch.path("open"), Permissions::from_mode(0o644)).unwrap();
            (run(&scratch, line), written(&scratch))
        });
        assert_eq!(normal(&ours.0), normal(&theirs.0), "{line}");
        assert_eq!(ours.1.len(), theirs.1.len(), "{line}: {:?} {:?}", ours.1, theirs.1);
        for (ours, theirs) in ours.1.iter().zip(&theirs.1) {
            assert_eq!((&ours.name, ours.mode), (&theirs.name, theirs.mode), "{line}");
            assert_eq!(ours.content, theirs.content, "{line}: {}", ours.name);
            // The two ran one after the other.
            assert!((ours.lifetime - theirs.lifetime).abs() <= 5, "{line}: {ours:?} {theirs:?}");
        }
    }
    lines.len()
}

fn run(scratch: &Scratch, line: &str) -> Outcome {
    let (line, stdin) = match line.split_once(" < ") {
        Some((line, file)) => (line, fs::read(scratch.path(file)).unwrap()),
        None => (line, Vec::new()),
    };
    let words: Vec<_> = line.split(' ').map(|word| word.replace("%20", " ")).collect();
    let (variables, arguments): (Vec<_>, Vec<_>) =
        words.iter().map(|word| if word == "''" { "" } else { word }).partition(|word| {
            word.split_once('=')
                .is_some_and(|(name, _)| ["TZ", "TZDIR", "NEBULA_CA_PASSPHRASE"].contains(&name))
        });
    let variables: Vec<_> = variables.iter().filter_map(|word| word.split_once('=')).collect();
    scratch.run_with(&arguments, &variables, &stdin)
}

/// The files that both directories begin with.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let far = cases("crafted-v1/25519.json");
    let far = far.iter().find(|case| case["id"] == "v1-25519-year-10000").unwrap();
    let [a, v1, ca] =
        ["v2-25519/basic.crt", "v1-25519/basic.crt", "v2-25519/ca-plain.crt"].map(read);
    vec![
        ("ca.crt", ca.clone()),
        ("ca.key", read("v2-25519/ca-plain.key")),
        ("v1.crt", read("v1-25519/ca-plain.crt")),
        ("v1.key", read("v1-25519/ca-plain.key")),
        ("p.crt", read("v2-p256/ca-plain.crt")),
        ("p.key", read("v2-p256/ca-plain.key")),
        ("con.crt", read("v2-25519/ca-constrained.crt")),
        ("con.key", read("v2-25519/ca-constrained.key")),
        ("expired.crt", read("expired/ca-short-v2-25519.crt")),
        ("expired.key", read("expired/ca-short-v2-25519.key")),
        ("e.crt", read("encrypted/low.crt")),
        ("e.key", read("encrypted/low.key")),
        ("a.key", read("v2-25519/basic.key")),
        ("h.key", read("v2-25519/basic.key")),
        ("h.pub", read("v2-25519/pre.pub")),
        ("hp.pub", read("v2-p256/pre.pub")),
        ("both", [&*a, &v1].concat()),
        ("a_nl", [&*a, b"\n"].concat()),
        ("good_cut", [&*a, &ca[..200]].concat()),
        ("cut", ca[..200].to_vec()),
        ("far", vector::pem("NEBULA CERTIFICATE", &vector::base64(text(far, "der_b64")))),
        ("empty", Vec::new()),
        ("blank", b"\n \n".to_vec()),
        ("open", b"x".to_vec()),
        ("a.crt", a),
    ]
}

/// An outcome without what differs by chance: keys, signatures, and the mask of QR codes.
fn normal(outcome: &Outcome) -> (i32, String, String) {
    let stdout = if outcome.stdout.starts_with(PNG) {
        png(&outcome.stdout)
    } else if outcome.stdout.starts_with(b"-----BEGIN") {
        describe(&outcome.stdout).0
    } else {
        outcome.stdout()
    };
    (outcome.exit, stdout, without_additions(&outcome.stderr))
}

/// A file that a run left.
#[derive(Debug)]
struct Written {
    name: String,
    mode: u32,
    content: String,
    /// Of the certificate in it, in seconds.
    lifetime: i64,
}

fn written(scratch: &Scratch) -> Vec<Written> {
    let files = scratch.files().into_iter().map(|(name, mode)| {
        // The link to nothing, unless something was written through it.
        let content = fs::read(scratch.path(&name)).unwrap_or_default();
        let (content, lifetime) = describe(&content);
        Written { name, mode, content, lifetime }
    });
    files.collect()
}

/// What a file holds, and how long the certificate in it lasts.
fn describe(content: &[u8]) -> (String, i64) {
    if content.starts_with(PNG) {
        return (png(content), 0);
    }
    if let Ok(certificates) = Certificate::from_pem_many(content) {
        let details = certificates[0].unverified_details();
        let lifetime = details.not_after() - details.not_before();
        return (certificates.iter().map(fields).collect(), lifetime);
    }
    let text = String::from_utf8_lossy(content);
    let shape = |line: &str| match line.starts_with("-----") {
        true => format!("{line}\n"),
        false => format!("{}\n", line.len()),
    };
    (text.lines().map(shape).collect(), 0)
}

fn fields(certificate: &Certificate) -> String {
    let mut printed = vector::printed(certificate);
    for name in ["fingerprint", "signature", "publicKey"] {
        printed[name].take();
    }
    for name in ["notAfter", "notBefore", "publicKey"] {
        printed["details"][name].take();
    }
    printed.to_string()
}

const PNG: &[u8] = b"\x89PNG";

/// The kind of a picture: bits per pixel and use of a palette. Its size depends on the digits that a
/// random key happens to have.
fn png(content: &[u8]) -> String {
    format!("picture of kind {:?}", &content[24..26])
}
