//! Servers that move, change their keys or are away, and tokens that are replaced.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nebula_gc_http::Pace;
use nebula_gc_http::server::Tls;
use nebula_gc_http::server_list::{ListedServer, Pin};
use nebula_gc_http::wire::NewJoinTokenBody;
use serde_json::{Value, json};

use super::{SOON, all_reach_each_other, fleet_with, until, version_2};
use crate::support::machine::Machine;
use crate::support::peers::skip;
use crate::support::plane::Plane;

/// Lists of servers are read, and tokens replaced, between two polls.
const SHORT_POLLS: [&str; 2] = ["--poll", "2"];

#[tokio::test]
async fn a_server_moves_with_its_agents_and_the_overlay_goes_on() {
    let Some((mut underlay, peer)) = version_2("agent-move") else { return };
    let mut plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.66.0.0/24", json!({})).await;
    let machines = fleet_with(&SHORT_POLLS, &plane, &mut underlay, "home", [&peer; 3]).await;
    all_reach_each_other(&machines, "home");

    // Another port is another server to them.
    let former = plane.address;
    let moved = std::net::SocketAddr::new(former.ip(), 9090);
    let list = json!({"servers": [{"url": format!("http://{moved}")}]});
    let told = plane.set_servers(&list).await;
    let serial = |machine: &Machine| {
        let membership = membership(machine);
        (membership["serial"].as_i64(), membership["servers"].as_array().map(Vec::len))
    };
    until("all have the list, and keep the former server", Duration::from_secs(60), || {
        machines.iter().all(|machine| serial(machine) == (Some(told), Some(2)))
    });
    plane.move_to(moved);
    all_reach_each_other(&machines, "home");
    until("they ask the new one, and forget the former", Duration::from_secs(60), || {
        machines.iter().all(|machine| serial(machine) == (Some(told), Some(1)))
    });
    let path = plane.path("home", "laptop").await;
    plane.api.patch(&path, &json!({"groups": ["sales"]})).await.expect(200);
    until("changes come from there", SOON, || machines[1].configuration("home").contains("sales"));
    all_reach_each_other(&machines, "home");
}

#[tokio::test]
async fn a_server_changes_its_tls_key_under_its_agents_and_the_overlay_goes_on() {
    let Some((mut underlay, peer)) = version_2("agent-tls") else { return };
    let files = tempfile::tempdir().expect("a directory");
    let (Some(old), Some(new)) = (made(files.path(), "old"), made(files.path(), "new")) else {
        return;
    };
    let mut plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.serve_tls(8443, old.files.clone());
    plane.network("home", "10.68.0.0/24", json!({})).await;
    let gates = NewJoinTokenBody { lighthouse: Some(true), ..token("gates") };
    let gates = plane.pinned_link("home", old.pin, &gates).await;
    let devices = plane.pinned_link("home", old.pin, &token("devices")).await;
    let mut machines =
        ["gate", "laptop", "phone"].map(|name| Machine::new(name, underlay.host(name), &peer));
    machines = machines.map(|machine| machine.with_flags(&SHORT_POLLS));
    let endpoint = format!("{}:4242", machines[0].host.address);
    machines[0].join(&gates, &["--endpoint", &endpoint]);
    machines[1].join(&devices, &[]);
    machines[2].join(&devices, &[]);
    for machine in &mut machines {
        machine.start();
    }
    all_reach_each_other(&machines, "home");
    until("it is noted that they run", SOON, || {
        machines.iter().all(|machine| machine.pid("home").is_some())
    });
    let pids = || machines.each_ref().map(|machine| machine.pid("home"));
    let before = pids();

    let list = |pin: Pin, next: Option<Pin>| {
        let server = ListedServer { url: plane.tls_url(), pin: Some(pin), next_pin: next };
        json!({"servers": [server]})
    };
    let (both, later) = (list(old.pin, Some(new.pin)), list(new.pin, None));
    let told = plane.set_servers(&both).await;
    let serial = |machine: &Machine| membership(machine)["serial"].as_i64();
    let patience = Duration::from_secs(60);
    until("all know the next key", patience, || machines.iter().all(|it| serial(it) == Some(told)));
    plane.serve_tls(8443, new.files.clone());
    let told = plane.set_servers(&later).await;
    until("all ask under the new key", patience, || {
        machines.iter().all(|it| serial(it) == Some(told))
    });
    all_reach_each_other(&machines, "home");
    assert_eq!(pids(), before, "a nebula was started again");
    let pins = |machine: &Machine| membership(machine)["servers"][0]["pins"].clone();
    assert!(machines.iter().all(|machine| pins(machine) == json!([new.pin])));

    // Who comes with an old link is told what to do.
    let late = Machine::new("late", underlay.host("late"), &peer);
    let mut join = late.command(&["join", &devices, "--name", "late", "--dir"]);
    let refused = join.arg(late.nodes()).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("the server has another key; ask for a new link"), "{said}");
    assert!(!late.node("home").exists());
}

/// A TLS key with its certificate.
struct Pair {
    files: [PathBuf; 2],
    pin: Pin,
}

/// Made by openssl, where that is installed.
fn made(directory: &Path, name: &str) -> Option<Pair> {
    let files = ["crt", "key"].map(|ending| directory.join(format!("{name}.{ending}")));
    let request = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 \
        -subj /CN=localhost";
    let mut openssl = Command::new("openssl");
    openssl.args(request.split_whitespace()).arg("-out").arg(&files[0]).arg("-keyout");
    let made = openssl.arg(&files[1]).output().ok().filter(|made| made.status.success());
    if made.is_none() {
        skip("openssl");
        return None;
    }
    let [certificate, key] = &files;
    let pin = Pin(Tls::load(certificate, key).expect("its files").pin());
    Some(Pair { files, pin })
}

fn token(name: &str) -> NewJoinTokenBody {
    NewJoinTokenBody { name: name.to_owned(), uses: Some(3), ..NewJoinTokenBody::default() }
}

/// What a machine knows of its network.
fn membership(machine: &Machine) -> Value {
    let text = std::fs::read(machine.node("home").join("node.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[tokio::test]
async fn a_token_is_replaced_by_its_node_and_by_an_operator() {
    let Some((mut underlay, peer)) = version_2("agent-token") else { return };
    let mut plane = Plane::start(underlay.host("plane"), Pace::default());
    plane.network("home", "10.67.0.0/24", json!({})).await;
    let link = plane.link("home", json!({"name": "devices"})).await;
    let laptop = Machine::new("laptop", underlay.host("laptop"), &peer);
    let mut laptop = laptop.with_flags(&["--token-age", "2", "--poll", "2"]);
    laptop.join(&link, &[]);
    let file = laptop.node("home").join("node.token");
    let token = || std::fs::read_to_string(&file).expect("it is there");
    let first = token();
    laptop.start();
    until("the node has replaced it", SOON * 3, || token() != first);
    laptop.stop();
    assert!(!laptop.node("home").join("node.token.next").exists());

    // With the servers away, it goes on with what it has.
    let mut laptop = laptop.with_flags(&SHORT_POLLS);
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
        laptop.status_of("home")["findings"][0]["code"] == "unknown_token"
    });
    std::fs::write(&file, made["nodeToken"].as_str().expect("text")).expect("it can be written");
    until("the operator's is taken", SOON * 6, || laptop.status_of("home")["health"] == "healthy");
}
