//! What do pools cost, and do they keep to themselves?

use nebula_alloc::lease::{Request, allocate_many, by_address};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::{Error, Family, NetworkId, PoolId, usable};

use crate::support::*;

/// Counts what a pool's life costs in statements and rows.
fn costs(new: New, prefix: &str) -> (i64, Vec<usize>) {
    use nebula_alloc::store::{Param, Row, Transaction};

    struct Counting<'a>(&'a mut dyn Transaction, usize);
    impl Transaction for Counting<'_> {
        fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
            self.1 += 1;
            self.0.execute(sql, params)
        }
        fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
            let rows = self.0.query(sql, params)?;
            self.1 += 1 + rows.len();
            Ok(rows)
        }
        fn script(&mut self, sql: &str) -> Result<(), Error> {
            self.0.script(sql)
        }
        fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
            self.0.tables(prefix)
        }
    }

    let mut store = new();
    let pool = pool_of(1, usable(prefix.parse().unwrap()).unwrap());
    let family = pool.range.family();
    let mut steps = vec![
        store
            .run(|tx| {
                let mut tx = Counting(tx, 0);
                pool::create(&mut tx, NOW, &ACTOR, &pool)?;
                Ok(tx.1)
            })
            .unwrap(),
    ];
    let rows = store.count("SELECT count(*) FROM alloc_interval");
    for number in 1..=2 {
        let request = Request { family, ..request(number) };
        steps.push(
            store
                .run(|tx| {
                    let mut tx = Counting(tx, 0);
                    nebula_alloc::lease::allocate(&mut tx, NOW, &ACTOR, &request)?;
                    Ok(tx.1)
                })
                .unwrap(),
        );
    }
    (rows, steps)
}

pub fn a_pool_costs_the_same_for_each_size(new: New) {
    let small = costs(new, "10.0.0.0/29");
    assert_eq!(small.0, 1);
    assert_eq!(costs(new, "10.0.0.0/8"), small);
    assert_eq!(costs(new, "fd00::/64"), small);
    assert_eq!(costs(new, "::/0"), small);
    assert_eq!(costs(new, "10.0.0.0/30").0, 1);
}

pub fn free_counts_all_sizes(new: New) {
    let mut store = new();
    let four = store.pool(1, "10.0.0.0/8");
    let six = store.pool(2, "fd00::/64");
    let host = store.pool(3, "192.168.0.1/32");
    assert_eq!(store.free(four), (1 << 24) - 2);
    assert_eq!(store.free(six), (1 << 64) - 1);
    assert_eq!(store.free(host), 1);
    assert_eq!(store.free(PoolId([9; 16])), 0);
    store.allocate(1).unwrap();
    assert_eq!(store.free(four), (1 << 24) - 3);
}

pub fn pools_that_overlap_are_refused(new: New) {
    let mut store = new();
    let id = store.pool(5, "10.0.0.0/24");
    for (first, last) in
        [("10.0.0.254", "10.0.0.254"), ("9.0.0.0", "11.0.0.0"), ("10.0.0.7", "10.0.0.8")]
    {
        let other = pool_of(6, range(first, last));
        assert_eq!(
            store.run(|tx| pool::create(tx, NOW, &ACTOR, &other)),
            Err(Error::Overlap { network: NETWORK, pool: id, range: other.range })
        );
    }
    store.ranged(7, range("10.0.0.255", "10.0.1.9"));
    let elsewhere =
        Pool { network: NetworkId([9; 16]), ..pool_of(8, range("10.0.0.1", "10.0.0.9")) };
    store.run(|tx| pool::create(tx, NOW, &ACTOR, &elsewhere)).unwrap();
    let again = pool_of(5, range("172.16.0.0", "172.16.0.9"));
    assert_eq!(store.run(|tx| pool::create(tx, NOW, &ACTOR, &again)), Err(Error::Unique));
    store.assert_sound();
}

pub fn pools_are_used_in_the_order_of_their_position(new: New) {
    let mut store = new();
    store.ranged(2, range("10.0.0.1", "10.0.0.2"));
    store.ranged(1, range("10.0.9.1", "10.0.9.2"));
    store.pool(3, "fd00::/64");
    let got: Vec<_> = (1..=4).map(|n| store.allocate(n).unwrap().to_string()).collect();
    assert_eq!(got, ["10.0.9.1", "10.0.9.2", "10.0.0.1", "10.0.0.2"]);
    let pools = store.run(|tx| pool::by_network(tx, NETWORK, None, 9)).unwrap();
    assert_eq!(pools.iter().map(|pool| pool.position).collect::<Vec<_>>(), [1, 2, 3]);
}

pub fn a_pool_does_not_spill_into_its_neighbour(new: New) {
    let mut store = new();
    let lower = store.ranged(1, range("10.0.0.1", "10.0.0.4"));
    let upper = store.ranged(2, range("10.0.0.5", "10.0.0.8"));
    let requests: Vec<_> = (0..6).map(request).collect();
    store.run(|tx| allocate_many(tx, NOW, &asked(&requests))).unwrap();
    assert_eq!((store.free(lower), store.free(upper)), (0, 2));
    // Given back, each goes to the pool it is from.
    store
        .run(|tx| {
            for number in 0..6 {
                nebula_alloc::lease::release(tx, NOW, &ACTOR, NETWORK, owner(number), 0)?;
            }
            nebula_alloc::reclaim::reclaim(tx, NOW, &ACTOR, 100)
        })
        .unwrap();
    assert_eq!((store.free(lower), store.free(upper)), (4, 4));
    assert_eq!(store.count("SELECT count(*) FROM alloc_interval"), 2);
    store.assert_sound();
}

pub fn networks_do_not_share_addresses_or_owners(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let other = NetworkId([9; 16]);
    let pool = Pool { network: other, ..pool_of(2, range("10.0.0.1", "10.0.0.9")) };
    store.run(|tx| pool::create(tx, NOW, &ACTOR, &pool)).unwrap();
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.1")));
    let there = store.at(NOW, &Request { network: other, ..request(1) }).unwrap();
    assert_eq!((there.address, there.pool), (ip("10.0.0.1"), pool.id));
}

pub fn both_families_live_side_by_side(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    let both = [request(1), Request { family: Family::V6, ..request(1) }];
    let answers = store.run(|tx| allocate_many(tx, NOW, &asked(&both))).unwrap();
    assert_eq!(answers[0].clone().unwrap().address, ip("10.0.0.1"));
    assert_eq!(answers[1].clone().unwrap().address, ip("fd00::1"));
    let found = store.run(|tx| by_address(tx, NETWORK, ip("fd00::1"))).unwrap().unwrap();
    assert_eq!(found.owner, owner(1));
    store.assert_sound();
}

pub fn a_pool_is_moved_before_another(new: New) {
    let mut store = new();
    let (first, second) = (store.pool(1, "10.0.0.0/30"), store.pool(2, "10.0.1.0/30"));
    assert_eq!(store.allocate(1), Ok(ip("10.0.0.1")));
    let moved = store.run(|tx| pool::set_position(tx, NOW, &ACTOR, second, 0)).unwrap();
    assert_eq!((moved.id, moved.position), (second, 0));
    assert_eq!(store.allocate(2), Ok(ip("10.0.1.1")));
    let pools = store.run(|tx| pool::by_network(tx, NETWORK, None, 9)).unwrap();
    let places: Vec<_> = pools.iter().map(|pool| (pool.id, pool.position)).collect();
    assert_eq!(places, [(first, 1), (second, 0)]);
    store.assert_sound();
}

pub fn what_is_free_is_listed_in_pages(new: New) {
    let mut store = new();
    let pool = store.ranged(1, range("10.0.0.1", "10.0.0.9"));
    for (number, address) in [(1, "10.0.0.3"), (2, "10.0.0.6")] {
        store.at(NOW, &given(number, address)).unwrap();
    }
    let mut page = |from, limit| store.run(|tx| pool::free_ranges(tx, pool, ip(from), limit));
    let (low, middle) = (range("10.0.0.1", "10.0.0.2"), range("10.0.0.4", "10.0.0.5"));
    let high = range("10.0.0.7", "10.0.0.9");
    assert_eq!(page("10.0.0.0", 9), Ok(vec![low, middle, high]));
    assert_eq!(page("10.0.0.0", 2), Ok(vec![low, middle]));
    assert_eq!(page("10.0.0.6", 9), Ok(vec![high]));
    assert_eq!(page("10.0.0.8", 9), Ok(vec![high]), "the one that has it");
    assert_eq!(page("10.0.0.10", 9), Ok(vec![]));
}
