//! Reads and writes of all kinds at once, from many connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;

use crate::Outcome;
use crate::client::{Answer, Client};
use crate::nodes::{Size, key, network_name, node_name, token};
use crate::report::{Bar, Bars, percentile, quartiles, ratios, time};
use crate::server::ServerProcess;

/// 2⁶⁴ over the golden ratio, which is odd.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is asked, with how often of 100 requests.
const OPERATIONS: [(Operation, usize); 9] = [
    (Operation::ReadNode, 20),
    (Operation::FetchBundle, 20),
    (Operation::WatchOnce, 12),
    (Operation::ReadStatus, 10),
    (Operation::ReadNetwork, 8),
    (Operation::Report, 15),
    (Operation::RenewEarly, 5),
    (Operation::Enroll, 6),
    (Operation::Release, 4),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    ReadNode,
    FetchBundle,
    WatchOnce,
    ReadStatus,
    ReadNetwork,
    Report,
    RenewEarly,
    Enroll,
    Release,
}

/// The 95th percentiles of each operation, round by round: of the large server and the small one.
#[derive(Default)]
pub(crate) struct Mixed {
    p95: BTreeMap<Operation, [Vec<f64>; 2]>,
    runs: usize,
    serial: Arc<AtomicUsize>,
}

impl Mixed {
    /// Asks a server for so long; the large and the small one in turns.
    pub(crate) async fn run(
        &mut self,
        server: &ServerProcess,
        size: Size,
        connections: usize,
        length: Duration,
    ) -> Outcome<()> {
        let which = self.runs % 2;
        self.runs += 1;
        let end = Instant::now() + length;
        let mut tasks = vec![];
        for number in 0..connections {
            let worker = Worker {
                operator: Client::connect(server.address, &server.operator_key).await?,
                server: server.address,
                size,
                state: SEED.wrapping_mul((self.runs * connections + number) as u64),
                serial: Arc::clone(&self.serial),
                enrolled: vec![],
            };
            tasks.push(tokio::spawn(worker.work(end)));
        }
        let mut latencies: BTreeMap<Operation, Vec<Duration>> = BTreeMap::new();
        for task in tasks {
            for (operation, latency) in task.await?? {
                latencies.entry(operation).or_default().push(latency);
            }
        }
        let name = if which == 0 { "large" } else { "small" };
        let total: usize = latencies.values().map(Vec::len).sum();
        println!("  {name}: {:.0} requests per second", total as f64 / length.as_secs_f64());
        for (operation, latencies) in &mut latencies {
            latencies.sort();
            let index = latencies.len().saturating_sub(1) * 95 / 100;
            let p95 = latencies.get(index).copied().unwrap_or_default().as_secs_f64();
            if let Some(series) = self.p95.entry(*operation).or_default().get_mut(which) {
                series.push(p95);
            }
            let (p50, p95) = (percentile(latencies, 500), percentile(latencies, 950));
            println!(
                "    {:<12} {:>7} p50 {p50:>9} p95 {p95:>9}",
                format!("{operation:?}"),
                latencies.len()
            );
        }
        Ok(())
    }

    pub(crate) fn hold(&self, bars: &mut Bars) {
        for (operation, [large, small]) in &self.p95 {
            let [_, of_large, _] = quartiles(large);
            let name = format!("p95 of {operation:?} ({}) against the small one", time(of_large));
            bars.hold(&name, &ratios(large, small), Bar::AtMost(3.0));
        }
    }
}

struct Worker {
    operator: Client,
    server: std::net::SocketAddr,
    size: Size,
    state: u64,
    serial: Arc<AtomicUsize>,
    /// What this one enrolled and may release.
    enrolled: Vec<(usize, usize)>,
}

impl Worker {
    async fn work(mut self, end: Instant) -> Outcome<Vec<(Operation, Duration)>> {
        let mut latencies = vec![];
        while Instant::now() < end {
            let operation = self.draw_operation();
            let start = Instant::now();
            if self.ask(operation).await? {
                latencies.push((operation, start.elapsed()));
            }
        }
        Ok(latencies)
    }

    fn draw(&mut self, below: usize) -> usize {
        // xorshift64 (Marsaglia).
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap_or_default() % below.max(1)
    }

    fn draw_operation(&mut self) -> Operation {
        let mut drawn = self.draw(100);
        for (operation, share) in OPERATIONS {
            if drawn < share {
                return operation;
            }
            drawn -= share;
        }
        Operation::ReadNode
    }

    /// Whether there was something to ask.
    async fn ask(&mut self, operation: Operation) -> Outcome<bool> {
        let (network, node) = (self.draw(self.size.networks), self.draw(self.size.nodes));
        let as_node = token(network, node);
        let (name, device) = (network_name(network), node_name(node));
        let client = &mut self.operator;
        let answer = match operation {
            Operation::ReadNode => client.get_as(&as_node, "/api/v1/node").await?,
            Operation::FetchBundle => client.get_as(&as_node, "/api/v1/node/bundle").await?,
            // It has nothing yet, so that it is answered at once.
            Operation::WatchOnce => client.get_as(&as_node, "/api/v1/node/watch").await?,
            Operation::ReadStatus => {
                client.get(&format!("/api/nebula/status/{device}?projectId={name}")).await?
            }
            Operation::ReadNetwork => client.get(&format!("/api/v1/networks/{name}")).await?,
            Operation::Report => {
                let body = r#"{"revision":1,"generation":1}"#;
                client.post_as(&as_node, "/api/v1/node/report", body).await?
            }
            Operation::RenewEarly => client.post_as(&as_node, "/api/v1/node/renew", "{}").await?,
            Operation::Enroll => {
                let node = self.size.nodes + self.serial.fetch_add(1, Ordering::Relaxed);
                let key = base64::engine::general_purpose::STANDARD.encode(key(network, node));
                let (device, token) = (node_name(node), token(network, node));
                let body = format!(
                    r#"{{"network":"{name}","name":"{device}","device":"{device}","publicKey":"{key}","nodeToken":"{token}"}}"#
                );
                self.enrolled.push((network, node));
                client.post("/api/v1/enroll", body).await?
            }
            Operation::Release => {
                let Some((network, node)) = self.enrolled.pop() else { return Ok(false) };
                let (name, device) = (network_name(network), node_name(node));
                let path = format!("/api/nebula/release/{device}?projectId={name}");
                client.post(&path, "").await?
            }
        };
        let Answer { status, body, .. } = answer;
        if (200..300).contains(&status) {
            return Ok(true);
        }
        let text = String::from_utf8_lossy(&body);
        Err(format!("{operation:?} at {}: {status} {text}", self.server).into())
    }
}
