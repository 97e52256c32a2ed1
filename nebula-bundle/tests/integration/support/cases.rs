//! The bundles whose bytes are kept in `tests/snapshots`.

use nebula_bundle::{Bundle, Network, Node, Tun};
use nebula_pki::{Blocklist, CaPool, Certificate, Curve, Version};

use super::inputs::{
    VALIDITY, blocklist, certificate, host, issue, issuer, lighthouse, network, node, relay, render,
};

/// One of them.
pub struct Case {
    pub name: &'static str,
    /// The first release that starts with it.
    pub since: &'static str,
    /// The curve of the node's key.
    pub curve: Curve,
    pub network: Network,
    pub node: Node,
}

impl Case {
    pub fn bundle(&self) -> Bundle {
        render(&self.network, &self.node).unwrap()
    }
}

const EVERY: &str = "1.6";
const ADDRESS: &str = "10.1.0.9/16";
const BOTH: [&str; 2] = [ADDRESS, "fd00::9/64"];

/// All of them.
pub fn cases() -> Vec<Case> {
    let case =
        |name, network, node| Case { name, since: EVERY, curve: Curve::Curve25519, network, node };
    let plain = || node([certificate(&[ADDRESS], &[])]);
    let with_relays = || Network {
        relays: vec![relay(&["10.1.0.3", "fd00::3"]), relay(&["10.1.0.2"])],
        ..network()
    };
    let of = |version, networks: &[&str]| {
        issue(version, &host("node", Curve::Curve25519, networks, &[]))
    };
    let pair = || node([of(Version::V2, &BOTH), of(Version::V1, &[ADDRESS])]);
    let listening = Some("192.0.2.1:4242".parse().unwrap());
    vec![
        case("version-1", network(), plain()),
        Case {
            since: "1.10",
            ..under(Version::V2, Curve::Curve25519, "version-2-dual-stack", &BOTH)
        },
        case("both-versions", network(), pair()),
        Case {
            since: "1.10",
            network: Network { initiating_version: Version::V2, ..network() },
            ..case("both-versions-initiating-2", network(), pair())
        },
        // The nodes that are left with one certificate in such a network.
        case(
            "version-1-among-initiating-2",
            Network { initiating_version: Version::V2, ..network() },
            plain(),
        ),
        p256(),
        case(
            "lighthouse",
            Network {
                lighthouses: vec![
                    lighthouse(&["10.1.0.9", "fd00::9"], "192.0.2.1:4242"),
                    lighthouse(&["10.1.0.2"], "[2001:db8::2]:4243"),
                ],
                ..network()
            },
            Node { lighthouse: listening, ..plain() },
        ),
        case(
            "several-endpoints",
            Network {
                lighthouses: vec![lighthouse(
                    &["10.1.0.1"],
                    "192.0.2.1:4242,[2001:db8::1]:4242,198.51.100.1:443",
                )],
                ..network()
            },
            plain(),
        ),
        case("relay", with_relays(), Node { relay: true, ..plain() }),
        case("reached-through-relays", with_relays(), plain()),
        case("blocklist", Network { blocklist: blocklist(&[0x12, 0, 0xe1]), ..network() }, plain()),
        case(
            "own-mtu",
            Network { tun: Tun { dev: "office".to_owned(), mtu: 1200 }, ..network() },
            Node { mtu: Some(8800), ..plain() },
        ),
        case(
            "groups",
            network(),
            node([certificate(&[ADDRESS], &["web", "db", "true", "1e3", "it's: \"ü\" #1"])]),
        ),
    ]
}

/// A node with a key on P256. Its certificate is kept, since no signature on that curve need be the
/// same again; it was made as [`under`] makes one.
fn p256() -> Case {
    let [ca, node_certificate] =
        [&include_bytes!("../../p256/ca.crt")[..], &include_bytes!("../../p256/node.crt")[..]];
    let pool = CaPool::from_pem(ca).unwrap();
    let certificate = Certificate::from_pem(node_certificate).unwrap();
    let certificate =
        pool.verify(&certificate, VALIDITY.not_before, &Blocklist::default()).unwrap();
    let network = Network { cas: vec![Certificate::from_pem(ca).unwrap()], ..network() };
    let node = node([certificate]);
    Case { name: "p256", since: "1.7", curve: Curve::P256, network, node }
}

/// A node in a network with one CA of its kind, which signed its certificate.
fn under(version: Version, curve: Curve, name: &'static str, networks: &[&str]) -> Case {
    let issuer = issuer("ca", version, curve);
    let certificate = issuer.issue(version, &host("node", curve, networks, &[])).unwrap();
    let network = Network { cas: vec![issuer.certificate().clone()], ..network() };
    Case { name, since: EVERY, curve, network, node: node([certificate]) }
}
