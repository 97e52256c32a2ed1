//! What allocating costs: how it grows with the leases that are there, and how many durable
//! allocations a second there are, each against its named peer in the same run.
//!
//! What is compared takes turns within each round, so that a machine that is slow for a while is
//! slow for all of it. The median of the rounds' ratios counts.
#![allow(clippy::print_stdout, reason = "a program for people")]

mod cost;
mod counted;
mod crowds;
mod database;
mod durable;
mod load;
mod older;
mod opening;
mod pools;
mod postgres;

#[path = "../../nebula-alloc/tests/shared/postgres.rs"]
mod cluster;
#[path = "../place.rs"]
mod place;
#[allow(clippy::unwrap_used, reason = "shared with tests")]
#[path = "../../nebula-alloc/tests/shared/random.rs"]
mod random;
#[path = "../report.rs"]
mod report;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use database::Databases;
use report::Bars;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measure nebula-alloc: cost by size, durable allocations per second, several processes
///
/// Without options everything is measured, with up to a million addresses given out, in about five
/// minutes. The long form is `--largest 10000000` (6 GB in DIR, half an hour); a short one is
/// `--largest 100000 --rounds 3 --seconds 0.5`.
///
/// The exit code is 1 when a bar is missed by more than the tolerance.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    process: Option<Process>,
    /// Only this part; may be given several times
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// How often everything is measured; the median counts
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How many addresses are given out in the largest database; the others have a tenth, a
    /// hundredth and so on, down to 1,000
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    largest: u64,
    /// How long clients allocate in each round, for each number of them
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Where the databases go, PostgreSQL's too: not a tmpfs, and open to the user postgres
    /// [default: the system's directory for temporary files]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// How far beyond its bar a figure may be, in per cent, on a machine that is not quiet
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    tolerance: u32,
    /// Succeed whatever the figures
    #[arg(long)]
    no_bars: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Time, VM steps and changed rows of an allocation, by the addresses given out (SQLite)
    Cost,
    /// The same beside 8,000 pools, blocks, full pools and networks of the owner, against 8 of them;
    /// and time of verifying 8,000 blocks with 104,000 leases (SQLite)
    Crowds,
    /// Time and changed rows of making a pool, by its size (SQLite)
    Pools,
    /// Time of opening a database, by the addresses given out (SQLite)
    Opening,
    /// Durable allocations per second, by clients, against a commit for each (SQLite)
    Durable,
    /// Durable allocations per second of one process and of three, against a row per address
    Postgres,
}

#[derive(Subcommand)]
enum Process {
    /// One of several processes that allocate from one PostgreSQL
    #[command(hide = true)]
    Process { url: String },
}

fn main() -> Outcome<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Process::Process { url }) = &arguments.process {
        postgres::serve(url)?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = arguments.directory.clone().unwrap_or_else(std::env::temp_dir);
    place::refuse_tmpfs(&place)?;
    let work = tempfile::Builder::new().prefix("alloc-").tempdir_in(&place)?;
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let rounds = arguments.rounds.max(1);
    let length = Duration::try_from_secs_f64(arguments.seconds)?;
    let mut bars = Bars::new(arguments.tolerance);

    if wants(Part::Cost) || wants(Part::Opening) {
        let databases = Databases::new(work.path(), arguments.largest);
        if wants(Part::Cost) {
            cost::measure(&databases, rounds, &mut bars)?;
        }
        if wants(Part::Opening) {
            opening::measure(&databases, rounds, &mut bars)?;
        }
    }
    if wants(Part::Crowds) {
        crowds::measure(work.path(), rounds, &mut bars)?;
    }
    if wants(Part::Pools) {
        pools::measure(work.path(), rounds, &mut bars)?;
    }
    if wants(Part::Durable) {
        durable::measure(work.path(), rounds, length, &mut bars)?;
    }
    if wants(Part::Postgres) {
        postgres::measure(&place, rounds, length, &mut bars)?;
    }
    let failed = bars.conclude() && !arguments.no_bars;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
