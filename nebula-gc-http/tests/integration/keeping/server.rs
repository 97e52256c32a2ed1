//! A server, or who sits on the way to it, that never ends an answer or answers without end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::device::{Device, place, until};
use super::proxy::{Evil, Proxy};

fn by(proxy: &Proxy) -> (tempfile::TempDir, Device) {
    let place = place();
    let mut device = Device::join(place.path(), |server| proxy.start(server));
    device.start();
    device.is_healthy_soon();
    (place, device)
}

#[test]
fn an_answer_of_gigabytes_is_cut_and_changes_nothing() {
    let proxy = Proxy::default();
    let (_place, device) = by(&proxy);
    let before = device.kept();
    proxy.becomes(Some(Evil::Flood("/node/bundle")));
    device.change("sales");
    until("it is tried more than once", || proxy.met() >= 3);
    until("it is told", || device.findings().0 == Some(1));
    let each = proxy.taken() / u64::try_from(proxy.met()).unwrap();
    assert!(each < 24 << 20, "{each} bytes were taken of each answer");
    assert!(peak(device.pid()) < 100 << 10, "{} KiB", peak(device.pid()));
    assert_eq!(device.kept(), before);
    proxy.becomes(None);
    device.applies_soon("sales");
    device.is_healthy_soon();
}

#[test]
fn a_deleted_network_is_told_with_what_to_do_and_left() {
    let place = place();
    let mut device = Device::join(place.path(), str::to_owned);
    device.start();
    device.is_healthy_soon();
    let before = (device.kept(), device.starts());
    device.shell.json("networks delete home --force --yes", &[]);
    until("it is told", || device.has("network_deleted"));
    let said = device.status();
    assert!(said.contains("the network \"home\" was deleted at "), "{said}");
    assert!(said.contains("leave NETWORK."), "{said}");
    // As after a revocation: what is installed stays until the machine leaves.
    assert_eq!((device.kept(), device.starts()), before);
    device.leave();
    assert!(!device.file("node.json").exists());
}

/// The most memory that it has had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_poll_that_never_ends_is_given_up_and_told() {
    let proxy = Proxy::default();
    let (_place, mut device) = by(&proxy);
    proxy.becomes(Some(Evil::Silence("/node/watch")));
    device.change("sales");
    until("it waits", || proxy.met() >= 1);
    // Meanwhile it does what else there is to do.
    fs::write(device.file("local.d/more.yml"), "logging: {level: debug}\n").unwrap();
    until("the user's own file is taken", || {
        let current = fs::read_to_string(device.file("current/nebula.yml")).unwrap_or_default();
        current.contains("debug") && current.contains("sales")
    });
    until("it is told", || device.findings() == (Some(1), vec!["unreachable".to_owned()]));
    assert!(proxy.asked() < 60, "{} requests", proxy.asked());
    proxy.becomes(None);
    device.is_healthy_soon();
    proxy.becomes(Some(Evil::Silence("/node/watch")));
    until("it waits", || proxy.met() >= 1);
    let took = device.stop();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn polls_that_are_answered_at_once_keep_nobody_busy() {
    let proxy = Proxy::default();
    let (_place, device) = by(&proxy);
    let before = device.kept();
    // There is always something newer, which nobody gets.
    let news = r#"{"revision": 900, "generation": 900}"#.to_owned();
    proxy.becomes(Some(Evil::Answer("/node/watch", news)));
    let begun = Instant::now();
    until("there are many turns", || proxy.met() >= 24);
    // Twenty at once, then one each second.
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(device.kept(), before);
    assert_eq!(device.findings(), (Some(0), vec![]));
}

/// A file that others may write to, and one that is no YAML.
#[test]
fn a_broken_file_of_the_users_own_keeps_no_revocation_away() {
    let proxy = Proxy::default();
    let (place, device) = by(&proxy);
    let own = device.file("local.d/mine.yml");
    for (number, mode, text) in [(1, 0o622, "logging: {}"), (2, 0o600, "tun: [")] {
        let name = format!("stolen-{number}");
        let token = device.shell.json(&format!("join-tokens create home --name {name}"), &[]);
        let link = token["link"].as_str().unwrap();
        let out = place.path().join(&name);
        let join = ["join", link, "--name", &name, "--out", out.to_str().unwrap()];
        device.shell.says(&join);
        let issued = device.shell.json(&format!("nodes certificates home {name}"), &[]);
        let fingerprint = issued["items"][0]["fingerprint"].as_str().unwrap();
        fs::write(&own, text).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(mode)).unwrap();
        until("it is told", || device.has("local_files"));
        device.shell.json(&format!("nodes revoke home {name} --reason lost"), &[]);
        until("it is blocked", || {
            fs::read_to_string(device.file("current/nebula.yml")).unwrap().contains(fingerprint)
        });
        fs::remove_file(&own).unwrap();
        device.is_healthy_soon();
    }
    assert_eq!(device.starts(), 2, "one for the file that came after joining");
}
