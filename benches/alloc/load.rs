//! Clients that ask again as soon as they have their answer.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nebula_alloc::OwnerId;
use tokio::runtime::{Builder, Runtime};

use crate::Outcome;
use crate::report::{median, percentile};

/// What clients did in a while.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Vec<Duration>,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        let count = u32::try_from(self.latencies.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.elapsed.as_secs_f64()
    }
}

/// So many of them as threads, for so long.
pub(crate) fn run(
    clients: usize,
    length: Duration,
    ask: impl Fn() -> Outcome<()> + Sync,
) -> Outcome<Load> {
    let start = Instant::now();
    let client = || {
        let mut latencies = Vec::new();
        while start.elapsed() < length {
            let asked = Instant::now();
            ask()?;
            latencies.push(asked.elapsed());
        }
        Outcome::Ok(latencies)
    };
    let latencies = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        let mut latencies = Vec::new();
        for client in clients {
            latencies.extend(client.join().map_err(|_| "a client panicked")??);
        }
        Outcome::Ok(latencies)
    })?;
    Ok(Load { elapsed: start.elapsed(), latencies })
}

/// The same as tasks of a runtime, each of which asks in its own way.
pub(crate) fn run_tasks<A, F>(
    runtime: &Runtime,
    clients: usize,
    length: Duration,
    mut client: impl FnMut() -> A,
) -> Outcome<Load>
where
    A: Fn() -> F + Send + 'static,
    F: Future<Output = Outcome<()>> + Send,
{
    let start = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let ask = client();
            runtime.spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < length {
                    let asked = Instant::now();
                    ask().await?;
                    latencies.push(asked.elapsed());
                }
                Outcome::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(runtime.block_on(client)??);
    }
    Ok(Load { elapsed: start.elapsed(), latencies })
}

/// What all such clients run on, whomever they ask.
pub(crate) fn runtime() -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Owners nobody had before, in any process, ordered by time.
pub(crate) fn new_owner() -> OwnerId {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let (mut id, number) = ([0; 16], NUMBER.fetch_add(1, Ordering::Relaxed));
    let (high, low) = id.split_at_mut(8);
    high.copy_from_slice(&u64::try_from(now.as_micros()).unwrap_or_default().to_be_bytes());
    low.copy_from_slice(&(u64::from(std::process::id()) << 40 | number).to_be_bytes());
    OwnerId(id)
}

/// One way of doing it, in all rounds.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) per_second: Vec<f64>,
    latencies: Vec<Duration>,
}

pub(crate) const HEADER: &str =
    "                                              per second        p50        p99    longest";

impl Series {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), per_second: vec![], latencies: vec![] }
    }

    pub(crate) fn add(&mut self, load: Load) {
        self.per_second.push(load.per_second());
        self.latencies.extend(load.latencies);
    }

    pub(crate) fn row(&mut self) -> String {
        self.latencies.sort();
        let [p50, p99, longest] =
            [500, 990, 1000].map(|per_mille| percentile(&self.latencies, per_mille));
        let (name, per_second) = (&self.name, median(&self.per_second));
        format!("  {name:<42} {per_second:>11.0} {p50:>10} {p99:>10} {longest:>10}")
    }
}
