//! A machine without a `nebula`, or with one that dies at once: a clear state, and nothing lost.

use std::fs;

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SEEN, SOON, until, version_2};
use crate::support::machine::Machine;
use crate::support::plane::Plane;

#[tokio::test]
async fn a_nebula_that_is_installed_later_is_started_then() {
    let Some((mut underlay, peer)) = version_2("agent-missing") else { return };
    let mut plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.69.0.0/24", json!({})).await;
    let place = tempfile::tempdir().expect("a directory");
    let nebula = place.path().join("nebula");
    let laptop = Machine::new("laptop", underlay.host("laptop"), &peer);
    let mut laptop = laptop.with_nebula(&nebula);
    laptop.join(&plane.link("home", json!({"name": "laptops"})).await, &[]);
    laptop.start();
    until("it is told", SOON, || has(&laptop, "nebula_missing"));
    assert_eq!(laptop.status().0, Some(2));
    // Without a server's help.
    plane.go_away();
    fs::copy("/bin/false", &nebula).expect("it can be copied");
    until("it is still told", SEEN, || laptop.logged().contains("does not answer as a release"));
    fs::copy(peer.nebula(), place.path().join("new")).expect("it can be copied");
    fs::rename(place.path().join("new"), &nebula).expect("it is there");
    until("it runs", SEEN * 2, || laptop.pid("home").is_some());
    until("nothing is missing", SOON, || !has(&laptop, "nebula_missing"));
    assert_eq!(laptop.nebulas(), 1);
}

fn has(machine: &Machine, code: &str) -> bool {
    let status = machine.status_of("home");
    let mut findings = status["findings"].as_array().into_iter().flatten();
    findings.any(|finding| finding["code"] == code)
}
