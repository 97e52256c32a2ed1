//! What an allocation costs beside many pools, blocks, full pools and networks: each against a database
//! with few of them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Instant;

use nebula_alloc::block::{self, Block};
use nebula_alloc::event::{self, Search, kind};
use nebula_alloc::lease::{self, Request};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reclaim;
use nebula_alloc::store::Transaction;
use nebula_alloc::store::sqlite::SqliteTransaction;
use nebula_alloc::verify::verify;
use nebula_alloc::{AddressRange, Error, Family, NetworkId, OwnerId, PoolId, Sqlite};
use rusqlite::TransactionBehavior::Immediate;

use crate::Outcome;
use crate::counted::Counted;
use crate::database::{ACTOR, NETWORK, NOW, POOL, connect};
use crate::report::{Bar, Bars, count, median, ratios, time};

/// How many allocations share a transaction; each is a call of its own.
const ALLOCATIONS: u32 = 100;

/// How many of whatever there are many of.
const FEW: u32 = 8;
const MANY: u32 = 8_000;

/// How many leases each block has.
const LEASES: u32 = 13;

/// How many seconds verifying all of them may take.
const VERIFIED_IN: f64 = 10.0;

/// The last address of the pool that is allocated from, a /12.
const TOP: u32 = 0x0aff_ffff;

/// What there are many of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crowd {
    /// Pools of the network, all with room.
    Pools,
    /// Blocks of its one pool.
    Blocks,
    /// Pools in front of the one with room, full.
    FullPools,
    /// Networks in which the owner has an address.
    Networks,
}

const CROWDS: [(Crowd, &str); 4] = [
    (Crowd::Pools, "pools of the network"),
    (Crowd::Blocks, "blocks of the pool"),
    (Crowd::FullPools, "full pools in front"),
    (Crowd::Networks, "networks of the owner"),
];

#[derive(Default)]
struct Figures {
    seconds: Vec<f64>,
    steps: Vec<f64>,
    rows: Vec<f64>,
}

pub(crate) fn measure(directory: &Path, rounds: usize, bars: &mut Bars) -> Outcome<()> {
    let path = |size: u32| directory.join(format!("crowd-{size}.db"));
    for (crowd, name) in CROWDS {
        println!("\ncost of an allocation beside {name}");
        let mut sizes = [FEW, MANY].map(|size| (size, Figures::default()));
        for size in [FEW, MANY] {
            make(&path(size), crowd, size)?;
        }
        for round in 0..rounds {
            sizes.rotate_left(round % 2);
            for (size, figures) in &mut sizes {
                allocate(&path(*size), crowd, figures)?;
            }
            sizes.sort_by_key(|(size, _)| *size);
        }
        report(name, &sizes, bars);
        if crowd == Crowd::Blocks {
            sound(&path(MANY), bars)?;
        }
        for size in [FEW, MANY] {
            fs::remove_file(path(size))?;
        }
    }
    Ok(())
}

/// One transaction that is counted and one that is timed; both rolled back, so that each finds the
/// database as the others did.
fn allocate(path: &Path, crowd: Crowd, figures: &mut Figures) -> Outcome<()> {
    let mut connection = connect(path)?;
    let transaction = connection.transaction_with_behavior(Immediate)?;
    let mut seam = Counted::new(&transaction);
    work(&mut seam, crowd)?;
    figures.steps.push(f64::from(u32::try_from(seam.steps)?) / f64::from(ALLOCATIONS));
    figures.rows.push(f64::from(u32::try_from(seam.rows)?) / f64::from(ALLOCATIONS));
    transaction.rollback()?;

    let transaction = connection.transaction_with_behavior(Immediate)?;
    let start = Instant::now();
    work(&mut SqliteTransaction::new(&transaction), crowd)?;
    figures.seconds.push(start.elapsed().as_secs_f64() / f64::from(ALLOCATIONS));
    transaction.rollback()?;
    Ok(())
}

/// The next address and a named one, and what goes with them: what the owner has, leases that have
/// ended, events.
fn work(tx: &mut dyn Transaction, crowd: Crowd) -> Result<(), Error> {
    for number in 0..ALLOCATIONS {
        let owner = match crowd {
            Crowd::Networks if number == 0 => OWNER,
            _ => OwnerId(key(1, number)),
        };
        let request = request(NETWORK, owner);
        lease::allocate(tx, NOW, &ACTOR, &request)?;
        let address = Some(IpAddr::from(Ipv4Addr::from_bits(TOP - number)));
        let named = Request { owner: OwnerId(key(2, number)), address, ..request };
        lease::allocate(tx, NOW, &ACTOR, &named)?;
        lease::by_owner(tx, NETWORK, owner)?;
        reclaim::expire(tx, NOW, &ACTOR, NETWORK, 0, 1)?;
        reclaim::expire_all(tx, NOW, &ACTOR, |_| 0, 1)?;
        let newest = Search { newest_first: true, ..Search::default() };
        event::search(tx, &Search { subject: Some(owner.as_bytes()), ..newest }, 1)?;
        let ends = Search { networks: Some(&[NETWORK]), kind: Some(kind::EXPIRED), ..newest };
        event::search(tx, &ends, 1)?;
    }
    Ok(())
}

/// Whose are the leases in many networks.
const OWNER: OwnerId = OwnerId([9; 16]);

/// A database with `size` of what there are many of, closed.
fn make(path: &Path, crowd: Crowd, size: u32) -> Outcome<()> {
    Sqlite::open(path)?.transaction(|tx| {
        let room = range(TOP - 0x000f_ffff, TOP)?;
        let one = Pool { id: POOL, network: NETWORK, range: room, position: i64::from(MANY) };
        pool::create(tx, NOW, &ACTOR, &one)?;
        for number in 0..size {
            let id = PoolId(key(3, number));
            let first = 0x0a00_0000 + number * 16;
            let pool = Pool { id, range: range(first, first + 15)?, ..one };
            match crowd {
                Crowd::Pools => {
                    // Behind the one, so that each database gives the same addresses.
                    let position = i64::from(MANY + 1 + number);
                    pool::create(tx, NOW, &ACTOR, &Pool { position, ..pool })?;
                }
                Crowd::FullPools => {
                    let (range, position) = (range(first, first)?, number.into());
                    pool::create(tx, NOW, &ACTOR, &Pool { range, position, ..pool })?;
                    let request = request(NETWORK, OwnerId(key(4, number)));
                    lease::allocate(tx, NOW, &ACTOR, &request)?;
                }
                Crowd::Networks => {
                    let network = NetworkId(key(5, number));
                    pool::create(tx, NOW, &ACTOR, &Pool { network, ..pool })?;
                    lease::allocate(tx, NOW, &ACTOR, &request(network, OWNER))?;
                }
                Crowd::Blocks => {
                    let (first, name) = (TOP - 0x000f_ffff + number * 16, number.to_string());
                    let range = range(first, first + 15)?;
                    let block = Block { id, network: NETWORK, pool: POOL, name, range };
                    block::create(tx, NOW, &ACTOR, &block)?;
                    let requests: Vec<_> = (0..LEASES)
                        .map(|lease| OwnerId(key(4, number * LEASES + lease)))
                        .map(|owner| Request { pool: Some(id), ..request(NETWORK, owner) })
                        .map(|request| (ACTOR, request))
                        .collect();
                    lease::allocate_many(tx, NOW, &requests)?;
                }
            }
        }
        Ok::<_, Error>(())
    })?;
    Ok(())
}

fn request(network: NetworkId, owner: OwnerId) -> Request {
    Request {
        network,
        owner,
        family: Family::V4,
        address: None,
        pool: None,
        hold_until: NOW,
        until: None,
    }
}

fn range(first: u32, last: u32) -> Result<AddressRange, nebula_alloc::InvalidRange> {
    AddressRange::new(Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into())
}

/// An id; those of one kind are in the order of their numbers.
fn key(kind: u8, number: u32) -> [u8; 16] {
    let (mut key, number) = ([kind; 16], number.to_be_bytes());
    for (to, from) in key.iter_mut().skip(8).zip(number) {
        *to = from;
    }
    key
}

fn report(name: &str, sizes: &[(u32, Figures)], bars: &mut Bars) {
    let [(_, few), (_, many)] = sizes else { return };
    let ratios = ratios(&many.seconds, &few.seconds);
    println!("  {:>12} {:>10} {:>8} {:>6}", "", "time", "steps", "rows");
    for (size, figures) in sizes {
        println!(
            "  {:>12} {:>10} {:>8.1} {:>6.2}",
            count((*size).into()),
            time(median(&figures.seconds)),
            median(&figures.steps),
            median(&figures.rows),
        );
    }
    let both = |pick: fn(&Figures) -> &Vec<f64>| [pick(few).as_slice(), pick(many)].concat();
    bars.hold(&format!("8,000 {name}: time, against 8"), &ratios, Bar::AtMost(2.0));
    bars.hold_equal(&format!("8,000 {name}: steps"), &both(|figures| &figures.steps));
    bars.hold_equal(&format!("8,000 {name}: rows"), &both(|figures| &figures.rows));
}

fn sound(path: &Path, bars: &mut Bars) -> Outcome<()> {
    let mut store = Sqlite::open(path)?;
    let start = Instant::now();
    let found = store.transaction(verify)?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(violation) = found.first() {
        return Err(violation.to_string().into());
    }
    let leases = count(u64::from(MANY) * u64::from(LEASES));
    println!("  verifying them and their {leases} leases took {}", time(seconds));
    bars.hold("verifying 8,000 blocks: seconds", &[seconds], Bar::AtMost(VERIFIED_IN));
    Ok(())
}
