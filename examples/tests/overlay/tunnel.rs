//! Do nodes of the real Nebula speak with each other if one certificate is ours and one its own?
//!
//! Needs root, `ip`, `ping`, `/dev/net/tun` and peers (`support/peers.rs`); says so and passes where
//! one of them is missing, unless `REQUIRE_PEERS=1`.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::node::Node;
use crate::support::peers::{self, Peer, skip};
use crate::support::underlay::Underlay;
use ipnet::IpNet;
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    CaParameters, Certificate, Curve, HostParameters, Issuer, SystemRandom, Validity, Version,
};

/// For a tunnel to come up: Nebula repeats its handshakes at growing intervals.
const MEET: Duration = Duration::from_secs(10);
/// For a tunnel to a blocked node to end: Nebula looks at its tunnels every few seconds.
const PART: Duration = Duration::from_secs(15);

const OURS: [&str; 2] = ["10.44.0.1", "fd44::1"];
const THEIRS: [&str; 2] = ["10.44.0.2", "fd44::2"];

#[test]
fn curve25519_in_version_1_on_the_oldest_release() {
    meet(Tunnel { name: "v1-old", version: Version::V1, curve: Curve::Curve25519, ours: "1.6" });
}

#[test]
fn curve25519_in_version_1() {
    meet(Tunnel { name: "v1", version: Version::V1, curve: Curve::Curve25519, ours: "1.9" });
}

#[test]
fn curve25519_in_version_2() {
    meet(Tunnel { name: "v2", version: Version::V2, curve: Curve::Curve25519, ours: "1.11" });
}

#[test]
fn p256_in_version_1() {
    meet(Tunnel { name: "v1-p256", version: Version::V1, curve: Curve::P256, ours: "1.9" });
}

#[test]
fn p256_in_version_2() {
    meet(Tunnel { name: "v2-p256", version: Version::V2, curve: Curve::P256, ours: "1.11" });
}

/// Between a node with our certificate, on this release, and one with its own on the newest.
struct Tunnel {
    name: &'static str,
    version: Version,
    curve: Curve,
    ours: &'static str,
}

fn meet(tunnel: Tunnel) {
    let (Some(our_peer), Some(their_peer)) = (peers::newest_of(tunnel.ours), peers::newest())
    else {
        return;
    };
    if !their_peer.knows_version_2() {
        return skip("nebula 1.10 or later, which knows certificates of version 2");
    }
    for authority in [Authority::ours(&tunnel), Authority::theirs(&tunnel, &their_peer)] {
        let mut underlay = match Underlay::new(&format!("{}-{}", tunnel.name, authority.maker)) {
            Ok(underlay) => underlay,
            Err(missing) => return skip(&missing),
        };
        let (certificate, key) = authority.certify(&tunnel);
        let files = [("node.crt", &*certificate.to_pem()), ("node.key", &key.to_pem())];
        let mut ours = Node::with("ours", underlay.host("ours"), &files);
        let mut theirs = Node::with("theirs", underlay.host("theirs"), &[]);
        authority.have_certified(&tunnel, &theirs, &their_peer);
        for (node, addresses) in [(&mut ours, OURS), (&mut theirs, THEIRS)] {
            node.write("ca.crt", &authority.certificate);
            let families = if tunnel.version == Version::V1 { 1 } else { 2 };
            node.addresses = addresses[..families].iter().map(|&text| text.to_owned()).collect();
        }
        ours.write("nebula.yml", &configuration(&theirs, ""));
        theirs.write("nebula.yml", &configuration(&ours, ""));
        ours.run(&our_peer);
        theirs.run(&their_peer);

        let what = format!("{} under a CA of {}", tunnel.name, authority.maker);
        let both = || answered(&ours, &theirs) + answered(&theirs, &ours);
        let all = ours.addresses.len() + theirs.addresses.len();
        until(&format!("{what}: both answer"), MEET, || both() == all);

        // The certificate itself is not listed, but the one that anybody can make of it.
        let alternate = certificate.alternate_fingerprint();
        if let Some(fingerprint) = alternate.filter(|_| authority.maker == "ours") {
            theirs.write("nebula.yml", &configuration(&ours, &fingerprint.to_string()));
            theirs.reload(&their_peer);
            until(&format!("{what}: ours is cut off"), PART, || both() == 0);
            for _ in 0..5 {
                assert_eq!(both(), 0, "{what}: ours stays cut off");
            }
            theirs.write("nebula.yml", &configuration(&ours, ""));
            theirs.reload(&their_peer);
            until(&format!("{what}: ours is back"), MEET, || both() == all);
        }
    }
}

/// The files of a CA.
struct Authority {
    maker: &'static str,
    certificate: String,
    key: String,
}

impl Authority {
    fn ours(tunnel: &Tunnel) -> Self {
        let validity = Validity { not_before: now() - 60, not_after: now() + 7_200 };
        let key = SigningKey::generate(tunnel.curve, &mut SystemRandom).expect("a key");
        let pem = key.to_pem().to_string();
        let issuer = Issuer::self_signed(tunnel.version, CaParameters::new("ca", validity), key)
            .expect("a CA");
        Self { maker: "ours", certificate: issuer.certificate().to_pem(), key: pem }
    }

    fn theirs(tunnel: &Tunnel, peer: &Peer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let version = tunnel.version.number().to_string();
        let curve = curve_flag(tunnel.curve);
        let arguments = ["ca", "-name", "ca", "-version", &version, "-curve", curve];
        peer.nebula_cert(directory.path(), &arguments);
        let read = |name| fs::read_to_string(directory.path().join(name)).expect("it was made");
        Self { maker: "theirs", certificate: read("ca.crt"), key: read("ca.key") }
    }

    /// Our certificate for our key.
    fn certify(&self, tunnel: &Tunnel) -> (Certificate, AgreementKey) {
        let ca = Certificate::from_pem(self.certificate.as_bytes()).expect("a certificate");
        let signer = SigningKey::from_pem(self.key.as_bytes()).expect("a key");
        let issuer = Issuer::new(ca, signer).expect("a pair");
        let key = AgreementKey::generate(tunnel.curve, &mut SystemRandom).expect("a key");
        let validity = Validity { not_before: now(), not_after: now() + 3_600 };
        let networks: Vec<IpNet> =
            networks(tunnel, OURS).iter().map(|text| text.parse().expect("a network")).collect();
        let host = HostParameters::new("ours", networks, key.public_key(), validity);
        let issued = issuer.issue(tunnel.version, &host).expect("a certificate");
        (issued.into_certificate(), key)
    }

    /// Their certificate for their key.
    fn have_certified(&self, tunnel: &Tunnel, node: &Node, peer: &Peer) {
        node.write("ca.crt", &self.certificate);
        node.write("ca.key", &self.key);
        let (networks, version) =
            (networks(tunnel, THEIRS).join(","), tunnel.version.number().to_string());
        let mut arguments = vec!["sign", "-name", "theirs", "-version", &version];
        arguments.extend(["-networks", &networks, "-out-crt", "node.crt", "-out-key", "node.key"]);
        peer.nebula_cert(node.directory(), &arguments);
    }
}

fn networks(tunnel: &Tunnel, [v4, v6]: [&str; 2]) -> Vec<String> {
    let mut networks = vec![format!("{v4}/24")];
    if tunnel.version == Version::V2 {
        networks.push(format!("{v6}/64"));
    }
    networks
}

fn curve_flag(curve: Curve) -> &'static str {
    if curve == Curve::P256 { "P256" } else { "25519" }
}

/// For a node that knows where the other one is, and blocks at most one certificate.
fn configuration(other: &Node, blocked: &str) -> String {
    let addresses = other.addresses.iter();
    let places: String = addresses
        .map(|address| format!("  \"{address}\": [\"{}:4242\"]\n", other.host.address))
        .collect();
    let blocklist = if blocked.is_empty() { String::new() } else { format!("\"{blocked}\"") };
    format!(
        "pki:
  ca: ca.crt
  cert: node.crt
  key: node.key
  disconnect_invalid: true
  blocklist: [{blocklist}]
static_host_map:
{places}listen: {{host: 0.0.0.0, port: 4242}}
tun: {{dev: overlay}}
firewall:
  outbound: [{{port: any, proto: any, host: any}}]
  inbound: [{{port: any, proto: any, host: any}}]
"
    )
}

/// How many of the other node's addresses answer.
fn answered(from: &Node, to: &Node) -> usize {
    let pings: Vec<Child> = to.addresses.iter().map(|address| from.host.ping(address)).collect();
    let answered = pings.into_iter().map(|mut ping| ping.wait().expect("our own child").success());
    answered.filter(|answered| *answered).count()
}

#[track_caller]
fn until(what: &str, budget: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < budget, "not within {budget:?}: {what}");
    }
    eprintln!("{what}: after {:.1?}", start.elapsed());
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}
