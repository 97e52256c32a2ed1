//! A database of schema version 1, with leases in each state, written by the program that had no
//! later one: an example of `nebula-alloc` as of commit 9633a46. `database.sql` is what it wrote.

use nebula_alloc::lease::{self, Request};
use nebula_alloc::pool::Pool;
use nebula_alloc::*;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("path")?;
    let now = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(1_800_000_000));
    let clock = now.clone();
    let writer = Writer::start(
        Sqlite::open(&path)?,
        move || clock.load(std::sync::atomic::Ordering::SeqCst),
        WriterOptions::default(),
    )?;
    let allocator = Allocator::new(writer, "before");
    let network = NetworkId([1; 16]);
    let owner = move |n: u8| {
        let mut b = [0; 16];
        b[15] = n;
        OwnerId(b)
    };
    let request = move |n: u8| Request {
        network,
        owner: owner(n),
        family: Family::V4,
        address: None,
        hold_until: 1_800_000_000,
        until: None,
    };
    for (id, network, prefix) in [
        (1, network, "10.0.0.0/24"),
        (2, network, "fd00::/64"),
        (3, NetworkId([9; 16]), "10.0.0.0/30"),
    ] {
        let range = usable(prefix.parse()?).ok_or("prefix")?;
        allocator.create_pool(Pool {
            id: PoolId([id; 16]),
            network,
            range,
            position: i64::from(id),
        })?;
    }
    for n in 1..=6 {
        allocator.allocate(request(n))?;
    }
    allocator.allocate(Request { family: Family::V6, ..request(1) })?;
    allocator.allocate(Request { network: NetworkId([9; 16]), ..request(1) })?;
    allocator.allocate(Request {
        address: Some("10.0.0.100".parse()?),
        until: Some(1_800_000_500),
        ..request(7)
    })?;
    allocator.release(network, owner(2), 86_400)?;
    allocator.release(network, owner(3), 86_400)?;
    allocator.release(network, owner(5), 0)?;
    // Its address is reclaimed, by another's transaction that wrote no event.
    allocator.writer().transaction(|tx, now| reclaim::reclaim(tx, now + 1, 10).map(drop))?;
    allocator.allocate(request(3))?;
    // A caller that wrote events of its own, or none.
    allocator
        .writer()
        .transaction(move |tx, now| lease::allocate(tx, now, &request(8)).map(drop))?;
    now.store(1_800_000_100, std::sync::atomic::Ordering::SeqCst);
    allocator.release(network, owner(6), 100)?;
    Ok(())
}
