//! Does a database that was made before reservations and blocks open, and go on?

use std::net::IpAddr;

use nebula_alloc::event::{after, kind};
use nebula_alloc::lease::{self, Lease, LeaseState, Reason, Request};
use nebula_alloc::store::Transaction;
use nebula_alloc::verify::verify;
use nebula_alloc::{Actor, Error, Family, NetworkId, OwnerId, PoolId, Sqlite, pool, reclaim};
use tempfile::TempDir;

const WRITTEN: &str = include_str!("../version-1/database.sql");

const NETWORK: NetworkId = NetworkId([1; 16]);
const OTHER: NetworkId = NetworkId([9; 16]);
const NOW: i64 = 1_800_000_000;
const ACTOR: Actor<'static> = Actor::named("after");

fn owner(number: u8) -> OwnerId {
    let mut bytes = [0; 16];
    bytes[15] = number;
    OwnerId(bytes)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn request(number: u8) -> Request {
    let (owner, family) = (owner(number), Family::V4);
    Request {
        network: NETWORK,
        owner,
        family,
        address: None,
        pool: None,
        hold_until: NOW,
        until: None,
    }
}

fn opened(script: &str) -> (Sqlite, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(script).unwrap();
    (Sqlite::open(&path).unwrap(), directory)
}

fn run<T>(
    store: &mut Sqlite,
    work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
) -> Result<T, Error> {
    let output = store.transaction(work);
    assert_eq!(store.transaction(|tx| verify(tx)), Ok(vec![]));
    output
}

fn leases(store: &mut Sqlite) -> Vec<Lease> {
    run(store, |tx| {
        let mut all = lease::list(tx, NETWORK, None, 100)?;
        all.extend(lease::list(tx, OTHER, None, 100)?);
        Ok(all)
    })
    .unwrap()
}

#[test]
fn it_is_migrated_and_sound() {
    let (mut store, directory) = opened(WRITTEN);
    assert_eq!(store.transaction(|tx| verify(tx)), Ok(vec![]));
    let version = "SELECT version, oldest FROM nebula_schema WHERE component = 'alloc'";
    let versions = run(&mut store, |tx| {
        let rows = tx.query(version, &[])?;
        let mut row = rows[0].columns();
        Ok((rows.len(), row.integer()?, row.integer()?))
    });
    assert_eq!(versions, Ok((1, 5, 5)), "an older program would hide what it frees");
    let count = |store: &mut Sqlite| {
        run(store, |tx| tx.query("SELECT count(*) FROM alloc_event", &[])?[0].columns().integer())
            .unwrap()
    };
    let before = count(&mut store);
    drop(store);
    let mut again = Sqlite::open(directory.path().join("test.db")).unwrap();
    assert_eq!(count(&mut again), before, "once");
}

#[test]
fn its_leases_and_pools_are_what_they_were() {
    let (mut store, _directory) = opened(WRITTEN);
    let told: Vec<_> = leases(&mut store)
        .iter()
        .map(|lease| {
            let after = |time: Option<i64>| time.map(|time| time - NOW);
            let times = (lease.hold_until - NOW, after(lease.released_at), after(lease.until));
            (lease.address.to_string(), lease.owner.0[15], lease.reason, times)
        })
        .collect();
    let active = |address: &str, owner| (address.to_owned(), owner, None, (0, None, None));
    let released = Some(Reason::Released);
    let expected = [
        active("10.0.0.1", 1),
        ("10.0.0.2".to_owned(), 2, released, (86_400, Some(0), None)),
        ("10.0.0.3".to_owned(), 3, None, (86_400, None, None)),
        active("10.0.0.4", 4),
        active("10.0.0.5", 8),
        ("10.0.0.6".to_owned(), 6, released, (200, Some(100), None)),
        ("10.0.0.100".to_owned(), 7, None, (0, None, Some(500))),
        active("fd00::1", 1),
        active("10.0.0.1", 1),
    ];
    assert_eq!(told, expected);
    let mut used = |id| run(&mut store, |tx| pool::usage(tx, PoolId([id; 16]))).unwrap();
    let four = used(1);
    assert_eq!((four.free, four.active, four.quarantined), (247, 5, 2));
    let (six, small) = (used(2), used(3));
    assert_eq!((six.free, six.active), ((1 << 64) - 2, 1));
    assert_eq!((small.capacity, small.free), (2, 1));
}

#[test]
fn its_events_stay_and_its_history_begins_behind_them() {
    let (mut store, _directory) = opened(WRITTEN);
    let events = run(&mut store, |tx| after(tx, None, 0, 100)).unwrap();
    assert!(events[..17].iter().all(|(_, event)| event.actor == "before"));
    let (_, begins) = &events[17];
    assert_eq!((begins.kind.as_str(), begins.at), (kind::HISTORY_BEGINS, NOW + 100));
    let recorded = &events[18..];
    assert_eq!(recorded.len(), 9, "each lease of each network");
    for (_, event) in recorded {
        assert_eq!((event.kind.as_str(), event.actor.as_str()), (kind::RECORDED, "migration"));
        assert_eq!(event.at, NOW + 100, "time does not run backwards");
    }
    let quarantined = |detail: &Option<String>| detail.as_deref() == Some("quarantined");
    let count = recorded.iter().filter(|(_, event)| quarantined(&event.detail)).count();
    assert_eq!(count, 2);
}

#[test]
fn all_goes_on_from_where_it_was() {
    let (mut store, _directory) = opened(WRITTEN);
    let mut ask = |now, request: &Request| {
        run(&mut store, |tx| lease::allocate(tx, now, &ACTOR, request))
            .map(|lease| lease.address.to_string())
    };
    let address = |text: &str| Ok(text.to_owned());
    assert_eq!(ask(NOW + 150, &request(1)), address("10.0.0.1"), "it asks again");
    assert_eq!(ask(NOW + 150, &request(2)), address("10.0.0.2"), "it returns");
    assert_eq!(ask(NOW + 150, &request(20)), address("10.0.0.7"), "the next one");
    let taken = Request { address: Some(ip("10.0.0.6")), ..request(21) };
    let until = NOW + 200;
    let quarantined =
        Error::AddressQuarantined { network: NETWORK, address: ip("10.0.0.6"), until };
    assert_eq!(ask(until - 1, &taken), Err(quarantined));
    assert_eq!(ask(until, &taken), address("10.0.0.6"));

    let expired = run(&mut store, |tx| reclaim::expire(tx, NOW + 500, &ACTOR, NETWORK, 9, 9));
    assert_eq!(expired.unwrap()[0].address, ip("10.0.0.100"));
    assert_eq!(run(&mut store, |tx| reclaim::reclaim(tx, NOW + 509, &ACTOR, 9)), Ok(1));
    for number in [1, 3] {
        let release = |tx: &mut dyn Transaction| {
            lease::release(tx, NOW + 600, &ACTOR, NETWORK, owner(number), 0)
        };
        run(&mut store, release).unwrap();
    }
    let left = leases(&mut store);
    let hold = left.iter().find(|lease| lease.owner == owner(3)).unwrap();
    assert_eq!((hold.state, hold.hold_until), (LeaseState::Quarantined, NOW + 86_400));
    assert_eq!(run(&mut store, |tx| reclaim::reclaim(tx, NOW + 600, &ACTOR, 9)), Ok(2));
}

/// The same tables without a lease or an event.
#[test]
fn an_empty_one_has_no_history_to_begin() {
    let tables = |line: &&str| !line.starts_with("INSERT INTO alloc_");
    let empty: Vec<_> = WRITTEN.lines().filter(tables).collect();
    let (mut store, _directory) = opened(&empty.join("\n"));
    assert_eq!(run(&mut store, |tx| after(tx, None, 0, 100)), Ok(vec![]));
    assert_eq!(leases(&mut store), []);
}

/// Leases of a caller that never wrote an event.
#[test]
fn one_without_events_is_explained_too() {
    let events = |line: &&str| !line.starts_with("INSERT INTO alloc_event");
    let silent: Vec<_> = WRITTEN.lines().filter(events).collect();
    let (mut store, _directory) = opened(&silent.join("\n"));
    assert_eq!(leases(&mut store).len(), 9);
    let events = run(&mut store, |tx| after(tx, None, 0, 100)).unwrap();
    assert_eq!(events.len(), 10);
}
