//! A bundle that Nebula refuses: the former one is back, with the new revocations, and the node never
//! goes down.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SEEN, SOON, all_reach_each_other, fleet, underlay, until, version_2};
use crate::support::machine::Machine;
use crate::support::peers;
use crate::support::plane::Plane;

/// Nebula 1.6 does not start with the name of a lighthouse that it can't resolve.
#[tokio::test]
async fn a_refused_bundle_is_rolled_back_with_its_revocations_kept() {
    let Some(peer) = peers::newest_of("1.6") else { return };
    let Some(mut underlay) = underlay("agent-refused") else { return };
    let plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.65.0.0/24", json!({"versions": "1"})).await;
    let machines = fleet(&plane, &mut underlay, "home", [&peer; 3]).await;
    all_reach_each_other(&machines, "home");
    let mut other = Machine::new("other", underlay.host("other"), &peer);
    other.join(&plane.link("home", json!({"name": "others"})).await, &[]);
    other.start();
    let [gate, laptop, phone] = &machines;
    let (to_gate, to_phone) = (gate.address("home"), phone.address("home"));
    until("it is noted that it runs", SOON, || laptop.pid("home").is_some());
    let pid = laptop.pid("home");
    let before = laptop.state("home")["applied"].clone();

    let path = plane.path("home", "other").await;
    let unresolvable = json!({"lighthouse": {"endpoint": "nowhere.invalid:4242"}});
    plane.api.patch(&path, &unresolvable).await.expect(200);
    until("it is refused, and told", SEEN, || refused(laptop));
    assert!(!laptop.configuration("home").contains("nowhere.invalid"));
    assert_eq!(laptop.state("home")["applied"], before);
    assert!(laptop.reaches(&to_gate));
    assert_eq!(laptop.status().0, Some(1), "degraded, not cut off");

    let revoked = plane.path("home", "phone").await;
    plane.api.post(&format!("{revoked}/revoke"), &json!({"reason": "stolen"})).await.expect(200);
    until("the revocation of a refused bundle holds", SEEN, || !laptop.reaches(&to_phone));
    assert!(!laptop.configuration("home").contains("nowhere.invalid"));
    assert!(laptop.reaches(&to_gate));
    assert_eq!(laptop.pid("home"), pid, "it never went down");
    let unapplied = plane.unapplied("home").await;
    assert_ne!(unapplied["count"], 0, "what was refused is not reported as applied");

    let resolvable = json!({"lighthouse": null});
    plane.api.patch(&path, &resolvable).await.expect(200);
    until("a bundle that can be taken is taken", SOON, || !refused(laptop));
    assert!(!laptop.reaches(&to_phone) && laptop.reaches(&to_gate));
}

/// Nebula could not be followed at this level of its log.
#[tokio::test]
async fn a_file_of_the_users_own_is_taken_once_it_is_mended() {
    let Some((mut underlay, peer)) = version_2("agent-mended") else { return };
    let plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.66.0.0/24", json!({})).await;
    let mut laptop = Machine::new("laptop", underlay.host("laptop"), &peer);
    laptop.join(&plane.link("home", json!({"name": "laptops"})).await, &[]);
    laptop.start();
    until("it runs", SOON, || laptop.pid("home").is_some());
    let pid = laptop.pid("home");
    let own = laptop.node("home").join("local.d");
    DirBuilder::new().mode(0o700).create(&own).expect("a directory");

    fs::write(own.join("log.yml"), "logging: {level: error}").expect("it can be written");
    until("it is refused, and told", SEEN, || refused(&laptop));
    assert!(!laptop.configuration("home").contains("error"));
    fs::write(own.join("log.yml"), "logging: {level: debug}").expect("it can be written");
    until("it is taken", SEEN, || laptop.configuration("home").contains("debug"));
    until("nothing is wrong any more", SOON, || !refused(&laptop));
    assert_eq!(laptop.pid("home"), pid, "it never went down");
}

fn refused(machine: &Machine) -> bool {
    machine.status_of("home")["findings"]
        .as_array()
        .is_some_and(|all| all.iter().any(|finding| finding["code"] == "nebula_refused"))
}
