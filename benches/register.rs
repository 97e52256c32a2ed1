//! Registrations per second over HTTP, against the core of the older flow: spawning
//! `nebula-cert sign -in-pub` for each device.
//!
//! The server is a process of its own over a database on a disk file system; each registration is
//! of a device not seen before, is durable when it is answered, and has the ZIP in its answer. All
//! kinds of measurement take turns within each round, so that a machine that is slow for a while
//! is slow for all of them.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use clap::{Parser, Subcommand};
use nebula_gc_http::server::{DataDirectory, serve};
use nebula_gc_http::{AddPool, Caller, Origin, ProjectId};
use tokio::net::TcpListener;

#[allow(dead_code, unreachable_pub, clippy::expect_used, reason = "shared with tests")]
#[path = "../examples/tests/support/client.rs"]
mod client;
mod place;

use client::Client;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measure registrations per second against spawning nebula-cert
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// How often everything is measured; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Devices registered at 64 connections in each round; fewer at 8 and at 1
    #[arg(long, default_value_t = 20_000)]
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

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Serve { data }) => serve_until_closed(&data),
        None => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> Outcome<()> {
    place::refuse_tmpfs(&arguments.directory)?;
    let nebula_cert = find_nebula_cert(arguments.nebula_cert.as_deref())?;
    let work = tempfile::Builder::new().prefix("register-").tempdir_in(&arguments.directory)?;
    let signing = SigningPeer::prepare(nebula_cert, work.path())?;
    let server = ServerProcess::start(&work.path().join("data"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let load = Load { server: &server, next: AtomicUsize::new(0) };

    let connections =
        [(1, arguments.devices / 20), (8, arguments.devices / 4), (64, arguments.devices)];
    let mut http = ["1 connection", "8 connections", "64 connections"].map(Series::new);
    let mut spawned =
        ["nebula-cert, one after another", "nebula-cert, two at once"].map(Series::new);
    runtime.block_on(load.run(64, 1_000))?; // caches, file sizes, connections
    for round in 0..arguments.rounds {
        println!("round {} of {}", round + 1, arguments.rounds);
        for (series, at_once) in spawned.iter_mut().zip([1, 2]) {
            series.add(arguments.signatures, || signing.run(at_once, arguments.signatures))?;
        }
        for (series, (connections, devices)) in http.iter_mut().zip(connections) {
            series.add(devices, || runtime.block_on(load.run(connections, devices)))?;
        }
    }

    println!("\n{:<32} {:>10} {:>10} {:>10}", "", "per second", "p50", "p99");
    for series in spawned.iter_mut().chain(&mut http) {
        println!("{}", series.row());
    }
    let (of, against) = (http[2].median(), spawned[1].median());
    println!(
        "\n64 connections against two nebula-cert at once: {:.1} times (bar: 20)",
        of / against
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

    fn median(&mut self) -> f64 {
        self.per_second.sort_by(f64::total_cmp);
        self.per_second.get(self.per_second.len() / 2).copied().unwrap_or_default()
    }

    fn row(&mut self) -> String {
        self.latencies.sort();
        let percentile = |percent: usize| {
            let index = self.latencies.len().saturating_sub(1) * percent / 100;
            self.latencies.get(index).copied().unwrap_or_default().as_secs_f64() * 1000.0
        };
        let (p50, p99) = (percentile(50), percentile(99));
        let (name, per_second) = (self.name, self.median());
        format!("{name:<32} {per_second:>10.0} {p50:>7.2} ms {p99:>7.2} ms")
    }
}

/// New devices, registered from several connections.
struct Load<'a> {
    server: &'a ServerProcess,
    next: AtomicUsize,
}

impl Load<'_> {
    async fn run(&self, connections: usize, devices: usize) -> Outcome<Vec<Duration>> {
        let first = self.next.fetch_add(devices, Ordering::Relaxed);
        let next = Arc::new(AtomicUsize::new(first));
        let mut tasks = vec![];
        for _ in 0..connections {
            let mut client =
                Client::connect(self.server.address, &self.server.operator_key).await?;
            let next = Arc::clone(&next);
            tasks.push(tokio::spawn(async move {
                let mut latencies = vec![];
                loop {
                    let device = next.fetch_add(1, Ordering::Relaxed);
                    if device >= first + devices {
                        return Outcome::Ok(latencies);
                    }
                    let body = registration(device);
                    let start = Instant::now();
                    let answer = client.post("/api/nebula/register", body).await?;
                    latencies.push(start.elapsed());
                    if answer.status != 200 || !contains(&answer.body, b"\"zipBundle\":\"UEsDB") {
                        return Err(String::from_utf8_lossy(&answer.body).into());
                    }
                }
            }));
        }
        let mut latencies = vec![];
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok(latencies)
    }
}

/// A device of its own for each number. Almost any 32 bytes are an X25519 public key.
fn registration(device: usize) -> String {
    let mut key = [0x5a; 32];
    key[..8].copy_from_slice(&device.to_be_bytes());
    let key = base64::engine::general_purpose::STANDARD.encode(key);
    format!(
        r#"{{"projectId":"bench","deviceId":"device-{device}","deviceName":"device-{device}","publicKey":"{key}","groups":["servers"]}}"#
    )
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The older flow's core: a process for each certificate, given the device's public key.
struct SigningPeer {
    nebula_cert: PathBuf,
    directory: PathBuf,
}

impl SigningPeer {
    fn prepare(nebula_cert: PathBuf, work: &Path) -> Outcome<Self> {
        let directory = work.join("peer");
        fs::create_dir(&directory)?;
        let nebula_cert = fs::canonicalize(nebula_cert)?;
        let peer = Self { nebula_cert, directory };
        peer.call(&["ca", "-name", "bench", "-duration", "87600h"])?;
        peer.call(&["keygen", "-out-key", "node.key", "-out-pub", "node.pub"])?;
        Ok(peer)
    }

    fn call(&self, arguments: &[&str]) -> Outcome<()> {
        let output = Command::new(&self.nebula_cert)
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into())
        }
    }

    fn run(&self, at_once: usize, signatures: usize) -> Outcome<Vec<Duration>> {
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut latencies = vec![];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= signatures {
                    return Outcome::Ok(latencies);
                }
                let file = format!("{number}.crt");
                let name = format!("device-{number}");
                let start = Instant::now();
                self.call(&[
                    "sign",
                    "-name",
                    &name,
                    "-ip",
                    "10.0.0.1/8",
                    "-groups",
                    "servers",
                    "-in-pub",
                    "node.pub",
                    "-out-crt",
                    &file,
                ])?;
                latencies.push(start.elapsed());
                fs::remove_file(self.directory.join(file))?;
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
            let mut latencies = vec![];
            for worker in workers {
                latencies.extend(worker.join().map_err(|_| "a worker panicked")??);
            }
            Ok(latencies)
        })
    }
}

/// This program once more, as the server.
struct ServerProcess {
    process: Child,
    address: SocketAddr,
    operator_key: String,
}

impl ServerProcess {
    fn start(data: &Path) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("piped")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let operator_key = fs::read_to_string(data.join("operator.key"))?.trim_end().to_owned();
        Ok(Self { process, address: line.trim_end().parse()?, operator_key })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It stops when its standard input is closed; its own end is all there is to wait for.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[tokio::main]
async fn serve_until_closed(data: &Path) -> Outcome<()> {
    let directory = DataDirectory::open(data)?;
    let service = Arc::new(directory.start()?);
    let pool = AddPool {
        project: Some(ProjectId::new("bench")?),
        prefix: "10.0.0.0/8".parse()?,
        version: None,
    };
    service.add_pool(Caller::Local, Origin::local(), pool).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let closed = async {
        let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut vec![]));
        let _ = read.await;
    };
    serve(listener, service, closed).await?;
    Ok(())
}

fn find_nebula_cert(given: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(directory) = std::env::var_os("NEBULA_BIN_DIR") {
        let version = |path: &Path| -> Vec<u32> {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.split('.').filter_map(|part| part.parse().ok()).collect()
        };
        let mut releases: Vec<PathBuf> = fs::read_dir(directory)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        releases.sort_by_key(|path| version(path));
        if let Some(newest) = releases.pop() {
            return Ok(newest.join("nebula-cert"));
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("nebula-cert"))
        .find(|file| file.is_file())
        .ok_or_else(|| "nebula-cert is in neither --nebula-cert, NEBULA_BIN_DIR nor PATH".into())
}
