//! A clock that jumps.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use nebula_gc_http::agent::status::of_all;
use nebula_gc_http::agent::{KeepOptions, run};
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::device::{Device, place, until};
use super::proxy::Proxy;

const DAY: i64 = 86_400;

/// How far the machine's clock is ahead.
static AHEAD: AtomicI64 = AtomicI64::new(0);

fn clock() -> i64 {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    i64::try_from(now).unwrap() + AHEAD.load(SeqCst)
}

/// The agent runs in this process, with another clock.
#[test]
fn a_clock_that_jumps_is_told_and_loses_nothing() {
    let proxy = Proxy::default();
    let place = place();
    let device = Device::join(place.path(), |server| proxy.start(server));
    let (stop, stopped) = watch::channel(false);
    let options = KeepOptions { poll: Duration::from_secs(1), clock, ..KeepOptions::default() };
    let nodes = device.nodes.clone();
    let agent = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&nodes, options, stopped)).unwrap();
    });
    let found = || {
        let all = of_all(&device.nodes, clock()).unwrap();
        all[0].findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    until("it is healthy", || device.has_settled() && found().is_empty());
    let (before, starts) = (device.kept(), device.starts());
    for (ahead, code) in [(20 * DAY, "expired"), (-400 * DAY, "clock_skew")] {
        AHEAD.store(ahead, SeqCst);
        proxy.becomes(None);
        // A change, which is checked by this clock.
        device.change(&format!("g{}", ahead.abs()));
        until("it is told", || found().contains(&code) && found().contains(&"refused"));
        until("it is tried again", || proxy.asked() >= 3);
        assert!(proxy.asked() < 40, "{} requests", proxy.asked());
        assert_eq!(device.kept(), before);
    }
    AHEAD.store(0, SeqCst);
    device.applies_soon(&format!("g{}", 400 * DAY));
    until("it is healthy", || found().is_empty());
    assert_eq!(device.starts(), starts, "nebula was started again");
    assert_eq!(device.kept()["node.token"], before["node.token"]);
    stop.send(true).unwrap();
    agent.join().unwrap();
}
