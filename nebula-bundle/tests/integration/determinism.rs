//! Do equal inputs give equal bytes, and does the digest change when, and only when, a file does?

use std::net::Ipv4Addr;

use nebula_bundle::{Bundle, Network, Node, Tun};
use nebula_pki::{Curve, Version};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde_json::json;

use crate::support::inputs::{
    blocklist, configuration, host, issue, lighthouse, network, relay, render,
};

const GROUPS: [&str; 4] = ["web", "db", "true", "über alles"];

/// What a bundle is made from, in small domains, so that two of them are often alike.
#[derive(Debug, Clone, PartialEq)]
struct Input {
    groups: Vec<&'static str>,
    blocklist: Vec<u8>,
    lighthouses: Vec<u8>,
    relays: Vec<u8>,
    is_lighthouse: bool,
    is_relay: bool,
    /// The network's, then the node's own.
    mtu: (u32, Option<u32>),
    /// Of the certificates, then the one to begin with.
    versions: (&'static [Version], Version),
}

impl Input {
    fn build(&self) -> (Network, Node) {
        let address = |last: &u8| Ipv4Addr::from([10, 1, 0, *last]).to_string();
        let network = Network {
            lighthouses: self
                .lighthouses
                .iter()
                .map(|last| lighthouse(&[&address(last)], &format!("192.0.2.{last}:4242")))
                .collect(),
            relays: self.relays.iter().map(|last| relay(&[&address(last)])).collect(),
            blocklist: blocklist(&self.blocklist),
            tun: Tun { mtu: self.mtu.0, ..Tun::default() },
            initiating_version: self.versions.1,
            ..network()
        };
        let host = host("node", Curve::Curve25519, &["10.1.0.9/16"], &self.groups);
        let certificates = self.versions.0.iter().map(|version| issue(*version, &host));
        let node = Node {
            certificates: nebula_bundle::Certificates::new(certificates).unwrap(),
            lighthouse: self.is_lighthouse.then(|| "192.0.2.9:4242".parse().unwrap()),
            relay: self.is_relay,
            mtu: self.mtu.1,
        };
        (network, node)
    }

    fn bundle(&self) -> Bundle {
        let (network, node) = self.build();
        render(&network, &node).unwrap()
    }
}

fn shuffled<T: Clone + std::fmt::Debug + 'static>(all: Vec<T>) -> impl Strategy<Value = Vec<T>> {
    let count = all.len();
    subsequence(all, 0..=count).prop_shuffle()
}

fn input() -> impl Strategy<Value = Input> {
    let versions: [&[Version]; 3] = [&[Version::V1], &[Version::V2], &[Version::V1, Version::V2]];
    let numbers = vec![1, 2, 9, 200];
    (
        shuffled(GROUPS.to_vec()),
        shuffled(numbers.clone()),
        shuffled(numbers.clone()),
        shuffled(numbers),
        any::<bool>(),
        any::<bool>(),
        (prop::sample::select(vec![1300, 9000]), prop::option::of(Just(1300))),
        (
            prop::sample::select(versions.to_vec()),
            prop::sample::select(vec![Version::V1, Version::V2]),
        ),
    )
        .prop_map(
            |(groups, blocklist, lighthouses, relays, is_lighthouse, is_relay, mtu, versions)| {
                Input {
                    groups,
                    blocklist,
                    lighthouses,
                    relays,
                    is_lighthouse,
                    is_relay,
                    mtu,
                    versions,
                }
            },
        )
}

/// An input, and the same with one thing taken from another.
fn neighbours() -> impl Strategy<Value = (Input, Input)> {
    (input(), input(), any::<Index>()).prop_map(|(one, from, which)| {
        let mut other = one.clone();
        match which.index(8) {
            0 => other.groups = from.groups,
            1 => other.blocklist = from.blocklist,
            2 => other.lighthouses = from.lighthouses,
            3 => other.relays = from.relays,
            4 => other.is_lighthouse = from.is_lighthouse,
            5 => other.is_relay = from.is_relay,
            6 => other.mtu = from.mtu,
            _ => other.versions = from.versions,
        }
        (one, other)
    })
}

proptest! {
    #[test]
    fn equal_inputs_give_equal_bytes(input in input()) {
        let (one, other) = (input.bundle(), input.bundle());
        prop_assert!(one.files().eq(other.files()));
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert_eq!(one.to_zip().unwrap(), other.to_zip().unwrap());
        prop_assert_eq!(one.to_tar_gz().unwrap(), other.to_tar_gz().unwrap());
        // One renderer serves many nodes.
        let (network, node) = input.build();
        let renderer = nebula_bundle::Renderer::new(network).unwrap();
        prop_assert_eq!(renderer.render(&node).unwrap(), one.clone());
        prop_assert_eq!(renderer.render(&node).unwrap(), one);
    }

    #[test]
    fn the_digest_changes_when_and_only_when_a_file_does((one, other) in neighbours()) {
        let (one, other) = (one.bundle(), other.bundle());
        let same = one.files().eq(other.files());
        prop_assert_eq!(one.digest() == other.digest(), same);
        prop_assert_eq!(one.to_zip().unwrap() == other.to_zip().unwrap(), same);
        prop_assert_eq!(one.to_tar_gz().unwrap() == other.to_tar_gz().unwrap(), same);
    }

    #[test]
    fn a_blocklist_has_one_order_and_the_rest_the_given(input in input(), seed in any::<Index>()) {
        let mut turned = input.clone();
        if !turned.blocklist.is_empty() {
            let by = seed.index(turned.blocklist.len());
            turned.blocklist.rotate_left(by);
            turned.blocklist.reverse();
        }
        prop_assert_eq!(input.bundle(), turned.bundle());

        let read = configuration(&input.bundle());
        // Not itself, which has 9.
        let addresses = |numbers: &[u8]| {
            let others = numbers.iter().filter(|last| **last != 9);
            json!(others.map(|last| format!("10.1.0.{last}")).collect::<Vec<_>>())
        };
        let rules = read["firewall"]["inbound"].as_array().unwrap();
        let groups: Vec<_> = rules.iter().filter_map(|rule| rule["group"].as_str()).collect();
        prop_assert_eq!(groups, input.groups);
        if !input.is_lighthouse {
            prop_assert_eq!(&read["lighthouse"]["hosts"], &addresses(&input.lighthouses));
        }
        if !input.is_relay {
            prop_assert_eq!(&read["relay"]["relays"], &addresses(&input.relays));
        }
    }
}
