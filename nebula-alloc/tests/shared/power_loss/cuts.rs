//! Many losses of power in one run.

use std::path::Path;
use std::thread;

use super::super::random::Random;
use super::disk::Disk;
use super::log::Record;
use super::{library, log};

/// What a disk after a loss of power is asked, given what the child had said until then and the
/// database's path; and what is wrong with it, if anything.
pub type Check<'a> = &'a (dyn Fn(&[String], &Path) -> Result<(), String> + Sync);

/// Cuts the log with each of the seeds from `first` on. What was wrong, with the seed. `fate`
/// decides what failed synchronisations left, for all cuts alike.
pub fn lose_power(
    records: &[Record],
    fate: u64,
    first: u64,
    cuts: u64,
    check: Check<'_>,
) -> Vec<(u64, String)> {
    let mut places: Vec<(usize, u64)> =
        (first..first + cuts).map(|seed| (place(records, seed), seed)).collect();
    places.sort_unstable();
    let workers = thread::available_parallelism().unwrap().get();
    let share = places.len().div_ceil(workers).max(1);
    let mut found: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = places
            .chunks(share)
            .map(|places| scope.spawn(move || replay(records, fate, places, check)))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    found.sort();
    found
}

/// Where the cut of this seed is: every other one just before or after a synchronisation.
fn place(records: &[Record], seed: u64) -> usize {
    let mut random = Random(seed);
    let anywhere = random.below(records.len() + 1);
    if random.once_in(2) {
        return anywhere;
    }
    let sync = |record: &Record| matches!(record, Record::Sync { .. } | Record::FailedSync { .. });
    let at = records[anywhere..].iter().position(sync).map_or(anywhere, |more| anywhere + more);
    (at + random.below(4)).min(records.len())
}

fn replay(
    records: &[Record],
    fate: u64,
    places: &[(usize, u64)],
    check: Check<'_>,
) -> Vec<(u64, String)> {
    let mut disk = Disk::default();
    let mut done = 0;
    let mut found = Vec::new();
    for (place, seed) in places {
        while done < *place {
            disk.apply(&records[done], &mut Random(fate << 32 | u64::try_from(done).unwrap()));
            done += 1;
        }
        let image = library::directory();
        disk.lose_power(&mut Random(*seed), image.path());
        let said = log::said(&records[..done]);
        if let Err(wrong) = check(&said, &library::database(image.path())) {
            found.push((*seed, format!("call {done}: {wrong}")));
        }
    }
    found
}
