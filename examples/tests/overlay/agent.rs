//! Do agents keep overlays right by themselves: from joining to revocation?
//!
//! Needs root, `ip`, `ping`, `/dev/net/tun` and peers (`support/peers.rs`); says so and passes where one
//! of them is missing, unless `REQUIRE_PEERS=1`.

// The longest, which tests in the order of their names begin with.
mod certificates;
mod groups;
mod killed;
mod leaving;
mod missing;
mod moving;
mod refused;
mod rights;
mod servers;

use std::time::{Duration, Instant};

use crate::support::machine::Machine;
use crate::support::peers::{self, Peer, skip};
use crate::support::plane::Plane;
use crate::support::underlay::Underlay;
use nebula_gc_http::Pace;
use serde_json::json;

/// Within this time, what was asked for has to be so on every machine.
const SOON: Duration = Duration::from_secs(10);
/// For Nebula to look at its tunnels twice.
const SEEN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn two_commands_bring_an_empty_machine_into_three_networks() {
    let Some((mut underlay, peer)) = version_2("agent-three") else { return };
    let plane = Plane::start(underlay.host("plane"), Pace::default());
    let mut gate = Machine::new("gate", underlay.host("gate"), &peer);
    let mut laptop = Machine::new("laptop", underlay.host("laptop"), &peer);
    let networks = [("home", "10.61.0.0/24"), ("office", "10.62.0.0/24"), ("lab", "10.63.0.0/24")];
    for (number, (name, prefix)) in networks.into_iter().enumerate() {
        plane.network(name, prefix, json!({})).await;
        let link = plane.link(name, json!({"name": "gates", "lighthouse": true})).await;
        let endpoint = format!("{}:{}", gate.host.address, 4242 + number);
        gate.join(&link, &["--endpoint", &endpoint]);
    }
    gate.start();
    for (name, _) in networks {
        until("the gate runs", SOON, || gate.pid(name).is_some());
    }

    // The first of the two commands, and the second.
    let began = Instant::now();
    laptop.join(&plane.link("home", json!({"name": "laptops"})).await, &[]);
    laptop.start();
    until("the overlay answers", SOON.saturating_sub(began.elapsed()), || {
        laptop.reaches(&gate.address("home"))
    });
    // A running agent notices the others.
    for (name, _) in &networks[1..] {
        laptop.join(&plane.link(name, json!({"name": "laptops"})).await, &[]);
    }
    for (name, _) in networks {
        until(name, SOON, || laptop.reaches(&gate.address(name)));
        until(&format!("{name} is healthy"), SOON, || {
            laptop.status_of(name)["health"] == "healthy"
        });
    }
    assert_eq!(laptop.status().0, Some(0));

    until("all run", SOON, || networks.iter().all(|(name, _)| laptop.pid(name).is_some()));

    // A change in one reloads that one alone.
    let installed = |network| std::fs::read_link(laptop.node(network).join("current")).ok();
    let before: Vec<_> =
        networks.iter().map(|(name, _)| (laptop.pid(name), installed(name))).collect();
    let others = [gate.address("home"), gate.address("lab")];
    let path = plane.path("office", "laptop").await;
    plane.api.patch(&path, &json!({"groups": ["sales"]})).await.expect(200);
    let mut lost = 0;
    until("the change is applied", SOON, || {
        lost += others.iter().filter(|other| !laptop.reaches(other)).count();
        laptop.configuration("office").contains("sales")
    });
    assert_eq!(lost, 0, "the others lost pings");
    let after: Vec<_> =
        networks.iter().map(|(name, _)| (laptop.pid(name), installed(name))).collect();
    assert_eq!(before[0], after[0]);
    assert_eq!(before[2], after[2]);
    assert_eq!(before[1].0, after[1].0, "a group is taken over by a reload");
    assert_ne!(before[1].1, after[1].1);
    assert!(laptop.reaches(&gate.address("office")));
    until("its tunnel is counted", SOON, || laptop.status_of("office")["tunnels"] == 1);

    // And one is left.
    let pid = laptop.pid("lab").expect("it runs");
    let nodes = laptop.nodes();
    let left = laptop.command(&["leave", "lab", "--dir"]).arg(&nodes).output().expect("it runs");
    assert!(left.status.success(), "{left:?}");
    assert!(
        !laptop.node("lab").exists() && !std::path::Path::new(&format!("/proc/{pid}")).exists()
    );
    assert!(laptop.reaches(&gate.address("home")));
}

#[tokio::test]
async fn a_revoked_node_is_unreachable_within_seconds_and_nobody_is_behind() {
    let Some((mut underlay, peer)) = version_2("agent-revoke") else { return };
    let plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.64.0.0/24", json!({})).await;
    let machines = fleet(&plane, &mut underlay, "home", [&peer; 3]).await;
    let [gate, laptop, phone] = &machines;
    let addresses: Vec<String> = machines.iter().map(|machine| machine.address("home")).collect();
    all_reach_each_other(&machines, "home");
    until("all have reported", SOON, || {
        machines.iter().all(|it| !it.state("home")["reported"].is_null())
    });

    let path = plane.path("home", "phone").await;
    let revoked = Instant::now();
    plane.api.post(&format!("{path}/revoke"), &json!({"reason": "stolen"})).await.expect(200);
    until("it is unreachable from every node", SOON, || {
        !gate.reaches(&addresses[2]) && !laptop.reaches(&addresses[2])
    });
    eprintln!("unreachable after {:.1?}", revoked.elapsed());
    let mut unapplied = plane.unapplied("home").await;
    while unapplied["count"] != 0 && revoked.elapsed() < SOON {
        unapplied = plane.unapplied("home").await;
    }
    assert_eq!(unapplied["count"], 0, "{unapplied}");
    for machine in [gate, laptop] {
        let state = machine.state("home");
        assert_eq!(state["reported"], state["applied"], "{state}");
        assert!(state["reported"]["receipt"].is_string(), "{state}");
    }
    assert!(laptop.reaches(&addresses[0]));
    until("the revoked one knows", SOON, || phone.status_of("home")["health"] == "cut_off");
    let status = phone.status_of("home");
    assert_eq!(status["findings"][0]["code"], "kept_out", "{status}");
    assert_eq!(phone.status().0, Some(2));
}

/// A lighthouse and two others, with their agents running.
async fn fleet(
    plane: &Plane,
    underlay: &mut Underlay,
    network: &str,
    peers: [&Peer; 3],
) -> [Machine; 3] {
    fleet_with(&[], plane, underlay, network, peers).await
}

/// As [`fleet`], with flags for the agents.
async fn fleet_with(
    flags: &[&str],
    plane: &Plane,
    underlay: &mut Underlay,
    network: &str,
    peers: [&Peer; 3],
) -> [Machine; 3] {
    let link = plane.link(network, json!({"name": "gates", "lighthouse": true})).await;
    let gate = Machine::new("gate", underlay.host("gate"), peers[0]);
    gate.join(&link, &["--endpoint", &format!("{}:4242", gate.host.address)]);
    let link =
        plane.link(network, json!({"name": "devices", "uses": 9, "groups": ["devices"]})).await;
    let mut laptop = Machine::new("laptop", underlay.host("laptop"), peers[1]);
    let mut phone = Machine::new("phone", underlay.host("phone"), peers[2]);
    for machine in [&mut laptop, &mut phone] {
        machine.join(&link, &[]);
    }
    let mut machines = [gate, laptop, phone].map(|machine| machine.with_flags(flags));
    for machine in &mut machines {
        machine.start();
    }
    machines
}

fn all_reach_each_other(machines: &[Machine], network: &str) {
    let addresses: Vec<String> = machines.iter().map(|machine| machine.address(network)).collect();
    until("they all reach each other", SOON, || {
        machines.iter().all(|from| addresses.iter().all(|address| from.reaches(address)))
    });
}

fn version_2(name: &str) -> Option<(Underlay, Peer)> {
    let peer = peers::newest()?;
    if !peer.knows_version_2() {
        skip("nebula 1.10 or later, which knows certificates of version 2");
        return None;
    }
    Some((underlay(name)?, peer))
}

fn underlay(name: &str) -> Option<Underlay> {
    Underlay::new(name).map_err(|missing| skip(&missing)).ok()
}

#[track_caller]
fn until(what: &str, budget: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < budget, "not within {budget:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("{what}: after {:.1?}", start.elapsed());
}
