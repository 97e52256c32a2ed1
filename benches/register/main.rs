//! Registrations per second over HTTP, against the core of the older flow: spawning
//! `nebula-cert sign -in-pub` for each device.
//!
//! The server is a process of its own over a database on a disk file system, in which there are many
//! devices already; each registration is of a device not seen before, is durable when it is answered,
//! and has the ZIP in its answer. All kinds of measurement take turns within each round, so that a
//! machine that is slow for a while is slow for all of them. The median of the rounds' ratios counts.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod load;
mod peer;
mod server;

#[path = "../place.rs"]
mod place;
#[allow(dead_code, reason = "shared with other measurements")]
#[path = "../report.rs"]
mod report;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

use load::Load;
use peer::{SigningPeer, find_nebula_cert};
use report::{Bar, Bars, median, percentile, ratios};
use server::{ServerProcess, Used, serve_until_closed};

#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc); // the server's

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Registrations at 64 connections against two nebula-cert at once, with 130,000 devices.
const TIMES: f64 = 28.0;

/// Measure registrations per second against spawning nebula-cert
///
/// Without options that is with 130,000 devices in the database before the first round, in about two
/// minutes; a short form is `--stock 4000 --rounds 1 --devices 4000 --signatures 100`.
///
/// The exit code is 1 when the bar is missed by more than the tolerance.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Devices that are registered before anything is measured
    #[arg(long, default_value_t = 130_000)]
    stock: usize,
    /// How often everything is measured; the median counts
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Devices registered at 64 connections in each round; fewer at 8 and at 1
    #[arg(long, default_value_t = 8_000)]
    devices: usize,
    /// Certificates that nebula-cert signs in each round, for one and for two at once
    #[arg(long, default_value_t = 400)]
    signatures: usize,
    /// The peer: else NEBULA_BIN_DIR (its newest release) or PATH
    #[arg(long, value_name = "FILE")]
    nebula_cert: Option<PathBuf>,
    /// Where the database goes; not a tmpfs
    #[arg(long, value_name = "DIR", default_value = "target")]
    directory: PathBuf,
    /// How far below the bar the ratio may be, in per cent, on a machine that is not quiet
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    tolerance: u32,
}

#[derive(Subcommand)]
enum Part {
    /// The server's process
    #[command(hide = true)]
    Serve { data: PathBuf },
}

/// What one kind of measurement gave in each round.
struct Series {
    name: &'static str,
    per_second: Vec<f64>,
    latencies: Vec<Duration>,
}

fn main() -> Outcome<ExitCode> {
    let arguments = Arguments::parse();
    match &arguments.part {
        Some(Part::Serve { data }) => serve_until_closed(data).map(|()| ExitCode::SUCCESS),
        None => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> Outcome<ExitCode> {
    place::refuse_tmpfs(&arguments.directory)?;
    let nebula_cert = find_nebula_cert(arguments.nebula_cert.as_deref())?;
    let work = tempfile::Builder::new().prefix("register-").tempdir_in(&arguments.directory)?;
    let signing = SigningPeer::prepare(nebula_cert, work.path())?;
    let server = ServerProcess::start(&work.path().join("data"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let load = Load::new(&server);

    let connections =
        [(1, arguments.devices / 20), (8, arguments.devices / 4), (64, arguments.devices)];
    let mut http = ["1 connection", "8 connections", "64 connections"].map(Series::new);
    let mut spawned =
        ["nebula-cert, one after another", "nebula-cert, two at once"].map(Series::new);
    // At least caches, file sizes and connections.
    runtime.block_on(load.run(64, arguments.stock.max(1_000)))?;
    let mut used = Vec::with_capacity(arguments.rounds);
    for round in 0..arguments.rounds {
        println!("round {} of {}", round + 1, arguments.rounds);
        for (series, at_once) in spawned.iter_mut().zip([1, 2]) {
            series.add(arguments.signatures, || signing.run(at_once, arguments.signatures))?;
        }
        let mut before = server.used()?;
        for (series, (connections, devices)) in http.iter_mut().zip(connections) {
            before = server.used()?;
            series.add(devices, || runtime.block_on(load.run(connections, devices)))?;
        }
        used.push((before, server.used()?));
    }

    println!("\n{:<32} {:>10} {:>10} {:>10}", "", "per second", "p50", "p99");
    for series in spawned.iter_mut().chain(&mut http) {
        println!("{}", series.row());
    }
    print_used(&used, arguments.devices)?;
    let mut bars = Bars::new(arguments.tolerance);
    let times = ratios(&http[2].per_second, &spawned[1].per_second);
    bars.hold("64 connections against two nebula-cert at once", &times, Bar::AtLeast(TIMES));
    Ok(if bars.conclude() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What the server used of the processors at 64 connections: other than the time it took, that hardly
/// depends on what else the machine does.
fn print_used(used: &[(Used, Used)], devices: usize) -> Outcome<()> {
    let devices = f64::from(u32::try_from(devices)?);
    let each = |of: fn(&Used) -> Duration| {
        let each = |(from, to): &(Used, Used)| of(to).saturating_sub(of(from)).as_secs_f64();
        let all: Vec<f64> = used.iter().map(each).collect();
        report::time(median(&all) / devices)
    };
    println!(
        "\nprocessor time of the server for each at 64 connections: {}, of that its writer {}",
        each(|used| used.all),
        each(|used| used.writer)
    );
    Ok(())
}

impl Series {
    fn new(name: &'static str) -> Self {
        Self { name, per_second: vec![], latencies: vec![] }
    }

    fn add(&mut self, count: usize, run: impl FnOnce() -> Outcome<Vec<Duration>>) -> Outcome<()> {
        let start = Instant::now();
        let latencies = run()?;
        let count = u32::try_from(count)?;
        self.per_second.push(f64::from(count) / start.elapsed().as_secs_f64());
        self.latencies.extend(latencies);
        Ok(())
    }

    fn row(&mut self) -> String {
        self.latencies.sort();
        let [p50, p99] = [500, 990].map(|per_mille| percentile(&self.latencies, per_mille));
        let (name, per_second) = (self.name, median(&self.per_second));
        format!("{name:<32} {per_second:>10.0} {p50:>10} {p99:>10}")
    }
}
