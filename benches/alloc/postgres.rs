//! Durable allocations per second on PostgreSQL: one process and three on one pool, against the
//! older way on the same server.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nebula_alloc::pool::{self, Pool};
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Postgres, Writer, WriterOptions, usable};

use crate::Outcome;
use crate::cluster::Cluster;
use crate::database::{ACTOR, NETWORK, NOW, POOL};
use crate::durable::request;
use crate::load::{self, HEADER, Load, Series};
use crate::older::Older;
use crate::report::{Bar, Bars, median, ratios};

/// Clients of one process, or of all of them together.
const CLIENTS: usize = 64;

const PROCESSES: usize = 3;

pub(crate) fn measure(
    place: &Path,
    rounds: usize,
    length: Duration,
    bars: &mut Bars,
) -> Outcome<()> {
    println!("\ndurable allocations, PostgreSQL");
    let Some(cluster) = Cluster::own(place) else { return Ok(()) };
    let url = cluster.schema();
    let mut store = Postgres::connect(&url)?;
    let range = usable("10.0.0.0/8".parse()?).ok_or("not a prefix of Nebula's")?;
    let pool = Pool { id: POOL, network: NETWORK, range, position: 0 };
    store.transaction(|tx| pool::create(tx, NOW, &ACTOR, &pool))?;
    let mut processes =
        (0..PROCESSES).map(|_| AllocatingProcess::start(&url)).collect::<Result<Vec<_>, _>>()?;
    let older =
        Older::prepare(&cluster.schema(), PROCESSES, length * u32::try_from(2 * (rounds + 1))?)?;

    let each = format!("{PROCESSES} processes, {CLIENTS} clients each");
    let mut series = [
        Series::new(format!("a row per address, {CLIENTS} clients")),
        Series::new(format!("a row per address, {PROCESSES} pools, {CLIENTS} clients each")),
        Series::new(format!("1 process, {CLIENTS} clients")),
        Series::new(format!("{PROCESSES} processes, {CLIENTS} clients together")),
        Series::new(each.clone()),
    ];
    for round in 0..=rounds {
        if round > 0 {
            println!("  round {round} of {rounds}");
        }
        // The first round is for warming up.
        let length = if round > 0 { length } else { length / 10 };
        let loads = [
            older.run(1, CLIENTS, length)?,
            older.run(PROCESSES, CLIENTS, length)?,
            together(&mut processes, &[CLIENTS], length)?,
            together(&mut processes, &shares(CLIENTS), length)?,
            together(&mut processes, &[CLIENTS; PROCESSES], length)?,
        ];
        if round > 0 {
            series.iter_mut().zip(loads).for_each(|(series, load)| series.add(load));
        }
    }

    println!("{HEADER}");
    series.iter_mut().for_each(|series| println!("{}", series.row()));
    let [one, three, ours @ ..] = &series;
    // Each round's better one.
    let older = one.per_second.iter().zip(&three.per_second).map(|(one, three)| one.max(*three));
    let older: Vec<f64> = older.collect();
    for series in ours {
        let ratios = ratios(&series.per_second, &older);
        println!("  {}: {:.1} times a row per address", series.name, median(&ratios));
    }
    if let Some(three) = ours.last() {
        let ratios = ratios(&three.per_second, &older);
        bars.hold(&format!("{each} against a row per address"), &ratios, Bar::AtLeast(6.0));
    }
    drop(processes);
    match store.transaction(verify)?.first() {
        Some(violation) => Err(violation.to_string().into()),
        None => Ok(()),
    }
}

/// The clients of each process.
fn shares(clients: usize) -> Vec<usize> {
    (0..PROCESSES).map(|process| (clients + process) / PROCESSES).collect()
}

/// Lets the first processes allocate at the same time, each with so many clients.
fn together(
    processes: &mut [AllocatingProcess],
    clients: &[usize],
    length: Duration,
) -> Outcome<Load> {
    for (process, clients) in processes.iter_mut().zip(clients) {
        writeln!(process.input, "{clients} {}", length.as_micros())?;
    }
    let mut sum = Load::default();
    for (process, _) in processes.iter_mut().zip(clients) {
        let load = process.answer()?;
        // They begin within a millisecond of each other, and the longest counts for all.
        sum.elapsed = sum.elapsed.max(load.elapsed);
        sum.latencies.extend(load.latencies);
    }
    Ok(sum)
}

/// This program once more. It ends when its standard input does.
struct AllocatingProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl AllocatingProcess {
    fn start(url: &str) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["process", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("piped")?;
        let output = BufReader::new(child.stdout.take().ok_or("piped")?);
        let mut process = Self { child, input, output };
        // An empty line when it is connected.
        process.line()?;
        Ok(process)
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("an allocating process has ended".into());
        }
        Ok(line)
    }

    fn answer(&mut self) -> Outcome<Load> {
        let line = self.line()?;
        let mut numbers =
            line.split_ascii_whitespace().map(|word| word.parse().map(Duration::from_nanos));
        let elapsed = numbers.next().ok_or("an empty answer")??;
        Ok(Load { elapsed, latencies: numbers.collect::<Result<_, _>>()? })
    }
}

impl Drop for AllocatingProcess {
    fn drop(&mut self) {
        // Nothing is under way between two rounds.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What such a process does: for each line with a number of clients and of microseconds it lets
/// them allocate, and answers with a line of nanoseconds: how long it took, then how long each
/// allocation did.
pub(crate) fn serve(url: &str) -> Outcome<()> {
    let writer = Writer::start(Postgres::connect(url)?, || NOW, WriterOptions::default())?;
    let allocator = Arc::new(Allocator::new(writer, ACTOR.name));
    let runtime = load::runtime()?;
    println!();
    for line in std::io::stdin().lines() {
        let line = line?;
        let (clients, length) = line.split_once(' ').ok_or("two numbers are expected")?;
        let length = Duration::from_micros(length.parse()?);
        let load = load::run_tasks(&runtime, clients.parse()?, length, || {
            let allocator = Arc::clone(&allocator);
            move || {
                let answer = allocator.allocate(request());
                async move { Ok(answer.await.map(drop)?) }
            }
        })?;
        let mut answer = load.elapsed.as_nanos().to_string();
        for latency in load.latencies {
            answer.push(' ');
            answer.push_str(&latency.as_nanos().to_string());
        }
        println!("{answer}");
    }
    Ok(())
}
