//! Who answers whom on an overlay.

use std::process::Child;
use std::time::{Duration, Instant};

use super::node::Node;

/// For tunnels to come up: Nebula repeats its handshakes at growing intervals.
pub const MEET: Duration = Duration::from_secs(10);
/// For tunnels to a blocked node to end: Nebula looks at its tunnels every few seconds.
pub const PART: Duration = Duration::from_secs(15);

/// Who asks whom, at which of its addresses.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    pub from: &'a Node,
    pub to: &'a Node,
    pub address: &'a str,
}

impl Pair<'_> {
    pub fn concerns(&self, node: &Node) -> bool {
        std::ptr::eq(self.from, node) || std::ptr::eq(self.to, node)
    }
}

impl std::fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {} {}", self.from.name, self.to.name, self.address)
    }
}

/// Each of these with each other, in both directions, at every address.
pub fn pairs<'a>(nodes: &[&'a Node]) -> Vec<Pair<'a>> {
    let mut pairs = vec![];
    for &from in nodes {
        for &to in nodes.iter().filter(|to| !std::ptr::eq(**to, from)) {
            pairs.extend(to.addresses.iter().map(|address| Pair { from, to, address }));
        }
    }
    pairs
}

/// Sends one ping from each to each, all at once, and returns those that were not answered.
pub fn unanswered(pairs: &[Pair<'_>]) -> Vec<String> {
    let sent: Vec<Child> = pairs.iter().map(|pair| pair.from.host.ping(pair.address)).collect();
    let answered = sent.into_iter().map(|mut ping| ping.wait().expect("our own child").success());
    let each = pairs.iter().zip(answered.collect::<Vec<_>>());
    each.filter(|(_, answered)| !answered).map(|(pair, _)| pair.to_string()).collect()
}

#[track_caller]
pub fn until(what: &str, budget: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < budget, "not within {budget:?}: {what}");
    }
    eprintln!("{what}: after {:.1?}", start.elapsed());
}
