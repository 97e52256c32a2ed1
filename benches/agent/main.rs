//! What nodes that wait for changes cost: one server, with a thousand clients that wait; and one
//! machine, with an agent that keeps a few networks and has nothing to do.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod idle;
mod process;
mod waiting;

#[allow(dead_code, reason = "shared with another program")]
#[path = "../scale/nodes.rs"]
mod nodes;
#[allow(dead_code, reason = "shared with other programs")]
#[path = "../report.rs"]
mod report;
#[allow(dead_code, reason = "shared with another program")]
#[path = "../scale/server.rs"]
mod server;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use nebula_gc_http::server::raise_file_limit;

use report::Bars;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measure what waiting costs a server and an agent
///
/// Needs `nebula`, in NEBULA_BIN_DIR or the search path, and the program `nebula-gc-agent` beside this one.
/// The exit code is 1 when a bar is missed by more than the tolerance.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// How many clients wait at one server
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// How long each of both is watched
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the databases go
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
    let work = tempfile::Builder::new().prefix("agent-").tempdir_in(&arguments.directory)?;
    let mut bars = Bars::new(arguments.tolerance);
    let length = Duration::from_secs(arguments.seconds);
    let programs = idle::Programs::find()?;
    idle::measure(&work.path().join("agent"), &programs, length, &mut bars).await?;
    waiting::measure(&work.path().join("server"), arguments.clients, length, &mut bars).await?;
    let failed = bars.conclude() && !arguments.no_bars;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
