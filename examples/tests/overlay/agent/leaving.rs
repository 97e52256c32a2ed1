//! Does off-boarding reach packets? One command cuts off all devices of a user, and says so.

use std::io::Write as _;
use std::time::Instant;

use nebula_gc_http::Pace;
use serde_json::json;

use super::{SOON, all_reach_each_other, until, version_2};
use crate::support::machine::{Machine, nebula_gc};
use crate::support::plane::Plane;

#[tokio::test]
async fn all_devices_of_a_user_are_cut_off_by_one_command_that_says_so() {
    let Some((mut underlay, peer)) = version_2("agent-user") else { return };
    let plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.69.0.0/24", json!({})).await;
    let mut machines = ["gate", "ann", "laptop", "phone"]
        .map(|name| Machine::new(name, underlay.host(name), &peer));
    let link = plane.link("home", json!({"name": "gates", "lighthouse": true})).await;
    machines[0].join(&link, &["--endpoint", &format!("{}:4242", machines[0].host.address)]);
    for (machine, user) in [(1, "ann"), (2, "bob"), (3, "bob")] {
        let token = json!({"name": format!("of {user}"), "user": user});
        machines[machine].join(&plane.link("home", token).await, &[]);
    }
    for machine in &mut machines {
        machine.start();
    }
    all_reach_each_other(&machines, "home");
    until("all have reported", SOON, || {
        machines.iter().all(|it| !it.state("home")["reported"].is_null())
    });
    let [gate, ann, laptop, phone] = &machines;
    let of_bob = [laptop.address("home"), phone.address("home")];

    let mut key = tempfile::NamedTempFile::new().expect("a file");
    writeln!(key, "{}", plane.api.secret()).expect("room");
    let line = "admin nodes suspend home --user bob --reason left --yes --wait --timeout 10s \
                --allow-plain-http";
    let mut command = plane.host.command(&nebula_gc());
    command.args(line.split_whitespace()).arg("--key-file").arg(key.path());
    command.args(["--server", &format!("http://{}", plane.address)]);
    let began = Instant::now();
    let output = command.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("2 nodes: 2 suspended, 0 unchanged, 0 refused."), "{told}");
    let last = told.lines().last().expect("it says something");
    assert!(last.starts_with("All 2 nodes that report have applied revision "), "{told}");
    eprintln!("applied everywhere after {:.1?}", began.elapsed());

    // What it says is so: no packet passes between them and the others.
    until("they are unreachable", SOON.saturating_sub(began.elapsed()), || {
        of_bob.iter().all(|address| !gate.reaches(address) && !ann.reaches(address))
    });
    assert!(!laptop.reaches(&gate.address("home")) && !phone.reaches(&ann.address("home")));
    assert!(ann.reaches(&gate.address("home")), "the others stay");
    for machine in [laptop, phone] {
        until("it knows", SOON, || machine.status_of("home")["health"] == "cut_off");
    }
}
