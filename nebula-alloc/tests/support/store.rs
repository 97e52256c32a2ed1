//! What the tests share: a database in a directory of its own, short ids, short requests.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, unreachable_pub)]

use std::net::IpAddr;
use std::path::PathBuf;

use nebula_alloc::lease::{Lease, Request, allocate, list};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::store::Transaction;
use nebula_alloc::verify::verify;
use nebula_alloc::{
    Actor, AddressRange, Error, Family, NetworkId, OwnerId, PoolId, Sqlite, Writer, WriterOptions,
    usable,
};

pub const NETWORK: NetworkId = NetworkId([1; 16]);
pub const NOW: i64 = 1_800_000_000;
pub const DAY: i64 = 86_400;
pub const ACTOR: Actor<'static> = Actor::named("test");

pub struct Store {
    pub sqlite: Sqlite,
    directory: tempfile::TempDir,
}

impl Store {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(directory.path().join("test.db")).unwrap();
        Self { sqlite, directory }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }

    /// Commits what succeeds.
    pub fn run<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.sqlite.transaction(work)
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
        self.run(|tx| tx.query(sql, &[])?[0].integer(0)).unwrap()
    }

    pub fn assert_sound(&mut self) {
        assert_eq!(self.run(|tx| verify(tx)).unwrap(), []);
    }

    pub fn writer(self, options: WriterOptions) -> (Writer, tempfile::TempDir) {
        (Writer::start(self.sqlite, || NOW, options).unwrap(), self.directory)
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
