//! Reads and writes of all kinds at once, from many connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::Client;
use crate::nodes::Size;
use crate::operations::{Operation, Worker};
use crate::report::{Bar, Bars, percentile, quartiles, ratios, time};
use crate::server::ServerProcess;

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
        for (operation, latencies) in &mut latencies {
            latencies.sort();
            let index = latencies.len().saturating_sub(1) * 95 / 100;
            let p95 = latencies.get(index).copied().unwrap_or_default().as_secs_f64();
            if let Some(series) = self.p95.entry(*operation).or_default().get_mut(which) {
                series.push(p95);
            }
            let (p50, p95) = (percentile(latencies, 500), percentile(latencies, 950));
            println!(
                "    {:<16} {:>7} p50 {p50:>9} p95 {p95:>9}",
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
