//! Are the numbers of a pool exact?

use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::{Request, release};
use nebula_alloc::pool::{Usage, usage};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::{Error, PoolId};

use crate::support::*;

fn used(store: &mut Store, pool: PoolId) -> Usage {
    let used = store.run(|tx| usage(tx, pool)).unwrap();
    let Usage { capacity, free, active, quarantined, reserved, blocks } = used;
    assert_eq!(free + u128::from(active) + u128::from(quarantined) + reserved + blocks, capacity);
    used
}

pub fn each_address_is_counted_as_what_it_is(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/24");
    for number in 1..=5 {
        store.allocate(number).unwrap();
    }
    for number in [2, 4] {
        store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(number), DAY).map(drop)).unwrap();
    }
    let range_of =
        |first: u8, last: u8| range(&format!("10.0.0.{first}"), &format!("10.0.0.{last}"));
    let (id, name) = (PoolId([50; 16]), "block".into());
    let block = Block { id, network: NETWORK, pool, name, range: range_of(64, 79) };
    store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
    // Ten of the pool, four of the block.
    for (first, last) in [(100, 109), (70, 73)] {
        let range = range_of(first, last);
        let reservation = Reservation { range, purpose: Purpose::Asking, note: None };
        store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &reservation)).unwrap();
    }
    store.at(NOW, &given(10, "10.0.0.103")).unwrap();
    store.at(NOW, &Request { pool: Some(id), ..request(11) }).unwrap();
    store.at(NOW, &Request { pool: Some(id), ..given(12, "10.0.0.71") }).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(12), DAY).map(drop)).unwrap();

    assert_eq!(
        used(&mut store, pool),
        Usage { capacity: 254, free: 223, active: 4, quarantined: 2, reserved: 9, blocks: 16 }
    );
    assert_eq!(
        used(&mut store, id),
        Usage { capacity: 16, free: 11, active: 1, quarantined: 1, reserved: 3, blocks: 0 }
    );
    store.assert_sound();
}

pub fn each_size_has_its_exact_capacity_and_addresses(new: New) {
    let mut store = new();
    for (id, prefix, capacity) in [
        (1, "10.0.0.0/8", (1 << 24) - 2),
        (2, "192.168.0.0/30", 2),
        (3, "192.168.0.4/31", 2),
        (4, "192.168.0.6/32", 1),
        (5, "fd00::/64", (1 << 64) - 1),
        (6, "fd01::/126", 3),
        (7, "fd01::4/127", 2),
        (8, "fd01::6/128", 1),
        (9, "8000::/1", (1 << 127) - 1),
    ] {
        if id == 9 {
            // The others are in it or beside it.
            for id in 5..=8 {
                let pool = PoolId([id; 16]);
                store.run(|tx| nebula_alloc::pool::delete(tx, NOW, &ACTOR, pool)).unwrap();
            }
        }
        let pool = store.pool(id, prefix);
        let used = used(&mut store, pool);
        assert_eq!((used.capacity, used.free), (capacity, capacity), "{prefix}");
        assert!(used.utilisation() < f64::EPSILON);
    }
    store.assert_sound();
}

/// A prefix without a network address gives out both of its addresses, and no more.
pub fn a_31_and_a_127_give_two_addresses(new: New) {
    for (prefix, addresses) in
        [("10.0.0.6/31", ["10.0.0.6", "10.0.0.7"]), ("fd00::6/127", ["fd00::6", "fd00::7"])]
    {
        let mut store = new();
        let pool = store.pool(1, prefix);
        let family = nebula_alloc::Family::of(ip(addresses[0]));
        for (number, address) in (0..).zip(addresses) {
            let lease = store.at(NOW, &Request { family, ..request(number) }).unwrap();
            assert_eq!(lease.address, ip(address));
        }
        let third = store.at(NOW, &Request { family, ..request(9) });
        assert_eq!(third, Err(Error::PoolExhausted { network: NETWORK, family }));
        let used = used(&mut store, pool);
        assert_eq!((used.capacity, used.free, used.active), (2, 0, 2));
        assert!((used.utilisation() - 1.0).abs() < f64::EPSILON);
        store.assert_sound();
    }
}

pub fn an_ipv6_64_begins_after_its_routers_anycast_address(new: New) {
    let mut store = new();
    let pool = store.pool(1, "fd00:0:0:7::/64");
    let family = nebula_alloc::Family::V6;
    let lease = store.at(NOW, &Request { family, ..request(1) }).unwrap();
    assert_eq!(lease.address, ip("fd00:0:0:7::1"));
    let last = "fd00::7:ffff:ffff:ffff:ffff";
    assert_eq!(store.at(NOW, &given(2, last)).unwrap().address, ip(last));
    let refused = store.at(NOW, &given(3, "fd00:0:0:7::"));
    assert!(matches!(refused, Err(Error::AddressOutsidePools { .. })), "{refused:?}");
    assert_eq!(used(&mut store, pool).free, (1 << 64) - 3);
    store.assert_sound();
}

pub fn an_unknown_pool_is_an_error(new: New) {
    let pool = PoolId([77; 16]);
    assert_eq!(new().run(|tx| usage(tx, pool)), Err(Error::NoSuchPool { pool }));
}

/// Two to the power of 128 addresses, which no number here holds.
pub fn a_pool_of_all_ipv6_in_two_blocks_is_counted(new: New) {
    let mut store = new();
    let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let pool = store.ranged(1, range("::", last));
    let halves = [("::", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ("8000::", last)];
    for (id, (first, last)) in (2..).zip(halves) {
        let (id, name) = (PoolId([id; 16]), format!("half {id}"));
        let block = Block { id, network: NETWORK, pool, name, range: range(first, last) };
        store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
        let half = store.run(|tx| usage(tx, id)).unwrap();
        assert_eq!((half.capacity, half.free), (1 << 127, 1 << 127));
    }
    let whole = store.run(|tx| usage(tx, pool)).unwrap();
    assert_eq!((whole.capacity, whole.blocks), (u128::MAX, u128::MAX));
    assert_eq!((whole.free, whole.reserved), (0, 0));
    store.assert_sound();
}
