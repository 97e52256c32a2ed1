//! What is in a bundle, for every kind of node.

use std::collections::BTreeSet;

use nebula_bundle::{
    Bundle, CertificateField, Certificates, EndpointDefect, Error, Network, Node, RENDERING, Tun,
};
use nebula_pki::{Curve, Version};
use proptest::prelude::*;
use serde_json::json;

use crate::support::inputs::{
    self, certificate, configuration, host, issue, issuer, lighthouse, node, relay, render,
};

const BOTH: [&str; 2] = ["10.1.0.9/16", "fd00::9/64"];

fn network() -> Network {
    Network { blocklist: inputs::blocklist(&[0x12, 0]), ..inputs::network() }
}

/// A node with a version 2 certificate.
fn dual_stack(groups: &[&str]) -> Node {
    node([issue(Version::V2, &host("node", Curve::Curve25519, &BOTH, groups))])
}

fn yaml(bundle: &Bundle) -> &str {
    bundle.file("nebula.yml").unwrap()
}

#[test]
fn a_node_s_configuration_is_this() {
    let bundle = render(&network(), &dual_stack(&["web", "db"])).unwrap();
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
  respond: true
  respond_delay: '1s'
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
relay:
  am_relay: false
  use_relays: true
  relays: []
tun:
  dev: 'nebula1'
  mtu: 1300
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
    let endpoint = "192.0.2.1:4242".parse().unwrap();
    let own = Node { lighthouse: Some(endpoint), ..node([certificate(&["10.1.0.1/16"], &[])]) };
    let mut network = network();
    network.lighthouses.push(lighthouse(&["10.1.0.2"], "[2001:db8::2]:4243"));
    let bundle = render(&network, &own).unwrap();
    let read = configuration(&bundle);
    assert_eq!(read["lighthouse"]["am_lighthouse"], true);
    assert_eq!(read["lighthouse"]["hosts"], json!([]));
    assert_eq!(read["listen"]["port"], 4242);
    assert_eq!(read["static_host_map"], json!({"10.1.0.2": ["[2001:db8::2]:4243"]}));
    assert!(bundle.file("README.md").unwrap().contains("UDP port 4242"));
}

#[test]
fn all_endpoints_of_a_lighthouse_are_tried_and_none_is_inside_of_the_overlay() {
    let both = "198.51.100.1:7777,a.example:4242";
    let with = |endpoints| {
        let network =
            Network { lighthouses: vec![lighthouse(&["10.1.0.1"], endpoints)], ..network() };
        render(&network, &dual_stack(&[]))
    };
    let read = configuration(&with(both).unwrap());
    assert_eq!(
        read["static_host_map"],
        json!({"10.1.0.1": ["198.51.100.1:7777", "a.example:4242"]})
    );
    let own = Node { lighthouse: Some(both.parse().unwrap()), ..dual_stack(&[]) };
    let own = render(&network(), &own).unwrap();
    assert_eq!(configuration(&own)["listen"]["port"], 7777);
    assert!(own.file("README.md").unwrap().contains("`a.example:4242`, so UDP port 7777"));
    for inside in ["10.1.2.3:4242", "192.0.2.1:1,[fd00::77]:1"] {
        let refused = with(inside).unwrap_err();
        assert!(
            matches!(refused, Error::Endpoint { defect: EndpointDefect::Overlay, .. }),
            "{refused:?}"
        );
    }
}

#[test]
fn a_device_is_named_by_its_network_for_every_system() {
    let names: BTreeSet<String> =
        (0..1000_u32).map(|network| Tun::device_of(&network.to_be_bytes())).collect();
    assert_eq!(names.len(), 1000);
    for name in &names {
        let number: u32 = name.strip_prefix("tun").unwrap().parse().unwrap();
        assert!((1000..1 << 24).contains(&number), "{name}");
        assert_eq!(Tun { dev: name.clone(), mtu: 1300 }.check(), Ok(()));
    }
    assert_eq!(Tun::device_of(b"a"), Tun::device_of(b"a"));
}

#[test]
fn a_relay_names_no_relay_and_the_others_name_all() {
    let relays = vec![relay(&["10.1.0.3", "fd00::3"]), relay(&["fd00::2"]), relay(&["10.1.0.9"])];
    let network = Network { relays, ..network() };
    let relay_of = |node: &Node| configuration(&render(&network, node).unwrap())["relay"].take();
    let other = node([certificate(&["10.1.0.8/16"], &[])]);
    assert_eq!(
        relay_of(&other),
        json!({"am_relay": false, "use_relays": true, "relays": ["10.1.0.3", "10.1.0.9"]})
    );
    let own = Node { relay: true, ..dual_stack(&[]) };
    assert_eq!(relay_of(&own), json!({"am_relay": true, "use_relays": false, "relays": []}));
    let readme =
        |node: &Node| render(&network, node).unwrap().file("README.md").unwrap().to_owned();
    assert!(readme(&own).contains("is a relay") && !readme(&other).contains("is a relay"));
    // A firewall can be opened for a port that stays.
    let port = |node: &Node| {
        configuration(&render(&network, node).unwrap())["listen"]["port"].as_u64().unwrap()
    };
    assert_eq!((port(&own), port(&other)), (4242, 0));
    assert!(readme(&own).contains("UDP port 4242"));
    let both = Node { lighthouse: Some("192.0.2.1:7777".parse().unwrap()), ..own.clone() };
    assert_eq!(port(&both), 7777);
    // One that ceased to be a relay is not told of itself before the network forgets it.
    assert_eq!(relay_of(&dual_stack(&[]))["relays"], json!(["10.1.0.3", "fd00::2"]));
}

#[test]
fn a_node_is_told_the_address_it_can_reach() {
    let hosts = |networks: &[&str]| {
        let node = node([issue(Version::V2, &host("node", Curve::Curve25519, networks, &[]))]);
        configuration(&render(&network(), &node).unwrap())["lighthouse"]["hosts"].take()
    };
    assert_eq!(hosts(&["fd00::9/64"]), json!(["fd00::1"]));
    assert_eq!(hosts(&["10.2.0.9/16"]), json!([]));
}

#[test]
fn both_versions_stand_in_one_file_version_1_first() {
    let of = |version, networks: &[&str]| {
        issue(version, &host("node", Curve::Curve25519, networks, &["web"]))
    };
    let (first, second) = (of(Version::V1, &BOTH[..1]), of(Version::V2, &BOTH));
    let pems = [&first, &second].map(|found| found.certificate().to_pem()).concat();
    let pair = node([second, first]);
    let of_version = |initiating_version, node: &Node| {
        let network = Network { initiating_version, ..network() };
        let bundle = render(&network, node).unwrap();
        assert_eq!(bundle.file("node.crt").unwrap() == pems, node.certificates.iter().count() == 2);
        configuration(&bundle)["pki"]["initiating_version"].take()
    };
    assert_eq!(of_version(Version::V1, &pair), json!(null));
    assert_eq!(of_version(Version::V2, &pair), 2);
    assert_eq!(of_version(Version::V2, &dual_stack(&[])), json!(null));
    assert!(render(&network(), &pair).unwrap().file("README.md").unwrap().contains("    fd00::9 "));
}

#[test]
fn certificates_are_those_of_one_node() {
    let of = |version, name: &str, curve, networks: &[&str], groups: &[&str]| {
        issuer("ca", Version::V1, curve)
            .issue(version, &host(name, curve, networks, groups))
            .unwrap()
    };
    let first = of(Version::V1, "node", Curve::Curve25519, &BOTH[..1], &["web"]);
    let with = |other| Certificates::new([first.clone(), other]).unwrap_err();
    let v2 = |name, curve, networks, groups| of(Version::V2, name, curve, networks, groups);
    let ours = Curve::Curve25519;
    let differing = |field| Error::Differing { field };
    assert_eq!(with(first.clone()), Error::DoubledVersion { version: 1 });
    assert_eq!(
        with(v2("node", Curve::P256, &BOTH, &["web"])),
        differing(CertificateField::PublicKey)
    );
    assert_eq!(with(v2("other", ours, &BOTH, &["web"])), differing(CertificateField::Name));
    assert_eq!(with(v2("node", ours, &BOTH, &[])), differing(CertificateField::Groups));
    for elsewhere in
        [&["10.1.0.8/16"][..], &["10.1.0.9/17"], &["fd00::9/64"], &["10.1.0.7/16", BOTH[0]]]
    {
        assert_eq!(
            with(v2("node", ours, elsewhere, &["web"])),
            differing(CertificateField::FirstNetwork)
        );
    }
    assert!(Certificates::new([v2("node", ours, &BOTH, &["web"]), first.clone()]).is_ok());
    assert_eq!(Certificates::new([]).unwrap_err(), Error::NoCertificate);
}

#[test]
fn a_node_may_have_an_mtu_of_its_own() {
    let tun = |mtu| {
        configuration(&render(&network(), &Node { mtu, ..dual_stack(&[]) }).unwrap())["tun"].take()
    };
    assert_eq!(tun(None), json!({"dev": "nebula1", "mtu": 1300}));
    assert_eq!(tun(Some(9000)), json!({"dev": "nebula1", "mtu": 9000}));
    // Less than IPv6 needs is told to nobody who has it: Nebula would not start.
    assert_eq!(tun(Some(500)), json!({"dev": "nebula1", "mtu": 1280}));
    for mtu in [0, 499, 65_536] {
        let refused = render(&network(), &Node { mtu: Some(mtu), ..dual_stack(&[]) });
        assert_eq!(refused.unwrap_err(), Error::TunMtu { mtu });
    }
}

#[test]
fn what_nebula_would_not_start_with_is_refused() {
    let mut foreign = network();
    foreign.cas = vec![issuer("another", Version::V1, Curve::Curve25519).certificate().clone()];
    assert!(matches!(render(&foreign, &dual_stack(&[])), Err(Error::ForeignIssuer { .. })));
    assert!(
        matches!(render(&network(), &dual_stack(&["any"])), Err(Error::Group { group, .. }) if group == "any")
    );
    for (dev, mtu) in [
        ("", 1300),
        ("sixteen-bytes-xx", 1300),
        ("a/b", 1300),
        ("nebula1", 499),
        ("nebula1", 65_536),
    ] {
        let tun = Tun { dev: dev.to_owned(), mtu };
        let refused = render(&Network { tun, ..network() }, &dual_stack(&[]));
        assert!(
            matches!(refused, Err(Error::TunDevice { .. } | Error::TunMtu { .. })),
            "{dev} {mtu}"
        );
    }
    let future = Network { rendering: RENDERING + 1, ..network() };
    assert_eq!(
        render(&future, &dual_stack(&[])).unwrap_err(),
        Error::Rendering { number: RENDERING + 1, newest: RENDERING }
    );
}

#[test]
fn a_name_stays_inside_its_block_of_the_readme() {
    let evil = host("evil\n# Title\u{2028}`x` <b>", Curve::Curve25519, &BOTH, &[]);
    let bundle = render(&network(), &node([issue(Version::V2, &evil)])).unwrap();
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
        let bundle = render(&network(), &dual_stack(&groups)).unwrap();
        let read = configuration(&bundle);
        let rules = read["firewall"]["inbound"].as_array().unwrap();
        let found: Vec<&str> = rules.iter().filter_map(|rule| rule["group"].as_str()).collect();
        prop_assert_eq!(found, groups);
        prop_assert_eq!(read.as_object().unwrap().len(), 8);
    }
}
