//! An agent that is killed at random moments recovers by itself each time. `AGENT_KILLS=200` does it more
//! often.

use std::collections::BTreeSet;
use std::time::Duration;

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SOON, until, version_2};
use crate::support::machine::Machine;
use crate::support::plane::Plane;
use crate::support::random::Random;

#[tokio::test]
async fn an_agent_that_is_killed_at_any_moment_recovers_by_itself() {
    let Some((mut underlay, peer)) = version_2("agent-killed") else { return };
    let kills = std::env::var("AGENT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let pace = Pace { least_lifetime: 10, rekey_seconds: 0, rekeys_per_day: 100_000 };
    let plane = Plane::start(underlay.host("plane"), pace);
    // So short that something is under way at any moment.
    plane.network("home", "10.70.0.0/24", json!({"lifetimeSeconds": 12})).await;
    let link = plane.link("home", json!({"name": "devices", "uses": 1})).await;
    let laptop = Machine::new("laptop", underlay.host("laptop"), &peer);
    let mut laptop = laptop.with_flags(&["--new-keys", "--token-age", "1"]);
    let mut random = Random::from_environment("AGENT_SEED", 11);

    // Joining, killed too.
    let nodes = laptop.nodes();
    for _ in 0..kills / 4 {
        let words = ["join", &link, "--name", "laptop", "--allow-plain-http", "--dir"];
        let mut joining = laptop.command(&words).arg(&nodes).spawn().expect("it runs");
        std::thread::sleep(milliseconds(random.below(60)));
        let _ = joining.kill();
        let _ = joining.wait();
    }
    laptop.join(&link, &[]);
    let address = laptop.address("home");
    for _ in 0..kills {
        laptop.start();
        std::thread::sleep(milliseconds(random.below(2_500)));
        laptop.kill();
    }
    laptop.start();
    until("it is healthy again", SOON * 2, || laptop.status_of("home")["health"] == "healthy");
    until("one nebula runs, which is its own", SOON, || {
        laptop.nebulas() == 1 && laptop.pid("home").is_some_and(is_running)
    });
    assert_eq!(laptop.address("home"), address, "an address was lost");
    let nodes = plane.api.get("/networks/home/nodes").await.expect(200);
    assert_eq!(nodes["items"].as_array().map(Vec::len), Some(1), "{nodes}");
    // And it renews.
    let generation = |machine: &Machine| machine.state("home")["reported"]["generation"].as_i64();
    let before = generation(&laptop);
    until("another certificate is reported", SOON * 3, || generation(&laptop) > before);
    assert_eq!(laptop.nebulas(), 1, "one nebula is left");
    // Each certificate is a generation. A kill costs one at most: between its issue and its installation.
    let issued = generation(&laptop).expect("it reports");
    let log = laptop.logged();
    let applied = log.lines().filter(|line| line.contains(": applied "));
    let applied: BTreeSet<_> =
        applied.filter_map(|line| line.split("generation=").nth(1)).collect();
    eprintln!("{issued} certificates, {} applied, {kills} kills", applied.len());
    let unused = usize::try_from(issued).expect("in range").saturating_sub(applied.len());
    assert!(unused <= kills, "{unused} certificates were not applied, with {kills} kills");
}

fn is_running(pid: i64) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

fn milliseconds(count: usize) -> Duration {
    Duration::from_millis(u64::try_from(count).expect("in range"))
}
