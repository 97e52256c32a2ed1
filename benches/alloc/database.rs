//! Databases with many addresses given out, made by writing their rows and not by allocating.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nebula_alloc::event::kind;
use nebula_alloc::lease::Request;
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::verify::verify;
use nebula_alloc::{Actor, AddressRange, Family, NetworkId, OwnerId, PoolId, Sqlite, usable};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use crate::Outcome;
use crate::random::Random;
use crate::report::count;

pub(crate) const NETWORK: NetworkId = NetworkId([1; 16]);
pub(crate) const POOL: PoolId = PoolId([2; 16]);
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const ACTOR: Actor<'static> = Actor::named("bench");

/// How many addresses are given out in the smallest database.
const SMALLEST: u64 = 1_000;

/// Databases up to this size are copied before they are written to, so that they keep it; larger
/// ones hardly grow.
const COPIED: u64 = 100_000;

/// Databases up to this size are proven sound once they are made. Larger ones come from the same
/// code.
const VERIFIED: u64 = 1_000_000;

/// How the addresses of a database lie.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    prefix: &'static str,
    /// Every second address is free again.
    fragmented: bool,
    /// Owners have random ids, else ordered by time.
    pub(crate) random: bool,
}

pub(crate) const LAYOUTS: [Layout; 5] = [
    Layout::new("/8, no gaps", "10.0.0.0/8", false),
    Layout::new("/8, every second free again", "10.0.0.0/8", true),
    Layout::new("IPv6 /64, no gaps", "fd00::/64", false),
    Layout::new("IPv6 /64, every second free again", "fd00::/64", true),
    Layout { random: true, ..Layout::new("/8, no gaps, random owner ids", "10.0.0.0/8", false) },
];

impl Layout {
    const fn new(name: &'static str, prefix: &'static str, fragmented: bool) -> Self {
        Self { name, prefix, fragmented, random: false }
    }

    fn range(self) -> Outcome<AddressRange> {
        Ok(usable(self.prefix.parse()?).ok_or("not a prefix of Nebula's")?)
    }

    /// The wish of the owner of this number, the first being 0.
    pub(crate) fn request(self, number: u64) -> Outcome<Request> {
        Ok(Request {
            network: NETWORK,
            owner: self.owner(number),
            family: self.range()?.family(),
            address: None,
            pool: None,
            hold_until: NOW,
            until: None,
        })
    }

    fn owner(self, number: u64) -> OwnerId {
        let (mut random, mut id) = (Random(number), [0; 16]);
        let (high, low) = id.split_at_mut(8);
        let first = if self.random { random.next() } else { number };
        high.copy_from_slice(&first.to_be_bytes());
        low.copy_from_slice(&random.next().to_be_bytes());
        OwnerId(id)
    }
}

/// The databases of a run, made when they are first asked for, each size and layout once.
pub(crate) struct Databases {
    directory: PathBuf,
    pub(crate) sizes: Vec<u64>,
}

impl Databases {
    pub(crate) fn new(directory: &Path, largest: u64) -> Self {
        let mut sizes = vec![SMALLEST];
        while let Some(size) = sizes.last().and_then(|size| size.checked_mul(10))
            && size <= largest
        {
            sizes.push(size);
        }
        Self { directory: directory.to_owned(), sizes }
    }

    /// A database in which so many addresses have been given out, closed.
    pub(crate) fn database(&self, layout: Layout, size: u64) -> Outcome<PathBuf> {
        let name: String = layout.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let path = self.directory.join(format!("{name}-{size}.db"));
        if !path.exists() {
            let start = Instant::now();
            make(&path, layout, size)?;
            if size >= VERIFIED {
                let seconds = start.elapsed().as_secs();
                println!("made {}: {} addresses in {seconds} s", layout.name, count(size));
            }
        }
        Ok(path)
    }

    /// The same, to be written to.
    pub(crate) fn writable(&self, layout: Layout, size: u64) -> Outcome<PathBuf> {
        let path = self.database(layout, size)?;
        if size > COPIED {
            return Ok(path);
        }
        let copy = path.with_extension("copy");
        fs::copy(path, &copy)?;
        Ok(copy)
    }

    /// Makes room for the next layout.
    pub(crate) fn remove(&self, layout: Layout) -> Outcome<()> {
        for size in &self.sizes {
            let path = self.database(layout, *size)?;
            let copy = path.with_extension("copy");
            if copy.exists() {
                fs::remove_file(copy)?;
            }
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// A connection set as the library's own, but for not waiting for the disk: a wait that is the same
/// for each size would hide what differs.
pub(crate) fn connect(path: &Path) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON")?;
    Ok(connection)
}

/// A database without pools, closed.
pub(crate) fn empty(path: &Path) -> Outcome<()> {
    Sqlite::open(path)?;
    Ok(())
}

fn make(path: &Path, layout: Layout, size: u64) -> Outcome<()> {
    let range = layout.range()?;
    Sqlite::open(path)?.transaction(|tx| {
        pool::create(tx, NOW, &ACTOR, &Pool { id: POOL, network: NETWORK, range, position: 0 })
    })?;
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")?;
    // Sorting once is faster than inserting in any order.
    let indexes = indexes(&connection)?;
    for (name, _) in &indexes {
        connection.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    fill(&connection, layout, size)?;
    for (_, sql) in &indexes {
        connection.execute_batch(sql)?;
    }
    connection.execute_batch("COMMIT; PRAGMA journal_mode = WAL")?;
    drop(connection);
    if size <= VERIFIED {
        let found = Sqlite::open(path)?.transaction(verify)?;
        if let Some(violation) = found.first() {
            return Err(format!("{}: {violation}", layout.name).into());
        }
    }
    Ok(())
}

/// The name and text of each index of leases and events that is not a key's.
fn indexes(connection: &Connection) -> Outcome<Vec<(String, String)>> {
    let mut statement = connection.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL
         AND tbl_name IN ('alloc_lease', 'alloc_event')",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Leases, free intervals and events as they are after `size` allocations and, in a fragmented
/// one, the release of every second.
fn fill(connection: &Connection, layout: Layout, size: u64) -> Outcome<()> {
    let range = layout.range()?;
    let family: i64 = if range.family() == Family::V4 { 4 } else { 6 };
    let mut lease = connection.prepare(
        "INSERT INTO alloc_lease (network, address, family, pool, owner, state, hold_until)
         VALUES (?, ?, ?, ?, ?, 1, ?)",
    )?;
    let mut free =
        connection.prepare("INSERT INTO alloc_interval (pool, last, first) VALUES (?, ?, ?)")?;
    let mut event = connection.prepare(
        "INSERT INTO alloc_event (at, network, kind, actor, subject, address, detail)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    connection.execute("DELETE FROM alloc_interval", [])?;
    for number in 0..size {
        let (address, owner) = (octets(range.first(), number)?, layout.owner(number));
        let mut tell = |kind: &str, detail: Option<&str>| {
            let row = params![NOW, NETWORK.0, kind, ACTOR.name, owner.0, address, detail];
            event.execute(row).map(drop)
        };
        tell(kind::ALLOCATED, None)?;
        // Not the last one, which would join what is free above.
        if layout.fragmented && number % 2 == 0 {
            tell(kind::RELEASED, Some("released"))?;
            tell(kind::FREED, None)?;
            free.execute(params![POOL.0, address, address])?;
        } else {
            lease.execute(params![NETWORK.0, address, family, POOL.0, owner.0, NOW])?;
        }
    }
    free.execute(params![POOL.0, octets(range.last(), 0)?, octets(range.first(), size)?])?;
    Ok(())
}

/// The stored form of the address that comes `number` after this one.
fn octets(address: IpAddr, number: u64) -> Outcome<Vec<u8>> {
    let beyond = "more addresses than the pool has";
    Ok(match address {
        IpAddr::V4(first) => {
            let address = u32::from(first).checked_add(number.try_into()?).ok_or(beyond)?;
            Ipv4Addr::from(address).octets().to_vec()
        }
        IpAddr::V6(first) => {
            let address = u128::from(first).checked_add(number.into()).ok_or(beyond)?;
            Ipv6Addr::from(address).octets().to_vec()
        }
    })
}
