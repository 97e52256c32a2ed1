//! Does the order in which addresses come back matter?

use nebula_alloc::lease::release;
use nebula_alloc::reclaim::reclaim;

use crate::support::*;

fn full(new: New) -> Store {
    let mut store = new();
    store.pool(1, "10.0.0.0/28");
    for number in 1..=14 {
        assert_eq!(store.allocate(number).unwrap(), ip(&format!("10.0.0.{number}")));
    }
    store
}

fn give_back(store: &mut Store, number: u64) {
    end(store, number);
    assert_eq!(store.run(|tx| reclaim(tx, NOW, &ACTOR, 100)).unwrap(), 1);
    store.assert_sound();
}

fn end(store: &mut Store, number: u64) {
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(number), 0).map(drop)).unwrap();
}

const INTERVALS: &str = "SELECT count(*) FROM alloc_interval";

pub fn neighbours_are_joined_from_both_sides(new: New) {
    let mut store = full(new);
    assert_eq!(store.count(INTERVALS), 0);
    for (number, intervals) in
        [(5, 1), (7, 2), (6, 1), (1, 2), (14, 3), (4, 3), (8, 3), (2, 3), (3, 2)]
    {
        give_back(&mut store, number);
        assert_eq!(store.count(INTERVALS), intervals, "after {number}");
    }
}

pub fn all_back_in_any_order_is_one_interval_again(new: New) {
    for order in [
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
        [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
        [2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13],
        [7, 1, 14, 3, 12, 5, 10, 8, 2, 13, 4, 11, 6, 9],
    ] {
        let mut store = full(new);
        for number in order {
            give_back(&mut store, number);
        }
        assert_eq!(store.count(INTERVALS), 1);
    }
}

pub fn what_comes_back_together_is_joined_together(new: New) {
    for (first, intervals) in [
        (vec![3, 4, 5], 1),
        (vec![1, 14, 7], 3),
        (vec![2, 4, 6, 8, 10, 12, 14], 7),
        (vec![1, 2, 3, 5, 6, 7, 14, 13], 3),
    ] {
        let mut store = full(new);
        for number in first {
            end(&mut store, number);
        }
        store.run(|tx| reclaim(tx, NOW, &ACTOR, 100)).unwrap();
        assert_eq!(store.count(INTERVALS), intervals);
        store.assert_sound();
        (1..=14).for_each(|number| end(&mut store, number));
        store.run(|tx| reclaim(tx, NOW, &ACTOR, 100)).unwrap();
        assert_eq!(store.count(INTERVALS), 1);
        store.assert_sound();
    }
}

pub fn the_lowest_free_address_is_given_next(new: New) {
    let mut store = full(new);
    for number in [12, 3, 9] {
        give_back(&mut store, number);
    }
    assert_eq!(store.allocate(100), Ok(ip("10.0.0.3")));
    assert_eq!(store.allocate(101), Ok(ip("10.0.0.9")));
    assert_eq!(store.allocate(102), Ok(ip("10.0.0.12")));
}

pub fn the_ends_of_the_address_space_come_back_too(new: New) {
    let mut store = new();
    store.ranged(1, range("255.255.255.254", "255.255.255.255"));
    store.ranged(2, range("0.0.0.0", "0.0.0.1"));
    for number in 1..=4 {
        store.allocate(number).unwrap();
    }
    for number in [2, 1, 3, 4] {
        give_back(&mut store, number);
    }
    assert_eq!(store.count(INTERVALS), 2);
}
