//! Which bundles from elsewhere are installed, and which are refused.

use nebula_bundle::{CheckedBundle, Error, check};
use nebula_pki::key::PublicKey;
use nebula_pki::{Curve, Error as PkiError, Version};

use crate::support::cases::{Case, cases};
use crate::support::inputs::{VALIDITY, host, issue, issuer, node_key};

const NOW: i64 = VALIDITY.not_before + 1;
const FILES: [&str; 4] = ["ca.crt", "node.crt", "nebula.yml", "README.md"];

/// The files of a bundle, some of them changed on the way.
struct Received(Vec<(String, String)>);

impl Received {
    fn of(name: &str) -> Self {
        let all = cases();
        Self::from(all.iter().find(|case| case.name == name).unwrap())
    }

    fn from(case: &Case) -> Self {
        let bundle = case.bundle();
        Self(
            bundle.files().map(|(name, contents)| (name.to_owned(), contents.to_owned())).collect(),
        )
    }

    fn with(mut self, name: &str, change: impl FnOnce(&str) -> String) -> Self {
        let file = self.0.iter_mut().find(|file| file.0 == name).unwrap();
        file.1 = change(&file.1);
        self
    }

    fn replaced(self, name: &str, what: &str, by: &str) -> Self {
        self.with(name, |text| {
            assert!(text.contains(what), "{what}");
            text.replacen(what, by, 1)
        })
    }

    fn checked_for(&self, key: &PublicKey, now: i64) -> Result<CheckedBundle, Error> {
        check(self.0.iter().map(|(name, contents)| (name.as_str(), contents.as_str())), key, now)
    }

    fn checked(&self) -> Result<CheckedBundle, Error> {
        self.checked_for(&node_key(Curve::Curve25519).public_key(), NOW)
    }
}

#[test]
fn what_is_rendered_is_installed_byte_for_byte() {
    for case in cases() {
        let checked = Received::from(&case)
            .checked_for(&node_key(case.curve).public_key(), NOW)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let bundle = case.bundle();
        assert!(checked.files().eq(bundle.files()), "{}", case.name);
        assert_eq!(checked.certificates(), &case.node.certificates, "{}", case.name);
        assert_eq!(checked.config().tun.dev, case.network.tun.dev, "{}", case.name);
    }
}

#[test]
fn every_file_is_there_once_and_no_other() {
    for name in FILES {
        let mut received = Received::of("groups");
        received.0.retain(|file| file.0 != name);
        assert_eq!(received.checked(), Err(Error::MissingFile { file: name }));
        let mut received = Received::of("groups");
        received.0.push((name.to_owned(), String::new()));
        assert!(matches!(received.checked(), Err(Error::File { file, .. }) if file == name));
    }
    for name in ["node.key", "../ca.crt", "/etc/passwd", "ca.crt\0", ""] {
        let mut received = Received::of("groups");
        received.0.push((name.to_owned(), String::new()));
        assert_eq!(received.checked(), Err(Error::UnknownFile { name: name.to_owned() }));
    }
}

#[test]
fn a_certificate_is_for_this_key_by_a_ca_of_the_bundle_and_valid_now() {
    let refused = |received: &Received| match received.checked() {
        Err(Error::Certificate { file: "node.crt", source }) => source,
        other => panic!("{other:?}"),
    };
    let other_key =
        nebula_pki::key::AgreementKey::generate(Curve::Curve25519, &mut nebula_pki::SystemRandom)
            .unwrap();
    let foreign = Received::of("groups").checked_for(&other_key.public_key(), NOW);
    assert!(matches!(foreign, Err(Error::File { file: "node.crt", .. })), "{foreign:?}");

    let plain = host("node", Curve::Curve25519, &["10.1.0.9/16"], &["web"]);
    let elsewhere = issuer("another", Version::V1, Curve::Curve25519).issue(Version::V1, &plain);
    let pem = elsewhere.unwrap().certificate().to_pem();
    let received = Received::of("groups").with("node.crt", |_| pem);
    assert!(matches!(refused(&received), PkiError::UnknownCa { .. }));

    let received = Received::of("groups").with("ca.crt", |_| String::new());
    let none = received.checked();
    assert!(matches!(none, Err(Error::Certificate { file: "ca.crt", .. })), "{none:?}");

    for now in [VALIDITY.not_before - 1, VALIDITY.not_after + 1] {
        let received = Received::of("groups");
        let out = received.checked_for(&node_key(Curve::Curve25519).public_key(), now);
        assert!(matches!(out, Err(Error::Certificate { file: "node.crt", .. })), "{out:?}");
    }

    let own = issue(Version::V1, &plain).certificate().fingerprint();
    let received = Received::of("groups")
        .with("node.crt", |_| issue(Version::V1, &plain).certificate().to_pem())
        .replaced("nebula.yml", "blocklist: []", &format!("blocklist:\n  - '{own}'"));
    assert!(matches!(refused(&received), PkiError::Blocked { .. }));

    let received = Received::of("groups").with("node.crt", |pem| [pem, pem].concat());
    assert_eq!(received.checked(), Err(Error::DoubledVersion { version: 1 }));
    let received = Received::of("groups").with("node.crt", |_| String::new());
    assert_eq!(refused(&received), PkiError::NoPemBlock);
    let received = Received::of("groups").with("node.crt", |pem| pem.replace('M', "m"));
    assert!(received.checked().is_err());
}

#[test]
fn what_does_not_sign_itself_is_no_ca() {
    let node = Received::of("groups").0.into_iter().find(|file| file.0 == "node.crt").unwrap().1;
    let received = Received::of("groups").with("ca.crt", |pem| [pem, node.as_str()].concat());
    let refused = received.checked();
    assert!(
        matches!(
            refused,
            Err(Error::Certificate { file: "ca.crt", source: PkiError::NotCa { .. } })
        ),
        "{refused:?}"
    );
}

#[test]
fn a_configuration_has_nothing_that_is_not_rendered_here() {
    let own = "pki:\n";
    for (what, by) in [
        (own, "sshd:\n  enabled: true\n  listen: 0.0.0.0:2222\npki:\n"),
        (own, "? sshd\n: {enabled: true}\npki:\n"),
        (own, "<<: {sshd: {enabled: true}}\npki:\n"),
        (own, "logging:\n  level: debug\npki:\n"),
        (own, "pki: &a\n"),
        (own, "---\na: b\n---\npki:\n"),
        (own, "pki: {}\npki:\n"),
        ("  punch: true", "  punch: true\n  delay: 1s"),
        ("respond: true", "respond: false"),
        ("respond_delay: '1s'", "respond_delay: '0s'"),
        ("  punch: true", "  punch: true\n  punch: true"),
        ("    proto: 'any'\n    host: 'any'\n", "    proto: 'any'\n    cidr: '0.0.0.0/0'\n"),
        ("    proto: 'any'\n    host: 'any'\n", "    proto: 'any'\n"),
        ("    proto: 'any'", "    proto: 'gre'"),
        ("port: 'any'", "port: '9-1'"),
        ("port: 'any'", "port: '+5'"),
        ("port: 'any'", "port: '22'"),
        ("    group: 'web'", "    group: 'any'"),
        ("    group: 'web'", "    host: 'any'"),
        ("    group: 'web'", "    group: 'other'"),
        ("  outbound:\n  - port: 'any'\n    proto: 'any'\n    host: 'any'\n", "  outbound: []\n"),
        ("punch: true", "punch: false"),
        ("host: '::'", "host: '127.0.0.1'"),
        ("interval: 60", "interval: 0"),
        ("interval: 60", "interval: 4294967295"),
        ("am_lighthouse: false", "am_lighthouse: true"),
        ("  - '192.0.2.1:4242'", "  - '192.0.2.1:4242'\n  - '192.0.2.1:4242'"),
        ("  - '192.0.2.1:4242'", "  - '10.1.7.7:4242'"),
        ("  - '192.0.2.1:4242'", "  - '127.0.0.1:4242'"),
        ("  \"10.1.0.1\":\n  - '192.0.2.1:4242'", "  \"10.1.0.1\": []"),
        ("use_relays: true", "use_relays: false"),
        ("\"10.1.0.1\":", "\"10.1.0.9\":"),
        ("relays: []", "relays: ['10.1.0.9']"),
        ("dev: 'nebula1'", "dev: 'a:b'"),
        ("dev: 'nebula1'", "dev: 'lo'"),
        ("dev: 'nebula1'", "dev: 'n%d'"),
        ("port: 'any'", "port: 'fragment'"),
        ("ca: 'ca.crt'", "ca: '/etc/ssl/ca.crt'"),
        ("cert: 'node.crt'", "cert: '../node.crt'"),
        ("key: 'node.key'", "key: |\n    -----BEGIN NEBULA X25519 PRIVATE KEY-----\n"),
        ("blocklist: []", "blocklist: ['AB']"),
        ("disconnect_invalid: true", "disconnect_invalid: false"),
        ("disconnect_invalid: true", "disconnect_invalid: true\n  initiating_version: 2"),
        ("dev: 'nebula1'", "dev: '../x'"),
        ("mtu: 1300", "mtu: 1"),
        ("host: '::'", "host: 'somewhere'"),
        ("\"10.1.0.1\":", "\"10.9.0.1\":"),
        ("\"10.1.0.1\":", "\"10.1.0.2\":"),
        ("relays: []", "relays: ['192.0.2.1']"),
        ("192.0.2.1:4242", "0.0.0.0:4242"),
    ] {
        let received = Received::of("groups").replaced("nebula.yml", what, by);
        let refused = received.checked();
        assert!(
            matches!(
                refused,
                Err(Error::File { file: "nebula.yml", .. }
                    | Error::TunDevice { .. }
                    | Error::TunMtu { .. })
            ),
            "{by}: {refused:?}"
        );
    }
    for text in ["", "[]", "a", "\u{1b}[2J: 1", "pki:\n\tca: x", &"[".repeat(10_000)] {
        let received = Received::of("groups").with("nebula.yml", |_| text.to_owned());
        let Err(Error::File { file: "nebula.yml", defect }) = received.checked() else {
            panic!("{text}")
        };
        let reason = defect.to_string();
        assert!(!reason.chars().any(char::is_control) && reason.len() < 2000, "{reason}");
    }
}

#[test]
fn a_device_with_ipv6_has_the_mtu_that_it_needs() {
    let received =
        Received::of("version-2-dual-stack").replaced("nebula.yml", "mtu: 1300", "mtu: 1279");
    let refused = received.checked();
    assert!(matches!(refused, Err(Error::File { file: "nebula.yml", .. })), "{refused:?}");
}

#[test]
fn nothing_commands_the_terminal_of_who_reads_the_note() {
    let received = Received::of("groups").with("README.md", |text| format!("{text}\u{1b}[2J"));
    assert!(matches!(received.checked(), Err(Error::File { file: "README.md", .. })));
}

#[test]
fn a_file_without_end_is_refused_unread() {
    for name in FILES {
        let limit = match name {
            "ca.crt" => 1 << 20,
            "nebula.yml" => 16 << 20,
            _ => 64 << 10,
        };
        let received = Received::of("groups").with(name, |_| "#".repeat(limit + 1));
        assert!(matches!(received.checked(), Err(Error::File { file, .. }) if file == name));
    }
    let received = Received::of("groups").with("ca.crt", |pem| pem.repeat(65));
    assert!(matches!(received.checked(), Err(Error::File { file: "ca.crt", .. })));
}
