//! How long it takes to open a database, by what is in it.

use std::time::Instant;

use nebula_alloc::Sqlite;

use crate::Outcome;
use crate::database::{Databases, LAYOUTS, empty};
use crate::report::{Bar, Bars, count, median, ratios, time};

pub(crate) fn measure(databases: &Databases, rounds: usize, bars: &mut Bars) -> Outcome<()> {
    let [layout, ..] = LAYOUTS;
    let largest = databases.sizes.last().copied().ok_or("no sizes")?;
    println!("\nopening a database that was closed");
    let full = databases.database(layout, largest)?;
    let none = full.with_file_name("empty.db");
    empty(&none)?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut both = [(&none, &mut without), (&full, &mut with)];
        both.rotate_left(round % 2);
        for (path, seconds) in both {
            let start = Instant::now();
            let store = Sqlite::open(path)?;
            seconds.push(start.elapsed().as_secs_f64());
            drop(store);
        }
    }
    println!("  {:>12} {:>10}", "empty", time(median(&without)));
    println!("  {:>12} {:>10}", count(largest), time(median(&with)));
    let name = format!("opening {} against an empty one", count(largest));
    bars.hold(&name, &ratios(&with, &without), Bar::AtMost(2.0));
    databases.remove(layout)
}
