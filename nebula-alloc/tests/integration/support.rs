//! What the tests share: an empty store on either engine, short ids, short requests.
#![allow(clippy::large_enum_variant, reason = "a few of them, in tests")]

pub mod busy;
pub mod history;
#[cfg(feature = "postgres")]
pub mod told;
pub mod workload;

use std::net::IpAddr;
use std::path::PathBuf;

use nebula_alloc::lease::{Lease, Request, allocate, list};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::store::Transaction;
use nebula_alloc::verify::verify;
use nebula_alloc::{
    Actor, AddressRange, Error, Family, NetworkId, OwnerId, PoolId, Readers, Sqlite, Writer,
    WriterOptions, usable,
};
#[cfg(feature = "postgres")]
use nebula_alloc::{Postgres, PostgresReaders};
use tempfile::TempDir;

pub const NETWORK: NetworkId = NetworkId([1; 16]);
pub const NOW: i64 = 1_800_000_000;
pub const DAY: i64 = 86_400;
pub const ACTOR: Actor<'static> = Actor::named("test");

/// Makes an empty store, on the engine that a test is run for.
pub type New = fn() -> Store;

pub struct Store {
    engine: Engine,
    /// Where SQLite's file is.
    directory: Option<TempDir>,
}

enum Engine {
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
}

impl Store {
    /// On SQLite, in a directory of its own.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(directory.path().join("test.db")).unwrap();
        Self { engine: Engine::Sqlite(sqlite), directory: Some(directory) }
    }

    /// On PostgreSQL, in the schema of this address.
    #[cfg(feature = "postgres")]
    pub fn on(url: &str) -> Self {
        Self { engine: Engine::Postgres(Postgres::connect(url).unwrap()), directory: None }
    }

    /// SQLite's file.
    pub fn path(&self) -> PathBuf {
        self.directory.as_ref().unwrap().path().join("test.db")
    }

    /// Commits what succeeds.
    pub fn run<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match &mut self.engine {
            Engine::Sqlite(sqlite) => sqlite.transaction(work),
            #[cfg(feature = "postgres")]
            Engine::Postgres(postgres) => postgres.transaction(work),
        }
    }

    /// A connection that only reads.
    pub fn reader(&self) -> Reader {
        match &self.engine {
            Engine::Sqlite(sqlite) => Reader::Sqlite(sqlite.readers(1).unwrap()),
            #[cfg(feature = "postgres")]
            Engine::Postgres(postgres) => Reader::Postgres(postgres.readers(1).unwrap()),
        }
    }

    pub fn pool(&mut self, id: u8, prefix: &str) -> PoolId {
        self.ranged(id, usable(prefix.parse().unwrap()).unwrap())
    }

    pub fn ranged(&mut self, id: u8, range: AddressRange) -> PoolId {
        let pool = pool_of(id, range);
        self.run(|tx| pool::create(tx, NOW, &ACTOR, &pool)).unwrap();
        pool.id
    }

    pub fn allocate(&mut self, number: u64) -> Result<IpAddr, Error> {
        self.at(NOW, &request(number)).map(|lease| lease.address)
    }

    pub fn at(&mut self, now: i64, request: &Request) -> Result<Lease, Error> {
        self.run(|tx| allocate(tx, now, &ACTOR, request))
    }

    pub fn leases(&mut self) -> Vec<Lease> {
        self.run(|tx| list(tx, NETWORK, None, usize::MAX)).unwrap()
    }

    pub fn free(&mut self, pool: PoolId) -> u128 {
        self.run(|tx| pool::free(tx, pool)).unwrap()
    }

    pub fn count(&mut self, sql: &str) -> i64 {
        self.run(|tx| tx.query(sql, &[])?[0].columns().integer()).unwrap()
    }

    pub fn assert_sound(&mut self) {
        assert_eq!(self.run(|tx| verify(tx)).unwrap(), []);
    }

    /// A table, `doomed (number)`: a commit that comes with a row of it fails.
    pub fn dooming_table(&mut self) {
        let script = match &self.engine {
            Engine::Sqlite(_) => {
                "CREATE TABLE none (number BIGINT NOT NULL PRIMARY KEY);
                 CREATE TABLE doomed (number BIGINT REFERENCES none (number)
                     DEFERRABLE INITIALLY DEFERRED)"
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => {
                "CREATE TABLE doomed (number BIGINT);
                 CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     RAISE EXCEPTION 'doomed';
                 END $$;
                 CREATE CONSTRAINT TRIGGER doom AFTER INSERT ON doomed
                     DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION doom()"
            }
        };
        self.run(|tx| tx.script(script)).unwrap();
    }

    /// The writer, and what must outlive it.
    pub fn writer(self, options: WriterOptions) -> (Writer, Option<TempDir>) {
        self.writer_by(|| NOW, options)
    }

    /// With a clock of its own.
    pub fn writer_by(
        self,
        clock: impl Fn() -> i64 + Send + 'static,
        options: WriterOptions,
    ) -> (Writer, Option<TempDir>) {
        let writer = match self.engine {
            Engine::Sqlite(sqlite) => Writer::start(sqlite, clock, options),
            #[cfg(feature = "postgres")]
            Engine::Postgres(postgres) => Writer::start(postgres, clock, options),
        };
        (writer.unwrap(), self.directory)
    }
}

pub enum Reader {
    Sqlite(Readers),
    #[cfg(feature = "postgres")]
    Postgres(PostgresReaders),
}

impl Reader {
    pub fn read<T>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Sqlite(readers) => readers.read(work),
            #[cfg(feature = "postgres")]
            Self::Postgres(readers) => readers.read(work),
        }
    }
}

pub fn pool_of(id: u8, range: AddressRange) -> Pool {
    Pool { id: PoolId([id; 16]), network: NETWORK, range, position: i64::from(id) }
}

pub fn range(first: &str, last: &str) -> AddressRange {
    AddressRange::new(ip(first), ip(last)).unwrap()
}

pub fn owner(number: u64) -> OwnerId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    OwnerId(bytes)
}

pub fn request(number: u64) -> Request {
    Request {
        network: NETWORK,
        owner: owner(number),
        family: Family::V4,
        address: None,
        pool: None,
        hold_until: NOW,
        until: None,
    }
}

/// The requests of one actor.
pub fn asked(requests: &[Request]) -> Vec<(Actor<'static>, Request)> {
    requests.iter().map(|request| (ACTOR, *request)).collect()
}

pub fn given(number: u64, address: &str) -> Request {
    let address = ip(address);
    Request { address: Some(address), family: Family::of(address), ..request(number) }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
