//! Does the example `external-signer` make certificates that verify, with whoever holds the key?

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::peers;
use crate::support::server::program;
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{Blocklist, CaPool, Certificate, Curve, Random, SystemRandom};
use tempfile::TempDir;

#[test]
fn it_holds_the_key_itself() {
    let home = TempDir::new().expect("a directory");
    let output = run(home.path(), &["out"]);
    assert!(output.status.success(), "{output:?}");
    verify(&home.path().join("out"));
    let mode = fs::metadata(home.path().join("out/ca.key")).expect("it was made").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);

    // Nothing is overwritten.
    let again = run(home.path(), &["out"]);
    assert!(!again.status.success());
    verify(&home.path().join("out"));
}

#[test]
fn another_command_holds_it() {
    let home = TempDir::new().expect("a directory");
    let key = home.path().join("elsewhere.key");
    let script = format!(
        "#!/bin/sh\nexec '{}' --hold '{}' -- \"$@\"\n",
        program("external-signer").display(),
        key.display()
    );
    let command = home.path().join("signer");
    fs::write(&command, script).expect("it is written");
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let output = run(home.path(), &["out", "--", "./signer"]);
    assert!(output.status.success(), "{output:?}");
    verify(&home.path().join("out"));
    assert!(!home.path().join("out/ca.key").exists());
}

#[test]
fn what_the_command_answers_is_checked() {
    let home = TempDir::new().expect("a directory");
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).expect("a key");
    let mut noise = [0; 64];
    SystemRandom.fill(&mut noise).expect("randomness");
    fs::write(home.path().join("public"), nebula_pki::Signer::public_key(&key)).expect("written");
    fs::write(home.path().join("noise"), noise).expect("written");
    for (command, reason) in [
        (
            "case $0 in public-key) cat public;; sign) cat >heard; cat noise;; esac",
            "signature does not match",
        ),
        ("case $0 in public-key) cat public;; sign) exit 3;; esac", "exit status: 3"),
        ("exit 1", "exit status: 1"),
    ] {
        let output = run(home.path(), &["out", "--", "sh", "-c", command]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(reason), "{error}");
        assert!(!home.path().join("out/ca.crt").exists());
    }
    let output = run(home.path(), &["out", "--", "./nothing"]);
    assert!(!output.status.success());
}

/// Both we and the reference take the certificate, and the key is the certificate's.
fn verify(directory: &Path) {
    let read = |name: &str| fs::read(directory.join(name)).expect("it was made");
    let certificate = Certificate::from_pem(&read("node.crt")).expect("a certificate");
    let pool = CaPool::from_pem(&read("ca.crt")).expect("a CA");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = now.try_into().expect("before the year 292 billion");
    pool.verify(&certificate, now, &Blocklist::new()).expect("a valid one");
    let key = AgreementKey::from_pem(&read("node.key")).expect("a key");
    key.check_pair(&certificate).expect("the certificate's");
    for peer in peers::releases() {
        if peer.knows_version_2() {
            peer.nebula_cert(directory, &["verify", "-ca", "ca.crt", "-crt", "node.crt"]);
        }
    }
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    Command::new(program("external-signer"))
        .args(arguments)
        .current_dir(home)
        .output()
        .expect("the example was built")
}
