//! Durable allocations per second on SQLite: requests that share commits, against a commit for
//! each.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use nebula_alloc::lease::{self, Request};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::{Allocator, Family, Sqlite, Writer, WriterOptions, usable};

use crate::Outcome;
use crate::database::{ACTOR, NETWORK, NOW, POOL};
use crate::load::{self, HEADER, Series, new_owner};
use crate::report::{Bar, Bars, ratios};

const CLIENTS: [usize; 4] = [1, 8, 64, 256];

/// With how many clients the bar is measured.
const MEASURED: usize = 64;

pub(crate) fn measure(
    directory: &Path,
    rounds: usize,
    length: Duration,
    bars: &mut Bars,
) -> Outcome<()> {
    println!("\ndurable allocations, SQLite");
    let shared = allocator(directory, "shared.db", WriterOptions::default())?;
    let single = allocator(directory, "single.db", WriterOptions::default().with_batch(1))?;
    let locked = Mutex::new(store(directory, "locked.db")?);
    let ask_locked = || {
        let mut store = locked.lock().map_err(|_| "a client panicked")?;
        store.transaction(|tx| lease::allocate(tx, NOW, &ACTOR, &request()))?;
        Ok(())
    };
    let ask = |allocator: &Allocator| {
        allocator.allocate(request()).wait()?;
        Outcome::Ok(())
    };

    let name = |way: &str, clients: usize| {
        Series::new(format!("{way}, {clients} client{}", if clients == 1 { "" } else { "s" }))
    };
    let mut together = CLIENTS.map(|clients| name("shared commits", clients));
    let mut each = CLIENTS.map(|clients| name("a commit each, behind a lock", clients));
    let mut alone = name("a commit each, through the writer", MEASURED);
    for round in 0..=rounds {
        if round > 0 {
            println!("  round {round} of {rounds}");
        }
        // The first round is for warming up.
        let length = if round > 0 { length } else { length / 10 };
        for ((clients, together), each) in CLIENTS.into_iter().zip(&mut together).zip(&mut each) {
            let loads = [
                load::run(clients, length, || ask(&shared))?,
                load::run(clients, length, ask_locked)?,
            ];
            if round > 0 {
                let [shared, locked] = loads;
                together.add(shared);
                each.add(locked);
            }
            if clients == MEASURED {
                let load = load::run(clients, length, || ask(&single))?;
                if round > 0 {
                    alone.add(load);
                }
            }
        }
    }

    println!("{HEADER}");
    for series in together.iter_mut().chain(&mut each).chain([&mut alone]) {
        println!("{}", series.row());
    }
    for ((clients, together), each) in CLIENTS.into_iter().zip(&together).zip(&each) {
        if clients == MEASURED {
            // The faster of the two ways to do without sharing, in each round.
            let faster: Vec<f64> =
                each.per_second.iter().zip(&alone.per_second).map(|(a, b)| a.max(*b)).collect();
            let ratios = ratios(&together.per_second, &faster);
            let name = format!("{clients} clients, shared commits against a commit each");
            bars.hold(&name, &ratios, Bar::AtLeast(3.0));
        }
    }
    Ok(())
}

fn store(directory: &Path, name: &str) -> Outcome<Sqlite> {
    let mut store = Sqlite::open(directory.join(name))?;
    let range = usable("10.0.0.0/8".parse()?).ok_or("not a prefix of Nebula's")?;
    let pool = Pool { id: POOL, network: NETWORK, range, position: 0 };
    store.transaction(|tx| pool::create(tx, NOW, &ACTOR, &pool))?;
    Ok(store)
}

fn allocator(directory: &Path, name: &str, options: WriterOptions) -> Outcome<Allocator> {
    let writer = Writer::start(store(directory, name)?, || NOW, options)?;
    Ok(Allocator::new(writer, ACTOR.name))
}

/// What each client asks for: the next address for somebody new.
pub(crate) fn request() -> Request {
    Request {
        network: NETWORK,
        owner: new_owner(),
        family: Family::V4,
        address: None,
        pool: None,
        hold_until: NOW,
        until: None,
    }
}
