//! What is promised of a database file that is truncated, or in which a bit is flipped?
//!
//! * Nothing panics, and nobody gets an address that a lease in the same database holds.
//! * SQLite's log has checksums: a damage to it leaves the state after one of the commits, whole.
//!   What was committed behind the damage is lost without a word, because a torn end looks the
//!   same.
//! * A database file that is cut short is an error or a finding, unless what is missing is in the
//!   log. One of length 0 without a log is a new database.
//! * Pages have no checksums. A flipped bit in them is an error, or a finding of `verify` or of
//!   SQLite's own `integrity_check`, as long as it contradicts anything. What does not, and is not
//!   found: what only events tell (their times, but those of releases; actors, requests, notes), why a
//!   lease was released, and the order of pools. All else of leases is there as it was.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::Path;

use crate::shared::power_loss::library;
use crate::shared::random::Random;
use crate::support::{DAY, NETWORK, NOW, owner, pool_of, request};
use nebula_alloc::event::{self, Event};
use nebula_alloc::lease::{Lease, LeaseState, list};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Error, Sqlite, Writer, WriterOptions, usable};

const PAGE: usize = 4096;

/// A header of SQLite's log, then frames of a header and a page each.
const LOG_HEADER: usize = 32;
const FRAME: usize = 24 + PAGE;

/// Where in a page a file is cut off.
const CUTS: [usize; 5] = [0, 1, 100, 512, PAGE - 1];

/// All that a database says.
type State = (Vec<Lease>, Vec<(i64, Event)>, Vec<Pool>);

/// A database file and its log, both with something in it, and the states after each commit in the
/// log, from the one before the first.
struct Sample {
    database: Vec<u8>,
    log: Vec<u8>,
    states: Vec<State>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Verdict {
    /// As if nothing had happened.
    Unharmed,
    /// The state after an earlier commit.
    Earlier,
    /// An error.
    Refused,
    /// `verify` or SQLite finds it.
    Found,
    /// A state that never was, and nobody notices.
    Unnoticed,
}

#[test]
fn a_flipped_bit_in_the_log() {
    let sample = sample();
    let mut random = Random(1);
    let anywhere = (0..400).map(|_| random.below(sample.log.len()));
    let places: Vec<usize> = (0..LOG_HEADER + 24).chain(anywhere).collect();
    let counted = count(
        places.iter().map(|place| sample.judge(&sample.database, &flipped(&sample.log, *place))),
    );
    println!("{} flipped bits in the log: {counted:?}", places.len());
    assert!(!counted.contains_key(&Verdict::Found), "{counted:?}");
    assert!(!counted.contains_key(&Verdict::Unnoticed), "{counted:?}");
    assert!(counted[&Verdict::Earlier] > 300, "{counted:?}");
}

#[test]
fn a_truncated_log() {
    let sample = sample();
    let frames = (sample.log.len() - LOG_HEADER) / FRAME;
    for frame in 0..frames {
        for cut in [0, 1, 24, 500, FRAME - 1] {
            let log = &sample.log[..LOG_HEADER + frame * FRAME + cut];
            let verdict = sample.judge(&sample.database, log);
            assert!(verdict <= Verdict::Earlier, "frame {frame} cut at {cut}: {verdict:?}");
        }
    }
    for length in [0, 1, 31] {
        assert_eq!(sample.judge(&sample.database, &sample.log[..length]), Verdict::Earlier);
    }
}

#[test]
fn a_truncated_database() {
    let sample = sample();
    let pages = sample.database.len() / PAGE;
    for length in (0..pages).flat_map(|page| CUTS.map(|cut| page * PAGE + cut)) {
        for log in [&sample.log[..], &[]] {
            let verdict = sample.judge(&sample.database[..length], log);
            let context = format!("{length} bytes, {} of log: {verdict:?}", log.len());
            match verdict {
                Verdict::Refused | Verdict::Found => {}
                // All that is missing is in the log once more.
                Verdict::Unharmed => assert!(length > PAGE && !log.is_empty(), "{context}"),
                // A file of length 0 is new.
                Verdict::Unnoticed => assert!(length == 0 && log.is_empty(), "{context}"),
                Verdict::Earlier => panic!("{context}"),
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_the_database() {
    let sample = sample();
    let mut random = Random(2);
    let anywhere = (0..800).map(|_| random.below(sample.database.len()));
    let places: Vec<usize> = (0..100).chain(anywhere).collect();
    let counted = count(places.iter().map(|place| {
        // A page that is in the log, too, is not read from here.
        let log = if place % 4 == 0 { &sample.log[..] } else { &[] };
        sample.judge(&flipped(&sample.database, *place), log)
    }));
    println!("{} flipped bits in the database: {counted:?}", places.len());
    assert!(counted[&Verdict::Found] > 20, "{counted:?}");
    assert!(counted[&Verdict::Refused] > 20, "{counted:?}");
}

fn flipped(bytes: &[u8], place: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1 << (place % 8);
    bytes
}

fn count(verdicts: impl Iterator<Item = Verdict>) -> BTreeMap<Verdict, usize> {
    let mut counted = BTreeMap::new();
    for verdict in verdicts {
        *counted.entry(verdict).or_default() += 1;
    }
    counted
}

fn sample() -> Sample {
    let directory = library::directory();
    let path = directory.path().join("test.db");
    let range = usable("10.0.0.0/16".parse().unwrap()).unwrap();
    let work = |numbers: std::ops::Range<u64>, states: &mut Vec<State>| {
        let writer =
            Writer::start(Sqlite::open(&path).unwrap(), || NOW, WriterOptions::default()).unwrap();
        let allocator = Allocator::new(writer, "sample");
        let state = || allocator.writer().transaction(|tx, _| Ok::<_, Error>(state(tx))).unwrap();
        if numbers.start == 0 {
            allocator.create_pool(pool_of(1, range)).wait().unwrap();
        }
        states.push(state().unwrap());
        for number in numbers {
            allocator.allocate(request(number)).wait().unwrap();
            states.push(state().unwrap());
            if number % 3 == 0 {
                allocator.release(NETWORK, owner(number), DAY).wait().unwrap();
                states.push(state().unwrap());
            }
        }
        let log = directory.path().join("test.db-wal");
        (std::fs::read(&path).unwrap(), std::fs::read(log).unwrap())
    };
    // Closing brings the first half into the database file.
    work(0..200, &mut Vec::new());
    let mut states = Vec::new();
    // Few enough for the log not to begin anew meanwhile.
    let (database, log) = work(200..206, &mut states);
    assert_eq!((database.len() % PAGE, (log.len() - LOG_HEADER) % FRAME), (0, 0));
    Sample { database, log, states }
}

impl Sample {
    /// What becomes of these files. Panics when it is something that must not be.
    fn judge(&self, database: &[u8], log: &[u8]) -> Verdict {
        let directory = library::directory();
        let path = directory.path().join("test.db");
        std::fs::write(&path, database).unwrap();
        if !log.is_empty() {
            std::fs::write(directory.path().join("test.db-wal"), log).unwrap();
        }
        catch_unwind(|| self.open(&path)).unwrap()
    }

    fn open(&self, path: &Path) -> Verdict {
        let read = Sqlite::open(path).and_then(|mut store| {
            let state = read(&mut store)?;
            Ok((store, state))
        });
        let Ok((mut store, state)) = read else { return Verdict::Refused };
        let sound = store.transaction(|tx| {
            let verdict = tx.query("PRAGMA integrity_check(1)", &[])?;
            Ok::<_, Error>(verify(tx)?.is_empty() && verdict[0].columns().text()? == "ok")
        });
        // Whatever it is, it gives nothing twice.
        let writer = Writer::start(store, || NOW, WriterOptions::default()).unwrap();
        if let Ok(lease) = Allocator::new(writer, "test").allocate(request(1_000_000)).wait() {
            let active = |other: &&Lease| other.state == LeaseState::Active;
            let mut others = state.0.iter().filter(active);
            assert!(others.all(|other| other.address != lease.address), "{lease:?}");
        }
        match sound {
            Err(_) => Verdict::Refused,
            Ok(false) => Verdict::Found,
            Ok(true) if self.states.last() == Some(&state) => Verdict::Unharmed,
            Ok(true) if self.states.contains(&state) => Verdict::Earlier,
            Ok(true) => {
                let empty = state.0.is_empty() && state.2.is_empty();
                assert!(empty || self.agrees(&state), "{:?}", state.0);
                Verdict::Unnoticed
            }
        }
    }

    /// Whether the leases and pools are those of a state that was, but for what nothing tells twice.
    fn agrees(&self, state: &State) -> bool {
        let told = |(leases, _, pools): &State| {
            let leases: Vec<_> = leases.iter().map(|one| Lease { reason: None, ..*one }).collect();
            let pools: Vec<_> = pools.iter().map(|one| Pool { position: 0, ..*one }).collect();
            (leases, pools)
        };
        let state = told(state);
        self.states.iter().any(|other| told(other) == state)
    }
}

fn read(store: &mut Sqlite) -> Result<State, Error> {
    store.transaction(state)
}

fn state(tx: &mut dyn nebula_alloc::store::Transaction) -> Result<State, Error> {
    let leases = list(tx, NETWORK, None, usize::MAX)?;
    let events = event::after(tx, None, 0, usize::MAX)?;
    Ok((leases, events, pool::by_network(tx, NETWORK, None, usize::MAX)?))
}
