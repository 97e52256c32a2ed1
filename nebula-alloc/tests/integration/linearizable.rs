//! Do many at once get answers that one after the other could have got, for each address and each
//! owner? 64 threads on one SQLite writer; eight processes on one PostgreSQL database.
//!
//! `OPERATIONS` is how many operations there are on each engine, 40,000 by default, half of them on
//! few addresses and half on more than an instance holds at once; `SEED` is where the choices begin.
#![cfg(unix)]

mod broken;
mod checker;
mod object;
mod record;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::shared::child;
use crate::shared::postgres;
use crate::shared::random::setting;
use checker::{Ground, Happened, check};
use nebula_alloc::event::{Event, after};
use nebula_alloc::store::Transaction;
use nebula_alloc::verify::verify;
use nebula_alloc::{Error, Sqlite};
use record::{Answer, Record, Wish};
use work::{Clock, NETWORK, Work};

/// About as long as a few hundred operations take.
const ON_SQLITE: Clock = Clock(5_000_000);

#[test]
fn threads_on_sqlite() {
    on_sqlite("SQLite, 64 threads", Ground::NARROW);
}

#[test]
fn threads_on_sqlite_with_many_addresses() {
    on_sqlite("SQLite, 64 threads, many addresses", Ground::WIDE);
}

fn on_sqlite(what: &str, ground: Ground) {
    // In memory, where there is one: its subject is not durability.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = tempfile::tempdir_in(place).unwrap();
    let path = directory.path().join("test.db");
    let mut store = Sqlite::open(&path).unwrap();
    store.transaction(|tx| work::prepare(tx, ground)).unwrap();
    let operations = setting("OPERATIONS", 40_000) / 2;
    let start = Instant::now();
    let (seed, clock) = (setting("SEED", 1), ON_SQLITE);
    let work = Work { process: 1, threads: 64, operations, seed, clock, ground };
    let records = work.run(store);
    let took = start.elapsed();
    let mut store = Sqlite::open(&path).unwrap();
    let events = store.transaction(|tx| events(tx)).unwrap();
    judge(what, ground, ON_SQLITE, &records, &events);
    println!("worked for {took:.1?}, checked for {:.1?}", start.elapsed() - took);
}

#[cfg(feature = "postgres")]
const PROCESSES: u64 = 8;

#[cfg(feature = "postgres")]
const ON_POSTGRESQL: Clock = Clock(50_000_000);

/// Not a test of its own: one of the processes. Its argument is the file for its records.
#[cfg(feature = "postgres")]
#[test]
fn child_works_with_others() {
    use std::io::Write as _;

    let Some(path) = child::argument() else { return };
    let url = std::env::var("URL").unwrap();
    let (process, operations) = (setting("PROCESS", 0), setting("OPERATIONS", 0));
    let store = nebula_alloc::Postgres::connect(&url).unwrap();
    let (seed, clock) = (setting("SEED", 1), ON_POSTGRESQL);
    let ground = if setting("WIDE", 0) == 1 { Ground::WIDE } else { Ground::NARROW };
    let work = Work { process, threads: 4, operations, seed, clock, ground };
    let records = work.run(store);
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for record in &records {
        writeln!(file, "{record}").unwrap();
    }
    file.flush().unwrap();
}

#[cfg(feature = "postgres")]
#[test]
fn processes_on_postgresql() {
    on_postgresql("PostgreSQL, 8 processes of 4 threads", Ground::NARROW, "0");
}

#[cfg(feature = "postgres")]
#[test]
fn processes_on_postgresql_with_many_addresses() {
    on_postgresql("PostgreSQL, 8 processes of 4 threads, many addresses", Ground::WIDE, "1");
}

#[cfg(feature = "postgres")]
fn on_postgresql(what: &str, ground: Ground, wide: &str) {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = nebula_alloc::Postgres::connect(&url).unwrap();
    store.transaction(|tx| work::prepare(tx, ground)).unwrap();
    let operations = (setting("OPERATIONS", 40_000) / 2).div_ceil(PROCESSES);
    let directory = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let children: Vec<_> = (1..=PROCESSES)
        .map(|process| {
            let path = directory.path().join(process.to_string());
            let environment = [
                ("URL", url.clone().into()),
                ("PROCESS", process.to_string().into()),
                ("OPERATIONS", operations.to_string().into()),
                ("WIDE", wide.into()),
            ];
            (
                child::Child::start_in(
                    "linearizable::child_works_with_others",
                    &path,
                    &environment,
                ),
                path,
            )
        })
        .collect();
    let mut records: Vec<Record> = Vec::new();
    for (child, path) in children {
        child.finish();
        let text = std::fs::read_to_string(path).unwrap();
        records.extend(text.lines().map(|line| line.parse::<Record>().unwrap()));
    }
    let took = start.elapsed();
    assert_eq!(u64::try_from(records.len()), Ok(operations * PROCESSES));
    let events = store.transaction(|tx| events(tx)).unwrap();
    judge(what, ground, ON_POSTGRESQL, &records, &events);
    println!("worked for {took:.1?}, checked for {:.1?}", start.elapsed() - took);
}

/// Those about leases; and the database is sound.
fn events(tx: &mut dyn Transaction) -> Result<Vec<Happened>, Error> {
    assert_eq!(verify(tx)?, []);
    let (mut events, mut id) = (Vec::new(), 0);
    loop {
        let page = after(tx, Some(NETWORK), id, 1024)?;
        let Some((last, _)) = page.last() else { return Ok(events) };
        id = *last;
        events.extend(page.into_iter().filter_map(|(_, event)| happened(event)));
    }
}

fn happened(event: Event) -> Option<Happened> {
    let Event { at, kind, subject, address, request_id, .. } = event;
    let (owner, address) = (work::number(&subject?), address?);
    let operation = request_id.unwrap().parse().unwrap();
    Some(Happened { at, kind, owner, address, operation })
}

fn judge(what: &str, ground: Ground, clock: Clock, records: &[Record], events: &[Happened]) {
    let found = check(ground, records, events, |moment| clock.at(moment));
    let mut answers = BTreeMap::new();
    for record in records {
        *answers.entry(word(record)).or_insert(0_usize) += 1;
    }
    println!("{what}: {} operations, {} events, {answers:?}", records.len(), events.len());
    for violation in found.iter().take(10) {
        println!("{violation:?}");
        let concerned = violation.operations();
        for record in records.iter().filter(|record| concerned.contains(&record.id)) {
            println!("    {record} (from {})", clock.at(record.invoked));
        }
        for (place, event) in events.iter().enumerate() {
            if concerned.contains(&event.operation) {
                // And what was before.
                let same = |other: &&Happened| other.address == event.address;
                let mut last: Vec<_> = events[..=place].iter().rev().filter(same).take(5).collect();
                last.reverse();
                last.into_iter().for_each(|event| println!("    {event:?}"));
            }
        }
    }
    assert!(found.is_empty(), "{} violations", found.len());
    // Enough of everything, or little is shown. How often an address is asked for in its
    // quarantine depends on the machine's speed: 8 to 41 times of 20,000 where few are.
    let often = ["held", "released", "freed", "expired", "passed", "moved"];
    let where_few = ["exhausted", "taken", "quarantined", "has another", "reserved"];
    let few = where_few.iter().filter(|_| ground.addresses < 100);
    for word in often.iter().chain(few) {
        let count = answers.get(word).copied().unwrap_or_default();
        assert!(count * 10_000 >= records.len(), "only {count} times {word}");
    }
    let contended = answers.get("contended").copied().unwrap_or_default();
    assert!(contended * 100 <= records.len(), "contended {contended} times");
}

fn word(record: &Record) -> &'static str {
    match &record.answer {
        Answer::Held(_) if matches!(record.wish, Wish::Renew(_)) => "renewed",
        Answer::Held(_) => "held",
        Answer::Released(leases) if leases.is_empty() => "released nothing",
        Answer::Released(_) => "released",
        Answer::Expired(leases) if leases.is_empty() => "expired nothing",
        Answer::Expired(_) => "expired",
        Answer::Passed(_) => "passed",
        Answer::Moved(0) => "moved nothing",
        Answer::Moved(_) => "moved",
        Answer::Reserved => "reserved",
        Answer::Freed(0) => "freed nothing",
        Answer::Freed(_) => "freed",
        Answer::Exhausted => "exhausted",
        Answer::Taken => "taken",
        Answer::Quarantined(_) => "quarantined",
        Answer::HasAnother(_) => "has another",
        Answer::NoLease => "no lease",
        Answer::Contended => "contended",
    }
}
