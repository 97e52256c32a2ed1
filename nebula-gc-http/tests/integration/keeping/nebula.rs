//! A Nebula that is missing, too old, dies at once or never starts; and a second agent.

use std::fs;
use std::time::{Duration, Instant};

use super::device::{Device, GOOD, place, until};

#[test]
fn a_nebula_that_cannot_run_is_told_and_started_again_ever_later() {
    let place = place();
    let mut device = Device::join(place.path(), str::to_owned);
    fs::remove_file(device.nebula()).unwrap();
    device.start();
    until("it is missing", || device.findings() == (Some(2), vec!["nebula_missing".to_owned()]));
    device.program_is("#!/bin/sh\necho Version: 1.0.0\n");
    until("it is too old", || device.logged(0).contains("1.0.0"));
    assert!(device.has("nebula_missing"));

    // It dies at once.
    device.nebula_is("say 'dead'; exit 1\n");
    until("it fails", || device.findings() == (Some(2), vec!["nebula_fails".to_owned()]));
    let (begun, starts) = (Instant::now(), device.starts());
    until("it is started again", || device.starts() >= starts + 2);
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    let kept = device.kept();
    device.nebula_is(GOOD);
    device.is_healthy_soon();
    assert_eq!(device.kept()["node.token"], kept["node.token"]);
}

/// A start waits long for Nebula to say that it is active.
#[test]
fn an_agent_stops_while_nebula_starts() {
    let place = place();
    let mut device = Device::join(place.path(), str::to_owned);
    device.nebula_is("trap 'kill $!; exit 0' TERM\nforever\n");
    device.start();
    until("nebula starts", || device.starts() == 1);
    let took = device.stop();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_second_agent_leaves_the_network_to_the_first_and_takes_it_when_that_ends() {
    let place = place();
    let mut device = Device::join(place.path(), str::to_owned);
    device.start();
    device.is_healthy_soon();
    let starts = device.starts();
    device.start();
    until("the second says so", || device.logged(1).contains("another process"));
    device.change("sales");
    device.applies_soon("sales");
    assert_eq!(device.findings(), (Some(0), vec![]));
    assert_eq!((device.starts(), device.logged(1).matches("another process").count()), (starts, 1));
    device.stop();
    until("the second keeps it", || device.starts() == starts + 1);
    device.is_healthy_soon();
    device.change("office");
    device.applies_soon("office");
}
