//! What only the engine can see.

use rusqlite::StatementStatus;
use rusqlite::config::DbConfig;

use super::connection::set;
use super::files::Lengths;
use super::*;
use crate::lease::{self, Request, allocate};
use crate::pool::{self, Pool};
use crate::reclaim::{self, reclaim};
use crate::verify::verify;
use crate::writer::{Writer, WriterOptions};
use crate::{
    Actor, Allocator, Family, NetworkId, OwnerId, PoolId, block, event, fullness, interval, usable,
};

const NETWORK: NetworkId = NetworkId([1; 16]);
const ACTOR: Actor<'static> = Actor::named("test");

fn request(number: u32) -> Request {
    let mut owner = [0; 16];
    owner[12..].copy_from_slice(&number.to_be_bytes());
    Request {
        network: NETWORK,
        owner: OwnerId(owner),
        family: Family::V4,
        address: None,
        pool: None,
        hold_until: 0,
        until: None,
    }
}

fn open(directory: &tempfile::TempDir) -> Sqlite {
    let mut store = Sqlite::open(directory.path().join("test.db")).unwrap();
    let range = usable("10.0.0.0/16".parse().unwrap()).unwrap();
    let pool = Pool { id: PoolId([2; 16]), network: NETWORK, range, position: 0 };
    store.transaction(|tx| pool::create(tx, 1, &ACTOR, &pool)).unwrap();
    store
}

fn setting(store: &Sqlite, name: &str) -> rusqlite::types::Value {
    store.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn durability_is_set_and_survives_recovery() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    for _ in 0..2 {
        assert_eq!(setting(&store, "journal_mode"), "wal".to_owned().into());
        assert_eq!(setting(&store, "synchronous"), 2.into());
        assert_eq!(setting(&store, "foreign_keys"), 1.into());
        assert!(store.connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG).unwrap());
        store.recover(1).unwrap();
    }
}

#[test]
fn the_cache_is_as_large_as_told_and_survives_recovery() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    assert_eq!(setting(&store, "cache_size"), (-8 * 1024).into());
    store = store.with_cache(3 << 20).unwrap();
    store.recover(1).unwrap();
    assert_eq!(setting(&store, "cache_size"), (-3 * 1024).into());
    assert_eq!(setting(&store.with_cache(0).unwrap(), "cache_size"), (-1).into());
}

#[test]
fn the_log_of_a_larger_database_is_copied_more_rarely() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for (database, pages) in [(0, 1000), (16 << 20, 1024), (32 << 20, 2048), (1 << 30, 4000)] {
        Log::new(&store.connection, Lengths { database, log: 0 }).unwrap();
        assert_eq!(setting(&store, "wal_autocheckpoint"), pages.into(), "{database}");
    }
}

#[test]
fn a_text_that_would_swap_its_parameters_is_refused_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let sql = "SELECT $2, $1";
    for _ in 0..3 {
        let refused = store.transaction(|tx| tx.query(sql, &[1.into(), 2.into()]));
        assert!(matches!(refused, Err(Error::Statement { .. })), "{refused:?}");
    }
}

#[test]
fn a_setting_that_does_not_take_is_refused() {
    let connection = Connection::open_in_memory().unwrap();
    let refused = set(&connection, "journal_mode", "WAL", "wal");
    assert_eq!(
        refused,
        Err(Error::Setting { name: "journal_mode", expected: "wal", found: "memory".into() })
    );
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let _store = open(&directory);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

/// The lock is on the file, whatever it is called.
#[cfg(unix)]
#[test]
fn a_link_does_not_open_a_second_writer() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(store.path(), &link).unwrap();
    let refused = Sqlite::open(&link).map(drop);
    assert_eq!(refused, Err(Error::SecondWriter { path: store.path().to_owned() }));
}

#[test]
fn statements_are_planned_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    for number in 0..200 {
        store
            .transaction(|tx| {
                allocate(tx, 1, &ACTOR, &request(number))?;
                lease::release(tx, 1, &ACTOR, NETWORK, request(number).owner, 0)?;
                reclaim(tx, 1, &ACTOR, 10)?;
                reclaim::of_pool(tx, 1, &ACTOR, PoolId([2; 16]), 10)?;
                allocate(tx, 1, &ACTOR, &request(number))?;
                event::append(tx, &event::Event::new(1, "test", "test"))
            })
            .unwrap();
    }
    for sql in [
        lease::statements::OWNED,
        lease::statements::INSERT,
        fullness::OPEN,
        interval::LOWEST,
        interval::AT_OR_ABOVE,
        interval::SET_FIRST,
        reclaim::ENDED,
        reclaim::ENDED_OF_POOL,
        event::INSERT,
    ] {
        let statement = store.connection.prepare_cached(sql).unwrap();
        assert!(statement.get_status(StatementStatus::Run) >= 100, "{sql}");
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
        assert_eq!(statement.get_status(StatementStatus::Sort), 0, "{sql}");
        assert_eq!(statement.get_status(StatementStatus::FullscanStep), 0, "{sql}");
    }
}

/// SQLite numbers names by their first appearance, whatever they are.
#[test]
fn parameters_are_numbered_as_they_appear() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    for (sql, params) in
        [("SELECT $2, $1", 2), ("SELECT $1, $3", 2), ("SELECT ?, ?", 2), ("SELECT :name", 1)]
    {
        let params = vec![1.into(); params];
        let result = store.transaction(|tx| tx.query(sql, &params));
        assert!(matches!(result, Err(Error::Statement { .. })), "{sql}: {result:?}");
    }
}

/// A limit on pages fails as a full disk does, and ends the transaction as it does. It
/// ends with the connection: once the writer has opened the database anew there is room.
#[test]
fn a_full_disk_leaves_nothing_and_says_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    // Room for a few leases.
    let limit = format!("PRAGMA max_page_count = {}", pages + 3);
    store.connection.query_row(&limit, [], |_| Ok(())).unwrap();
    let path = store.path().to_owned();
    let writer = Writer::start(store, || 1, WriterOptions::default()).unwrap();
    let allocator = Allocator::new(writer, "test");

    // In a batch everybody hears it, whoever filled the disk.
    let (sender, receiver) = std::sync::mpsc::channel();
    for number in 0..1000 {
        let sender = sender.clone();
        allocator
            .writer()
            .submit(crate::writer::tests::Plain::new(request(number)), move |answer| {
                sender.send(answer).unwrap()
            })
            .unwrap();
    }
    drop(sender);
    let answers: Vec<_> = receiver.iter().collect();
    assert_eq!(answers.len(), 1000);
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!refused.is_empty());
    let unavailable = |answer: &_| matches!(answer, Err(Error::Unavailable { .. }));
    assert!(refused.iter().all(unavailable), "{refused:?}");
    assert_eq!(allocator.writer().counters().recoveries, 1);
    drop(allocator);

    let mut store = Sqlite::open(path).unwrap();
    let leases = store.transaction(|tx| lease::list(tx, NETWORK, None, 10_000)).unwrap();
    assert_eq!(leases.len(), granted.len());
    assert_eq!(store.transaction(|tx| verify(tx)).unwrap(), []);
}

#[test]
fn a_failed_transaction_keeps_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let failed = store.transaction(|tx| {
        tx.execute("DELETE FROM alloc_interval", &[])?;
        Err::<(), _>(Error::Unique)
    });
    assert_eq!(failed, Err(Error::Unique));
    assert!(store.connection.is_autocommit());
    assert_eq!(store.transaction(|tx| verify(tx)).unwrap(), []);
}

#[test]
fn a_transaction_left_open_is_rolled_back_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    store.connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM alloc_interval").unwrap();
    assert_eq!(store.transaction(|tx| verify(tx)).unwrap(), []);
}

/// With no statistics, and with those of whatever the database held when it was analysed: the plans
/// are those that cost the same whatever there is.
#[test]
fn no_plan_depends_on_what_the_database_holds() {
    // Networks, owners, pools and addresses of 500 rows; `i` counts them.
    let (one, each) = ("CAST(printf('%016d', 1) AS BLOB)", "CAST(printf('%016d', i) AS BLOB)");
    let states = [
        ("nothing analysed", 0, one, one),
        ("no leases", 0, one, one),
        ("one lease", 1, one, one),
        ("two leases", 2, one, each),
        ("one network", 500, one, each),
        ("one lease in each network", 500, each, each),
        ("one owner in all networks", 500, each, one),
    ];
    for (state, count, network, owner) in states {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        let numbers = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        );
        let fill = [
            format!("INSERT INTO alloc_pool (id, network, family, position, first, last)
                {numbers} SELECT {each}, {network}, 4, 0, {each}, {each} FROM n"),
            format!("INSERT INTO alloc_pool (id, network, family, position, first, last, parent, name)
                {numbers} SELECT CAST(i AS BLOB), {network}, 4, 0, {each}, {each}, {each}, i FROM n"),
            format!("INSERT INTO alloc_interval (pool, last, first)
                {numbers} SELECT {each}, {each}, {each} FROM n"),
            format!("INSERT INTO alloc_lease
                    (network, address, family, pool, owner, state, hold_until, until)
                {numbers} SELECT {network}, {each}, 4, {each}, {owner}, 1 + i % 2, i, i FROM n"),
            format!("INSERT INTO alloc_event (at, network, kind, actor, subject)
                {numbers} SELECT i, {network}, 'kind', 'actor', {owner} FROM n"),
        ];
        for sql in fill.iter().filter(|_| count > 0) {
            store.connection.execute_batch(sql).unwrap();
        }
        if state != "nothing analysed" {
            store.connection.execute_batch("ANALYZE").unwrap();
        }
        let path = store.path().to_owned();
        drop(store);
        let store = Sqlite::open(path).unwrap();
        for (sql, ways) in PLANS {
            let mut statement =
                store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let mut rows = statement.raw_query();
            let mut found = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                found.push(row.get::<_, String>(3).unwrap());
            }
            assert!(!found.iter().any(|line| line.contains("TEMP B-TREE")), "{state}: {sql}");
            found.retain(|line| line.contains("alloc_"));
            assert_eq!(found.len(), ways.len(), "{state}: {sql}: {found:?}");
            for (line, way) in found.iter().zip(*ways) {
                assert!(line.ends_with(way), "{state}: {sql}: {line}");
            }
        }
    }
}

/// How each statement finds its rows.
const PLANS: &[(&str, &[&str])] = &[
    (
        lease::statements::OWNED,
        &[
            "alloc_lease_active (owner=? AND <expr>=? AND family=?)",
            "alloc_lease_quarantined (owner=? AND <expr>=? AND family=?)",
            "alloc_reservation_pinned (owner=? AND network=? AND family=?)",
            "SEARCH alloc_event",
        ],
    ),
    (
        lease::statements::BY_OWNER,
        &[
            "alloc_lease_active (owner=? AND <expr>=?)",
            "alloc_lease_quarantined (owner=? AND <expr>=?)",
        ],
    ),
    (event::statements::BY_ID, &["INTEGER PRIMARY KEY (rowid=?)"]),
    (event::statements::NETWORK_UP, &["alloc_event_by_network (network=? AND id>?)"]),
    (event::statements::NETWORK_DOWN, &["alloc_event_by_network (network=? AND id<?)"]),
    (event::statements::KIND_UP, &["alloc_event_by_kind (kind=? AND network=? AND id>?)"]),
    (event::statements::KIND_DOWN, &["alloc_event_by_kind (kind=? AND network=? AND id<?)"]),
    (event::statements::SUBJECT_UP, &["alloc_event_by_subject (subject=? AND id>?)"]),
    (event::statements::SUBJECT_DOWN, &["alloc_event_by_subject (subject=? AND id<?)"]),
    (
        event::statements::NETWORKS,
        &[
            "alloc_event_by_kind (kind=? AND network>?)",
            "alloc_event_by_kind (kind=? AND network>?)",
        ],
    ),
    (lease::statements::BY_ADDRESS, &[LEASE]),
    (lease::statements::LIST, &["PRIMARY KEY (network=? AND address>?)"]),
    (lease::statements::QUARANTINE, &[LEASE]),
    (lease::statements::HOLD, &[LEASE]),
    (lease::statements::PASS_ON, &[LEASE]),
    (lease::statements::NEXT_NUMBER, &["SEARCH alloc_event"]),
    (lease::statements::PROLONG, &[LEASE]),
    (lease::statements::ACTIVATE, &[LEASE]),
    (reclaim::DELETE, &[LEASE]),
    (reclaim::ENDED, &["alloc_lease_held (hold_until<?)"]),
    (reclaim::ENDED_OF_POOL, &["alloc_lease_held_of_pool (pool=? AND hold_until<?)"]),
    (reclaim::EXPIRED, &["alloc_lease_ending (until>? AND until<?)"]),
    (
        reclaim::EXPIRED_OF_NETWORK,
        &["alloc_lease_ending_of_network (<expr>=? AND until>? AND until<?)"],
    ),
    (fullness::OPEN, &["alloc_pool_open (network=? AND family=? AND (position,id)>(?,?))"]),
    (pool::statements::OVERLAPPING, &["alloc_pool_by_address (network=? AND family=? AND last>?)"]),
    (pool::statements::BY_NETWORK, &["alloc_pool_by_network ((network,id)>(?,?))"]),
    (
        pool::statements::WITHIN,
        &[
            "alloc_pool_by_address (network=? AND family=? AND last>? AND last<?)",
            "alloc_pool_by_address (network=? AND family=? AND last>?)",
            "alloc_block_by_address (network=? AND family=? AND last>? AND last<?)",
            "alloc_block_by_address (network=? AND family=? AND last>?)",
        ],
    ),
    (pool::statements::BLOCKS, &["alloc_block_by_pool (parent=? AND last>?)"]),
    (block::BY_POOL, &["alloc_block_by_pool (parent=? AND last>?)"]),
    (block::BY_NETWORK, &["alloc_block_by_network ((network,id)>(?,?))"]),
    (
        lease::statements::AT,
        &[
            LEASE,
            "alloc_pool_by_address (network=? AND family=? AND last>?)",
            "alloc_block_by_address (network=? AND family=? AND last>?)",
            "PRIMARY KEY (network=? AND family=? AND last>?)",
        ],
    ),
    (interval::LOWEST, &["PRIMARY KEY (pool=?)"]),
    (interval::AT_OR_ABOVE, &["PRIMARY KEY (pool=? AND last>?)"]),
    (interval::NEXT_BELOW, &["PRIMARY KEY (pool=? AND last<?)"]),
    (interval::SET_FIRST, &["PRIMARY KEY (pool=? AND last=?)"]),
];

const LEASE: &str = "PRIMARY KEY (network=? AND address=?)";

#[test]
fn a_run_of_free_addresses_the_wrong_way_round_gives_nothing_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    store.connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
    store.transaction(|tx| tx.script("UPDATE alloc_interval SET first = x'0affffff'")).unwrap();
    let address = "10.255.255.255".parse().unwrap();
    let named = Request { address: "10.0.0.7".parse().ok(), ..request(2) };
    for request in [request(1), named] {
        let refused = store.transaction(|tx| allocate(tx, 1, &ACTOR, &request));
        assert_eq!(refused, Err(Error::Inconsistent { pool: PoolId([2; 16]), address }));
    }
}
