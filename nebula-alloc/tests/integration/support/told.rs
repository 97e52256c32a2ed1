//! What the tests of PostgreSQL share: steps that do as they are told, and a table for them.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use nebula_alloc::lease::{Lease, Request};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Answer, Planned, Step};
use nebula_alloc::{
    Actor, Error, Family, NetworkId, OwnerId, PoolId, Postgres, Writer, WriterOptions, usable,
};

pub const NETWORK: NetworkId = NetworkId([1; 16]);
pub const POOL: PoolId = PoolId([2; 16]);
pub const ACTOR: Actor<'static> = Actor::named("test");
pub const NOW: i64 = 1_800_000_000;

pub fn request(number: u8) -> Request {
    Request {
        network: NETWORK,
        owner: OwnerId([number; 16]),
        family: Family::V4,
        address: None,
        hold_until: NOW,
        until: None,
        pool: None,
    }
}

pub fn open(url: &str) -> Postgres {
    Postgres::connect(url).unwrap()
}

pub fn with_pool(url: &str) -> Postgres {
    let mut store = open(url);
    let range = usable("10.0.0.0/24".parse().unwrap()).unwrap();
    let pool = Pool { id: POOL, network: NETWORK, range, position: 0 };
    store.transaction(|tx| pool::create(tx, NOW, &ACTOR, &pool)).unwrap();
    store
}

pub fn writer(store: Postgres) -> Writer {
    Writer::start(store, || NOW, WriterOptions::default()).unwrap()
}

pub type Write = Box<dyn FnMut(&mut dyn Transaction) -> Result<i64, Error> + Send>;

/// A step about one key that does as it is told.
pub struct Told {
    key: u8,
    plan: Write,
    write: Write,
}

impl Told {
    pub fn new(
        key: u8,
        write: impl FnMut(&mut dyn Transaction) -> Result<i64, Error> + Send + 'static,
    ) -> Self {
        Self { key, plan: Box::new(|_| Ok(0)), write: Box::new(write) }
    }

    pub fn about(self, key: u8) -> Self {
        Self { key, ..self }
    }

    pub fn planning(
        self,
        plan: impl FnMut(&mut dyn Transaction) -> Result<i64, Error> + Send + 'static,
    ) -> Self {
        Self { plan: Box::new(plan), ..self }
    }
}

impl Step for Told {
    type Plan = i64;
    type Output = i64;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(vec![self.key])
    }

    fn plan(&mut self, tx: &mut dyn Transaction, _: i64) -> Result<Planned<i64>, Error> {
        Ok(Planned::without_addresses((self.plan)(tx)?))
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        _: i64,
        planned: i64,
        _: &[Lease],
    ) -> Result<i64, Error> {
        Ok(planned + (self.write)(tx)?)
    }
}

/// Has all of them in one batch: they are queued while the writer is kept busy.
pub fn batch(writer: &Writer, steps: Vec<Told>) -> Vec<Result<i64, Error>> {
    let (release, wait) = channel::<()>();
    let (entered, inside) = channel();
    let busy = Told::new(0, move |_| {
        let _ = wait.recv();
        Ok(0)
    });
    let busy = writer.send(busy.planning(move |_| {
        let _ = entered.send(());
        Ok(0)
    }));
    inside.recv().unwrap();
    let answers: Vec<_> = steps.into_iter().map(|step| writer.send(step)).collect();
    drop(release);
    busy.wait().unwrap();
    answers.into_iter().map(Answer::wait).collect()
}

/// A table of the test's own, `mine (id, value)`, and one row of each `id` below 4.
pub fn with_table(url: &str) -> Postgres {
    let mut store = with_pool(url);
    store
        .transaction(|tx| {
            tx.script("CREATE TABLE mine (id BIGINT NOT NULL PRIMARY KEY, value BIGINT NOT NULL)")?;
            for id in 0..4 {
                tx.queue(INSERT, &[id.into(), 0.into()])?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    store
}

pub const INSERT: &str = "INSERT INTO mine (id, value) VALUES ($1, $2)";
pub const SELECT: &str = "SELECT value FROM mine WHERE id = $1";
pub const UPDATE: &str = "UPDATE mine SET value = $1 WHERE id = $2";

pub fn value(tx: &mut dyn Transaction, id: i64) -> Result<i64, Error> {
    tx.query(SELECT, &[id.into()])?[0].columns().integer()
}

pub fn rows(url: &str) -> i64 {
    let count = "SELECT count(*) FROM mine";
    open(url).transaction(|tx| tx.query(count, &[])?[0].columns().integer()).unwrap()
}

/// Waits for what must come about by itself.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}
