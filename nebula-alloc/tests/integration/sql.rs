//! Which SQL does the crate run, and how does each engine find the rows?
//!
//! `sql/sqlite.sql` and `sql/postgres.sql` are what the operations below ran, to be read in a
//! review. After a change: `UPDATE_SQL=1 cargo test -p nebula-alloc --features postgres sql::`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use crate::shared::postgres;
use nebula_alloc::block::{self, Block};
use nebula_alloc::import::{self, Assignment};
use nebula_alloc::lease::{self, Request};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reclaim;
use nebula_alloc::removal;
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::{Param, Row, Transaction};
use nebula_alloc::verify::verify;
use nebula_alloc::{
    Actor, AddressRange, Error, Family, NetworkId, OwnerId, PoolId, Sqlite, event, limits,
};

const NETWORK: NetworkId = NetworkId([1; 16]);
const POOL: PoolId = PoolId([2; 16]);
const BLOCK: PoolId = PoolId([3; 16]);
const ACTOR: Actor<'static> = Actor::named("test");
const NOW: i64 = 1_800_000_000;

#[test]
fn sqlite_runs_what_is_committed_and_walks_no_table() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(directory.path().join("sql.db")).unwrap();
    let (schema, seen) = store
        .transaction(|tx| {
            let schema =
                tx.query("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name", &[])?;
            let seen = run(tx)?;
            Ok::<_, Error>((schema, seen))
        })
        .unwrap();
    let mut text = String::from("-- The tables.\n\n");
    for row in &schema {
        writeln!(text, "{};\n", row.columns().text().unwrap()).unwrap();
    }
    text.push_str("-- What is run, and how it finds its rows.\n\n");
    store
        .transaction(|tx| {
            for sql in seen.keys() {
                let plan = tx.query(&format!("EXPLAIN QUERY PLAN {sql}"), &nulls(sql))?;
                for row in &plan {
                    let mut row = row.columns();
                    (0..3).for_each(|_| row.skip());
                    let way = row.text()?;
                    assert!(!way.starts_with("SCAN alloc_") || walks(sql), "{sql}\n{way}");
                    writeln!(text, "-- {way}").unwrap();
                }
                writeln!(text, "{sql};\n").unwrap();
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    compare("sql/sqlite.sql", &text);
}

/// Plans depend on the server's release and are not part of the text; that an index serves each
/// statement is checked, by forbidding the walk over the table.
#[cfg(feature = "postgres")]
#[test]
fn postgres_runs_what_is_committed_and_walks_no_table() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let mut store = nebula_alloc::Postgres::connect(&cluster.schema()).unwrap();
    let seen = store.transaction(run).unwrap();
    let mut text = String::from("-- The tables.\n");
    for migration in nebula_alloc::COMPONENT.migrations {
        let sql = migration
            .sql
            .replace("{blob}", "BYTEA")
            .replace("{identity}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
            .replace(" {clustered}", "");
        writeln!(text, "\n-- Version {}{sql}", migration.version).unwrap();
    }
    text.push_str("\n-- What is run.\n\n");
    store
        .transaction(|tx| {
            tx.script("SET LOCAL plan_cache_mode = force_generic_plan")?;
            tx.script("SET LOCAL enable_seqscan = off")?;
            for (index, (sql, locks)) in seen.iter().enumerate() {
                let sql = if *locks {
                    format!("{sql}\n     FOR UPDATE SKIP LOCKED")
                } else {
                    sql.clone()
                };
                tx.script(&format!("PREPARE look_{index} AS {sql}"))?;
                let nulls = vec!["NULL"; nulls(&sql).len()].join(", ");
                let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
                let plan =
                    tx.query(&format!("EXPLAIN (COSTS OFF) EXECUTE look_{index}{nulls}"), &[])?;
                for row in &plan {
                    let way = row.columns().text()?;
                    assert!(!way.contains("Seq Scan on alloc_") || walks(&sql), "{sql}\n{way}");
                }
                writeln!(text, "{sql};\n").unwrap();
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    compare("sql/postgres.sql", &text);
}

/// With no statistics, and with those of whatever the database held when it was analysed. Not what
/// looks through events: where all are of one kind the primary key is as good.
#[cfg(feature = "postgres")]
#[test]
fn postgres_asks_the_index_that_was_made_for_the_question_whatever_it_knows() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let (one, each) =
        ("decode(lpad('1', 32, '0'), 'hex')", "decode(lpad(i::text, 32, '0'), 'hex')");
    for (state, count, network, owner) in [
        ("nothing analysed", 0, one, one),
        ("no leases", 0, one, one),
        ("one lease", 1, one, one),
        ("one network", 8_000, one, each),
        ("one lease in each network", 8_000, each, each),
        ("one owner in all networks", 8_000, each, one),
    ] {
        let mut store = nebula_alloc::Postgres::connect(&cluster.schema()).unwrap();
        let seen = store.transaction(run).unwrap();
        let numbers = format!("FROM generate_series(1, {count}) AS n (i)");
        store
            .transaction(|tx| {
                tx.script(
                    "DELETE FROM alloc_lease; DELETE FROM alloc_interval;
                     DELETE FROM alloc_pool WHERE parent IS NOT NULL; DELETE FROM alloc_pool;
                     DELETE FROM alloc_event",
                )?;
                tx.script(&format!(
                    "INSERT INTO alloc_pool (id, network, family, position, first, last)
                         SELECT {each}, {network}, 4, 0, {each}, {each} {numbers};
                     INSERT INTO alloc_pool
                             (id, network, family, position, first, last, parent, name)
                         SELECT decode(lpad(i::text, 32, 'f'), 'hex'), {network}, 4, 0, {each},
                             {each}, {each}, i::text {numbers};
                     INSERT INTO alloc_lease
                             (network, address, family, pool, owner, state, hold_until, until)
                         SELECT {network}, {each}, 4, {each}, {owner}, 1 + i % 2, i, i {numbers};
                     INSERT INTO alloc_event (at, network, kind, actor, subject)
                         SELECT i, {network}, 'kind', 'actor', {owner} {numbers}"
                ))?;
                if state != "nothing analysed" {
                    tx.script("ANALYZE alloc_pool, alloc_lease, alloc_event")?;
                }
                tx.script("SET LOCAL plan_cache_mode = force_generic_plan")?;
                tx.script("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")?;
                for (index, (part, ways)) in INDEXES.iter().enumerate() {
                    let sql = seen.keys().find(|sql| sql.contains(part)).unwrap();
                    let name = format!("ask_{count}_{index}");
                    tx.script(&format!("PREPARE {name} AS {sql}"))?;
                    let nulls = vec!["NULL"; nulls(sql).len()].join(", ");
                    let plan = tx.query(&format!("EXPLAIN EXECUTE {name}({nulls})"), &[])?;
                    let plan: Vec<_> =
                        plan.iter().map(|row| row.columns().text().unwrap()).collect();
                    let plan = plan.join("\n");
                    for way in *ways {
                        assert!(plan.contains(&format!("using {way} ")), "{state}: {sql}\n{plan}");
                    }
                    tx.script(&format!("DEALLOCATE {name}"))?;
                }
                Ok::<_, Error>(())
            })
            .unwrap();
    }
}

/// By a part of the text.
#[cfg(feature = "postgres")]
const INDEXES: &[(&str, &[&str])] = &[
    (
        "substr(network, 1) = $1 AND owner = $2 AND family = $3 AND state = 1",
        &["alloc_lease_active", "alloc_lease_quarantined"],
    ),
    (
        "substr(network, 1) = $1 AND owner = $2 AND state = 1",
        &["alloc_lease_active", "alloc_lease_quarantined"],
    ),
    ("(position, id) > ($3, $4)", &["alloc_pool_open"]),
    ("SELECT id, first FROM alloc_pool", &["alloc_pool_by_address"]),
    ("AS beyond", &["alloc_pool_by_address", "alloc_block_by_address"]),
    ("LIMIT 1) AS block", &["alloc_pool_by_address", "alloc_block_by_address"]),
    ("parent = $1 AND parent IS NOT NULL AND last >= $2", &["alloc_block_by_pool"]),
    ("parent IS NULL AND (network, id) > ($1, $2)", &["alloc_pool_by_network"]),
    ("parent IS NOT NULL AND (network, id) > ($1, $2)", &["alloc_block_by_network"]),
    ("released_at IS NULL AND until <= $1", &["alloc_lease_ending"]),
    ("substr(network, 1) = $1 AND state = 1 AND until", &["alloc_lease_ending_of_network"]),
];

/// What reads everything: `verify`, because that is what it is for.
fn walks(sql: &str) -> bool {
    ["LEFT JOIN", "HAVING", "is_full = 1 AND EXISTS", "(network, family, last, first, id) >"]
        .iter()
        .any(|part| sql.contains(part))
        // The last event is where a walk from the end begins.
        || sql.ends_with("FROM alloc_event ORDER BY id DESC LIMIT 1")
}

/// Every operation once, in every way. Answers the texts, and whether their rows are locked.
fn run(tx: &mut dyn Transaction) -> Result<BTreeMap<String, bool>, Error> {
    let mut recorder = Recorder { inner: tx, seen: BTreeMap::new() };
    operations(&mut recorder)?;
    Ok(recorder.seen)
}

fn operations(tx: &mut dyn Transaction) -> Result<(), Error> {
    pool::create(
        tx,
        NOW,
        &ACTOR,
        &Pool { id: POOL, network: NETWORK, range: range(1, 20), position: 0 },
    )?;
    pool::resize(tx, NOW, &ACTOR, POOL, range(2, 30))?;
    pool::set_position(tx, NOW, &ACTOR, POOL, 1)?;
    pool::free_ranges(tx, POOL, address(2), 9)?;
    let block = Block {
        id: BLOCK,
        network: NETWORK,
        pool: POOL,
        name: "block".into(),
        range: range(20, 21),
    };
    block::create(tx, NOW, &ACTOR, &block)?;
    block::resize(tx, NOW, &ACTOR, BLOCK, range(19, 21))?;
    let block = block::resize(tx, NOW, &ACTOR, BLOCK, range(20, 21))?;
    block::by_name(tx, NETWORK, Family::V4, "block")?;
    block::by_pool(tx, POOL, None, 9)?;
    block::by_network(tx, NETWORK, None, 9)?;
    block::find_room(tx, POOL, 2)?;
    for (first, last, purpose) in
        [(25, 26, Purpose::Asking), (27, 27, Purpose::Owner(owner(27))), (28, 28, Purpose::Nobody)]
    {
        let kept = Reservation { range: range(first, last), purpose, note: None };
        reservation::make(tx, NOW, &ACTOR, NETWORK, &kept)?;
    }

    for number in [1, 2, 3, 27] {
        lease::allocate(tx, NOW, &ACTOR, &request(number))?;
    }
    let given = |number, last| Request { address: Some(address(last)), ..request(number) };
    for (number, last) in [(4, 10), (5, 11), (6, 13), (7, 12), (8, 25)] {
        lease::allocate(tx, NOW, &ACTOR, &given(number, last))?;
    }
    lease::allocate(tx, NOW, &ACTOR, &Request { pool: Some(BLOCK), ..request(9) })?;
    lease::allocate(
        tx,
        NOW,
        &ACTOR,
        &Request { until: Some(NOW + 9), hold_until: 9, ..request(10) },
    )?;
    lease::renew(tx, NOW, &ACTOR, NETWORK, owner(10), Some(NOW + 1))?;
    lease::heartbeat(tx, NOW, &ACTOR, NETWORK, owner(10), 9)?;
    reclaim::any_ended(tx, NOW, NETWORK)?;
    reclaim::expire(tx, NOW + 99, &ACTOR, NETWORK, 9, 9)?;
    reclaim::expire_all(tx, NOW + 99, &ACTOR, |_| 9, 9)?;
    for number in [1, 4, 5, 6, 7, 8] {
        lease::release(tx, NOW, &ACTOR, NETWORK, owner(number), 9)?;
    }
    lease::extend_hold(tx, NOW, &ACTOR, NETWORK, owner(1), NOW + 50)?;
    lease::shorten_hold(tx, NOW, &ACTOR, NETWORK, owner(1), 1)?;
    lease::allocate(tx, NOW, &ACTOR, &request(1))?;
    lease::take_over(tx, NOW, &ACTOR, NETWORK, owner(4), owner(40))?;
    lease::transfer(tx, NOW, &ACTOR, NETWORK, owner(2), owner(41))?;
    lease::by_address(tx, NETWORK, address(2))?;
    lease::list(tx, NETWORK, None, 9)?;
    reclaim::reclaim(tx, NOW + 99, &ACTOR, 2)?;
    // More than there are: it takes what has ended, and then there is none.
    for number in 50..80 {
        match lease::allocate(tx, NOW + 99, &ACTOR, &request(number)) {
            Ok(_) | Err(Error::PoolExhausted { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let assignment = Assignment {
        pool: None,
        owner: owner(27),
        address: address(27),
        hold_until: 0,
        until: None,
    };
    assert_eq!(import::conflicts(tx, NOW, NETWORK, &[assignment])?, []);

    reservation::pinned(tx, NETWORK, owner(27), Family::V4)?;
    let lifted = reservation::remove(tx, NOW, &ACTOR, NETWORK, range(28, 28))?;
    assert_eq!(lifted.rest, None);
    pool::by_network(tx, NETWORK, None, 9)?;
    pool::usage(tx, POOL)?;
    event::after(tx, None, 0, 9)?;
    event::after(tx, Some(NETWORK), 0, 9)?;
    for newest_first in [false, true] {
        let all = event::Search { newest_first, ..event::Search::default() };
        for networks in [None, Some(&[NETWORK][..])] {
            for kind in [None, Some(event::kind::RELEASED)] {
                event::search(tx, &event::Search { networks, kind, ..all }, 9)?;
            }
        }
        event::search(tx, &event::Search { subject: Some(&owner(1).0), ..all }, 9)?;
    }
    for _ in 0..2 {
        event::append(tx, &event::Event::new(NOW, "test", "test"))?;
    }
    assert_eq!(event::forget(tx, NOW + 1, 0, 1_000)?.events, 1);
    assert!(event::forget_owner(tx, NETWORK, owner(200))?);
    assert_eq!(verify(tx)?, []);

    let other = Pool { id: PoolId([4; 16]), network: NETWORK, range: range(100, 120), position: 0 };
    pool::create(tx, NOW, &ACTOR, &other)?;
    let block = Block { id: PoolId([5; 16]), pool: other.id, range: range(110, 112), ..block };
    block::create(tx, NOW, &ACTOR, &Block { name: "other".into(), ..block.clone() })?;
    block::delete(tx, NOW, &ACTOR, block.id)?;
    pool::delete(tx, NOW, &ACTOR, other.id)?;
    lift_in_parts(tx)?;
    while removal::remove(tx, NOW, &ACTOR, NETWORK, 9)? {}
    Ok(())
}

fn lift_in_parts(tx: &mut dyn Transaction) -> Result<(), Error> {
    let network = NetworkId([9; 16]);
    let range = AddressRange::new(IpAddr::from([10, 9, 0, 0]), IpAddr::from([10, 9, 15, 255]))?;
    let pool = Pool { id: PoolId([9; 16]), network, range, position: 0 };
    pool::create(tx, NOW, &ACTOR, &pool)?;
    let wishes: Vec<_> = (0..=limits::STANDING)
        .map(|number| {
            let number = u128::try_from(number).unwrap();
            (ACTOR, Request { network, owner: OwnerId(number.to_be_bytes()), ..request(0) })
        })
        .collect();
    lease::allocate_many(tx, NOW, &wishes)?;
    let kept = Reservation { range, purpose: Purpose::Asking, note: None };
    reservation::make(tx, NOW, &ACTOR, network, &kept)?;
    assert!(reservation::remove(tx, NOW, &ACTOR, network, range)?.rest.is_some());
    Ok(())
}

/// Passes everything on and keeps the texts.
struct Recorder<'a> {
    inner: &'a mut dyn Transaction,
    seen: BTreeMap<String, bool>,
}

impl Recorder<'_> {
    fn keep(&mut self, sql: &str, locks: bool) {
        *self.seen.entry(sql.to_owned()).or_default() |= locks;
    }
}

impl Transaction for Recorder<'_> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.keep(sql, false);
        self.inner.execute(sql, params)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.keep(sql, false);
        self.inner.query(sql, params)
    }

    fn query_skip_locked(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.keep(sql, true);
        self.inner.query_skip_locked(sql, params)
    }

    fn queue(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.keep(sql, false);
        self.inner.queue(sql, params)
    }

    fn queue_one(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.keep(sql, false);
        self.inner.queue_one(sql, params)
    }

    fn query_each(&mut self, sql: &str, sets: &[Vec<Param<'_>>]) -> Result<Vec<Vec<Row>>, Error> {
        self.keep(sql, false);
        self.inner.query_each(sql, sets)
    }

    fn query_each_skip_locked(
        &mut self,
        sql: &str,
        sets: &[Vec<Param<'_>>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        self.keep(sql, true);
        self.inner.query_each_skip_locked(sql, sets)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.inner.flush()
    }

    fn instance(&self) -> Option<i64> {
        self.inner.instance()
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.inner.script(sql)
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        self.inner.tables(prefix)
    }
}

fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_SQL").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{file} is not what runs; UPDATE_SQL=1 writes it anew");
}

/// As many values as the text has parameters.
fn nulls(sql: &str) -> Vec<Param<'static>> {
    let count = (1..).take_while(|number| sql.contains(&format!("${number}"))).count();
    vec![Param::Null; count]
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn range(first: u8, last: u8) -> AddressRange {
    AddressRange::new(address(first), address(last)).unwrap()
}

fn owner(number: u8) -> OwnerId {
    OwnerId([number; 16])
}

fn request(number: u8) -> Request {
    Request {
        network: NETWORK,
        owner: owner(number),
        family: Family::V4,
        address: None,
        pool: None,
        hold_until: 0,
        until: None,
    }
}
