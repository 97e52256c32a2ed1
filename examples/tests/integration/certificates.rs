//! Do the examples about certificates do what they show, in the eyes of the real `nebula-cert`?
//!
//! Where it is missing, what needs it says so and is left out, unless `REQUIRE_PEERS=1`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::peers::{self, Peer};
use crate::support::server::program;
use nebula_pki::Certificate;
use tempfile::TempDir;

/// What every file of a CA or a device is made with.
const OWNER_ONLY: u32 = 0o600;

#[test]
fn the_embedded_ca_is_made_once_and_renews_the_device() {
    let home = directory();
    let data = home.path().join("embed-ca-data");
    let first = run("embed-ca", home.path(), &[]);
    assert!(first.status.success(), "{first:?}");
    let files = ["ca.crt", "ca.key", "laptop.crt", "laptop.key"];
    let before = files.map(|name| read(&data.join(name)));
    let second = run("embed-ca", home.path(), &["embed-ca-data"]);
    assert!(second.status.success(), "{second:?}");

    for (name, before) in files.iter().zip(&before) {
        let path = data.join(name);
        let mode = fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777;
        assert_eq!(mode, OWNER_ONLY, "{name}");
        assert!(*name == "laptop.crt" || read(&path) == *before, "{name} was made anew");
    }
    assert_eq!(fs::read_dir(&data).expect("it is there").count(), files.len());
    let certificate = Certificate::from_pem(read(&data.join("laptop.crt")).as_bytes());
    let fingerprint = certificate.expect("a certificate").fingerprint().to_string();
    assert!(text(second.stdout).contains(&format!("laptop  {fingerprint}")));

    if let Some(peer) = peers::newest() {
        peer.nebula_cert(&data, &["verify", "-ca", "ca.crt", "-crt", "laptop.crt"]);
        // The key is one that the real tool can go on with.
        let sign = ["sign", "-name", "theirs", "-networks", "10.42.0.6/16"];
        peer.nebula_cert(&data, &sign);
    }
}

#[test]
fn the_embedded_ca_refuses_a_key_that_is_another_cas() {
    let (home, other) = (directory(), directory());
    for home in [&home, &other] {
        assert!(run("embed-ca", home.path(), &["ca"]).status.success());
    }
    fs::copy(other.path().join("ca/ca.key"), home.path().join("ca/ca.key")).expect("it is ours");
    let refused = run("embed-ca", home.path(), &["ca"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(text(refused.stderr), "embed-ca: signer's key is not the CA certificate's\n");
}

#[test]
fn received_keys_of_both_curves_are_signed_and_bad_ones_refused_with_the_reason() {
    let home = directory();
    let output = run("sign-received-key", home.path(), &[]);
    assert!(output.status.success(), "{output:?}");
    let shown = text(output.stdout);
    assert_eq!(
        outcomes(&shown),
        [
            "an X25519 key: signed",
            "a P256 key: signed",
            "a private key, sent by mistake: refused: wrong PEM banner: \
             expected a host's public key, found \"NEBULA X25519 PRIVATE KEY\"",
            "a key of zeros: refused: public key is a point of small order",
            "half a key: refused: wrong length of X25519 public key: \
             expected 32 bytes, found 16",
            "a point that is not on P256: refused: public key is not a point of the curve P256",
            "something else: refused: no valid PEM block",
        ]
    );
    for peer in peers::releases().iter().filter(|peer| peer.knows_p256()) {
        check(peer, home.path(), &shown, 2);
    }
}

#[test]
fn keys_that_the_real_tool_makes_are_signed() {
    let Some(peer) = peers::newest() else { return };
    let home = directory();
    for (curve, name) in [("25519", "one"), ("P256", "other")] {
        let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
        let keygen = ["keygen", "-curve", curve, "-out-key", &key, "-out-pub", &public];
        peer.nebula_cert(home.path(), &keygen);
    }
    let output = run("sign-received-key", home.path(), &["one.pub", "other.pub"]);
    assert!(output.status.success(), "{output:?}");
    let shown = text(output.stdout);
    assert_eq!(outcomes(&shown), ["one.pub: signed", "other.pub: signed"]);
    check(&peer, home.path(), &shown, 2);

    let output = run("sign-received-key", home.path(), &["one.pub", "one.key"]);
    assert_eq!(output.status.code(), Some(1), "a refusal is seen in the exit code");
}

#[test]
fn a_peer_is_verified_in_each_form_and_refused_once_blocked() {
    let home = directory();
    let output = run("verify-peer", home.path(), &[]);
    assert!(output.status.success(), "{output:?}");
    let shown = text(output.stdout);
    let lines: Vec<&str> = shown.lines().collect();
    let begins = [
        "CA \"Retired CA\" is expired or not yet valid",
        "verified   \"peer\" at 10.42.0.7/16, fd42::7/64 in [\"staff\"]",
        "handshake  ",
        "connected  still trusted",
        "later      certificate is expired: ",
        "blocked    certificate ",
    ];
    assert!(lines.iter().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{shown}");
    assert_eq!(lines.len(), begins.len(), "{shown}");
}

#[test]
fn a_peer_with_the_real_tools_certificate_is_verified_unless_blocked_or_anothers() {
    let Some(peer) = peers::newest() else { return };
    let home = directory();
    for curve in ["25519", "P256"] {
        let (ca, key) = (format!("{curve}-ca.crt"), format!("{curve}-ca.key"));
        let crt = format!("{curve}.crt");
        let nebula_cert = |arguments: &[&str]| peer.nebula_cert(home.path(), arguments);
        nebula_cert(&["ca", "-name", curve, "-curve", curve, "-out-crt", &ca, "-out-key", &key]);
        nebula_cert(&[
            "sign",
            "-ca-crt",
            &ca,
            "-ca-key",
            &key,
            "-name",
            curve,
            "-networks",
            "10.1.2.3/24",
            "-out-crt",
            &crt,
            "-out-key",
            "host.key",
        ]);
        fs::remove_file(home.path().join("host.key")).expect("it was made");

        let given = ["--ca", &ca, "--crt", &crt];
        let output = run("verify-peer", home.path(), &given);
        assert!(output.status.success(), "{output:?}");

        let certificate = Certificate::from_pem(read(&home.path().join(&crt)).as_bytes());
        let certificate = certificate.expect("a certificate");
        let either = [Some(certificate.fingerprint()), certificate.alternate_fingerprint()];
        for fingerprint in either.into_iter().flatten().map(|one| one.to_string()) {
            let output =
                run("verify-peer", home.path(), &[&given[..], &["--block", &fingerprint]].concat());
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let refusal = format!("verify-peer: certificate {fingerprint} is blocked\n");
            assert_eq!(text(output.stderr), refusal);
        }
    }
    let output = run("verify-peer", home.path(), &["--ca", "25519-ca.crt", "--crt", "P256.crt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(output.stderr).starts_with("verify-peer: unknown CA "));
}

#[test]
fn the_calls_that_replace_the_real_tool_make_what_it_accepts_and_print_what_it_prints() {
    let home = directory();
    let output = run("replace-nebula-cert", home.path(), &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_dir(home.path()).expect("it is there").count(), 0, "it left files behind");
    let shown = text(output.stdout);
    let Some(peer) = peers::newest() else { return };
    check(&peer, home.path(), &shown, 1);

    fs::write(home.path().join("device.crt"), blocks(&shown)[1]).expect("it is ours");
    let print = ["print", "-json", "-path", "device.crt"];
    assert_eq!(shown.lines().last(), Some(peer.nebula_cert(home.path(), &print).trim_end()));
}

/// Has the real tool verify the certificates shown under the CAs shown before them.
#[track_caller]
fn check(peer: &Peer, home: &Path, shown: &str, cas: usize) {
    let blocks = blocks(shown);
    let (cas, certificates) = blocks.split_at(cas);
    assert_eq!(certificates.len(), cas.len(), "{shown}");
    fs::write(home.join("shown-ca.crt"), cas.concat()).expect("it is ours");
    for certificate in certificates {
        fs::write(home.join("shown.crt"), certificate).expect("it is ours");
        peer.nebula_cert(home, &["verify", "-ca", "shown-ca.crt", "-crt", "shown.crt"]);
    }
}

/// The PEM blocks of a text.
fn blocks(text: &str) -> Vec<&str> {
    let begin = "-----BEGIN ";
    text.match_indices(begin)
        .map(|(at, _)| {
            let block = &text[at..];
            let end = block.find("-----END ").expect("an end");
            let line = block[end..].find('\n').expect("its line's end");
            &block[..=end + line]
        })
        .collect()
}

/// The lines that say what became of a key.
fn outcomes(shown: &str) -> Vec<&str> {
    let outcome = |line: &&str| line.ends_with(": signed") || line.contains(": refused: ");
    shown.lines().filter(outcome).collect()
}

fn run(example: &str, home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(example));
    command.args(arguments).current_dir(home).output().expect("it is built with the tests")
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}
