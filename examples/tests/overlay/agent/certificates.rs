//! Certificates that are renewed all the time, with servers that are away now and then: no ping is lost.
//! `AGENT_LONG=1` does it for 20 minutes.

use std::time::{Duration, Instant};

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SOON, all_reach_each_other, until};
use crate::support::flow::{Echo, Flow};
use crate::support::machine::Machine;
use crate::support::peers::{self, Peer, skip};
use crate::support::plane::Plane;
use crate::support::random::Random;

const PORT: u16 = 7777;

struct Course {
    lifetime: i64,
    away: usize,
    length: Duration,
}

const SHORT: Course = Course { lifetime: 90, away: 15, length: Duration::from_secs(180) };
const LONG: Course = Course { lifetime: 240, away: 45, length: Duration::from_secs(1_200) };

#[tokio::test]
async fn no_ping_is_lost_over_renewals_with_servers_away() {
    let (Some(newest), Some(older)) = (peers::newest(), peers::newest_of("1.9")) else { return };
    let Some(mut underlay) = super::underlay("agent-renew") else { return };
    if !newest.knows_version_2() {
        return skip("two releases of nebula");
    }
    let course = if std::env::var_os("AGENT_LONG").is_some() { LONG } else { SHORT };
    let pace = Pace { least_lifetime: 60, rekey_seconds: 5, rekeys_per_day: 10_000 };
    let mut plane = Plane::start(underlay.host("plane"), pace);
    let network = json!({"versions": "1", "lifetimeSeconds": course.lifetime});
    plane.network("home", "10.69.0.0/24", network).await;
    let gate = json!({"name": "gates", "lighthouse": true});
    let gate =
        (plane.link("home", gate).await, Machine::new("gate", underlay.host("gate"), &newest));
    let devices = plane.link("home", json!({"name": "devices", "uses": 9})).await;
    let mut device = |name, peer: &Peer, flags: &[&str]| {
        Machine::new(name, underlay.host(name), peer).with_flags(flags)
    };
    // The same key and a new key, on both releases.
    let mut machines = [
        gate.1,
        device("same-new", &newest, &[]),
        device("other-new", &newest, &["--new-keys"]),
        device("same-old", &older, &[]),
        device("other-old", &older, &["--new-keys"]),
    ];
    for (number, machine) in machines.iter_mut().enumerate() {
        match number {
            0 => machine.join(&gate.0, &["--endpoint", &format!("{}:4242", machine.host.address)]),
            _ => machine.join(&devices, &[]),
        }
        machine.start();
    }
    all_reach_each_other(&machines, "home");
    let _echoes: Vec<Echo> = machines.iter().map(|it| Echo::start(&it.host, PORT)).collect();
    let mut flows = vec![];
    for from in &machines {
        for to in machines.iter().filter(|to| to.name != from.name) {
            let flow = Flow::start(&from.host, &to.address("home"), PORT);
            flows.push((format!("{} → {}", from.name, to.name), flow));
        }
    }
    until("all flows are answered", SOON, || flows.iter().all(|(_, flow)| flow.is_answered()));
    let starts: Vec<u64> = flows.iter().map(|(_, flow)| flow.sent()).collect();

    let (end, mut random) =
        (Instant::now() + course.length, Random::from_environment("AGENT_SEED", 7));
    while Instant::now() < end {
        let (up, away) = (5 + random.below(15), 1 + random.below(course.away));
        if Instant::now() + seconds(up + away) > end {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            break;
        }
        std::thread::sleep(seconds(up));
        plane.go_away();
        std::thread::sleep(seconds(away));
        plane.come_back();
    }
    let mut lost = vec![];
    for ((name, flow), start) in flows.iter().zip(starts) {
        let count = flow.lost_since(start);
        eprintln!("{name}: {count} of {} lost", flow.sent() - start);
        if count > 0 {
            lost.push(name.clone());
        }
    }
    for machine in &machines {
        let renewed = machine.logged().matches("certificate renewed").count();
        eprintln!("{}: {renewed} renewals", machine.name);
        assert!(renewed >= 2, "{} renewed {renewed} times", machine.name);
    }
    assert!(lost.is_empty(), "{lost:?} lost datagrams");
}

fn seconds(count: usize) -> Duration {
    Duration::from_secs(u64::try_from(count).expect("in range"))
}
