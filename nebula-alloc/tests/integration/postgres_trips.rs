//! How often does a batch wait for PostgreSQL? Over a network each time is half a millisecond or
//! more.

use std::net::IpAddr;
use std::ops::Range;

use crate::shared::postgres;
use crate::support::busy;
use crate::support::told::{self, NETWORK, NOW, writer};
use nebula_alloc::import::{Assignment, take_over};
use nebula_alloc::lease::Request;
use nebula_alloc::reclaim::expire;
use nebula_alloc::writer::Answer;
use nebula_alloc::{Allocator, Error, OwnerId};

/// What the transaction costs that keeps the writer busy meanwhile: begin and commit.
const BUSY: u64 = 2;

fn owner(number: u32) -> OwnerId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    OwnerId(bytes)
}

fn request(number: u32) -> Request {
    Request { owner: owner(number), ..told::request(0) }
}

/// The round trips of one batch with an operation for each of these owners.
fn cost<T>(
    allocator: &Allocator,
    owners: &Range<u32>,
    operation: impl Fn(u32) -> Answer<T, Error>,
) -> u64 {
    let before = allocator.writer().counters();
    let busy = busy::occupy(allocator.writer());
    let answers: Vec<_> = owners.clone().map(operation).collect();
    drop(busy);
    assert!(answers.into_iter().map(Answer::wait).all(|answer| answer.is_ok()));
    let after = allocator.writer().counters();
    assert_eq!(after.batches - before.batches, 2, "all of them are one batch");
    after.round_trips - before.round_trips - BUSY
}

/// What each operation costs.
fn costs(allocator: &Allocator, owners: &Range<u32>) -> Vec<(&'static str, u64)> {
    let release = |number| allocator.release(NETWORK, owner(number), 60);
    let ask = |number| allocator.allocate(Request { until: Some(NOW + 60), ..request(number) });
    vec![
        ("allocate", cost(allocator, owners, ask)),
        ("ask again", cost(allocator, owners, ask)),
        ("heartbeat", cost(allocator, owners, |n| allocator.heartbeat(NETWORK, owner(n), 600))),
        (
            "renew",
            cost(allocator, owners, |n| allocator.renew(NETWORK, owner(n), Some(NOW + 9000))),
        ),
        ("release", cost(allocator, owners, release)),
        ("return", cost(allocator, owners, ask)),
    ]
}

/// Without what comes now and then: preparing a statement, and the sign that an instance is there.
fn least([mut once, twice]: [Vec<(&'static str, u64)>; 2]) -> Vec<(&'static str, u64)> {
    for ((_, cost), (_, other)) in once.iter_mut().zip(twice) {
        *cost = other.min(*cost);
    }
    once
}

#[test]
fn a_batch_costs_the_same_round_trips_however_many_requests_it_has() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let allocator = Allocator::new(writer(told::with_pool(&cluster.schema())), "test");
    let eight = least([0..8, 10..18].map(|owners| costs(&allocator, &owners)));
    assert_eq!(least([20..84, 90..154].map(|owners| costs(&allocator, &owners))), eight);
    let expected = [
        ("allocate", 6),
        ("ask again", 3),
        ("heartbeat", 4),
        ("renew", 4),
        ("release", 4),
        ("return", 5),
    ];
    assert_eq!(eight, expected, "as the guide says");
}

fn address(number: u32) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()])
}

/// What operations on many addresses at once cost, and those by name.
fn costs_of_given(allocator: &Allocator, owners: &Range<u32>) -> Vec<(&'static str, u64)> {
    let named = |number| Request { address: Some(address(number)), ..request(number) };
    let one = 0..1;
    let import = |owners: &Range<u32>| {
        let assignments: Vec<_> = owners
            .clone()
            .map(|number| Assignment {
                pool: None,
                owner: owner(1000 + number),
                address: address(number),
                hold_until: NOW,
                until: None,
            })
            .collect();
        allocator.transaction(move |tx, now, actor| {
            take_over(tx, now, actor, NETWORK, &assignments).map(drop)
        })
    };
    let expire =
        || allocator.transaction(|tx, now, actor| expire(tx, now, actor, NETWORK, 0, 1000));
    let end = |allocator: &Allocator, number: u32| allocator.renew(NETWORK, owner(number), Some(0));
    vec![
        ("given", cost(allocator, owners, |number| allocator.allocate(named(number)))),
        {
            owners.clone().for_each(|number| drop(end(allocator, number).wait().unwrap()));
            ("expire", cost(allocator, &one, |_| expire()))
        },
        ("reclaim", cost(allocator, &one, |_| allocator.reclaim())),
        ("import", cost(allocator, &one, |_| import(owners))),
    ]
}

#[test]
fn many_given_addresses_cost_the_round_trips_of_few() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let allocator = Allocator::new(writer(told::with_pool(&cluster.schema())), "test");
    let eight = least([10..18, 20..28].map(|owners| costs_of_given(&allocator, &owners)));
    let many = least([30..94, 100..164].map(|owners| costs_of_given(&allocator, &owners)));
    assert_eq!(many, eight);
    let expected = [("given", 6), ("expire", 4), ("reclaim", 7), ("import", 8)];
    assert_eq!(eight, expected, "as the guide says");
}
