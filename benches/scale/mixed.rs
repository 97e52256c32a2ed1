//! Reads and writes of all kinds at once, from many connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::Client;
use crate::nodes::Size;
use crate::operations::{Operation, Worker};
use crate::report::{Bar, Bars, percentile, time};
use crate::server::ServerProcess;

/// How many measurements a 95th percentile needs to be held against anything.
const WORTH_A_BAR: usize = 20;

/// What each operation took in all rounds, of the large server and the small one.
#[derive(Default)]
pub(crate) struct Mixed {
    latencies: BTreeMap<Operation, [Vec<Duration>; 2]>,
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
            let client = Client::connect(server.address, &server.operator_key).await?;
            let turn = self.runs * connections + number;
            let worker = Worker::new(client, size, turn, Arc::clone(&self.serial));
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
        for (operation, latencies) in latencies {
            if let Some(all) = self.latencies.entry(operation).or_default().get_mut(which) {
                all.extend(latencies);
            }
        }
        Ok(())
    }

    /// Says what was asked, and holds the large one's 95th percentiles against the small one's:
    /// of all rounds together, since some operations are rare.
    pub(crate) fn hold(mut self, bars: &mut Bars) {
        println!("\n{:<18}{:>38}{:>38}", "", "large", "small");
        for (operation, of_both) in &mut self.latencies {
            print!("{:<18}", format!("{operation:?}"));
            for latencies in of_both.iter_mut() {
                latencies.sort();
                let (p50, p95) = (percentile(latencies, 500), percentile(latencies, 950));
                print!("{:>10}  p50 {p50:>9}  p95 {p95:>9}", latencies.len());
            }
            println!();
            let [large, small] = of_both.each_ref().map(|latencies| {
                let index = latencies.len().saturating_sub(1) * 95 / 100;
                latencies.get(index).copied().unwrap_or_default().as_secs_f64()
            });
            if of_both.iter().any(|latencies| latencies.len() < WORTH_A_BAR) {
                continue;
            }
            let name = format!("p95 of {operation:?} ({}) against the small one", time(large));
            bars.hold(&name, &[large / small], Bar::AtMost(3.0));
        }
    }
}
