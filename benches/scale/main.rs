//! How the control plane carries 100 networks of 1,000 nodes each, against one network of 100; how
//! much memory a long poll holds; and how long a revocation takes until every waiting node of a
//! network holds its new bundle.
//!
//! Each server is a process of its own over a database on a disk. What is compared takes turns
//! within each round, so that a machine that is slow for a while is slow for both.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod mixed;
mod nodes;
mod operations;
mod polls;
mod server;
mod upkeep;

#[allow(dead_code, unreachable_pub, clippy::expect_used, reason = "shared with tests")]
#[path = "../../examples/tests/support/client.rs"]
mod client;
#[path = "../place.rs"]
mod place;
#[allow(dead_code, reason = "shared with another program")]
#[path = "../report.rs"]
mod report;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use nebula_gc_http::server::raise_file_limit;

use nodes::Size;
use report::{Bar, Bars};
use server::ServerProcess;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measure the control plane with many networks and nodes
///
/// A short form is `--networks 10 --nodes 200 --polls 1000 --rounds 3 --seconds 1`.
///
/// The exit code is 1 when a bar is missed by more than the tolerance.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// How many networks the large server has
    #[arg(long, default_value_t = 100)]
    networks: usize,
    /// How many nodes each of them has
    #[arg(long, default_value_t = 1_000)]
    nodes: usize,
    /// How many nodes of the large server wait for a change at once
    #[arg(long, default_value_t = 10_000)]
    polls: usize,
    /// How often the mixed load is measured on both, in turns
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How long it lasts each time
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many connections it has
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Where the databases go; not a tmpfs
    #[arg(long, value_name = "DIR", default_value = "target")]
    directory: PathBuf,
    /// How far beyond its bar a figure may be, in per cent, on a machine that is not quiet
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    tolerance: u32,
    /// Succeed whatever the figures
    #[arg(long)]
    no_bars: bool,
}

#[derive(Subcommand)]
enum Part {
    /// The server's process
    #[command(hide = true)]
    Serve { data: PathBuf },
}

fn main() -> Outcome<ExitCode> {
    let arguments = Arguments::parse();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match &arguments.part {
        Some(Part::Serve { data }) => {
            runtime.block_on(server::serve_until_closed(data))?;
            Ok(ExitCode::SUCCESS)
        }
        None => runtime.block_on(measure(&arguments)),
    }
}

async fn measure(arguments: &Arguments) -> Outcome<ExitCode> {
    place::refuse_tmpfs(&arguments.directory)?;
    let work = tempfile::Builder::new().prefix("scale-").tempdir_in(&arguments.directory)?;
    let mut bars = Bars::new(arguments.tolerance);
    let large = Size { networks: arguments.networks, nodes: arguments.nodes };
    let small = Size { networks: 1, nodes: 100 };
    let (of_large, of_small) = (work.path().join("large"), work.path().join("small"));
    println!("making {} networks of {} nodes", large.networks, large.nodes);
    let store = nodes::enroll_all(&of_large, large).await?;
    nodes::enroll_all(&of_small, small).await?;
    let megabytes = f64::from(u32::try_from(store >> 10)?) / 1024.0;
    bars.hold("store of the large one, MiB", &[megabytes], Bar::AtMost(200.0 / 1.048_576));

    upkeep::measure(&of_large, large).await?;

    let large = (ServerProcess::start(&of_large)?, large);
    let length = Duration::try_from_secs_f64(arguments.seconds)?;
    let mut mixed = mixed::Mixed::default();
    for round in 0..arguments.rounds.max(1) {
        println!("round {} of {}", round + 1, arguments.rounds);
        // Anew, since it grows with the nodes that enrol.
        let fresh = work.path().join(format!("small-{round}"));
        nodes::copy(&of_small, &fresh)?;
        let small = (ServerProcess::start(&fresh)?, small);
        for (server, size) in [&large, &small] {
            mixed.run(server, *size, arguments.connections, length).await?;
        }
    }
    mixed.hold(&mut bars);

    polls::measure(&large.0, large.1, arguments.polls, &mut bars).await?;
    let failed = bars.conclude() && !arguments.no_bars;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
