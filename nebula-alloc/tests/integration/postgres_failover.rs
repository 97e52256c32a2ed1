//! Is there one primary, whatever else takes writes or says nothing?

use std::time::{Duration, Instant};

use crate::shared::postgres::{self, Cluster};
use crate::support::told::*;
use nebula_alloc::{Allocator, Error, Postgres};

/// A primary with a pool, and a standby that has it too.
fn pair() -> Option<(Cluster, Cluster)> {
    let primary = Cluster::own(&std::env::temp_dir())?;
    drop(with_pool(&primary.url("-cjit=off")));
    let standby = primary.standby();
    Some((primary, standby))
}

/// Once it has what the primary has.
fn promote(standby: &Cluster, primary: &Cluster) {
    let written = primary.sql("SELECT pg_current_wal_lsn()");
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    until("the standby has caught up", || standby.sql(&replayed) == "t");
    standby.promote();
}

fn leases(cluster: &Cluster) -> String {
    cluster.sql("SELECT count(*) FROM alloc_lease")
}

#[test]
fn a_primary_that_was_left_behind_is_never_written_to_again() {
    let Some((old, new)) = pair() else { return };
    let both = postgres::url(&[&old, &new], "-cjit=off");
    let store = open(&format!("{both} application_name=victim"));
    let readers = store.readers(1).unwrap();
    let allocator = Allocator::new(writer(store), "test");
    let first = allocator.allocate(request(1)).wait().unwrap();
    promote(&new, &old);

    // Both take writes, and the old one stands first.
    assert!(old.terminate("victim") >= 1);
    let second = allocator.allocate(request(2)).wait().unwrap();
    assert_eq!((leases(&old), leases(&new)), ("1".into(), "2".into()));
    // So it is for who begins.
    assert_eq!(Allocator::new(writer(open(&both)), "test").allocate(request(2)).wait(), Ok(second));

    new.stop();
    let refused = allocator.allocate(request(3)).wait();
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    let refused = allocator.allocate(request(3)).wait().unwrap_err().to_string();
    assert!(refused.contains("timeline 1") && refused.contains("2 was seen"), "{refused}");
    // What is read there is of the past.
    let read = readers.read(|tx| tx.query("SELECT 1", &[]));
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    assert_eq!(leases(&old), "1");

    new.start();
    until("the writer recovers", || allocator.writer().is_ready());
    let third = allocator.allocate(request(3)).wait().unwrap();
    assert!(third.address > second.address && second.address > first.address);
    assert_eq!((leases(&old), leases(&new)), ("1".into(), "3".into()));
}

#[test]
fn a_standby_is_refused_and_its_primary_found() {
    let Some((primary, standby)) = pair() else { return };
    let refused = Postgres::connect(&standby.url("-cjit=off")).map(drop);
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    let store = open(&postgres::url(&[&standby, &primary], "-cjit=off"));
    assert!(Allocator::new(writer(store), "test").allocate(request(1)).wait().is_ok());
}

/// It accepts connections and never answers, so that only a deadline tells.
#[test]
fn a_primary_that_stands_still_is_left_for_the_standby_that_was_promoted() {
    let Some((old, new)) = pair() else { return };
    let url = format!("{} connect_timeout=1", postgres::url(&[&old, &new], "-cjit=off"));
    let allocator = Allocator::new(writer(open(&url)), "test");
    allocator.allocate(request(1)).wait().unwrap();
    promote(&new, &old);
    let paused = old.pause();
    let begun = Instant::now();
    allocator.allocate(request(2)).wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(leases(&new), "2");
    // Who begins does not wait long for it either.
    assert!(Allocator::new(writer(open(&url)), "test").allocate(request(2)).wait().is_ok());
    drop(paused);
    until("the old one answers", || leases(&old) == "1");
}
