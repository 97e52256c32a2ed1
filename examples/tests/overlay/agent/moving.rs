//! A node that moves to another address is reached there, and nowhere else.

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SEEN, all_reach_each_other, fleet, underlay, until, version_2};
use crate::support::peers::{self, Peer};
use crate::support::plane::Plane;
use crate::support::underlay::Underlay;

#[tokio::test]
async fn on_the_newest_release() {
    let Some((underlay, peer)) = version_2("agent-moving") else { return };
    nodes_are_reached_where_they_move(underlay, &peer, "2").await;
}

#[tokio::test]
async fn on_the_oldest_release() {
    let Some(peer) = peers::newest_of("1.6") else { return };
    let Some(underlay) = underlay("agent-moving-16") else { return };
    nodes_are_reached_where_they_move(underlay, &peer, "1").await;
}

async fn nodes_are_reached_where_they_move(mut underlay: Underlay, peer: &Peer, versions: &str) {
    let plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.71.0.0/24", json!({"versions": versions})).await;
    let machines = fleet(&plane, &mut underlay, "home", [peer; 3]).await;
    all_reach_each_other(&machines, "home");
    // The lighthouse, too, which all others know by its address.
    for (number, name, to) in [(1, "laptop", "10.71.0.40"), (0, "gate", "10.71.0.50")] {
        let moving = &machines[number];
        let (from, pid) = (moving.address("home"), moving.pid("home"));
        let path = plane.path("home", name).await;
        let moved = plane.api.post(&format!("{path}/move"), &json!({"address": to})).await;
        assert_eq!(moved.expect(200)["left"], json!([from]));
        until("it is reached at its new address", SEEN * 2, || {
            moving.address("home") == to && machines.iter().all(|machine| machine.reaches(to))
        });
        assert_ne!(moving.pid("home"), pid, "Nebula takes over another address at a restart alone");
        assert!(!machines[2].reaches(&from), "it left that");
        all_reach_each_other(&machines, "home");
    }
    until("nothing is left to do", SEEN, || {
        machines.iter().all(|it| it.status_of("home")["health"] == "healthy")
    });
    let nodes = plane.api.get("/networks/home/nodes").await.expect(200);
    for node in nodes["items"].as_array().expect("a list") {
        assert_ne!(node["restartNeeded"], true, "{node}");
    }
}
