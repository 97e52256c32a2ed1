//! A group that is taken away from a node cuts its flows at its peers; no other flow loses anything.

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SEEN, SOON, all_reach_each_other, fleet, underlay, until, version_2};
use crate::support::flow::{Echo, Flow};
use crate::support::peers::{self, Peer};
use crate::support::plane::Plane;
use crate::support::underlay::Underlay;

const PORT: u16 = 7777;

#[tokio::test]
async fn on_the_newest_release() {
    let Some((underlay, peer)) = version_2("agent-groups") else { return };
    flows_go_with_their_group(underlay, &peer, "2").await;
}

#[tokio::test]
async fn on_an_older_release() {
    let Some(peer) = peers::newest_of("1.9") else { return };
    let Some(underlay) = underlay("agent-groups-19") else { return };
    flows_go_with_their_group(underlay, &peer, "1").await;
}

/// It restarts the node that lost a group, because its peers would never be told.
#[tokio::test]
async fn on_the_oldest_release() {
    let Some(peer) = peers::newest_of("1.6") else { return };
    let Some(underlay) = underlay("agent-groups-16") else { return };
    flows_go_with_their_group(underlay, &peer, "1").await;
}

async fn flows_go_with_their_group(mut underlay: Underlay, peer: &Peer, versions: &str) {
    let plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.68.0.0/24", json!({"versions": versions})).await;
    // All but the gate are in the group "devices", whose members reach each other.
    let machines = fleet(&plane, &mut underlay, "home", [peer; 3]).await;
    let mut other = crate::support::machine::Machine::new("other", underlay.host("other"), peer);
    let devices = json!({"name": "more", "groups": ["devices"]});
    other.join(&plane.link("home", devices).await, &[]);
    other.start();
    all_reach_each_other(&machines, "home");
    let [_, laptop, phone] = &machines;
    let to_laptop = laptop.address("home");
    until("the other reaches them", SOON, || other.reaches(&to_laptop));
    let (_echo, address) = (Echo::start(&laptop.host, PORT), laptop.address("home"));
    let mut cut = Flow::start(&phone.host, &address, PORT);
    let stays = Flow::start(&other.host, &address, PORT);
    until("both flows are answered", SEEN, || cut.is_answered() && stays.is_answered());
    let from = stays.sent();

    let path = plane.path("home", "phone").await;
    plane.api.patch(&path, &json!({"groups": []})).await.expect(200);
    // The agent has Nebula judge flows three times, the last time after half a minute.
    until("the flow in use is cut", SEEN * 3, || !cut.is_answered());
    plane.api.patch(&path, &json!({"groups": ["devices"]})).await.expect(200);
    until("it is open again", SEEN * 2, || {
        if !cut.is_answered() && cut.sent() > 40 {
            cut = Flow::start(&phone.host, &address, PORT);
        }
        cut.is_answered()
    });
    assert_eq!(stays.lost_since(from), 0, "another flow lost datagrams");
    until("its tunnels are counted", SOON, || {
        phone.status_of("home")["tunnels"]
            .as_u64()
            .is_some_and(|tunnels| (1..=3).contains(&tunnels))
    });
}
