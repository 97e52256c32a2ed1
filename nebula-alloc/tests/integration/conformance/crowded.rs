//! Does what there is beside it change what an operation answers, and is what it does bounded?

use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::{Request, release};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reclaim::{any_ended, expire_all, reclaim};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::{Error, NetworkId, PoolId, limits};

use crate::support::*;

/// Twenty pools of one address each, all given out, in front of one with room.
fn full_in_front(new: New) -> Store {
    let mut store = new();
    for number in 1..=20 {
        let only = format!("10.0.{number}.1");
        store.ranged(number, range(&only, &only));
    }
    store.ranged(21, range("10.0.21.1", "10.0.21.9"));
    for number in 1..=20 {
        assert_eq!(store.allocate(number), Ok(ip(&format!("10.0.{number}.1"))));
    }
    assert_eq!(store.allocate(21), Ok(ip("10.0.21.1")));
    let full = "SELECT count(*) FROM alloc_pool WHERE is_full = 1";
    assert_eq!(store.count(full), 20, "those are passed over");
    store.assert_sound();
    store
}

/// Whatever frees something there.
pub fn full_pools_are_passed_over_until_something_in_them_is_free(new: New) {
    let mut store = full_in_front(new);
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(3), 0)).unwrap();
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 9)), Ok(1));
    assert_eq!(store.allocate(30), Ok(ip("10.0.3.1")));
    store.assert_sound();

    let larger = range("10.0.5.1", "10.0.5.2");
    store.run(|tx| pool::resize(tx, NOW, &ACTOR, PoolId([5; 16]), larger)).unwrap();
    assert_eq!(store.allocate(31), Ok(ip("10.0.5.2")));
    store.assert_sound();

    let kept = range("10.0.7.1", "10.0.7.1");
    let reservation = Reservation { range: kept, purpose: Purpose::Asking, note: None };
    store
        .run(|tx| {
            reservation::make(tx, NOW, &ACTOR, NETWORK, &reservation)?;
            release(tx, NOW, &ACTOR, NETWORK, owner(7), 0)?;
            reclaim(tx, NOW, &ACTOR, 9)
        })
        .unwrap();
    assert_eq!(store.allocate(32), Ok(ip("10.0.21.2")), "it is reserved");
    let lifted = store.run(|tx| reservation::remove(tx, NOW, &ACTOR, NETWORK, kept)).unwrap();
    assert_eq!(lifted.rest, None);
    assert_eq!(store.allocate(33), Ok(ip("10.0.7.1")));
    store.assert_sound();

    // What has ended, and nobody has freed yet.
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(9), 5)).unwrap();
    for number in 40..47 {
        store.allocate(number).unwrap();
    }
    let (network, family) = (NETWORK, nebula_alloc::Family::V4);
    assert_eq!(store.allocate(50), Err(Error::PoolExhausted { network, family }));
    let lease = store.at(NOW + 5, &request(50)).unwrap();
    assert_eq!(lease.address, ip("10.0.9.1"));
    store.assert_sound();
}

pub fn a_pool_that_a_block_goes_back_to_is_full_no_more(new: New) {
    let mut store = new();
    let pool = store.ranged(1, range("10.0.1.1", "10.0.1.4"));
    store.ranged(2, range("10.0.2.1", "10.0.2.4"));
    let id = PoolId([50; 16]);
    let range = range("10.0.1.3", "10.0.1.4");
    let block = Block { id, network: NETWORK, pool, name: "block".into(), range };
    store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
    let got: Vec<_> = (1..=3).map(|number| store.allocate(number).unwrap()).collect();
    assert_eq!(got, ["10.0.1.1", "10.0.1.2", "10.0.2.1"].map(ip));
    let lease = store.at(NOW, &Request { pool: Some(id), ..request(4) }).unwrap();
    assert_eq!(lease.address, ip("10.0.1.3"));
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(4), 0)).unwrap();
    store.run(|tx| reclaim(tx, NOW, &ACTOR, 9)).unwrap();
    store.run(|tx| block::delete(tx, NOW, &ACTOR, id)).unwrap();
    assert_eq!(store.allocate(5), Ok(ip("10.0.1.3")));
    store.assert_sound();
}

pub fn pools_and_blocks_are_listed_page_by_page(new: New) {
    let mut store = new();
    let other = NetworkId([9; 16]);
    for (network, id) in [(NETWORK, 1_u8), (other, 2), (NETWORK, 3), (other, 4), (NETWORK, 5)] {
        let range = range(&format!("10.0.{id}.1"), &format!("10.0.{id}.9"));
        // The first is used last.
        let position = -i64::from(id);
        let pool = Pool { id: PoolId([id; 16]), network, range, position };
        store.run(|tx| pool::create(tx, NOW, &ACTOR, &pool)).unwrap();
    }
    // Higher ids at lower addresses, some in the other network.
    for (pool, id, last) in [(1, 53, 1), (1, 52, 2), (3, 51, 1), (1, 50, 4), (2, 49, 1)] {
        let address = format!("10.0.{pool}.{last}");
        let block = Block {
            id: PoolId([id; 16]),
            network: if pool == 2 { other } else { NETWORK },
            pool: PoolId([pool; 16]),
            name: id.to_string(),
            range: range(&address, &address),
        };
        store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
    }
    let id = |id: PoolId| id.0[0];
    for limit in 1..=4 {
        let (mut pools, mut blocks, mut within) = (vec![], vec![], vec![]);
        loop {
            let after = pools.last().map(|id| PoolId([*id; 16]));
            let page = store.run(|tx| pool::by_network(tx, NETWORK, after, limit)).unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            pools.extend(page.iter().map(|pool| id(pool.id)));
        }
        loop {
            let after = blocks.last().map(|id| PoolId([*id; 16]));
            let page = store.run(|tx| block::by_network(tx, NETWORK, after, limit)).unwrap();
            if page.is_empty() {
                break;
            }
            blocks.extend(page.iter().map(|block| id(block.id)));
        }
        let mut after = None;
        loop {
            let page = store.run(|tx| block::by_pool(tx, PoolId([1; 16]), after, limit)).unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.range.last());
            within.extend(page.iter().map(|block| id(block.id)));
        }
        assert_eq!(
            (pools, blocks, within),
            (vec![1, 3, 5], vec![50, 51, 52, 53], vec![53, 52, 50])
        );
    }
}

pub fn leases_end_over_all_networks_in_one_bounded_step(new: New) {
    let mut store = new();
    let networks = [1, 7, 9].map(|number| NetworkId([number; 16]));
    for (index, network) in networks.into_iter().enumerate() {
        let number = u8::try_from(index).unwrap();
        let pool = pool_of(number, range("10.0.0.1", "10.0.0.9"));
        store.run(|tx| pool::create(tx, NOW, &ACTOR, &Pool { network, ..pool })).unwrap();
        for (owner, until) in [(1, None), (2, Some(NOW + 30 - i64::from(number))), (3, Some(NOW))] {
            store.at(NOW - 1, &Request { network, until, ..request(owner) }).unwrap();
        }
    }
    let hold = |network: NetworkId| i64::from(network.0[0]);
    let mut step = |now, limit| {
        let ended = store.run(|tx| expire_all(tx, now, &ACTOR, hold, limit)).unwrap();
        store.assert_sound();
        ended.iter().map(|lease| (lease.network, lease.hold_until)).collect::<Vec<_>>()
    };
    assert_eq!(step(NOW - 1, 9), []);
    assert_eq!(step(NOW, 2).len(), 2);
    assert_eq!(step(NOW, 9).len(), 1, "the third of those that ended now");
    assert_eq!(step(NOW + 29, 1), [(networks[2], NOW + 29 + 9)], "the first to end");
    assert_eq!(
        step(NOW + 99, 9),
        [(networks[1], NOW + 99 + 7), (networks[0], NOW + 99 + 1)],
        "each held as its network holds"
    );
    assert_eq!(step(NOW + 999, 9), []);
    assert_eq!(store.run(|tx| any_ended(tx, NOW + 999, networks[0])), Ok(false));
}

/// What would take one step too long is refused with what to do in parts.
pub fn one_step_takes_no_more_runs_of_free_addresses_than_it_may(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/16");
    let runs = u32::try_from(limits::RUNS).unwrap() + 2;
    store
        .run(|tx| {
            tx.execute("DELETE FROM alloc_interval", &[])?;
            for run in 0..runs {
                let address = (0x0a00_0001 + run * 2).to_be_bytes();
                tx.queue(
                    "INSERT INTO alloc_interval (pool, last, first, holder) VALUES ($1, $2, $3, $4)",
                    &[pool.as_bytes().into(), (&address).into(), (&address).into(), 0.into()],
                )?;
            }
            tx.flush()
        })
        .unwrap();
    let many = |found| matches!(found, Err(Error::TooMany { limit: limits::RUNS, .. }));
    assert!(many(store.run(|tx| block::find_room(tx, pool, 2)).map(drop)));
    let top = ip("10.0.64.3");
    let room = store.run(|tx| block::find_room(tx, pool, 1)).unwrap();
    assert_eq!(room.map(|room| room.first()), Some(top));
    assert!(many(store.run(|tx| pool::delete(tx, NOW, &ACTOR, pool)).map(drop)));
    let all = range("10.0.0.1", "10.0.255.254");
    let kept = |range| Reservation { range, purpose: Purpose::Asking, note: None };
    assert!(many(
        store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &kept(all))).map(drop)
    ));
    let part = range("10.0.0.1", "10.0.1.0");
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &kept(part))).unwrap();
    for half in ["10.0.128.0", "10.0.0.9"] {
        let smaller = range("10.0.0.1", half);
        let resized = store.run(|tx| pool::resize(tx, NOW, &ACTOR, pool, smaller)).map(drop);
        assert!(!many(resized.clone()), "{resized:?}");
    }
    store.run(|tx| pool::delete(tx, NOW, &ACTOR, pool)).unwrap();
}
