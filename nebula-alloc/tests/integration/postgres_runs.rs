//! Do several processes on one pool keep runs of it to themselves without keeping them from others?

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;

use crate::shared::postgres;
use crate::support::told::*;
use nebula_alloc::block::{self, Block};
use nebula_alloc::lease::{self, Lease, Request};
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::reclaim::reclaim;
use nebula_alloc::store::Subject;
use nebula_alloc::store::Transaction;
use nebula_alloc::verify::verify;
use nebula_alloc::writer::{Planned, Step};
use nebula_alloc::{AddressRange, Allocator, Error, OwnerId, PoolId, Postgres, usable};

/// A database with one pool of this size.
fn sized(url: &str, prefix: &str) -> Postgres {
    let mut store = open(url);
    let range = usable(prefix.parse().unwrap()).unwrap();
    let pool = Pool { id: POOL, network: NETWORK, range, position: 0 };
    store.transaction(|tx| pool::create(tx, NOW, &ACTOR, &pool)).unwrap();
    store
}

fn numbered(number: u16) -> Request {
    let mut owner = [0; 16];
    owner[14..].copy_from_slice(&number.to_be_bytes());
    Request { owner: OwnerId(owner), ..request(0) }
}

/// In a transaction that keeps no other out.
fn beside<T>(
    store: &mut Postgres,
    key: u8,
    work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
) -> Result<T, Error> {
    store.transaction_about(&[Subject::Key(vec![key])], work)
}

fn allocate(store: &mut Postgres, number: u16) -> Result<IpAddr, Error> {
    let asked = store.transaction(|tx| lease::allocate(tx, NOW, &ACTOR, &numbered(number)));
    asked.map(|lease| lease.address)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn count(store: &mut Postgres, sql: &str) -> i64 {
    store.transaction(|tx| tx.query(sql, &[])?[0].columns().integer()).unwrap()
}

fn assert_sound(store: &mut Postgres) {
    assert_eq!(store.transaction(|tx| verify(tx)), Ok(vec![]));
}

#[test]
fn each_takes_from_its_own_run_lowest_first() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut first = sized(&url, "10.0.0.0/16");
    let mut second = open(&url);
    let mut got = Vec::new();
    for number in 0..3 {
        got.push(allocate(&mut first, number).unwrap().to_string());
        got.push(allocate(&mut second, 100 + number).unwrap().to_string());
    }
    let (first_run, second_run) =
        (["10.0.0.1", "10.0.0.2", "10.0.0.3"], ["10.0.4.1", "10.0.4.2", "10.0.4.3"]);
    let expected: Vec<_> =
        first_run.into_iter().zip(second_run).flat_map(|(a, b)| [a, b]).collect();
    assert_eq!(got, expected, "a run is 1,024 addresses");
    let holders = "SELECT count(DISTINCT holder) FROM alloc_interval WHERE holder <> 0";
    assert_eq!(count(&mut first, holders), 2);
    assert_sound(&mut first);
}

/// Both at work in the same pool at the same time: neither waits for the other's row.
#[test]
fn who_is_at_work_on_its_run_keeps_nobody_waiting() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut first = sized(&url, "10.0.0.0/16");
    let mut second = open(&url);
    // Taking a run into one's hands is a change of the row that everyone takes from.
    allocate(&mut first, 11).unwrap();
    allocate(&mut second, 12).unwrap();
    beside(&mut first, 1, |tx| {
        let mine = lease::allocate(tx, NOW, &ACTOR, &numbered(1))?;
        let theirs =
            beside(&mut second, 2, |tx| lease::allocate(tx, NOW, &ACTOR, &numbered(2))).unwrap();
        assert_ne!(mine.address, theirs.address);
        Ok(())
    })
    .unwrap();
    assert_sound(&mut first);
}

/// One run holds the whole pool here; held addresses count as free.
#[test]
fn what_another_holds_is_taken_before_a_request_is_refused() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut first = sized(&url, "10.0.0.0/29");
    assert_eq!(allocate(&mut first, 1), Ok(ip("10.0.0.1")));
    let mut second = open(&url);
    for number in 2..=6 {
        assert!(allocate(&mut second, number).is_ok(), "{number}");
    }
    for store in [&mut first, &mut second] {
        let refused = allocate(store, 7);
        assert!(matches!(refused, Err(Error::PoolExhausted { .. })), "{refused:?}");
    }
    assert_sound(&mut first);
}

/// Addresses are left, but another is at work on all of them.
#[test]
fn contended_is_not_exhausted() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut first = sized(&url, "10.0.0.0/29");
    let mut second = open(&url);
    beside(&mut first, 1, |tx| {
        lease::allocate(tx, NOW, &ACTOR, &numbered(1))?;
        let refused = beside(&mut second, 2, |tx| lease::allocate(tx, NOW, &ACTOR, &numbered(2)));
        assert!(matches!(refused, Err(Error::Contended { .. })), "{refused:?}");
        let given = Request { address: Some(ip("10.0.0.5")), ..numbered(2) };
        let refused = beside(&mut second, 2, |tx| lease::allocate(tx, NOW, &ACTOR, &given));
        assert!(matches!(refused, Err(Error::Contended { .. })), "{refused:?}");
        Ok(())
    })
    .unwrap();
    // Afterwards there is no reason to refuse.
    assert_eq!(allocate(&mut second, 2), Ok(ip("10.0.0.2")));
    assert_sound(&mut second);
}

/// The writer asks again by itself, as long as it takes.
#[test]
fn a_writer_waits_for_what_another_is_at_work_on() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut first = sized(&url, "10.0.0.0/29");
    let allocator = Allocator::new(writer(open(&url)), "test");
    thread::scope(|scope| {
        let asked = beside(&mut first, 1, |tx| {
            lease::allocate(tx, NOW, &ACTOR, &numbered(1))?;
            let asked = scope.spawn(|| allocator.allocate(numbered(2)).wait());
            until("the writer is put off", || allocator.writer().counters().deferrals > 2);
            Ok(asked)
        });
        let lease = asked.unwrap().join().unwrap().unwrap();
        assert_eq!(lease.address, ip("10.0.0.2"));
    });
}

/// More than a run for each, and a last stretch in which all take from each other.
#[test]
fn three_writers_exhaust_thousands_of_addresses_exactly() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = sized(&url, "10.0.0.0/20");
    let processes = [(); 3].map(|()| Allocator::new(writer(open(&url)), "test"));
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..24_u16)
            .map(|thread| {
                let allocator = &processes[usize::from(thread) % 3];
                // 24 × 176 = 4,224; the pool has 4,094. Eight at a time in one batch.
                scope.spawn(move || {
                    (0..22)
                        .map(|batch| {
                            let first = thread * 176 + batch * 8;
                            let all = (first..first + 8).map(|n| allocator.writer().send(Ask(n)));
                            all.collect::<Vec<_>>()
                                .into_iter()
                                .map(|answer| answer.wait())
                                .collect::<Vec<_>>()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        asking.into_iter().flat_map(|thread| thread.join().unwrap()).flatten().collect()
    });
    let granted: BTreeSet<_> = answers.iter().flatten().collect();
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!((granted.len(), refused.len()), (4094, 130), "{:?}", refused.first());
    assert!(refused.iter().all(|error| matches!(error, Error::PoolExhausted { .. })));
    assert_eq!(count(&mut store, "SELECT count(*) FROM alloc_interval"), 0);
    assert_sound(&mut store);
}

struct Ask(u16);

impl Step for Ask {
    type Plan = ();
    type Output = IpAddr;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::Key(self.0.to_be_bytes().to_vec())
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::with_addresses((), vec![numbered(self.0)], |()| ACTOR))
    }

    fn write(
        &mut self,
        _: &mut dyn Transaction,
        _: i64,
        (): (),
        leases: &[Lease],
    ) -> Result<IpAddr, Error> {
        Ok(leases[0].address)
    }
}

#[test]
fn the_run_of_a_silent_process_returns_to_everyone() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut gone = sized(&url, "10.0.0.0/16");
    // Seen, by a writer's clock, at NOW.
    let gone_writer = Allocator::new(writer(open(&url)), "test");
    let lowest = gone_writer.allocate(numbered(1)).wait().unwrap().address;
    drop(gone_writer);
    let held = "SELECT count(*) FROM alloc_interval WHERE holder <> 0";
    assert_eq!(count(&mut gone, held), 1);
    let mut run = |now| {
        gone.transaction(|tx| reclaim(tx, now, &ACTOR, 100)).unwrap();
        count(&mut gone, held)
    };
    assert_eq!(run(NOW + 60), 1, "it may be slow");
    assert_eq!(run(NOW + 61), 0);
    let mut next = open(&url);
    assert_eq!((lowest, allocate(&mut next, 2)), (ip("10.0.0.1"), Ok(ip("10.0.0.2"))));
    assert_sound(&mut next);
}

#[test]
fn rows_of_ended_processes_go_away_a_few_at_a_time() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = sized(&url, "10.0.0.0/16");
    for number in 1..=5 {
        let ended = Allocator::new(writer(open(&url)), "test");
        ended.allocate(numbered(number)).wait().unwrap();
    }
    // The store's own, which is seen by the server's clock, is as good as gone.
    let rows = "SELECT count(*) FROM alloc_instance";
    let mut left = |now, limit| {
        store.transaction(|tx| reclaim(tx, now, &ACTOR, limit)).unwrap();
        count(&mut store, rows)
    };
    assert!(left(NOW + 60, 9) >= 5, "they may be slow");
    let runs_first = left(NOW + 61, 2);
    assert!((3..=5).contains(&runs_first), "{runs_first}");
    assert!(left(NOW + 61, 2) < runs_first);
    for _ in 0..4 {
        left(NOW + 61, 2);
    }
    assert_eq!(left(NOW + 61, 2), 0);
    assert_eq!(count(&mut store, "SELECT count(*) FROM alloc_interval WHERE holder <> 0"), 0);
    let mut next = open(&url);
    assert_eq!(allocate(&mut next, 6), Ok(ip("10.0.0.2")), "the lowest that was held");
    assert_sound(&mut next);
}

/// A process that was taken for gone but is not finds its run gone, and takes another.
#[test]
fn who_was_taken_for_gone_goes_on() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut slow = sized(&url, "10.0.0.0/16");
    assert_eq!(allocate(&mut slow, 1), Ok(ip("10.0.0.1")));
    let mut other = open(&url);
    other.transaction(|tx| tx.execute("UPDATE alloc_instance SET seen_at = 0", &[])).unwrap();
    other.transaction(|tx| reclaim(tx, NOW, &ACTOR, 100)).unwrap();
    assert_eq!(allocate(&mut other, 2), Ok(ip("10.0.0.2")), "out of its run");
    assert_eq!(allocate(&mut slow, 3), Ok(ip("10.0.4.2")), "the next one's");
    assert_sound(&mut slow);
}

/// No key of the database's says that a lease has a pool: what ends a pool runs alone.
#[test]
fn no_lease_outlives_its_pool() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = sized(&url, "10.0.0.0/24");
    let [asking, operator] = [(); 2].map(|()| Allocator::new(writer(open(&url)), "test"));
    let (mut given, mut ended) = (0, 0);
    for number in 0..60 {
        let request = numbered(number);
        let (asked, deleted) = if number % 2 == 0 {
            let asked = asking.allocate(request);
            (asked, operator.delete_pool(POOL))
        } else {
            let deleted = operator.delete_pool(POOL);
            (asking.allocate(request), deleted)
        };
        match (asked.wait(), deleted.wait()) {
            (Ok(_), Err(Error::LeasesStand { .. })) => {
                given += 1;
                operator.release(NETWORK, request.owner, 0).wait().unwrap();
                assert_eq!(operator.reclaim().wait(), Ok(1));
                operator.delete_pool(POOL).wait().unwrap();
            }
            (Err(Error::NoPool { .. }), Ok(())) => ended += 1,
            both => panic!("{both:?}"),
        }
        assert_sound(&mut store);
        let range = usable("10.0.0.0/24".parse().unwrap()).unwrap();
        let pool = Pool { id: POOL, network: NETWORK, range, position: 0 };
        operator.create_pool(pool).wait().unwrap();
    }
    assert!(given > 0 && ended > 0, "{given} given, {ended} ended");
}

/// What a run holds is the pool's: it can be shrunk, deleted, made a block and reserved.
#[test]
fn a_held_run_keeps_no_operator_from_the_pool() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut holder = sized(&url, "10.0.0.0/24");
    let range = |first: &str, last: &str| AddressRange::new(ip(first), ip(last)).unwrap();
    allocate(&mut holder, 1).unwrap();
    let operator = Allocator::new(writer(open(&url)), "operator");
    operator.resize_pool(POOL, range("10.0.0.1", "10.0.0.100")).wait().unwrap();
    let block = Block {
        id: PoolId([50; 16]),
        network: NETWORK,
        pool: POOL,
        name: "block".into(),
        range: range("10.0.0.2", "10.0.0.9"),
    };
    operator
        .transaction(move |tx, now, actor| block::create(tx, now, actor, &block))
        .wait()
        .unwrap();
    assert_sound(&mut holder);
    assert_eq!(allocate(&mut holder, 2), Ok(ip("10.0.0.10")));
    for number in [1, 2] {
        operator.release(NETWORK, numbered(number).owner, 0).wait().unwrap();
    }
    assert_eq!(operator.reclaim().wait(), Ok(2));
    operator
        .transaction(|tx, now, actor| block::delete(tx, now, actor, PoolId([50; 16])).map(drop))
        .wait()
        .unwrap();
    assert_sound(&mut holder);
    operator.delete_pool(POOL).wait().unwrap();
    let refused = allocate(&mut holder, 3);
    assert!(matches!(refused, Err(Error::NoPool { .. })), "{refused:?}");
    assert_sound(&mut holder);
}

/// What was given back lies beside what is held, as a row of its own.
#[test]
fn room_for_a_block_is_found_across_runs() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let mut store = open(&cluster.schema());
    let range = AddressRange::new(ip("10.0.0.0"), ip("10.0.0.3")).unwrap();
    let pool = Pool { id: POOL, network: NETWORK, range, position: 0 };
    store.transaction(|tx| pool::create(tx, NOW, &ACTOR, &pool)).unwrap();
    // Long before the server's clock, by which the process was seen last.
    let now = 1000;
    let request = Request { hold_until: now, ..numbered(1) };
    let freed = store.transaction(|tx| {
        lease::allocate(tx, now, &ACTOR, &request)?;
        lease::release(tx, now, &ACTOR, NETWORK, request.owner, 0)?;
        reclaim(tx, now, &ACTOR, 9)
    });
    assert_eq!(freed, Ok(1));
    assert_eq!(count(&mut store, "SELECT count(*) FROM alloc_interval"), 2);
    let room = store.transaction(|tx| block::find_room(tx, POOL, 4));
    assert_eq!(room, Ok::<_, Error>(Some(range)));
}

/// Who frees an address and who finds none are at work at once: in no order is the pool passed over.
#[test]
fn what_is_freed_while_another_finds_the_pool_empty_is_found() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut first = sized(&url, "10.0.0.0/30");
    let mut second = open(&url);
    let full = "SELECT count(*) FROM alloc_pool WHERE is_full = 1";
    for number in 1..=2 {
        allocate(&mut first, number).unwrap();
    }
    let (network, family) = (NETWORK, numbered(0).family);
    let exhausted = Err(Error::PoolExhausted { network, family });
    // Looks, and commits what it found.
    let look = |store: &mut Postgres, key| {
        beside(store, key, |tx| {
            let wish = [(ACTOR, numbered(9))];
            Ok(lease::allocate_many(tx, NOW, &wish)?.remove(0).map(|lease| lease.address))
        })
        .unwrap()
    };
    beside(&mut first, 1, |tx| {
        lease::release(tx, NOW, &ACTOR, NETWORK, numbered(1).owner, 0)?;
        assert_eq!(reclaim(tx, NOW, &ACTOR, 9)?, 1);
        tx.flush()?;
        // It sees the quarantine that is about to end, not the address.
        let found = look(&mut second, 2);
        assert!(matches!(found, Err(Error::Contended { .. })) || found == exhausted, "{found:?}");
        Ok(())
    })
    .unwrap();
    assert_eq!(count(&mut first, full), 0);
    assert_eq!(look(&mut second, 2), Ok(ip("10.0.0.1")));
    assert_eq!(look(&mut second, 2), Ok(ip("10.0.0.1")), "asked again");

    // And found empty first: who frees waits for that.
    let mut third = open(&url);
    let freed = beside(&mut second, 2, |tx| {
        let wish = [(ACTOR, numbered(10))];
        assert_eq!(lease::allocate_many(tx, NOW, &wish)?.remove(0).map(drop), exhausted.map(drop));
        let freeing = thread::spawn(move || {
            beside(&mut third, 3, |tx| {
                lease::release(tx, NOW, &ACTOR, NETWORK, numbered(2).owner, 0)?;
                reclaim(tx, NOW, &ACTOR, 9)
            })
        });
        thread::sleep(std::time::Duration::from_millis(50));
        Ok(freeing)
    })
    .unwrap();
    assert_eq!(freed.join().unwrap(), Ok(1));
    assert_eq!(count(&mut first, full), 0);
    assert_eq!(allocate(&mut first, 11), Ok(ip("10.0.0.2")));
    assert_sound(&mut first);
}
