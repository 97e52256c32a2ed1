//! What scripts ask.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    CaParameters, Certificate, Curve, HostParameters, Issuer, SystemRandom, Validity, Version,
};
use serde_json::{Value, json};

use super::{certificates, refuse, with_ca};
use crate::support::command::{Scratch, reference};
use crate::support::vector;

#[test]
fn errors_for_programs() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["ca", "-name", "x", "-out-crt", "x.crt", "-out-key", "x.key"]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let errors = |arguments: &[&str]| -> Vec<Value> {
        let outcome = scratch.run_with(arguments, &[("NEBULA_CERT_ERRORS", "json")], b"");
        assert_eq!((outcome.exit, outcome.stdout().as_str()), (1, ""), "{arguments:?}");
        outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let usage = |mode: &str, message: &str| {
        vec![json!({"mode": mode, "code": "usage", "message": message})]
    };
    assert_eq!(errors(&[]), usage("", "No mode was provided"));
    assert_eq!(errors(&["-x"]), usage("", "flag provided but not defined: -x"));
    assert_eq!(errors(&["x"]), usage("x", "unknown mode: x"));
    assert_eq!(errors(&["sign"]), usage("sign", "-name is required"));
    assert_eq!(errors(&["ca", "-x"]), usage("ca", "flag provided but not defined: -x"));
    assert_eq!(
        errors(&["print", "-path", "\"\u{e9}\n"]),
        [json!({
            "mode": "print", "code": "file",
            "message": "unable to read cert; open \"\u{e9}\n: no such file or directory",
        })]
    );
    assert_eq!(errors(&["ca", "-name", "y"])[0]["code"], "exists");

    scratch.write("both.crt", scratch.read("n.crt") + &scratch.read("ca.crt"));
    let verify = errors(&["verify", "-ca", "x.crt", "-crt", "both.crt"]);
    let codes: Vec<_> = verify.iter().map(|error| error["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["unknown_ca", "no_issuer"]);
    for (error, certificate) in verify.iter().zip(certificates(&scratch, "both.crt")) {
        assert_eq!(error["fingerprint"], certificate.fingerprint().to_string());
    }

    // Before its beginning and after its end are two, with the same words as the reference's.
    for (file, code) in [("early.crt", "not_yet_valid"), ("late.crt", "expired")] {
        let (certificate, ca) = at_another_time(code);
        scratch.write(file, certificate.to_pem());
        scratch.write("times.crt", ca.to_pem());
        let error = errors(&["verify", "-ca", "times.crt", "-crt", file]).remove(0);
        assert_eq!(error["code"], code);
        assert!(error["message"].as_str().unwrap().ends_with(": certificate is expired"));
        let json: Value =
            serde_json::from_str(&certificate.to_json(nebula_pki::utc).unwrap()).unwrap();
        for name in ["notBefore", "notAfter"] {
            assert_eq!(error[name], json["details"][name]);
        }
    }
    // Help is no error.
    let help = scratch.run_with(&["sign", "-h"], &[("NEBULA_CERT_ERRORS", "json")], b"");
    assert_eq!(help.exit, 0);
    assert!(help.stderr.starts_with("Usage of nebula-cert sign"));
}

/// A certificate that begins in a year or ended a year ago, and its CA.
fn at_another_time(code: &str) -> (Certificate, Certificate) {
    let now: i64 =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap();
    let year = 365 * 86_400;
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let validity = Validity { not_before: now - 9 * year, not_after: now + 9 * year };
    let ca = CaParameters::new("CA", validity);
    let issuer = Issuer::self_signed(Version::V2, ca, key).unwrap();
    let shift = if code == "expired" { -year } else { year };
    let validity = Validity { not_before: now + shift - 9, not_after: now + shift + 9 };
    let key = AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let networks = vec!["10.1.1.1/24".parse().unwrap()];
    let host = HostParameters::new("n", networks, key.public_key(), validity);
    let certificate = issuer.issue(Version::V2, &host).unwrap().into_certificate();
    (certificate, issuer.certificate().clone())
}

#[test]
fn verify_says_what_expires_soon() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24", "-duration", "48h"]);
    let verify = ["verify", "-ca", "ca.crt", "-crt", "n.crt", "-expires-within"];
    for within in ["0", "47h", "-1h"] {
        scratch.succeed(&[&verify[..], &[within]].concat());
    }
    let soon = [&verify[..], &["49h"]].concat();
    let outcome = scratch.run(&soon);
    assert_eq!(outcome.exit, 1);
    let beginning = "Error: certificate \"n\" expires within -expires-within, at 2";
    assert!(outcome.stderr.starts_with(beginning), "{}", outcome.stderr);
    let outcome = scratch.run_with(&soon, &[("NEBULA_CERT_ERRORS", "json")], b"");
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    let certificate = certificates(&scratch, "n.crt").remove(0);
    assert_eq!(error["code"], "expires_soon");
    assert_eq!(error["fingerprint"], certificate.fingerprint().to_string());
    assert!(error["notAfter"].is_string());
}

#[test]
fn verify_says_whether_a_key_is_the_certificates() {
    let scratch = with_ca(&[]);
    let sign = ["sign", "-networks", "10.1.1.1/24", "-name"];
    scratch.succeed(&[&sign[..], &["n", "-version", "1,2"]].concat());
    scratch.succeed(&[&sign[..], &["m"]].concat());
    let verify = ["verify", "-ca", "ca.crt", "-crt", "n.crt", "-key"];
    scratch.succeed(&[&verify[..], &["n.key"]].concat());
    let none = "error while verifying key: private key is not the certificate's";
    for key in ["m.key", "ca.key"] {
        refuse(&scratch, &[&verify[..], &[key]].concat(), none);
    }
    refuse(
        &scratch,
        &[&verify[..], &["n.crt"]].concat(),
        "error while parsing key: bytes did not contain a proper private key banner",
    );
}

#[test]
fn a_lost_public_key_is_made_again() {
    let scratch = with_ca(&[]);
    for curve in ["25519", "P256"] {
        scratch.succeed(&["keygen", "-curve", curve, "-out-key", "k", "-out-pub", "k.pub"]);
        for name in ["k", "k.pub"] {
            let shown = scratch.run(&["inspect", "-json", "-path", name]).stdout();
            let shown: Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(shown["publicKeyPem"], scratch.read("k.pub"), "{name}");
        }
    }
    scratch.succeed(&["keygen", "-out-key", "k", "-out-pub", "k.pub"]);
    let sign = ["sign", "-name", "n", "-networks", "10.1.1.1/24", "-in-pub", "k.pub"];
    scratch.succeed(&sign);
    let shown = scratch.run(&["inspect", "-json", "-path", "n.crt"]).stdout();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["publicKeyPem"], scratch.read("k.pub"));
    // It can't be signed for a host.
    let shown = scratch.run(&["inspect", "-json", "-path", "ca.key"]).stdout();
    assert!(!shown.contains("publicKeyPem"), "{shown}");
}

#[test]
fn a_ca_in_a_blocklist_is_warned_of() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let ca = certificates(&scratch, "ca.crt").remove(0).fingerprint().to_string();
    scratch.write("list", format!("{ca}\n"));
    let warning = "blocklist names the CA \"test CA\", which blocks nothing that it signed; take it \
                   out of the CAs instead";
    for arguments in [
        &["verify", "-ca", "ca.crt", "-crt", "n.crt", "-blocklist", "list"][..],
        &["renew", "-in-crt", "n.crt", "-blocklist", "list"],
    ] {
        let outcome = scratch.run(arguments);
        assert_eq!((outcome.exit, outcome.stderr), (0, format!("Warning: {warning}\n")));
        let outcome = scratch.run_with(arguments, &[("NEBULA_CERT_ERRORS", "json")], b"");
        let told: Value = serde_json::from_str(&outcome.stderr).unwrap();
        let expected = json!({
            "warning": true, "code": "ca_in_blocklist", "message": warning, "fingerprint": ca,
        });
        assert_eq!((outcome.exit, told), (0, expected));
    }
    let host = certificates(&scratch, "n.crt").remove(0).fingerprint().to_string();
    scratch.write("list", host);
    let outcome = scratch.run(&["verify", "-ca", "ca.crt", "-crt", "n.crt", "-blocklist", "list"]);
    assert!(outcome.stderr.starts_with("Error: "), "{}", outcome.stderr);
}

#[test]
fn of_several_cas_the_one_that_fits_the_key_signs() {
    let scratch = Scratch::new();
    for name in ["a", "b"] {
        let (crt, key) = (format!("{name}.crt"), format!("{name}.key"));
        scratch.succeed(&["ca", "-name", name, "-out-crt", &crt, "-out-key", &key]);
    }
    scratch.succeed(&["keygen", "-out-key", "h.key", "-out-pub", "h.pub"]);
    let signer = |key: &str| {
        let name = format!("{}.h", key.len());
        let sign = ["sign", "-ca-crt", "all.crt", "-in-pub", "h.pub", "-networks", "10.1.1.1/24"];
        let out = ["-ca-key", key, "-name", &name, "-out-crt", "h.crt"];
        let outcome = scratch.run(&[&sign[..], &out].concat());
        if outcome.exit != 0 {
            return Err(outcome.stderr);
        }
        let issuer = certificates(&scratch, "h.crt")[0].unverified_details().issuer();
        fs::remove_file(scratch.path("h.crt")).unwrap();
        Ok(issuer.unwrap())
    };
    let fingerprint = |name: &str| certificates(&scratch, name)[0].fingerprint();
    let (a, b) = (scratch.read("a.crt"), scratch.read("b.crt"));
    scratch.write("all.crt", format!("{a}{b}"));
    assert_eq!(signer("a.key"), Ok(fingerprint("a.crt")));
    assert_eq!(signer("b.key"), Ok(fingerprint("b.crt")));

    // What follows a first one that will do is not looked at, as in the reference.
    scratch.write("all.crt", format!("{a}no PEM"));
    assert_eq!(signer("a.key"), Ok(fingerprint("a.crt")));
    let mismatch = "Error: refusing to sign, root certificate does not match private key\n";
    assert_eq!(signer("b.key"), Err(mismatch.to_owned()));

    // Of two for one key the one that is valid.
    let key = SigningKey::from_pem(scratch.read("a.key").as_bytes()).unwrap();
    let validity = Validity { not_before: 1, not_after: 2 };
    let old = CaParameters::new("a", validity);
    let old = Issuer::self_signed(Version::V2, old, key).unwrap().certificate().to_pem();
    scratch.write("all.crt", format!("{old}{b}{a}"));
    assert_eq!(signer("a.key"), Ok(fingerprint("a.crt")));
    scratch.write("all.crt", format!("{old}{b}"));
    assert_eq!(signer("a.key"), Err("Error: ca certificate is expired\n".to_owned()));
}

#[test]
fn a_ca_is_not_renewed_and_told_what_to_do() {
    let scratch = with_ca(&[]);
    let outcome = scratch.run(&["renew", "-in-crt", "ca.crt"]);
    let beginning =
        "Error: in-crt is the certificate of the ca \"test CA\", which can't be renewed: ";
    assert_eq!(outcome.exit, 1);
    assert!(outcome.stderr.starts_with(beginning), "{}", outcome.stderr);

    // The way that it names.
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    scratch.succeed(&["ca", "-name", "new", "-out-crt", "new.crt", "-out-key", "new.key"]);
    let with = ["-ca", "ca.crt", "-ca-crt", "new.crt", "-ca-key", "new.key", "-duration", "1h"];
    scratch.succeed(&[&["renew", "-in-crt", "n.crt"], &with[..]].concat());
    scratch.succeed(&["verify", "-ca", "new.crt", "-crt", "n.crt"]);

    // With both CAs in one file it needs no more than the new key.
    scratch.succeed(&["sign", "-name", "m", "-networks", "10.1.1.2/24"]);
    scratch.write("all.crt", scratch.read("ca.crt") + &scratch.read("new.crt"));
    scratch.succeed(&["renew", "-in-crt", "m.crt", "-ca-crt", "all.crt", "-ca-key", "new.key"]);
    scratch.succeed(&["verify", "-ca", "new.crt", "-crt", "m.crt"]);
}

#[test]
fn a_file_in_utf_16_is_called_that() {
    let scratch = with_ca(&[]);
    scratch.succeed(&["sign", "-name", "n", "-networks", "10.1.1.1/24"]);
    let utf_16 = |name: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
        let text = scratch.read(name);
        scratch.write(
            "wide",
            [mark, &text.encode_utf16().flat_map(bytes).collect::<Vec<_>>()].concat(),
        );
    };
    let told = "input did not contain a valid PEM encoded block: UTF-16 text, where PEM has to be \
                ASCII: save it as UTF-8\n";
    for (mark, bytes) in [
        (&b"\xff\xfe"[..], u16::to_le_bytes as fn(u16) -> [u8; 2]),
        (b"\xfe\xff", u16::to_be_bytes),
        (b"", u16::to_le_bytes),
    ] {
        for (name, arguments) in [
            ("n.crt", &["print", "-path", "wide"][..]),
            ("n.crt", &["verify", "-ca", "ca.crt", "-crt", "wide"]),
            ("ca.crt", &["verify", "-ca", "wide", "-crt", "n.crt"]),
            ("n.crt", &["inspect", "-path", "wide"]),
            ("ca.key", &["rekey", "-ca-key", "wide", "-out-key", "x"]),
            ("ca.crt", &["sign", "-ca-crt", "wide", "-name", "m", "-networks", "10.1.1.2/24"]),
        ] {
            utf_16(name, mark, bytes);
            let outcome = scratch.run(arguments);
            assert!(
                outcome.exit == 1 && outcome.stderr.ends_with(told),
                "{arguments:?} {outcome:?}"
            );
        }
    }
    scratch.write("wide", b"\xff\xfe0\0");
    let outcome = scratch.run(&["verify", "-ca", "ca.crt", "-crt", "n.crt", "-blocklist", "wide"]);
    assert!(outcome.stderr.contains("UTF-16"), "{}", outcome.stderr);
}

#[test]
fn json_as_releases_up_to_1_9_wrote_it() {
    let scratch = with_ca(&["-version", "1", "-groups", "a,b"]);
    scratch.succeed(&[
        "sign",
        "-name",
        "n",
        "-networks",
        "10.1.1.1/24",
        "-unsafe-networks",
        "10.9.0.0/16",
        "-groups",
        "b",
    ]);
    scratch.write("both.crt", scratch.read("ca.crt") + &scratch.read("n.crt"));
    let printed = scratch.run(&["print", "-json-legacy", "-path", "both.crt"]).stdout();
    let lines: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["details"]["subnets"], json!([]));
    assert_eq!(lines[1]["details"]["ips"], json!(["10.1.1.1/24"]));
    let Some(old) = reference().map(|new| new.with_file_name("").join("../1.9.3/nebula-cert"))
    else {
        return;
    };
    if !old.is_file() {
        println!("skipped: no nebula-cert 1.9.3 beside 1.11.0");
        return;
    }
    let theirs = Command::new(old)
        .args(["print", "-json", "-path", "both.crt"])
        .env("TZ", "UTC")
        .current_dir(scratch.path(""))
        .output()
        .unwrap();
    assert_eq!(printed, String::from_utf8(theirs.stdout).unwrap());
}

#[test]
fn who_asks_is_told_that_this_is_not_the_reference() {
    let scratch = Scratch::new();
    assert_eq!(scratch.run(&["-version"]).stdout(), "Version: 1.11.0\n");
    let ours =
        concat!("Version: 1.11.0\nImplementation: nebula-pki ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(scratch.run(&["-implementation"]).stdout(), ours);
    assert_eq!(scratch.run(&["-version", "-implementation"]).stdout(), ours);
}

#[test]
fn an_error_about_a_cas_time_names_the_ca() {
    let scratch = Scratch::new();
    scratch.write("ca.crt", vector::read("expired/ca-short-v2-25519.crt"));
    scratch.write("n.crt", vector::read("expired/under-short-v2-25519.crt"));
    let verify = ["verify", "-ca", "ca.crt", "-crt", "n.crt"];
    let outcome = scratch.run_with(&verify, &[("NEBULA_CERT_ERRORS", "json")], b"");
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    let ca = certificates(&scratch, "ca.crt").remove(0);
    assert_eq!(error["code"], "ca_expired");
    assert_eq!(error["fingerprint"], ca.fingerprint().to_string());
    let shown = scratch.run(&["print", "-json", "-path", "ca.crt"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    for name in ["notBefore", "notAfter"] {
        assert_eq!(error[name], shown[0]["details"][name]);
    }
}
