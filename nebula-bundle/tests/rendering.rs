//! What is in a bundle, for every kind of node, and that the same inputs give the same bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

use std::collections::BTreeSet;

use ipnet::IpNet;
use nebula_bundle::{Bundle, Error, Lighthouse, Network, Node, RENDERING, Renderer, Tun};
use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    CaParameters, Curve, Fingerprint, HostParameters, Issuer, Random, Validity,
    VerifiedCertificate, Version,
};
use proptest::prelude::*;

/// The same "random" bytes in every run.
struct Counted(u8);

impl Random for Counted {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), nebula_pki::Error> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(17);
            *byte = self.0;
        }
        Ok(())
    }
}

const VALIDITY: Validity = Validity { not_before: 1_800_000_000, not_after: 1_900_000_000 };

fn issuer(name: &str) -> Issuer<SigningKey> {
    let seed = u8::try_from(name.len()).unwrap();
    let key = SigningKey::generate(Curve::Curve25519, &mut Counted(seed)).unwrap();
    Issuer::self_signed(Version::V2, CaParameters::new(name, VALIDITY), key).unwrap()
}

fn issue(name: &str, networks: &[&str], groups: &[&str]) -> VerifiedCertificate {
    let networks: Vec<IpNet> = networks.iter().map(|net| net.parse().unwrap()).collect();
    let key = AgreementKey::generate(Curve::Curve25519, &mut Counted(3)).unwrap().public_key();
    let host = HostParameters::new(name, networks, key, VALIDITY).groups(groups.iter().copied());
    issuer("ca").issue(Version::V2, &host).unwrap()
}

fn network() -> Network {
    Network {
        rendering: RENDERING,
        cas: vec![issuer("ca").certificate().clone()],
        lighthouses: vec![Lighthouse {
            overlay: vec!["10.1.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            endpoint: "192.0.2.1:4242".parse().unwrap(),
        }],
        blocklist: BTreeSet::from([
            Fingerprint::from_bytes([0x12; 32]),
            Fingerprint::from_bytes([0; 32]),
        ]),
        tun: Tun::default(),
    }
}

fn node(groups: &[&str]) -> Node {
    Node { certificate: issue("node", &["10.1.0.9/16", "fd00::9/64"], groups), lighthouse: None }
}

fn render(network: &Network, node: &Node) -> Result<Bundle, Error> {
    Renderer::new(network.clone())?.render(node)
}

fn yaml(bundle: &Bundle) -> &str {
    bundle.file("nebula.yml").unwrap()
}

#[test]
fn a_node_s_configuration_is_this() {
    let bundle = render(&network(), &node(&["web", "db"])).unwrap();
    assert_eq!(
        yaml(&bundle),
        "pki:
  ca: 'ca.crt'
  cert: 'node.crt'
  key: 'node.key'
  blocklist:
  - '0000000000000000000000000000000000000000000000000000000000000000'
  - '1212121212121212121212121212121212121212121212121212121212121212'
  disconnect_invalid: true
punchy:
  punch: true
tun:
  dev: 'nebula1'
  mtu: 1300
static_host_map:
  \"10.1.0.1\":
  - '192.0.2.1:4242'
lighthouse:
  am_lighthouse: false
  interval: 60
  hosts:
  - '10.1.0.1'
listen:
  host: '::'
  port: 0
firewall:
  outbound:
  - port: 'any'
    proto: 'any'
    host: 'any'
  inbound:
  - port: 'any'
    proto: 'icmp'
    host: 'any'
  - port: 'any'
    proto: 'any'
    group: 'web'
  - port: 'any'
    proto: 'any'
    group: 'db'
"
    );
}

#[test]
fn a_lighthouse_listens_and_asks_nobody() {
    let certificate = issue("lighthouse", &["10.1.0.1/16"], &[]);
    let own = Node { certificate, lighthouse: Some("192.0.2.1:4242".parse().unwrap()) };
    let mut network = network();
    network.lighthouses.push(Lighthouse {
        overlay: vec!["10.1.0.2".parse().unwrap()],
        endpoint: "[2001:db8::2]:4243".parse().unwrap(),
    });
    let bundle = render(&network, &own).unwrap();
    let yaml = yaml(&bundle);
    assert!(yaml.contains("am_lighthouse: true") && yaml.contains("hosts: []"), "{yaml}");
    assert!(yaml.contains("port: 4242"), "{yaml}");
    assert!(!yaml.contains("10.1.0.1'") && yaml.contains("'[2001:db8::2]:4243'"), "{yaml}");
    assert!(bundle.file("README.md").unwrap().contains("UDP port 4242"));
}

#[test]
fn a_node_is_told_the_address_it_can_reach() {
    let of =
        |networks: &[&str]| Node { certificate: issue("node", networks, &[]), lighthouse: None };
    let only_v6 = render(&network(), &of(&["fd00::9/64"])).unwrap();
    assert!(yaml(&only_v6).contains("hosts:\n  - 'fd00::1'"), "{}", yaml(&only_v6));
    let elsewhere = render(&network(), &of(&["10.2.0.9/16"])).unwrap();
    assert!(yaml(&elsewhere).contains("hosts: []"), "{}", yaml(&elsewhere));
}

#[test]
fn equal_inputs_give_equal_bytes_and_any_other_input_another_digest() {
    let bundle = render(&network(), &node(&["web"])).unwrap();
    let again = render(&network(), &node(&["web"])).unwrap();
    assert_eq!(bundle.digest(), again.digest());
    assert_eq!(bundle.to_zip().unwrap(), again.to_zip().unwrap());
    let mut others = vec![render(&network(), &node(&[])).unwrap()];
    let mut changed = network();
    changed.blocklist.clear();
    others.push(render(&changed, &node(&["web"])).unwrap());
    let mut changed = network();
    changed.lighthouses.clear();
    others.push(render(&changed, &node(&["web"])).unwrap());
    for other in others {
        assert_ne!(other.digest(), bundle.digest());
    }
}

#[test]
fn the_zip_reads_back_with_its_files_in_order() {
    let bundle = render(&network(), &node(&[])).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bundle.to_zip().unwrap())).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names, ["ca.crt", "node.crt", "nebula.yml", "README.md"]);
    for (index, (_, contents)) in bundle.files().enumerate() {
        let mut file = archive.by_index(index).unwrap();
        assert_eq!(file.unix_mode(), Some(0o100_644));
        assert_eq!(file.compression(), zip::CompressionMethod::Stored);
        assert_eq!(std::io::read_to_string(&mut file).unwrap(), contents);
    }
}

#[test]
fn what_nebula_would_not_start_with_is_refused() {
    let mut foreign = network();
    foreign.cas = vec![issuer("another").certificate().clone()];
    assert!(matches!(render(&foreign, &node(&[])), Err(Error::ForeignIssuer { .. })));
    assert!(
        matches!(render(&network(), &node(&["any"])), Err(Error::Group { group, .. }) if group == "any")
    );
    for (dev, mtu) in [
        ("", 1300),
        ("sixteen-bytes-xx", 1300),
        ("a/b", 1300),
        ("nebula1", 499),
        ("nebula1", 65_536),
    ] {
        let tun = Tun { dev: dev.to_owned(), mtu };
        let refused = render(&Network { tun, ..network() }, &node(&[]));
        assert!(
            matches!(refused, Err(Error::TunDevice { .. } | Error::TunMtu { .. })),
            "{dev} {mtu}"
        );
    }
    let future = Network { rendering: RENDERING + 1, ..network() };
    assert_eq!(
        render(&future, &node(&[])).unwrap_err(),
        Error::Rendering { number: RENDERING + 1 }
    );
}

#[test]
fn a_name_stays_inside_its_block_of_the_readme() {
    let certificate = issue("evil\n# Title\u{2028}`x` <b>", &["10.1.0.9/16"], &[]);
    let bundle = render(&network(), &Node { certificate, lighthouse: None }).unwrap();
    let readme = bundle.file("README.md").unwrap();
    assert!(readme.contains("\n    evil # Title"), "{readme}");
    assert!(!readme.contains("\n# Title"), "{readme}");
}

proptest! {
    /// Whatever a group holds, a YAML reader finds exactly that group in the rule, and no more rules.
    #[test]
    fn groups_survive_quoting(groups in prop::collection::vec("\\PC{1,40}|[-:#'\"{}\\[\\], &*!|>%@`]{1,8}|true|null|0x1|1e3|~", 1..5)) {
        prop_assume!(!groups.iter().any(|group| group == "any"));
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let bundle = render(&network(), &node(&groups)).unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(yaml(&bundle)).unwrap();
        let rules = read["firewall"]["inbound"].as_array().unwrap();
        let found: Vec<&str> = rules.iter().filter_map(|rule| rule["group"].as_str()).collect();
        prop_assert_eq!(found, groups);
        prop_assert_eq!(read.as_object().unwrap().len(), 7);
    }
}
