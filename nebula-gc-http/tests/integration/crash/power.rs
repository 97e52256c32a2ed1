//! After a loss of power, too: the load runs above the recorder of `nebula-alloc`'s tests, and the
//! log of its calls is cut.

use std::path::Path;
use std::time::Duration;

use super::plane::Plane;
use super::told::Told;
use super::{load, say_ready};
use crate::shared::child::{self, Child};
use crate::shared::power_loss::cuts::lose_power;
use crate::shared::power_loss::library::Recorder;
use crate::shared::power_loss::{log, pieces};
use crate::shared::random::{Random, setting};

/// Another for each piece of a run.
const PIECE: &str = "POWER_PIECE";
/// What each client does.
const OPERATIONS: u64 = 20;
/// How often the clock is told.
const TICK: Duration = Duration::from_millis(3);

/// Not a test of its own.
#[test]
fn child_works_to_its_end() {
    let Some(database) = child::argument() else { return };
    let plane = Plane::recorded(&database, None);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        plane.add_networks().await;
        let service = plane.service().unwrap();
        say_ready();
        let clock = async {
            loop {
                child::say(&format!("time {}", plane.now()));
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::select! {
            () = load::work(service, "one".to_owned(), setting(PIECE, 0), OPERATIONS) => {}
            () = clock => {}
        }
    });
}

#[test]
fn all_rules_hold_after_a_loss_of_power() {
    pieces::cut(150, record, &check);
}

/// The simulation finds what it is there to find.
#[test]
fn a_control_plane_that_does_not_synchronise_is_found_out() {
    let Some(log) = record(0) else { return };
    let records = log::parse(&log);
    for (file, what) in [("-wal", "its log"), (".db", "its pages")] {
        let broken = log::without_synchronisations(&records, file);
        let found = lose_power(&broken, 0, 1, 30, &check);
        println!("without synchronising {what}: {} of 30 cuts", found.len());
        assert!(found.len() >= 8, "{what}: only {found:?}");
    }
}

/// The log of a child's work.
fn record(piece: u64) -> Option<Vec<u8>> {
    let recorder = Recorder::new()?;
    let mut environment = recorder.environment();
    environment.push((PIECE, piece.to_string().into()));
    let child =
        Child::start_in("crash::power::child_works_to_its_end", &recorder.database(), &environment);
    let mut told = Told::default();
    child.finish().iter().for_each(|line| told.note(line));
    let log = std::fs::read(recorder.log()).unwrap();
    println!("{} outcomes of {} nodes, {} KiB", told.outcomes, told.len(), log.len() / 1024);
    assert!(told.outcomes > 100, "only {} outcomes", told.outcomes);
    Some(log)
}

fn check(said: &[String], database: &Path) -> Result<(), String> {
    let mut told = Told::default();
    said.iter().for_each(|line| told.note(line));
    let plane = Plane::recorded(database, told.time);
    if !told.ready {
        // It may have no tables yet.
        plane.service().map_err(|error| error.to_string())?;
    }
    plane.check_rows(&told)?;
    // What has to be signed yet, and who asks again, takes longer.
    if !said.len().is_multiple_of(8) {
        return Ok(());
    }
    plane.check(&mut told, &mut Random(0), 2)
}
