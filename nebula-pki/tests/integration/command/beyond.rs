//! What does `nebula-cert` do beyond the reference?

mod files;
mod scripts;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use nebula_pki::{Certificate, Version};
use serde_json::{Value, json};

use crate::support::command::{Scratch, ours};
use crate::support::vector;

/// A directory with the CA `ca.crt` and `ca.key`.
fn with_ca(arguments: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    scratch.succeed(&[&["ca", "-name", "test CA"], arguments].concat());
    scratch
}

fn certificates(scratch: &Scratch, name: &str) -> Vec<Certificate> {
    Certificate::from_pem_many(scratch.read(name).as_bytes()).unwrap()
}

/// Runs and expects this failure, with nothing on standard output.
fn refuse(scratch: &Scratch, arguments: &[&str], message: &str) {
    let outcome = scratch.run(arguments);
    assert_eq!((outcome.exit, outcome.stdout().as_str()), (1, ""), "{arguments:?}");
    let first = outcome.stderr.lines().next().unwrap();
    assert_eq!(first, format!("Error: {message}"), "{arguments:?}");
}

#[test]
fn a_pair_of_versions_in_one_call() {
    let scratch = with_ca(&[]);
    let networks = "fd00::9/64,10.1.1.9/24,10.1.1.3/24";
    scratch.succeed(&[
        "sign",
        "-version",
        "1,2",
        "-name",
        "n",
        "-networks",
        networks,
        "-unsafe-networks",
        "fd01::/16,192.168.0.0/16",
        "-groups",
        "a,b",
    ]);
    let [v1, v2] = certificates(&scratch, "n.crt").try_into().unwrap();
    assert_eq!((v1.version(), v2.version()), (Version::V1, Version::V2));
    assert_eq!(v1.public_key(), v2.public_key());
    let (one, two) = (v1.unverified_details(), v2.unverified_details());
    // A node refuses a pair whose first networks differ.
    assert_eq!(one.networks(), &two.networks()[..1]);
    assert_eq!(one.networks(), ["10.1.1.3/24".parse().unwrap()]);
    assert_eq!(two.networks().len(), 3);
    assert_eq!(one.unsafe_networks(), ["192.168.0.0/16".parse().unwrap()]);
    assert_eq!(two.unsafe_networks().len(), 2);
    assert_eq!(one.groups_bytes(), two.groups_bytes());
    assert_eq!(one.not_after(), two.not_after());
    scratch.succeed(&["verify", "-strict", "-ca", "ca.crt", "-crt", "n.crt"]);

    refuse(
        &scratch,
        &["sign", "-version", "1,2", "-name", "m", "-networks", "fd00::9/64"],
        "invalid -networks definition: a pair of v1 and v2 certificates needs an ipv4 address",
    );
    let other = scratch.run(&["sign", "-version", "2,1", "-name", "m", "-networks", "10.1.1.9/24"]);
    let message = "invalid value \"2,1\" for flag -version: parse error";
    assert_eq!((other.exit, other.stderr), (1, format!("{message}\nError: {message}\n")));
}

#[test]
fn verify_with_a_blocklist() {
    let scratch = with_ca(&["-curve", "P256"]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let verify = ["verify", "-ca", "ca.crt", "-crt", "n.crt", "-blocklist", "list"];
    let certificate = certificates(&scratch, "n.crt").remove(0);
    let other = "0".repeat(64);

    scratch.write("list", format!("# nobody yet\n\n  {other} # an old one\r\n"));
    scratch.succeed(&verify);
    for fingerprint in [certificate.fingerprint(), certificate.alternate_fingerprint().unwrap()] {
        scratch.write("list", format!("{other}\n{fingerprint} # stolen"));
        let outcome = scratch.run(&verify);
        assert_eq!(outcome.exit, 1);
        assert!(outcome.stderr.ends_with("}: certificate is in the block list\n"), "{outcome:?}");
    }
    // A list that is not understood blocks nobody, so it is an error.
    let upper = certificate.fingerprint().to_string().to_uppercase();
    for (list, line) in [(format!("{other}\n{upper}"), 2), ("x".to_owned(), 1)] {
        scratch.write("list", list);
        let reason = "not a fingerprint: expected 64 lower-case hexadecimal digits";
        let message = format!("error while parsing blocklist: line {line}: {reason}");
        refuse(&scratch, &verify, &message);
    }
    // As editors on Windows write it.
    scratch.write("list", format!("\u{feff}{other}\r\n"));
    scratch.succeed(&verify);
    scratch.write("list", format!("\u{feff}{}\r\n", certificate.fingerprint()));
    assert!(scratch.run(&verify).stderr.ends_with("}: certificate is in the block list\n"));
    for mark in ["", "\u{feff}"] {
        let text = format!("{mark}{other}\r\n");
        scratch.write("list", text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        let message = "error while parsing blocklist: UTF-16 text: save it as UTF-8";
        refuse(&scratch, &verify, message);
    }
    let missing = "error while reading blocklist: open no: no such file or directory";
    refuse(&scratch, &["verify", "-ca", "ca.crt", "-crt", "n.crt", "-blocklist", "no"], missing);
    refuse(
        &scratch,
        &["verify", "-ca", "ca.crt", "-crt", "-", "-blocklist", "-"],
        "-crt and -blocklist both set to \"-\", only one input may read from stdin",
    );
}

#[test]
fn verify_strictly() {
    let scratch = Scratch::new();
    let (mut high, mut low) = (0, 0);
    for case in vector::cases("blocklist/p256-alternate.json") {
        let crt = vector::text(&case, "crt");
        let folder = crt.split('/').next().unwrap();
        let ca = vector::read(&format!("{folder}/ca-plain.crt"));
        scratch.write("ca.crt", ca);
        scratch.write("own.crt", vector::read(crt));
        scratch.write("other.crt", vector::text(&case, "alternate_pem"));
        for (name, form) in [("own.crt", "high"), ("other.crt", "low")] {
            let plain = scratch.run(&["verify", "-ca", "ca.crt", "-crt", name]);
            let strict = scratch.run(&["verify", "-strict", "-ca", "ca.crt", "-crt", name]);
            if plain.exit != 0 {
                continue;
            }
            let is_high = (vector::text(&case, "s_form") == "high") == (form == "high");
            assert_eq!(strict.exit, i32::from(is_high), "{crt} {name}: {}", strict.stderr);
            if is_high {
                assert!(strict.stderr.ends_with("}: signature has a high s\n"), "{strict:?}");
                high += 1;
            } else {
                low += 1;
            }
        }
    }
    assert_eq!((high, low), (8, 8));

    // What only this program can be asked is not answered of nothing.
    scratch.write("empty", "");
    scratch.write("list", "");
    scratch.succeed(&["keygen", "-out-key", "k", "-out-pub", "p"]);
    let verify = ["verify", "-ca", "ca.crt", "-crt", "empty"];
    scratch.succeed(&verify);
    for asked in
        [&["-strict"][..], &["-expires-within", "1h"], &["-key", "k"], &["-blocklist", "list"]]
    {
        let message = "error while parsing crt: no certificate";
        refuse(&scratch, &[&verify[..], asked].concat(), message);
    }
}

#[test]
fn renew_in_place() {
    let scratch = with_ca(&["-duration", "100h"]);
    scratch.succeed(&[
        "sign",
        "-version",
        "1,2",
        "-name",
        "n",
        "-networks",
        "10.1.1.1/24,fd00::1/64",
        "-groups",
        "a",
        "-unsafe-networks",
        "10.9.0.0/16",
        "-duration",
        "10h",
    ]);
    fs::set_permissions(scratch.path("n.crt"), Permissions::from_mode(0o640)).unwrap();
    symlink("n.crt", scratch.path("link.crt")).unwrap();
    let before = certificates(&scratch, "n.crt");
    let files = scratch.files();

    scratch.succeed(&["renew", "-in-crt", "link.crt", "-duration", "20h"]);
    assert_eq!(scratch.files(), files, "nothing is left beside it, and the mode is kept");
    assert!(scratch.path("link.crt").is_symlink());
    let after = certificates(&scratch, "n.crt");
    assert_eq!(after.len(), 2);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.version(), before.version());
        assert_eq!(after.public_key(), before.public_key());
        assert_ne!(after.fingerprint(), before.fingerprint());
        let (before, after) = (before.unverified_details(), after.unverified_details());
        assert_eq!(after.name(), before.name());
        assert_eq!(after.networks(), before.networks());
        assert_eq!(after.unsafe_networks(), before.unsafe_networks());
        assert_eq!(after.groups_bytes(), before.groups_bytes());
        assert_eq!(after.not_after() - after.not_before(), 20 * 3_600);
    }
    scratch.succeed(&["verify", "-ca", "ca.crt", "-crt", "n.crt"]);
    let pool_and_key = ["-ca", "ca.crt", "-ca-crt", "ca.crt", "-ca-key", "ca.key"];
    scratch.succeed(&[&["renew", "-in-crt", "n.crt"], &pool_and_key[..]].concat());
    let again = certificates(&scratch, "n.crt").remove(0);
    let details = again.unverified_details();
    assert_eq!(details.not_after() - details.not_before(), 20 * 3_600, "as long as before");
}

#[test]
fn renew_into_another_file() {
    let scratch = with_ca(&["-duration", "100h"]);
    let ca_not_after = certificates(&scratch, "ca.crt")[0].unverified_details().not_after();
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let before = scratch.read("n.crt");
    // As long as before would be longer than the CA.
    scratch.succeed(&["renew", "-in-crt", "n.crt", "-out-crt", "m.crt", "-out-qr", "m.png"]);
    assert_eq!(scratch.read("n.crt"), before);
    let renewed = certificates(&scratch, "m.crt").remove(0);
    assert_eq!(renewed.unverified_details().not_after(), ca_not_after - 1);
    assert!(fs::read(scratch.path("m.png")).unwrap().starts_with(b"\x89PNG"));
    let mode = |name: &str| scratch.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("m.crt"), mode("m.png")), (0o600, 0o600));

    let outcome = scratch.run_with(&["renew", "-in-crt", "-"], &[], before.as_bytes());
    assert_eq!(outcome.exit, 0, "{}", outcome.stderr);
    assert_eq!(Certificate::from_pem_many(&outcome.stdout).unwrap().len(), 1);
    refuse(
        &scratch,
        &["renew", "-in-crt", "n.crt", "-out-crt", "m.crt"],
        "refusing to overwrite existing cert: m.crt",
    );
    refuse(
        &scratch,
        &["renew", "-in-crt", "n.crt", "-duration", "101h"],
        "error while signing: certificate expires after signing certificate",
    );
    assert_eq!(scratch.read("n.crt"), before, "a failed renewal leaves the old one");
}

#[test]
fn renew_only_what_a_trusted_ca_signed() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["ca", "-name", "new CA", "-out-crt", "new.crt", "-out-key", "new.key"]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let new = ["-ca-crt", "new.crt", "-ca-key", "new.key"];
    let renew = [&["renew", "-in-crt", "n.crt"], &new[..]].concat();
    let outcome = scratch.run(&renew);
    assert_eq!(outcome.exit, 1);
    assert!(outcome.stderr.ends_with(": could not find ca for the certificate\n"), "{outcome:?}");

    let fingerprint = certificates(&scratch, "n.crt")[0].fingerprint();
    scratch.write("list", fingerprint.to_string());
    let outcome = scratch.run(&[&renew[..], &["-ca", "ca.crt", "-blocklist", "list"]].concat());
    assert!(outcome.stderr.ends_with(": certificate is in the block list\n"), "{outcome:?}");

    scratch.succeed(&[&renew[..], &["-ca", "ca.crt"]].concat());
    scratch.succeed(&["verify", "-ca", "new.crt", "-crt", "n.crt"]);

    refuse(
        &scratch,
        &["renew", "-in-crt", "ca.key"],
        "error while parsing in-crt: bytes did not contain a proper certificate banner",
    );
}

#[test]
fn renew_what_is_expired() {
    let scratch = Scratch::new();
    for (name, from) in [
        ("ca.crt", "v2-25519/ca-plain.crt"),
        ("ca.key", "v2-25519/ca-plain.key"),
        ("n.crt", "expired/host-v2-25519.crt"),
    ] {
        scratch.write(name, vector::read(from));
    }
    assert_eq!(scratch.run(&["verify", "-ca", "ca.crt", "-crt", "n.crt"]).exit, 1);
    scratch.succeed(&["renew", "-in-crt", "n.crt", "-duration", "1h"]);
    scratch.succeed(&["verify", "-ca", "ca.crt", "-crt", "n.crt"]);
}

#[test]
fn inspect_keys_and_certificates() {
    let scratch = with_ca(&["-curve", "P256"]);
    scratch.succeed(&["keygen", "-out-key", "n.key", "-out-pub", "n.pub"]);
    scratch.succeed(&["keygen", "-curve", "P256", "-out-key", "p.key", "-out-pub", "p.pub"]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24", "-in-pub", "p.pub"]);
    let inspect = |name: &str| -> Value {
        let outcome = scratch.run(&["inspect", "-json", "-path", name]);
        assert_eq!((outcome.exit, &*outcome.stderr), (0, ""), "{name}");
        let indented = scratch.run(&["inspect", "-path", name]);
        let json: Value = serde_json::from_slice(&outcome.stdout).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&indented.stdout).unwrap(), json);
        json
    };
    let ca = certificates(&scratch, "ca.crt").remove(0);
    let n = certificates(&scratch, "n.crt").remove(0);
    let ca_key = vector::hex(ca.public_key());
    assert_eq!(
        inspect("ca.key"),
        json!({"kind": "ca private key", "curve": "P256", "publicKey": ca_key})
    );
    assert_eq!(
        inspect("ca.crt"),
        json!({
            "kind": "ca certificate", "curve": "P256", "publicKey": ca_key, "version": 2,
            "name": "test CA", "fingerprint": ca.fingerprint().to_string(),
            "alternateFingerprint": ca.alternate_fingerprint().unwrap().to_string(),
        })
    );
    assert_eq!(inspect("n.crt")["kind"], "host certificate");
    assert_eq!(inspect("p.key")["publicKey"], vector::hex(n.public_key()));
    assert_eq!(inspect("p.pub")["publicKey"], vector::hex(n.public_key()));
    let [key, public] = [inspect("n.key"), inspect("n.pub")];
    assert_eq!((&key["kind"], &key["curve"]), (&json!("host private key"), &json!("CURVE25519")));
    assert_eq!(public["kind"], "host public key");
    assert_eq!(key["publicKey"], public["publicKey"]);

    scratch.write("other", vector::pem("SOMETHING", b"x"));
    let message =
        "error while parsing path: bytes did not contain the banner of a key or a certificate";
    refuse(&scratch, &["inspect", "-path", "other"], message);
    refuse(&scratch, &["inspect"], "-path is required");
    scratch.write("short", vector::pem("NEBULA X25519 PUBLIC KEY", b"x"));
    let message =
        "error while parsing path: key was not 32 bytes, is invalid CURVE25519 public key";
    refuse(&scratch, &["inspect", "-path", "short"], message);
}

#[test]
fn names_and_groups_that_are_not_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let output = Command::new(ours())
        .args(["ca", "-name"])
        .arg(OsStr::from_bytes(b"\xff"))
        .current_dir(scratch.path(""))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.starts_with(b"Error: the value of -name is not UTF-8\n"));
    assert_eq!(scratch.files(), []);
}

#[test]
fn a_renewal_keeps_names_and_groups_that_are_not_text() {
    let scratch = with_ca(&[]);
    scratch.write("old.crt", include_str!("../support/not_text/ca.crt"));
    scratch.write("n.crt", include_str!("../support/not_text/n.crt"));
    let before = certificates(&scratch, "n.crt").remove(0);
    scratch.succeed(&["renew", "-in-crt", "n.crt", "-ca", "old.crt", "-duration", "1h"]);
    let after = certificates(&scratch, "n.crt").remove(0);
    let (before, after) = (before.unverified_details(), after.unverified_details());
    assert_ne!(after.not_after(), before.not_after());
    assert_eq!(after.name_bytes(), b"g\xe9rant");
    assert_eq!(after.groups_bytes(), [b"\xe9quipe", b"\xe8quipe"]);
}

#[test]
fn output_that_nobody_reads() {
    let scratch = with_ca(&[]);
    let path = ours();
    // `head` is gone before the second certificate: what a shell reports for a broken pipe.
    let script = format!(
        "for i in $(seq 500); do cat ca.crt; done > many; \
         '{}' print -path many 2>error | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}; cat error",
        path.display()
    );
    let output =
        Command::new("bash").args(["-c", &script]).current_dir(scratch.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "141\n");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(path)
        .args(["print", "-path", "ca.crt"])
        .current_dir(scratch.path(""))
        .stdout(full)
        .output()
        .unwrap();
    let expected = "Error: unable to print cert: write /dev/stdout: no space left on device\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn bash_completes() {
    let scratch = with_ca(&[]);
    scratch.write("a file", "");
    let script = scratch.run(&["completions", "bash"]);
    scratch.write("completion", &script.stdout);
    let complete = |line: &str| -> Vec<String> {
        // As bash calls it: the words so far, `=` being one, and the position of the last.
        let code = format!(
            "source ./completion; complete -p nebula-cert >/dev/null || exit 9; \
             COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _nebula_cert; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &code])
            .current_dir(scratch.path(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let words = String::from_utf8(output.stdout).unwrap();
        words.lines().filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(complete("nebula-cert s"), ["sign"]);
    assert_eq!(complete("nebula-cert -v"), ["-version"]);
    assert_eq!(complete("nebula-cert ca -argon-m"), ["-argon-memory"]);
    assert_eq!(complete("nebula-cert ca -name n -o"), ["-out-key", "-out-crt", "-out-qr"]);
    assert_eq!(complete("nebula-cert ca -curve ''"), ["25519", "P256"]);
    assert_eq!(complete("nebula-cert ca -curve = P"), ["P256"]);
    assert_eq!(complete("nebula-cert ca -curve ="), ["25519", "P256"]);
    assert_eq!(complete("nebula-cert ca --curve P"), ["P256"]);
    assert_eq!(complete("nebula-cert sign -version 1"), ["1", "1,2"]);
    assert_eq!(complete("nebula-cert sign -ca-key ca.k"), ["ca.key"]);
    assert_eq!(complete("nebula-cert sign -ca-key 'a f'"), ["a file"]);
    assert_eq!(complete("nebula-cert sign -name ''"), [""; 0]);
    assert_eq!(complete("nebula-cert completions ''"), ["bash", "fish", "zsh", "-h"]);
    assert_eq!(complete("nebula-cert bogus ''"), [""; 0]);

    refuse(&scratch, &["completions"], "the shell must be bash, fish or zsh");
    refuse(&scratch, &["completions", "sh"], "the shell must be bash, fish or zsh");
}

#[test]
fn other_shells_read_their_completions() {
    let scratch = Scratch::new();
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = scratch.run(&["completions", shell]);
        assert_eq!(script.exit, 0);
        scratch.write(shell, &script.stdout);
        match Command::new(shell).arg(check).arg(scratch.path(shell)).output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(_) => println!("skipped: no {shell}"),
        }
    }
}

#[test]
fn the_manual_page_is_well_formed() {
    let scratch = Scratch::new();
    let page = scratch.run(&["man"]);
    assert_eq!(page.exit, 0);
    for name in ["renew", "inspect", "NEBULA_CERT_ERRORS", "NEBULA_CA_PASSPHRASE"] {
        assert!(page.stdout().contains(name), "{name}");
    }
    scratch.write("page", &page.stdout);
    let groff = Command::new("groff")
        .args(["-man", "-ww", "-Tutf8", "-P-cbou"])
        .arg(scratch.path("page"))
        .output();
    let Ok(groff) = groff else {
        println!("skipped: no groff");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&groff.stderr), "");
    let shown = String::from_utf8_lossy(&groff.stdout);
    for line in ["SYNOPSIS", "   ca <flags>", "       -out-key string", "'Example CA' -encrypt"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}
