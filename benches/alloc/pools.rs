//! What making a pool costs, by its size.

use std::path::Path;
use std::time::Instant;

use nebula_alloc::pool::{self, Pool};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::sqlite::SqliteTransaction;
use nebula_alloc::{AddressRange, Error, NetworkId, PoolId, usable};
use rusqlite::TransactionBehavior::Immediate;

use crate::Outcome;
use crate::counted::Counted;
use crate::database::{ACTOR, NOW, connect, empty};
use crate::report::{Bar, Bars, median, ratios, time};

const PREFIXES: [&str; 4] = ["10.0.0.0/30", "10.0.0.0/24", "10.0.0.0/8", "fd00::/64"];

/// How many pools share a transaction, each in a network of its own.
const POOLS: u8 = 100;

pub(crate) fn measure(directory: &Path, rounds: usize, bars: &mut Bars) -> Outcome<()> {
    println!("\nmaking a pool");
    let path = directory.join("pools.db");
    empty(&path)?;
    let mut connection = connect(&path)?;
    let mut seconds = PREFIXES.map(|_| Vec::new());
    let mut rows = PREFIXES.map(|_| Vec::new());
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..PREFIXES.len()).collect();
        order.rotate_left(round % PREFIXES.len());
        for index in order {
            let (Some(prefix), Some(seconds), Some(rows)) =
                (PREFIXES.get(index), seconds.get_mut(index), rows.get_mut(index))
            else {
                continue;
            };
            let range = usable(prefix.parse()?).ok_or("not a prefix of Nebula's")?;
            // Rolled back, so that each finds the database as the others did.
            let transaction = connection.transaction_with_behavior(Immediate)?;
            let mut seam = Counted::new(&transaction);
            create(&mut seam, range)?;
            rows.push(f64::from(u32::try_from(seam.rows)?) / f64::from(POOLS));
            transaction.rollback()?;

            let transaction = connection.transaction_with_behavior(Immediate)?;
            let start = Instant::now();
            create(&mut SqliteTransaction::new(&transaction), range)?;
            seconds.push(start.elapsed().as_secs_f64() / f64::from(POOLS));
            transaction.rollback()?;
        }
    }
    let [smallest, ..] = &seconds;
    let mut worst = ratios(smallest, smallest);
    println!("  {:>12} {:>10} {:>8} {:>6}", "", "time", "ratio", "rows");
    for ((prefix, seconds), rows) in PREFIXES.iter().zip(&seconds).zip(&rows) {
        let ratios = ratios(seconds, smallest);
        println!(
            "  {prefix:>12} {:>10} {:>8.2} {:>6.2}",
            time(median(seconds)),
            median(&ratios),
            median(rows)
        );
        if median(&ratios) > median(&worst) {
            worst = ratios;
        }
    }
    bars.hold("making a pool: time, the worst against a /30", &worst, Bar::AtMost(2.0));
    bars.hold_equal("making a pool: rows", &rows.concat());
    Ok(())
}

fn create(tx: &mut dyn Transaction, range: AddressRange) -> Result<(), Error> {
    for number in 0..POOLS {
        let (id, network) = (PoolId([number; 16]), NetworkId([number; 16]));
        pool::create(tx, NOW, &ACTOR, &Pool { id, network, range, position: 0 })?;
    }
    Ok(())
}
