//! Does who follows the events by their ids see all of them, while several processes write?

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nebula_alloc::event::{self, Event};
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::{Error, NetworkId, Postgres, PostgresReaders};

use crate::shared::postgres;
use crate::support::told::{NETWORK, NOW, open, with_table};

/// How many events there are, about.
fn amount() -> usize {
    std::env::var("NEBULA_ALLOC_EVENTS").map_or(20_000, |count| count.parse().unwrap())
}

fn note(tx: &mut dyn Transaction, network: NetworkId) -> Result<(), Error> {
    event::append(tx, &Event { network: Some(network), ..Event::new(NOW, "test", "test") })
}

/// Transactions of 1 to 16 events each, every fifth rolled back, of which the first statement writes
/// something else.
fn write(mut store: Postgres, network: NetworkId, events: usize) {
    let mut written = 0;
    for number in 0_usize.. {
        let count = 1 + number * 7 % 16;
        let subject = Subject::Key(network.as_bytes().to_vec());
        let outcome = store.transaction_about(&[subject], |tx| {
            tx.execute(
                "UPDATE mine SET value = value + 1 WHERE id = $1",
                &[i64::from(network.0[0]).into()],
            )?;
            (0..count).try_for_each(|_| note(tx, network))?;
            tx.flush()?;
            if number % 5 == 4 { Err(Error::Unique) } else { Ok(()) }
        });
        if outcome.is_ok() {
            written += count;
        }
        if written >= events {
            return;
        }
    }
}

/// What a follower has seen that asks for pages until there is nothing more and `done`.
fn follow(readers: &PostgresReaders, network: Option<NetworkId>, done: &AtomicBool) -> Vec<i64> {
    let (mut seen, mut last) = (Vec::new(), 0);
    loop {
        let over = done.load(Ordering::Acquire);
        let page = readers.read(|tx| event::after(tx, network, last, 500)).unwrap();
        if page.is_empty() && over {
            return seen;
        }
        seen.extend(page.iter().map(|(id, _)| *id));
        last = seen.last().copied().unwrap_or(0);
    }
}

#[test]
fn a_follower_by_id_misses_no_event() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let store = with_table(&url);
    let readers = store.readers(2).unwrap();
    let networks = [1, 2, 3].map(|number| NetworkId([number; 16]));
    let done = AtomicBool::new(false);
    let (all, of_one) = thread::scope(|scope| {
        let followers = [None, Some(networks[1])].map(|network| {
            scope.spawn({
                let (readers, done) = (&readers, &done);
                move || follow(readers, network, done)
            })
        });
        let writers = networks.map(|network| {
            let store = open(&url);
            scope.spawn(move || write(store, network, amount() / 3))
        });
        let _ = writers.map(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
        let [all, of_one] = followers.map(|follower| follower.join().unwrap());
        (all, of_one)
    });
    let ids = |sql: &str| -> Vec<i64> {
        let rows = readers.read(|tx| tx.query(sql, &[])).unwrap();
        rows.iter().map(|row| row.columns().integer().unwrap()).collect()
    };
    let missed = |seen: &[i64], written: &[i64]| -> usize {
        let seen: BTreeSet<_> = seen.iter().collect();
        written.iter().filter(|id| !seen.contains(id)).count()
    };
    let written = ids("SELECT id FROM alloc_event ORDER BY id");
    assert!(written.len() >= amount() * 9 / 10);
    assert_eq!(missed(&all, &written), 0, "of {}", written.len());
    assert_eq!(all, written, "each once, in order");
    let written = ids(
        "SELECT id FROM alloc_event WHERE network = '\\x02020202020202020202020202020202' ORDER BY id",
    );
    assert_eq!(of_one, written);
}

/// One that works on the same tables is waited for; another, who may stand still for ever, is not.
#[test]
fn a_transaction_of_somebody_else_keeps_nothing_from_followers() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = with_table(&url);
    let mut other = with_table(&cluster.schema());
    let mut slow = open(&url);
    let readers = store.readers(1).unwrap();
    let seen = |last| {
        let page = readers.read(|tx| event::after(tx, Some(NETWORK), last, 9)).unwrap();
        page.iter().map(|(id, _)| *id).collect::<Vec<_>>()
    };
    let touch = "UPDATE mine SET value = value + 1 WHERE id = 1";
    let ours = [Subject::Key(vec![1])];
    let about = [Subject::Key(vec![2])];
    other
        .transaction_about(&ours, |tx| {
            tx.execute(touch, &[])?;
            // What is rolled back leaves a gap, which might be somebody's.
            let undone = store.transaction_about(&about, |tx| {
                note(tx, NETWORK)?;
                tx.flush()?;
                Err::<(), _>(Error::Unique)
            });
            assert_eq!(undone, Err(Error::Unique));
            store.transaction_about(&about, |tx| note(tx, NETWORK))?;
            assert_eq!(seen(0), [1, 3]);
            slow.transaction_about(&ours, |tx| {
                note(tx, NETWORK)?;
                tx.flush()?;
                store.transaction_about(&about, |tx| note(tx, NETWORK))?;
                assert_eq!(seen(3), [0; 0], "4 is still to come, before 5");
                Ok::<_, Error>(())
            })?;
            assert_eq!(seen(3), [4, 5]);
            Ok::<_, Error>(())
        })
        .unwrap();
}
