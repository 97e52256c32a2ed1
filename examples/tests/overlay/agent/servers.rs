//! Servers that move, change their keys or are away, and tokens that are replaced.

use std::time::Duration;

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SOON, all_reach_each_other, fleet, until, version_2};
use crate::support::machine::Machine;
use crate::support::plane::Plane;

#[tokio::test]
async fn a_server_moves_with_its_agents_and_the_overlay_goes_on() {
    let Some((mut underlay, peer)) = version_2("agent-move") else { return };
    let mut plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.66.0.0/24", json!({})).await;
    let machines = fleet(&plane, &mut underlay, "home", [&peer; 3]).await;
    all_reach_each_other(&machines, "home");

    // Another port is another server to them.
    let former = plane.address;
    let moved = std::net::SocketAddr::new(former.ip(), 9090);
    let list = json!({"servers": [{"url": format!("http://{moved}")}]});
    plane.set_servers(&list).await;
    let serial = |machine: &Machine| {
        let text = std::fs::read(machine.node("home").join("node.json")).unwrap_or_default();
        let membership: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        (membership["serial"].as_i64(), membership["servers"].as_array().map(Vec::len))
    };
    until("all have the list, and keep the former server", Duration::from_secs(60), || {
        machines.iter().all(|machine| serial(machine) == (Some(1), Some(2)))
    });
    plane.move_to(moved);
    all_reach_each_other(&machines, "home");
    until("they ask the new one, and forget the former", Duration::from_secs(60), || {
        machines.iter().all(|machine| serial(machine) == (Some(1), Some(1)))
    });
    let path = plane.path("home", "laptop").await;
    plane.api.patch(&path, &json!({"groups": ["sales"]})).await.expect(200);
    until("changes come from there", SOON, || machines[1].configuration("home").contains("sales"));
    all_reach_each_other(&machines, "home");
}

#[tokio::test]
async fn a_token_is_replaced_by_its_node_and_by_an_operator() {
    let Some((mut underlay, peer)) = version_2("agent-token") else { return };
    let mut plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.67.0.0/24", json!({})).await;
    let link = plane.link("home", json!({"name": "devices"})).await;
    let laptop = Machine::new("laptop", underlay.host("laptop"), &peer);
    let mut laptop = laptop.with_flags(&["--token-age", "2"]);
    laptop.join(&link, &[]);
    let file = laptop.node("home").join("node.token");
    let token = || std::fs::read_to_string(&file).expect("it is there");
    let first = token();
    laptop.start();
    until("the node has replaced it", SOON * 3, || token() != first);
    laptop.stop();
    assert!(!laptop.node("home").join("node.token.next").exists());

    // With the servers away, it goes on with what it has.
    let mut laptop = laptop.with_flags(&[]);
    plane.go_away();
    laptop.start();
    until("nebula runs without any server", SOON, || laptop.pid("home").is_some());
    until("it says so", SOON * 2, || {
        laptop.status_of("home")["findings"][0]["code"] == "unreachable"
    });
    plane.come_back();
    until("it is healthy again", SOON * 3, || laptop.status_of("home")["health"] == "healthy");

    let path = plane.path("home", "laptop").await;
    let made = plane.api.post(&format!("{path}/token"), &json!({})).await.expect(200);
    until("the former one is refused", SOON * 4, || {
        laptop.status_of("home")["findings"][0]["code"] == "kept_out"
    });
    std::fs::write(&file, made["nodeToken"].as_str().expect("text")).expect("it can be written");
    until("the operator's is taken", SOON * 6, || laptop.status_of("home")["health"] == "healthy");
}
