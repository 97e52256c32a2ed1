//! Pings without a pause, of which none is to be lost.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::node::Node;

/// How often one is sent, in seconds.
const INTERVAL: &str = "0.05";
/// How many are sent in a second, after which one that was not answered is lost.
const SECOND: u64 = 20;
/// How long to wait for an answer while none comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `ping`; dropping it ends it.
pub struct Stream {
    what: String,
    process: Child,
    answers: Receiver<Reply>,
    answered: BTreeSet<u64>,
    slowest: f64,
}

/// Which ping was answered, and after how many milliseconds.
struct Reply {
    number: u64,
    milliseconds: f64,
}

impl Stream {
    /// Begins to ping the first address of a node.
    pub fn new(from: &Node, to: &Node) -> Self {
        let address = to.addresses.first().expect("it has one");
        let mut process = from
            .host
            .command(Path::new("ping"))
            .args(["-n", "-i", INTERVAL, address])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ping is there");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let (send, answers) = channel();
        std::thread::spawn(move || {
            for reply in lines.map_while(Result::ok).filter_map(|line| Reply::of(&line)) {
                if send.send(reply).is_err() {
                    return;
                }
            }
        });
        let what = format!("{} → {} {address}", from.name, to.name);
        Self { what, process, answers, answered: BTreeSet::new(), slowest: 0.0 }
    }

    /// How far it is to come so that what was lost until now shows in [`lost`](Self::lost), and so
    /// many more pings are answered.
    pub fn goal(&mut self, more: u64) -> u64 {
        while let Ok(reply) = self.answers.try_recv() {
            self.note(&reply);
        }
        self.last() + SECOND + more
    }

    /// Waits until it has come so far.
    #[track_caller]
    pub fn reach(&mut self, goal: u64) {
        while self.last() < goal {
            match self.answers.recv_timeout(PATIENCE) {
                Ok(reply) => self.note(&reply),
                Err(end) => panic!("{}: {end} after {} pings", self.what, self.last()),
            }
        }
    }

    /// Those that were not answered, though pings sent a second later were.
    pub fn lost(&self) -> Vec<u64> {
        let until = self.last().saturating_sub(SECOND);
        (1..=until).filter(|number| !self.answered.contains(number)).collect()
    }

    fn last(&self) -> u64 {
        self.answered.last().copied().unwrap_or_default()
    }

    fn note(&mut self, reply: &Reply) {
        self.answered.insert(reply.number);
        self.slowest = self.slowest.max(reply.milliseconds);
    }
}

impl Reply {
    /// `64 bytes from 10.1.0.1: icmp_seq=5 ttl=64 time=0.4 ms`; nothing of other lines.
    fn of(line: &str) -> Option<Self> {
        let value = |name: &str| line.split_once(name)?.1.split(' ').next();
        Some(Self {
            number: value("icmp_seq=")?.parse().ok()?,
            milliseconds: value("time=")?.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, answered, slowest, .. } = self;
        let (answered, lost) = (answered.len(), self.lost());
        write!(f, "{what}: {answered} answered within {slowest:.0} ms, not answered {lost:?}")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
