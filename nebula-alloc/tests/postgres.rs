//! What does PostgreSQL need, refuse and survive that SQLite does not know?
#![cfg(feature = "postgres")]
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "support/postgres.rs"]
mod server;

use nebula_alloc::lease::Request;
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::store::Value;
use nebula_alloc::verify::verify;
use nebula_alloc::{
    Actor, Allocator, Error, Family, NetworkId, OwnerId, PoolId, Postgres, Writer, WriterOptions,
    usable,
};

const NETWORK: NetworkId = NetworkId([1; 16]);
const POOL: PoolId = PoolId([2; 16]);
const NOW: i64 = 1_800_000_000;

fn request(number: u8) -> Request {
    Request {
        network: NETWORK,
        owner: OwnerId([number; 16]),
        family: Family::V4,
        address: None,
        pool: None,
        hold_until: NOW,
        until: None,
    }
}

fn open(url: &str) -> Postgres {
    Postgres::connect(url).unwrap()
}

fn with_pool(url: &str) -> Postgres {
    let mut store = open(url);
    let range = usable("10.0.0.0/24".parse().unwrap()).unwrap();
    let pool = Pool { id: POOL, network: NETWORK, range, position: 0 };
    store.transaction(|tx| pool::create(tx, NOW, &Actor::named("test"), &pool)).unwrap();
    store
}

fn writer(store: Postgres) -> Writer {
    Writer::start(store, || NOW, WriterOptions::default()).unwrap()
}

#[test]
fn addresses_are_given_out_and_the_rest_stays_sound() {
    let Some(cluster) = server::cluster_in_memory() else { return };
    let url = cluster.schema();
    let allocator = Allocator::new(writer(with_pool(&url)), "test");
    for number in 1..=100 {
        let lease = allocator.allocate(request(number)).unwrap();
        assert_eq!(lease.address.to_string(), format!("10.0.0.{number}"));
        assert_eq!(allocator.allocate(request(number)), Ok(lease));
    }
    let mut store = open(&url);
    assert_eq!(store.transaction(|tx| verify(tx)), Ok(vec![]));
    let readers = store.readers(1).unwrap();
    let count = readers.read(|tx| tx.query("SELECT count(*) FROM alloc_lease", &[]));
    assert_eq!(
        count,
        Ok::<_, Error>(vec![nebula_alloc::store::Row::new(vec![Value::Integer(100)])])
    );
}
