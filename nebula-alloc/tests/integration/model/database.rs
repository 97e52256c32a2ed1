//! The two engines, and how each comes to an end and back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

#[cfg(feature = "postgres")]
use nebula_alloc::Postgres;
use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::list;
use nebula_alloc::pool::{self, Pool, Usage};
use nebula_alloc::reservation::{self, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::sqlite::SqliteTransaction;
use nebula_alloc::verify::verify;
use nebula_alloc::{AddressRange, Error, Family, NetworkId, PoolId, Sqlite};

use super::state::{Leases, Model, addresses};
use super::step::{End, address, network};

type Work<'a, T> = &'a mut dyn FnMut(&mut dyn Transaction) -> Result<T, Error>;

#[allow(clippy::large_enum_variant, reason = "a few of them, in tests")]
pub enum Database {
    Sqlite(Box<Files>),
    #[cfg(feature = "postgres")]
    Postgres(Box<Server>),
}

impl Database {
    pub fn transaction<T>(&mut self, work: Work<'_, T>) -> Result<T, Error> {
        match self {
            Self::Sqlite(files) => files.store().transaction(work),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => server.store.transaction(work),
        }
    }

    pub fn reopen(&mut self) {
        match self {
            Self::Sqlite(files) => files.open(),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => server.store = Postgres::connect(&server.url).unwrap(),
        }
    }

    /// Works, and meets an end before the commit.
    pub fn crash(&mut self, end: End, work: Work<'_, ()>) {
        match self {
            Self::Sqlite(files) => files.crash(end, work),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => server.crash(end, work),
        }
    }

    pub fn assert_sound(&mut self) {
        assert_eq!(self.transaction(&mut |tx| verify(tx)), Ok(vec![]));
    }
}

/// A SQLite database in a directory of its own.
pub struct Files {
    directory: tempfile::TempDir,
    store: Option<Box<Sqlite>>,
}

impl Files {
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::tempdir_in(place).unwrap();
        let mut files = Self { directory, store: None };
        files.open();
        files
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }

    fn store(&mut self) -> &mut Sqlite {
        self.store.as_mut().unwrap()
    }

    fn open(&mut self) {
        self.store = None;
        self.store = Some(Box::new(Sqlite::open(self.path()).unwrap()));
    }

    fn crash(&mut self, end: End, work: Work<'_, ()>) {
        let mut connection = rusqlite::Connection::open(self.path()).unwrap();
        // So little memory that pages reach the log before the commit.
        connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA cache_size = 2").unwrap();
        let immediate = rusqlite::TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(immediate).unwrap();
        let _ = work(&mut SqliteTransaction::new(&transaction));
        // Without a rollback of ours.
        std::mem::forget(transaction);
        let found = match end {
            End::Connection => None,
            End::Process | End::Server => Some(self.copied()),
        };
        drop(connection);
        if let Some(directory) = found {
            self.store = None;
            self.directory = directory;
        }
        self.open();
    }

    /// What a process that is killed now leaves to the next.
    fn copied(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir_in(self.directory.path().parent().unwrap()).unwrap();
        for name in ["test.db", "test.db-wal", "test.db-shm"] {
            let file = self.directory.path().join(name);
            std::fs::copy(file, copy.path().join(name)).unwrap();
        }
        copy
    }
}

/// By which the server knows our connection.
#[cfg(feature = "postgres")]
const NAME: &str = "nebula-alloc-model";

/// A schema of a PostgreSQL server.
#[cfg(feature = "postgres")]
pub struct Server {
    cluster: &'static crate::shared::postgres::Cluster,
    url: String,
    store: Postgres,
}

#[cfg(feature = "postgres")]
impl Server {
    pub fn new(cluster: &'static crate::shared::postgres::Cluster) -> Self {
        let url = format!("{} application_name={NAME}", cluster.schema());
        Self { cluster, store: Postgres::connect(&url).unwrap(), url }
    }

    fn crash(&mut self, end: End, work: Work<'_, ()>) {
        let cluster = self.cluster;
        let mut killed = false;
        let outcome: Result<(), Error> = self.store.transaction(|tx| {
            // A refusal has ended the transaction already.
            work(tx).and_then(|()| tx.flush())?;
            match end {
                End::Connection => {
                    let me = tx.query("SELECT pg_terminate_backend(pg_backend_pid())", &[]);
                    assert!(matches!(me, Err(Error::Unavailable { .. })), "{me:?}");
                }
                End::Process => assert_eq!(cluster.terminate(NAME), 1),
                End::Server => {
                    cluster.kill();
                    killed = true;
                }
            }
            Ok(())
        });
        assert!(outcome.is_err(), "committed after the end");
        if killed {
            cluster.start();
        }
    }
}

/// All that is stored, as far as the model knows of it.
#[derive(Debug, PartialEq)]
pub struct Whole {
    pools: BTreeMap<PoolId, (Pool, Usage)>,
    blocks: BTreeMap<PoolId, (Block, Usage)>,
    reservations: Vec<(NetworkId, Reservation)>,
    free: BTreeSet<(PoolId, IpAddr)>,
    leases: Leases,
}

pub const NETWORKS: [u8; 2] = [1, 2];

pub fn leases(tx: &mut dyn Transaction) -> Result<Leases, Error> {
    let mut leases = Leases::new();
    for number in NETWORKS {
        for lease in list(tx, network(number), None, usize::MAX)? {
            leases.insert((lease.network, lease.address), lease);
        }
    }
    Ok(leases)
}

impl Whole {
    pub fn stored(tx: &mut dyn Transaction) -> Result<Self, Error> {
        let mut whole = Self {
            pools: BTreeMap::new(),
            blocks: BTreeMap::new(),
            reservations: Vec::new(),
            free: BTreeSet::new(),
            leases: leases(tx)?,
        };
        for number in NETWORKS {
            let of = network(number);
            for pool in pool::by_network(tx, of, None, usize::MAX)? {
                assert_eq!(pool::by_id(tx, pool.id)?, Some(pool));
                whole.pools.insert(pool.id, (pool, pool::usage(tx, pool.id)?));
                for block in block::by_pool(tx, pool.id, None, usize::MAX)? {
                    let family = block.range.family();
                    assert_eq!(block::by_name(tx, of, family, &block.name)?, Some(block.clone()));
                    whole.blocks.insert(block.id, (block.clone(), pool::usage(tx, block.id)?));
                }
            }
            for family in [Family::V4, Family::V6] {
                let first = address(number, family, 0);
                let kept = reservation::list(tx, of, first, usize::MAX)?;
                whole.reservations.extend(kept.into_iter().map(|kept| (of, kept)));
            }
        }
        for row in tx.query("SELECT pool, first, last FROM alloc_interval", &[])? {
            let mut row = row.columns();
            let pool = PoolId(row.array()?);
            let range = AddressRange::new(row.address()?, row.address()?)?;
            for address in addresses(range) {
                let new = whole.free.insert((pool, address));
                assert!(new, "{address} is free twice");
            }
        }
        Ok(whole)
    }

    pub fn expected(model: &Model) -> Self {
        let usage = |id| model.usage(model.space(id).unwrap());
        let mut reservations = model.reservations.clone();
        reservations.sort_by_key(|(of, kept)| (*of, kept.range.first()));
        Self {
            pools: model.pools.iter().map(|pool| (pool.id, (*pool, usage(pool.id)))).collect(),
            blocks: model
                .blocks
                .iter()
                .map(|block| (block.id, (block.clone(), usage(block.id))))
                .collect(),
            reservations,
            free: model
                .spaces()
                .flat_map(|space| model.free(space.id).into_iter().map(move |ip| (space.id, ip)))
                .collect(),
            leases: model.leases.clone(),
        }
    }
}
