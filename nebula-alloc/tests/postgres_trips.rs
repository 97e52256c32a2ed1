//! How often does a batch wait for PostgreSQL? Over a network each time is half a millisecond or
//! more.
#![cfg(feature = "postgres")]
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "support/busy.rs"]
mod busy;
#[path = "support/postgres.rs"]
mod server;
#[path = "support/told.rs"]
mod told;

use std::ops::Range;

use nebula_alloc::lease::Request;
use nebula_alloc::store::writer::Answer;
use nebula_alloc::{Allocator, Error, OwnerId};
use told::{NETWORK, NOW, writer};

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
    ]
}

#[test]
fn a_batch_costs_the_same_round_trips_however_many_requests_it_has() {
    let Some(cluster) = server::cluster_in_memory() else { return };
    let allocator = Allocator::new(writer(told::with_pool(&cluster.schema())), "test");
    // Those that prepare statements, too.
    costs(&allocator, &(0..3));
    let eight = costs(&allocator, &(100..108));
    assert_eq!(costs(&allocator, &(200..264)), eight);
    let expected =
        [("allocate", 6), ("ask again", 3), ("heartbeat", 4), ("renew", 4), ("release", 4)];
    assert_eq!(eight, expected, "as the guide says");
}
