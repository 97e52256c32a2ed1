//! What happens to a pool that grows, shrinks or goes?

use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::{allocate_many, release};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reclaim::reclaim;
use nebula_alloc::{AddressRange, Error, Family, PoolId};

use crate::support::*;

const POOL: PoolId = PoolId([1; 16]);

fn part(first: u8, last: u8) -> AddressRange {
    range(&format!("10.0.0.{first}"), &format!("10.0.0.{last}"))
}

fn resize(store: &mut Store, range: AddressRange) -> Result<Pool, Error> {
    store.run(|tx| pool::resize(tx, NOW, &ACTOR, POOL, range))
}

fn delete(store: &mut Store) -> Result<(), Error> {
    store.run(|tx| pool::delete(tx, NOW, &ACTOR, POOL))
}

fn standing(addresses: &[&str]) -> Error {
    let addresses = addresses.iter().map(|address| ip(address)).collect();
    Error::LeasesStand { network: NETWORK, addresses, more: false }
}

fn with_block(new: New) -> Store {
    let mut store = new();
    store.ranged(1, part(1, 9));
    let (id, name, range) = (PoolId([50; 16]), "block".into(), part(3, 5));
    let block = Block { id, network: NETWORK, pool: POOL, name, range };
    store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
    store
}

pub fn it_grows_at_both_ends_and_its_leases_stay(new: New) {
    let mut store = new();
    store.ranged(1, part(10, 12));
    let leases: Vec<_> = (1..=3).map(|n| store.at(NOW, &request(n)).unwrap()).collect();
    let pool = resize(&mut store, part(8, 14)).unwrap();
    assert_eq!((pool.range, pool.position), (part(8, 14), 1));
    assert_eq!(store.run(|tx| pool::by_id(tx, POOL)), Ok(Some(pool)));
    assert_eq!(store.leases(), leases);
    store.assert_sound();
    let got: Vec<_> = (4..=7).map(|n| store.allocate(n).unwrap().to_string()).collect();
    assert_eq!(got, ["10.0.0.8", "10.0.0.9", "10.0.0.13", "10.0.0.14"]);
    assert!(matches!(store.allocate(9), Err(Error::PoolExhausted { .. })));
    store.assert_sound();
}

pub fn what_it_gains_joins_what_is_free(new: New) {
    let mut store = new();
    store.ranged(1, part(10, 12));
    resize(&mut store, part(8, 14)).unwrap();
    assert_eq!(store.count("SELECT count(*) FROM alloc_interval"), 1);
}

pub fn it_shrinks_to_what_is_in_use(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 20));
    for last in [5_u8, 9] {
        store.at(NOW, &given(u64::from(last), &format!("10.0.0.{last}"))).unwrap();
    }
    for (range, free) in [(part(2, 19), 16), (part(5, 9), 3)] {
        resize(&mut store, range).unwrap();
        assert_eq!(store.free(POOL), free);
        store.assert_sound();
    }
    for number in 20..23 {
        store.allocate(number).unwrap();
    }
    assert!(matches!(store.allocate(30), Err(Error::PoolExhausted { .. })));
    let refused = store.at(NOW, &given(30, "10.0.0.4"));
    assert!(matches!(refused, Err(Error::AddressOutsidePools { .. })), "{refused:?}");
}

pub fn it_moves(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    store.at(NOW, &given(1, "10.0.0.8")).unwrap();
    resize(&mut store, part(6, 15)).unwrap();
    assert_eq!(store.free(POOL), 9);
    store.assert_sound();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), 0).map(drop)).unwrap();
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 9)), Ok(1));
    resize(&mut store, part(100, 109)).unwrap();
    assert_eq!(store.free(POOL), 10);
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.100")));
    store.assert_sound();
}

pub fn leases_stand_in_the_way_with_the_list_those_in_quarantine_too(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    for number in 1..=5 {
        store.allocate(number).unwrap();
    }
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(4), DAY).map(drop)).unwrap();
    for (range, addresses) in [
        (part(1, 3), &["10.0.0.4", "10.0.0.5"][..]),
        (part(3, 9), &["10.0.0.1", "10.0.0.2"]),
        (part(5, 20), &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
    ] {
        assert_eq!(resize(&mut store, range), Err(standing(addresses)));
        assert_eq!(store.free(POOL), 4, "a refusal changes nothing");
    }
    let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
    assert_eq!(delete(&mut store), Err(standing(&all)));
    store.assert_sound();
}

pub fn a_hundred_leases_are_named_at_most(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let requests: Vec<_> = (0..101).map(request).collect();
    store.run(|tx| allocate_many(tx, NOW, &asked(&requests))).unwrap();
    let Err(Error::LeasesStand { addresses, more, .. }) = delete(&mut store) else {
        panic!("leases stand");
    };
    let named: Vec<_> = (1..=100).map(|last| ip(&format!("10.0.0.{last}"))).collect();
    assert_eq!((addresses, more), (named, true));
    // Without the last one they are exactly as many.
    let lost = resize(&mut store, part(101, 254));
    let Err(Error::LeasesStand { addresses, more, .. }) = lost else { panic!("{lost:?}") };
    assert_eq!((addresses.len(), more), (100, false));
}

pub fn blocks_stand_in_the_way(new: New) {
    let mut store = with_block(new);
    let block = Error::BlockStands { block: PoolId([50; 16]), range: part(3, 5) };
    for range in [part(4, 9), part(1, 4), part(6, 9)] {
        assert_eq!(resize(&mut store, range), Err(block.clone()));
    }
    assert_eq!(delete(&mut store), Err(block));
    resize(&mut store, part(3, 5)).unwrap();
    assert_eq!(store.free(POOL), 0);
    resize(&mut store, part(2, 7)).unwrap();
    assert_eq!(store.free(POOL), 3);
    store.assert_sound();
}

pub fn it_stays_clear_of_others_and_of_its_family(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    let other = store.ranged(2, part(20, 29));
    let range = part(1, 20);
    let overlap = Error::Overlap { network: NETWORK, pool: other, range };
    assert_eq!(resize(&mut store, range), Err(overlap));
    let six = self::range("fd00::1", "fd00::9");
    let family = Error::WrongFamily { address: ip("fd00::1"), family: Family::V4 };
    assert_eq!(resize(&mut store, six), Err(family));
    let pool = PoolId([77; 16]);
    let unknown = store.run(|tx| pool::resize(tx, NOW, &ACTOR, pool, range).map(drop));
    assert_eq!(unknown, Err(Error::NoSuchPool { pool }));
    resize(&mut store, part(1, 19)).unwrap();
    store.assert_sound();
}

pub fn a_deleted_pool_is_gone_and_can_be_made_again(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 9));
    store.allocate(1).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), 0).map(drop)).unwrap();
    assert_eq!(delete(&mut store), Err(standing(&["10.0.0.1"])));
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 9)), Ok(1));
    delete(&mut store).unwrap();
    assert_eq!(store.run(|tx| pool::by_id(tx, POOL)), Ok(None));
    assert_eq!(store.count("SELECT count(*) FROM alloc_interval"), 0);
    assert!(matches!(store.allocate(1), Err(Error::NoPool { .. })));
    assert_eq!(delete(&mut store), Err(Error::NoSuchPool { pool: POOL }));
    store.assert_sound();
    store.ranged(1, part(5, 7));
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.5")));
    store.assert_sound();
}
