//! What an allocation costs with so many addresses given out.

use std::time::Instant;

use nebula_alloc::lease;
use nebula_alloc::store::sqlite::SqliteTransaction;
use rusqlite::TransactionBehavior::Immediate;

use crate::Outcome;
use crate::counted::Counted;
use crate::database::{ACTOR, Databases, LAYOUTS, Layout, NOW, connect};
use crate::report::{Bar, Bars, count, median, ratios, time};

/// How many allocations share a transaction; each is a call of its own.
const ALLOCATIONS: u64 = 100;

/// The figures of one size, for one allocation each.
#[derive(Default)]
struct Figures {
    seconds: Vec<f64>,
    steps: Vec<f64>,
    rows: Vec<f64>,
}

pub(crate) fn measure(databases: &Databases, rounds: usize, bars: &mut Bars) -> Outcome<()> {
    for layout in LAYOUTS {
        println!("\ncost of an allocation: {}", layout.name);
        let mut sizes: Vec<(u64, Figures)> =
            databases.sizes.iter().map(|size| (*size, Figures::default())).collect();
        for round in 0..rounds {
            let many = sizes.len();
            sizes.rotate_left(round % many);
            for (size, figures) in &mut sizes {
                allocate(databases, layout, *size, round, figures)?;
            }
            sizes.sort_by_key(|(size, _)| *size);
        }
        report(layout, &sizes, bars);
        databases.remove(layout)?;
    }
    Ok(())
}

/// One transaction that is counted, and warms the caches, and one that is timed.
fn allocate(
    databases: &Databases,
    layout: Layout,
    size: u64,
    round: usize,
    figures: &mut Figures,
) -> Outcome<()> {
    let mut connection = connect(&databases.writable(layout, size)?)?;
    let first = size + u64::try_from(round)? * 2 * ALLOCATIONS;
    let requests: Vec<_> = (first..first + 2 * ALLOCATIONS)
        .map(|number| layout.request(number))
        .collect::<Result<_, _>>()?;
    let (counted, timed) = requests.split_at(requests.len() / 2);

    let transaction = connection.transaction_with_behavior(Immediate)?;
    let mut seam = Counted::new(&transaction);
    for request in counted {
        lease::allocate(&mut seam, NOW, &ACTOR, request)?;
    }
    let per_allocation = |sum: u64| -> Outcome<f64> {
        Ok(f64::from(u32::try_from(sum)?) / f64::from(u32::try_from(ALLOCATIONS)?))
    };
    figures.steps.push(per_allocation(seam.steps)?);
    figures.rows.push(per_allocation(seam.rows)?);
    transaction.commit()?;

    let start = Instant::now();
    let transaction = connection.transaction_with_behavior(Immediate)?;
    let mut seam = SqliteTransaction::new(&transaction);
    for request in timed {
        lease::allocate(&mut seam, NOW, &ACTOR, request)?;
    }
    transaction.commit()?;
    figures
        .seconds
        .push(start.elapsed().as_secs_f64() / per_allocation(ALLOCATIONS * ALLOCATIONS)?);
    Ok(())
}

fn report(layout: Layout, sizes: &[(u64, Figures)], bars: &mut Bars) {
    let Some((_, smallest)) = sizes.first() else { return };
    println!("  {:>12} {:>10} {:>8} {:>8} {:>6}", "given out", "time", "ratio", "steps", "rows");
    let mut worst = Vec::new();
    for (size, figures) in sizes {
        let ratios = ratios(&figures.seconds, &smallest.seconds);
        println!(
            "  {:>12} {:>10} {:>8.2} {:>8.1} {:>6.2}",
            count(*size),
            time(median(&figures.seconds)),
            median(&ratios),
            median(&figures.steps),
            median(&figures.rows),
        );
        if worst.is_empty() || median(&ratios) > median(&worst) {
            worst = ratios;
        }
    }
    // Random ids are there to be compared with; each dirties an index page of its own.
    if !layout.random {
        let all = |pick: fn(&Figures) -> &Vec<f64>| -> Vec<f64> {
            sizes.iter().flat_map(|(_, figures)| pick(figures)).copied().collect()
        };
        let name = layout.name;
        bars.hold(
            &format!("{name}: time, the worst against the smallest"),
            &worst,
            Bar::AtMost(2.0),
        );
        bars.hold_equal(&format!("{name}: steps"), &all(|figures| &figures.steps));
        bars.hold_equal(&format!("{name}: rows"), &all(|figures| &figures.rows));
    }
}
