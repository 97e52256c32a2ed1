//! An agent needs no more than a user of its own with `CAP_NET_ADMIN`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SOON, until, version_2};
use crate::support::machine::Machine;
use crate::support::plane::Plane;

/// Any user that is not root.
const USER: u32 = 65_534;

#[tokio::test]
async fn an_agent_runs_as_a_user_of_its_own_with_one_capability() {
    let Some((mut underlay, peer)) = version_2("agent-rights") else { return };
    let plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.67.0.0/24", json!({})).await;
    let link = plane.link("home", json!({"name": "gates", "lighthouse": true})).await;
    let mut gate = Machine::new("gate", underlay.host("gate"), &peer);
    gate.join(&link, &["--endpoint", &format!("{}:4242", gate.host.address)]);
    gate.start();
    let mut laptop = Machine::new("laptop", underlay.host("laptop"), &peer).with_user(USER);
    // By root.
    laptop.join(&plane.link("home", json!({"name": "laptops"})).await, &[]);
    laptop.start();
    until("the overlay answers", SOON, || laptop.reaches(&gate.address("home")));
    until("root sees that", SOON, || laptop.status().0 == Some(0) && laptop.pid("home").is_some());

    let pid = laptop.pid("home").expect("it runs");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("proc(5)");
        line.split_whitespace().next().expect("a value").to_owned()
    };
    assert_eq!(field("Uid:"), USER.to_string());
    // CAP_NET_ADMIN is the 12th.
    assert_eq!(
        (field("CapEff:"), field("CapBnd:")),
        (format!("{:016x}", 1 << 12), field("CapEff:"))
    );

    let path = plane.path("home", "laptop").await;
    plane.api.patch(&path, &json!({"groups": ["sales"]})).await.expect(200);
    let is_applied = || laptop.configuration("home").contains("sales");
    until("a change is applied", SOON, is_applied);
    assert_eq!(laptop.pid("home"), Some(pid));
    assert!(laptop.reaches(&gate.address("home")));
    let owner = |name: &str| fs::metadata(laptop.node("home").join(name)).map(|it| it.uid()).ok();
    for file in ["node.key", "state.json", "current/nebula.yml", "nebula.pid"] {
        assert_eq!(owner(file), Some(USER), "{file}");
    }
}
