//! Does `nebula-cert` sign with a CA key that is in a token?
//!
//! Needs SoftHSM and OpenSSL (Debian: `softhsm2`, `openssl`); skipped without, unless
//! `REQUIRE_PEERS=1`.

use std::env;
use std::fs;
use std::process::Command;

use nebula_pki::{Certificate, Curve};

use crate::support::command;
use crate::support::command::{Outcome, Scratch};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

struct Token {
    scratch: Scratch,
    configuration: String,
}

impl Token {
    /// A token with one key, which OpenSSL made.
    fn new() -> Option<Self> {
        let scratch = Scratch::new();
        let tokens = scratch.path("tokens");
        fs::create_dir(&tokens).unwrap();
        let configuration = scratch.path("softhsm.conf");
        fs::write(&configuration, format!("directories.tokendir = {}\n", tokens.display()))
            .unwrap();
        let configuration = configuration.to_str().unwrap().to_owned();
        let token = Self { scratch, configuration };
        let made = token
            .call("softhsm2-util", "--init-token --free --label t --pin 1234 --so-pin 1234")
            && token
                .call("openssl", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p8")
            && token.call("softhsm2-util", "--import p8 --token t --label ca --id 01 --pin 1234");
        if !made {
            assert!(env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "no SoftHSM or OpenSSL");
            println!("skipped: no SoftHSM or OpenSSL");
        }
        made.then_some(token)
    }

    fn call(&self, program: &str, arguments: &str) -> bool {
        Command::new(program)
            .args(arguments.split(' '))
            .current_dir(self.scratch.path(""))
            .env("SOFTHSM2_CONF", &self.configuration)
            .output()
            .is_ok_and(|output| output.status.success())
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.scratch.run_with(arguments, &[("SOFTHSM2_CONF", &self.configuration)], b"")
    }
}

#[test]
fn a_ca_whose_key_is_in_a_token() {
    let Some(token) = Token::new() else { return };
    let uri = format!("pkcs11:token=t;object=ca?module-path={MODULE}&pin-value=1234");
    let succeed = |arguments: &[&str]| {
        let outcome = token.run(arguments);
        assert_eq!((outcome.exit, &*outcome.stderr), (0, ""), "{arguments:?}");
    };
    let refuse = |arguments: &[&str], message: &str| {
        let outcome = token.run(arguments);
        assert_eq!(outcome.exit, 1, "{arguments:?}");
        assert_eq!(outcome.stderr.lines().next(), Some(message), "{arguments:?}");
    };

    let ca = ["ca", "-name", "CA", "-curve", "P256", "-pkcs11", &uri];
    refuse(&[&ca[..], &["-curve", "25519"]].concat(), "Error: invalid curve for PKCS#11: 25519");
    refuse(&[&ca[..], &["-out-key", "k"]].concat(), "Error: cannot set -out-key with -pkcs11");
    succeed(&ca);
    assert!(!token.scratch.path("ca.key").exists());
    let certificate = Certificate::from_pem(token.scratch.read("ca.crt").as_bytes()).unwrap();
    assert_eq!(certificate.curve(), Curve::P256);

    succeed(&["keygen", "-curve", "P256", "-out-key", "h.key", "-out-pub", "h.pub"]);
    let sign = ["sign", "-name", "h", "-networks", "10.1.1.1/24", "-pkcs11", &uri];
    refuse(&sign, "Error: -in-pub is required with -pkcs11");
    succeed(&[&sign[..], &["-in-pub", "h.pub"]].concat());
    succeed(&["verify", "-strict", "-ca", "ca.crt", "-crt", "h.crt"]);
    succeed(&["renew", "-in-crt", "h.crt", "-duration", "1h", "-pkcs11", &uri]);
    succeed(&["verify", "-strict", "-ca", "ca.crt", "-crt", "h.crt"]);

    let keygen = ["keygen", "-curve", "P256", "-out-pub", "token.pub", "-pkcs11"];
    succeed(&[&keygen[..], &[&uri]].concat());
    let standard = "pkcs11:library-manufacturer=SoftHSM;token=t;object=ca;type=public\
         ?module-name=libsofthsm2&module-path=/usr/lib/softhsm&pin-value=1234";
    succeed(&[&keygen[..], &[standard]].concat());
    let no_pin = uri.replace("&pin-value=1234", "");
    refuse(
        &[&keygen[..], &[&no_pin]].concat(),
        "Error: error while creating PKCS#11 client: the token asks for a PIN: the PKCS#11 URI \
         needs pin-value or pin-source",
    );
    let shown = token.run(&["inspect", "-json", "-path", "token.pub"]).stdout();
    let key: String = certificate.public_key().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(shown.contains(&key), "{shown}");

    let wrong = uri.replace("1234", "4321");
    let outcome = token.run(&[&sign[..6], &[&wrong, "-in-pub", "h.pub", "-out-crt", "x"]].concat());
    assert!(
        outcome.stderr.starts_with("Error: error while creating PKCS#11 client: "),
        "{outcome:?}"
    );
    assert!(!outcome.stderr.contains("4321"), "the PIN is not shown");

    if let Some(reference) = command::reference() {
        let verify = Scratch::of(reference);
        ["ca.crt", "h.crt"].iter().for_each(|name| verify.write(name, token.scratch.read(name)));
        verify.succeed(&["verify", "-ca", "ca.crt", "-crt", "h.crt"]);
    }
}

#[test]
fn a_ca_whose_ed25519_key_is_in_a_token() {
    let Some(token) = Token::new() else { return };
    let made = token.call("openssl", "genpkey -algorithm ED25519 -out ed")
        && token.call("softhsm2-util", "--import ed --token t --label ed --id 02 --pin 1234");
    assert!(made);
    let uri = format!("pkcs11:token=t;object=ed?module-path={MODULE}&pin-value=1234");
    let succeed = |arguments: &[&str]| {
        let outcome = token.run(arguments);
        assert_eq!((outcome.exit, &*outcome.stderr), (0, ""), "{arguments:?}");
    };
    let p256 = token.run(&["ca", "-name", "CA", "-curve", "P256", "-pkcs11", &uri]);
    assert_eq!((p256.exit, &*p256.stderr), (1, "Error: invalid curve for PKCS#11: P256\n"));
    succeed(&["ca", "-name", "CA", "-pkcs11", &uri]);
    succeed(&["keygen", "-out-key", "h.key", "-out-pub", "h.pub"]);
    let sign = ["sign", "-name", "h", "-networks", "10.1.1.1/24", "-in-pub", "h.pub"];
    succeed(&[&sign[..], &["-pkcs11", &uri]].concat());
    succeed(&["verify", "-strict", "-ca", "ca.crt", "-crt", "h.crt"]);
    if let Some(reference) = command::reference() {
        let verify = Scratch::of(reference);
        ["ca.crt", "h.crt"].iter().for_each(|name| verify.write(name, token.scratch.read(name)));
        verify.succeed(&["verify", "-ca", "ca.crt", "-crt", "h.crt"]);
    }
}
