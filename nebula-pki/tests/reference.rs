//! Does the real `nebula-cert` agree with us, both ways?
//!
//! Looks for releases in `NEBULA_BIN_DIR` (one directory per release), else for one in the search
//! path. Without any it says so and passes, unless `REQUIRE_PEERS=1`.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

#[path = "support/random.rs"]
mod random;
#[allow(dead_code, reason = "shared by several tests")]
#[path = "support/vector.rs"]
mod vector;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, HostParameters, Issuer, Validity, Version,
};
use random::Seeded;
use serde_json::{Value, json};
use tempfile::TempDir;

#[test]
fn verifies_and_prints_what_we_issue() {
    for tool in tools() {
        for (ca_version, version) in tool.version_pairs() {
            for (what, host) in hosts(version) {
                let what = format!("{} {ca_version:?} {version:?} {what}", tool.release);
                let issuer = authority(ca_version);
                let certificate = issuer.issue(version, &host).unwrap().into_certificate();
                let ca = tool.file("ca.crt", &issuer.certificate().to_pem());
                let crt = tool.file("host.crt", &certificate.to_pem());

                let verified = tool.run(&["verify", "-ca", &ca, "-crt", &crt]);
                assert!(verified.status.success(), "{what}: {verified:?}");
                assert_eq!(tool.print(&crt), tool.expected(&certificate), "{what}");
                assert_eq!(tool.print(&ca), tool.expected(issuer.certificate()), "{what}");
            }
        }
    }
}

#[test]
fn refuses_what_our_pool_refuses() {
    for tool in tools() {
        for (ca_version, version) in tool.version_pairs() {
            let (_, host) = hosts(version).remove(0);
            let certificate =
                authority(ca_version).issue(version, &host).unwrap().into_certificate();
            let stranger = Issuer::self_signed(
                ca_version,
                CaParameters::new("stranger", ca_validity()),
                SigningKey::generate(Curve::Curve25519, &mut Seeded(99)).unwrap(),
            )
            .unwrap();
            let ca = tool.file("ca.crt", &stranger.certificate().to_pem());
            let crt = tool.file("host.crt", &certificate.to_pem());
            assert!(!tool.run(&["verify", "-ca", &ca, "-crt", &crt]).status.success());

            let mut pool = CaPool::new();
            pool.add(stranger.certificate().clone()).unwrap();
            assert!(pool.verify(&certificate, now(), &Blocklist::new()).is_err());
        }
    }
}

#[test]
fn signs_with_our_keys_and_we_verify_it() {
    for tool in tools() {
        for (ca_version, version) in tool.version_pairs() {
            let what = format!("{} {ca_version:?} {version:?}", tool.release);
            let key = signing_key();
            let ca_key = tool.file("ca.key", &key.to_pem());
            let parameters = CaParameters::new("ours", ca_validity());
            let issuer = Issuer::self_signed(ca_version, parameters, key).unwrap();
            let ca = tool.file("ca.crt", &issuer.certificate().to_pem());

            let public_key = agreement_key().public_key();
            let in_pub = tool.file("host.pub", &public_key.to_pem());
            let out = tool.path("tool.crt");
            let mut arguments =
                vec!["sign", "-ca-crt", &ca, "-ca-key", &ca_key, "-in-pub", &in_pub];
            arguments.extend(["-name", "host", "-ip", "10.1.2.3/16", "-groups", "a,b c"]);
            arguments.extend(["-subnets", "192.168.0.0/24", "-out-crt", &out]);
            if version != ca_version {
                arguments.extend(["-version", if version == Version::V1 { "1" } else { "2" }]);
            }
            let signed = tool.run(&arguments);
            assert!(signed.status.success(), "{what}: {signed:?}");

            let certificate = Certificate::from_pem(&fs::read(&out).unwrap()).unwrap();
            let mut pool = CaPool::new();
            pool.add(issuer.certificate().clone()).unwrap();
            let verified = pool.verify(&certificate, now(), &Blocklist::new()).unwrap();
            let details = verified.details();
            assert_eq!(certificate.version(), version, "{what}");
            assert_eq!(certificate.public_key(), public_key.as_bytes(), "{what}");
            assert_eq!(details.name(), "host", "{what}");
            assert_eq!(details.networks(), nets(&["10.1.2.3/16"]), "{what}");
            assert_eq!(details.unsafe_networks(), nets(&["192.168.0.0/24"]), "{what}");
            assert_eq!(details.groups().collect::<Vec<_>>(), ["a", "b c"], "{what}");
        }
    }
}

#[test]
fn makes_authorities_and_keys_that_we_load() {
    for tool in tools() {
        let (ca, ca_key) = (tool.path("tool-ca.crt"), tool.path("tool-ca.key"));
        let made = tool
            .run(&["ca", "-name", "theirs", "-groups", "a", "-out-crt", &ca, "-out-key", &ca_key]);
        assert!(made.status.success(), "{made:?}");
        let signer = SigningKey::from_pem(&fs::read(&ca_key).unwrap()).unwrap();
        assert_eq!(signer.to_pem().as_bytes(), fs::read(&ca_key).unwrap());
        let certificate = Certificate::from_pem(&fs::read(&ca).unwrap()).unwrap();
        let version = certificate.version();
        let issuer = Issuer::new(certificate, signer).unwrap();

        let (private, public) = (tool.path("tool.key"), tool.path("tool.pub"));
        let made = tool.run(&["keygen", "-out-key", &private, "-out-pub", &public]);
        assert!(made.status.success(), "{made:?}");
        let key = AgreementKey::from_pem(&fs::read(&private).unwrap()).unwrap();
        let public_key = PublicKey::from_pem(&fs::read(&public).unwrap()).unwrap();
        assert_eq!(key.public_key(), public_key);

        let validity = Validity { not_before: now(), not_after: now() + 60 };
        let host = HostParameters::new("ours", nets(&["10.1.2.3/16"]), public_key, validity);
        let certificate = issuer.issue(version, &host.groups(["a"])).unwrap().into_certificate();
        let crt = tool.file("ours.crt", &certificate.to_pem());
        let verified = tool.run(&["verify", "-ca", &ca, "-crt", &crt]);
        assert!(verified.status.success(), "{}: {verified:?}", tool.release);
    }
}

/// Our CA of this version, limited to what the hosts need.
fn authority(version: Version) -> Issuer<SigningKey> {
    let parameters = CaParameters::new("Our CA", ca_validity()).groups(["laptop", "größe"]);
    let parameters = match version {
        // A version 1 CA limited to IPv4 networks could sign no IPv6 ones.
        Version::V1 => parameters,
        _ => parameters.networks(nets(&["10.0.0.0/8", "fd00::/8"])),
    };
    Issuer::self_signed(version, parameters, signing_key()).unwrap()
}

fn hosts(version: Version) -> Vec<(&'static str, HostParameters)> {
    let validity = Validity { not_before: now() - 300, not_after: now() + 86_400 };
    let host = |networks: &[&str]| {
        HostParameters::new("host <1> & co", nets(networks), agreement_key().public_key(), validity)
    };
    let mut hosts = vec![
        ("plain", host(&["10.99.1.5/16"])),
        ("groups", host(&["10.99.1.5/16"]).groups(["größe", "laptop", "laptop"])),
        (
            "unsafe networks",
            host(&["10.99.1.5/16"]).unsafe_networks(nets(&["192.168.7.9/24", "0.0.0.0/0"])),
        ),
        ("one address", host(&["10.99.1.5/32"])),
    ];
    if version == Version::V2 {
        hosts.push(("IPv6", host(&["fd00::1/64"])));
        hosts.push((
            "dual stack",
            host(&["fd00::9/64", "10.99.1.5/16", "10.1.1.1/24"])
                .unsafe_networks(nets(&["::/0", "192.168.0.0/16"])),
        ));
    }
    hosts
}

fn ca_validity() -> Validity {
    Validity { not_before: now() - 3_600, not_after: now() + 10 * 86_400 }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn nets(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().map(|network| network.parse().unwrap()).collect()
}

fn signing_key() -> SigningKey {
    SigningKey::generate(Curve::Curve25519, &mut Seeded(1)).unwrap()
}

fn agreement_key() -> AgreementKey {
    AgreementKey::generate(Curve::Curve25519, &mut Seeded(2)).unwrap()
}

/// One release of the reference tool, and a directory for its files.
struct Tool {
    program: PathBuf,
    release: String,
    files: TempDir,
}

/// The releases at hand.
fn tools() -> Vec<Tool> {
    let mut programs: Vec<PathBuf> = match env::var_os("NEBULA_BIN_DIR") {
        Some(directory) => fs::read_dir(directory)
            .unwrap()
            .map(|release| release.unwrap().path().join("nebula-cert"))
            .collect(),
        None => env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|directory| directory.join("nebula-cert"))
            .find(|program| program.is_file())
            .into_iter()
            .collect(),
    };
    programs.retain(|program| program.is_file());
    programs.sort();
    if programs.is_empty() {
        assert!(env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "no nebula-cert found");
        println!("skipped: no nebula-cert in NEBULA_BIN_DIR or the search path");
    }
    programs.into_iter().map(Tool::new).collect()
}

impl Tool {
    fn new(program: PathBuf) -> Self {
        let version = Command::new(&program).arg("-version").output().unwrap();
        let release = String::from_utf8(version.stdout).unwrap().replace("Version: ", "");
        Self { program, release: release.trim().to_owned(), files: TempDir::new().unwrap() }
    }

    /// Version 2 came with release 1.10.
    fn knows_v2(&self) -> bool {
        let minor = self.release.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        minor.is_some_and(|minor| minor >= 10)
    }

    fn version_pairs(&self) -> Vec<(Version, Version)> {
        use Version::{V1, V2};
        if self.knows_v2() { vec![(V1, V1), (V1, V2), (V2, V1), (V2, V2)] } else { vec![(V1, V1)] }
    }

    fn path(&self, name: &str) -> String {
        let path = self.files.path().join(name);
        // The tool refuses to overwrite.
        remove(&path);
        path.to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program).args(arguments).env("TZ", "UTC").output().unwrap()
    }

    fn print(&self, path: &str) -> Value {
        let output = self.run(&["print", "-json", "-path", path]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What this release shows of a certificate: before 1.10 a single object with older names.
    fn expected(&self, certificate: &Certificate) -> Value {
        let mut printed = vector::printed(certificate);
        if self.knows_v2() {
            return json!([printed]);
        }
        let details = printed["details"].as_object_mut().unwrap();
        let ips = details.remove("networks").unwrap();
        let subnets = details.remove("unsafeNetworks").unwrap();
        details.insert("ips".to_owned(), ips);
        details.insert("subnets".to_owned(), subnets);
        if self.release.starts_with("1.6") {
            details.remove("curve");
        }
        printed.as_object_mut().unwrap().remove("version");
        printed
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}
