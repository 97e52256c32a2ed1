//! Do nodes reach each other where the network is not kind: behind symmetric NAT, with another overlay on
//! the same machine, and without IPv6?
//!
//! Needs root, `ip`, `ping`, `nft`, `/dev/net/tun` and peers (`support/peers.rs`); says so and passes where
//! one of them is missing, unless `REQUIRE_PEERS=1`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nebula_bundle::{Allowed, InstallOptions, Installation, check, listen_host};
use nebula_pki::key::AgreementKey;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::networks::{Network, Role};
use crate::support::native::Device;
use crate::support::node::Node;
use crate::support::peers::{self, Peer, skip};
use crate::support::pings::{MEET, Pair, unanswered, until};
use crate::support::server::Server;
use crate::support::underlay::{Host, Underlay};

/// For a node behind symmetric NAT to be reached: with 1.6, which knows no shorter delay, 5.5 seconds.
const PUNCH: Duration = Duration::from_secs(15);

/// What the tests of all releases share: the underlay of each, and a server.
struct Ground {
    releases: Vec<(Peer, Underlay)>,
    server: Server,
    _data: tempfile::TempDir,
}

impl Ground {
    fn new(test: &str) -> Option<Self> {
        let mut releases = vec![];
        for (number, peer) in peers::releases().into_iter().enumerate() {
            match Underlay::new(&format!("{test}{number}")) {
                Ok(underlay) => releases.push((peer, underlay)),
                Err(missing) => {
                    skip(&missing);
                    return None;
                }
            }
        }
        let data = tempfile::tempdir().expect("a directory");
        let server = Server::start(&data.path().join("data"));
        (!releases.is_empty()).then_some(Self { releases, server, _data: data })
    }
}

fn hidden(underlay: &mut Underlay, name: &str) -> Option<Host> {
    underlay.behind_nat(name).map_err(|missing| skip(&missing)).ok()
}

/// Who is waited for: both ways between two devices of a release.
fn each_other<'d>(one: &'d Device, other: &'d Device) -> Vec<Pair<'d>> {
    let pair = |from: &'d Device, to: &'d Device| Pair {
        from: &from.node,
        to: &to.node,
        address: to.node.addresses.first().expect("it has one"),
    };
    vec![pair(one, other), pair(other, one)]
}

#[tokio::test]
async fn two_nodes_behind_symmetric_nat_reach_each_other_through_a_separate_relay() {
    let Some(mut ground) = Ground::new("relayed") else { return };
    let mut meshes = vec![];
    for (number, (peer, underlay)) in ground.releases.iter_mut().enumerate() {
        let (name, prefix) = (format!("relayed-{number}"), format!("10.7{number}.0.0/24"));
        let network = Network::new(&ground.server, &name, &prefix).await;
        let (Some(left), Some(right)) = (hidden(underlay, "left"), hidden(underlay, "right"))
        else {
            return;
        };
        assert!(left.is_hidden() && right.is_hidden());
        let mut mesh = vec![];
        for (name, host, role) in [
            ("lighthouse", underlay.host("lighthouse"), Role::Lighthouse),
            ("relay", underlay.host("relay"), Role::Relay),
            ("left", left, Role::Plain),
            ("right", right, Role::Plain),
        ] {
            mesh.push(network.join(name, host, role, peer).await);
        }
        mesh.iter_mut().for_each(|device| device.node.run(peer));
        meshes.push(mesh);
    }
    // One asks and the other does not, or both would open their routers for the relay by themselves.
    let asked: Vec<Pair<'_>> =
        meshes.iter().map(|mesh| each_other(&mesh[2], &mesh[3]).swap_remove(0)).collect();
    until("all releases: one is answered by the other", PUNCH, || unanswered(&asked).is_empty());
    let pairs: Vec<Pair<'_>> =
        meshes.iter().flat_map(|mesh| each_other(&mesh[2], &mesh[3])).collect();
    until("all releases: they answer each other", MEET, || unanswered(&pairs).is_empty());
}

#[tokio::test]
async fn a_public_node_reaches_one_behind_symmetric_nat_without_a_relay() {
    let Some(mut ground) = Ground::new("direct") else { return };
    let mut meshes = vec![];
    for (number, (peer, underlay)) in ground.releases.iter_mut().enumerate() {
        let (name, prefix) = (format!("direct-{number}"), format!("10.8{number}.0.0/24"));
        let network = Network::new(&ground.server, &name, &prefix).await;
        let Some(behind) = hidden(underlay, "behind") else { return };
        let mut mesh = vec![];
        for (name, host, role) in [
            ("lighthouse", underlay.host("lighthouse"), Role::Lighthouse),
            ("public", underlay.host("public"), Role::Plain),
            ("behind", behind, Role::Plain),
        ] {
            mesh.push(network.join(name, host, role, peer).await);
        }
        mesh.iter_mut().for_each(|device| device.node.run(peer));
        meshes.push(mesh);
    }
    // The hidden ones have to have told their lighthouses where they are, as they do at once.
    let known: Vec<Pair<'_>> =
        meshes.iter().flat_map(|mesh| each_other(&mesh[0], &mesh[2])).collect();
    until("all releases: the lighthouse knows the hidden one", MEET, || {
        unanswered(&known).is_empty()
    });
    let asked: Vec<Pair<'_>> =
        meshes.iter().map(|mesh| each_other(&mesh[1], &mesh[2]).swap_remove(0)).collect();
    until("all releases: the public one is answered", PUNCH, || unanswered(&asked).is_empty());
}

#[tokio::test]
async fn one_machine_is_in_two_networks_at_once() {
    let Some(mut ground) = Ground::new("two") else { return };
    let mut all = vec![];
    for (number, (peer, underlay)) in ground.releases.iter_mut().enumerate() {
        let machine = underlay.host("machine");
        for (letter, second) in [("a", 91), ("b", 92)] {
            let (name, prefix) =
                (format!("two-{number}-{letter}"), format!("10.{second}.{number}.0/24"));
            let network = Network::new(&ground.server, &name, &prefix).await;
            let host = underlay.host(&format!("lighthouse-{letter}"));
            let lighthouse = network.join("lighthouse", host, Role::Lighthouse, peer).await;
            let node = network.join("node", machine.clone(), Role::Plain, peer).await;
            let mut both = [lighthouse, node];
            both.iter_mut().for_each(|device| device.node.run(peer));
            all.push(both);
        }
    }
    let pairs: Vec<Pair<'_>> = all.iter().flat_map(|[one, other]| each_other(one, other)).collect();
    until("all releases: both networks answer", MEET, || unanswered(&pairs).is_empty());
}

#[tokio::test]
async fn a_machine_without_ipv6_sockets_takes_part() {
    let Some(mut ground) = Ground::new("ipv4") else { return };
    let mut all = vec![];
    for (number, (peer, underlay)) in ground.releases.iter_mut().enumerate() {
        let (name, prefix) = (format!("ipv4-{number}"), format!("10.9{}.0.0/24", 4 + number));
        let network = Network::new(&ground.server, &name, &prefix).await;
        let host = underlay.host("lighthouse");
        let mut lighthouse = network.join("lighthouse", host, Role::Lighthouse, peer).await;
        lighthouse.node.run(peer);
        let mut node = network.join("node", underlay.host("node"), Role::Plain, peer).await;
        // As it is rendered, it does not start there; which shows that the machine is as it should be.
        without_ipv6(|| node.node.run(peer));
        until("it ends", MEET, || node.node.has_ended());

        without_ipv6(|| start_installed(&mut node.node, peer));
        if peer.release.starts_with("1.6.") {
            // It opens an IPv6 socket whatever the address.
            until("1.6 ends all the same", MEET, || node.node.has_ended());
            continue;
        }
        all.push([lighthouse, node]);
    }
    let pairs: Vec<Pair<'_>> = all.iter().flat_map(|[one, other]| each_other(one, other)).collect();
    until("the other releases: they answer each other", MEET, || unanswered(&pairs).is_empty());
}

/// Installs the bundle as an agent does on this machine, and starts it.
fn start_installed(node: &mut Node, peer: &Peer) {
    let read = |name: &str| fs::read_to_string(node.directory().join(name)).expect("it is there");
    let names = ["ca.crt", "node.crt", "nebula.yml", "README.md"];
    let files: BTreeMap<&str, String> = names.into_iter().map(|name| (name, read(name))).collect();
    let key = AgreementKey::from_pem(read("node.key").as_bytes()).expect("a key");
    let files = files.iter().map(|(name, text)| (*name, text.as_str()));
    let bundle = check(files, &key.public_key(), crate::support::check::now()).expect("a bundle");

    let installation = Installation::new(node.directory());
    assert_eq!(listen_host(), Some("0.0.0.0"));
    let options = InstallOptions {
        directory: installation.link(),
        key: node.directory().join("node.key"),
        tun_device: None,
        listen_host: listen_host().map(str::to_owned),
        local: vec![],
        allowed: Allowed::default(),
        firewall_generation: 1,
    };
    installation.install(&bundle.to_install(&options).expect("files")).expect("installed");
    let configuration = installation.link().join("nebula.yml");
    node.run_with(peer, &configuration);
}

/// Does something on a thread which, with all programs that it starts, has no IPv6 sockets, as with a
/// kernel that was booted with `ipv6.disable=1`.
fn without_ipv6(does: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let family =
                SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, AF_INET6);
            let rule = SeccompRule::new(vec![family.expect("a condition")]).expect("a rule");
            let filter = SeccompFilter::new(
                BTreeMap::from([(SOCKET, vec![rule])]),
                SeccompAction::Allow,
                SeccompAction::Errno(NO_FAMILY),
                std::env::consts::ARCH.try_into().expect("an architecture"),
            );
            let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
            seccompiler::apply_filter(&program).expect("it is allowed");
            does();
        });
        thread.join().expect("it went well");
    });
}

/// The number of the system call `socket`.
const SOCKET: i64 = if cfg!(target_arch = "x86_64") { 41 } else { 198 };
/// `AF_INET6`.
const AF_INET6: u64 = 10;
/// EAFNOSUPPORT.
const NO_FAMILY: u32 = 97;
