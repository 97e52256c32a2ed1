//! What if the clock or the last event is wrong?

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use nebula_alloc::block::{self, Block};
use nebula_alloc::event::{self, Event};
use nebula_alloc::import::{self, Assignment};
use nebula_alloc::lease::{self, allocate, release};
use nebula_alloc::reclaim::{self, reclaim};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::{Allocator, Error, Family, LeaseId, PoolId, Writer, WriterOptions, clock, pool};

use crate::support::*;

const HOUR: i64 = 3_600;

/// A writer whose clock shows `NOW`, and its hands. One address is in quarantine for a day, the only
/// one; then came an event, so many seconds later.
fn after(new: New, seconds: i64) -> (Allocator, Arc<AtomicI64>, impl Sized) {
    let hands = Arc::new(AtomicI64::new(NOW));
    let shown = Arc::clone(&hands);
    let mut store = quarantined(new);
    store.run(|tx| event::append(tx, &Event::new(NOW + seconds, "before", "test"))).unwrap();
    let clock = move || shown.load(Ordering::Relaxed);
    let (writer, directory) = store.writer_by(clock, WriterOptions::default());
    (Allocator::new(writer, "test"), hands, directory)
}

fn quarantined(new: New) -> Store {
    let mut store = new();
    store.ranged(1, range("10.0.0.1", "10.0.0.1"));
    store.allocate(1).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), DAY)).unwrap();
    store
}

fn time(writer: &Writer) -> Result<i64, Error> {
    writer.transaction(|_, now| Ok(now))
}

fn is_unavailable<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unavailable { .. }))
}

const EXHAUSTED: Error = Error::PoolExhausted { network: NETWORK, family: Family::V4 };

pub fn an_hour_ahead_the_last_event_is_believed(new: New) {
    let (allocator, _, _directory) = after(new, HOUR);
    assert!(allocator.writer().is_ready());
    assert_eq!(time(allocator.writer()), Ok(NOW + HOUR));
}

pub fn further_ahead_it_ends_no_quarantine_and_the_writer_is_not_ready(new: New) {
    let (allocator, _, _directory) = after(new, 100 * 365 * DAY);
    assert!(!allocator.writer().is_ready(), "from the start");
    assert!(is_unavailable(allocator.allocate(request(2)).wait()));
    assert!(is_unavailable(allocator.reclaim().wait()));
    assert!(!allocator.writer().is_ready());
}

/// Whatever a step says, its transaction has one time: another ends no quarantine, and stops nobody.
pub fn what_a_step_does_is_at_the_time_of_its_transaction(new: New) {
    let (allocator, _, _directory) = after(new, 0);
    let writer = allocator.writer();
    for moved in [-400 * DAY, -1, 1, 400 * DAY] {
        let refused = Err(Error::AnotherTime { given: NOW + moved, time: NOW });
        let event = writer.transaction(move |tx, now| {
            event::append(tx, &Event::new(now + moved, "record", "test"))
        });
        assert_eq!(event, refused);
        let freed = allocator
            .transaction(move |tx, now, actor| reclaim(tx, now + moved, actor, 9).map(drop));
        assert_eq!(freed.wait(), refused);
        let asked = allocator.transaction(move |tx, now, actor| {
            allocate(tx, now + moved, actor, &request(2)).map(drop)
        });
        assert_eq!(asked.wait(), refused);
    }
    assert_eq!(allocator.allocate(request(2)).wait(), Err(EXHAUSTED));
    assert!(writer.is_ready());
    assert_eq!(time(writer), Ok(NOW));
}

/// Each operation, whatever it is asked to do.
pub fn no_operation_is_at_another_time_than_its_transaction(new: New) {
    let (allocator, _, _directory) = after(new, 0);
    /// Runs each expression as a step of its own, whose time is a second ahead.
    macro_rules! refused {
        (|$tx:ident, $now:ident, $actor:ident| { $($operation:expr;)* }) => {$(
            let asked = allocator.transaction(move |$tx, now, $actor| {
                let $now = now + 1;
                $operation.map(drop)
            });
            let other = Error::AnotherTime { given: NOW + 1, time: NOW };
            assert_eq!(asked.wait(), Err(other), "{}", stringify!($operation));
        )*};
    }
    let id = PoolId([1; 16]);
    let some = range("10.0.0.1", "10.0.0.1");
    let lease = LeaseId { network: NETWORK, address: ip("10.0.0.1"), owner: owner(1), number: 1 };
    let block = move || Block { id, network: NETWORK, pool: id, name: "b".into(), range: some };
    let kept = move || Reservation { range: some, purpose: Purpose::Nobody, note: None };
    let held = Assignment {
        pool: None,
        owner: owner(3),
        address: ip("10.0.0.1"),
        hold_until: 0,
        until: None,
    };
    refused!(|tx, now, actor| {
        pool::create(tx, now, actor, &pool_of(2, some));
        pool::resize(tx, now, actor, id, some);
        pool::set_position(tx, now, actor, id, 3);
        pool::delete(tx, now, actor, id);
        block::create(tx, now, actor, &block());
        block::resize(tx, now, actor, id, some);
        block::delete(tx, now, actor, id);
        reservation::make(tx, now, actor, NETWORK, &kept());
        reservation::remove(tx, now, actor, NETWORK, some);
        allocate(tx, now, actor, &request(2));
        lease::renew(tx, now, actor, NETWORK, owner(1), None);
        lease::renew_one(tx, now, actor, &lease, None);
        lease::heartbeat(tx, now, actor, NETWORK, owner(1), 9);
        release(tx, now, actor, NETWORK, owner(1), DAY);
        lease::release_one(tx, now, actor, &lease, DAY);
        lease::transfer(tx, now, actor, NETWORK, owner(1), owner(2));
        lease::transfer_one(tx, now, actor, &lease, owner(2));
        lease::take_over(tx, now, actor, NETWORK, owner(1), owner(2));
        lease::extend_hold(tx, now, actor, NETWORK, owner(1), now + 9);
        lease::shorten_hold(tx, now, actor, NETWORK, owner(1), 9);
        import::take_over(tx, now, actor, NETWORK, &[held]);
        reclaim(tx, now, actor, 9);
        reclaim::expire(tx, now, actor, NETWORK, DAY, 9);
        reclaim::expire_all(tx, now, actor, |_| DAY, 9);
        event::append(tx, &Event::new(now, "record", actor.name));
    });
}

/// By a transaction without a writer, which is told no time: a record of long ago would have later
/// ones believe a clock that is behind.
pub fn an_old_record_does_not_have_the_clock_believed(new: New) {
    let mut store = quarantined(new);
    let old = Event::new(NOW - 400 * DAY, "record", "test");
    let refused = Err(Error::AnotherTime { given: old.at, time: NOW });
    assert_eq!(store.run(|tx| event::append(tx, &old)), refused);
    let last_year = move || NOW - 365 * DAY;
    let (writer, _directory) = store.writer_by(last_year, WriterOptions::default());
    assert!(!writer.is_ready());
    let stopped = time(&writer).unwrap_err().to_string();
    assert!(stopped.contains("confirm"), "the remedy is named: {stopped}");
}

pub fn once_confirmed_time_goes_on_from_the_clock(new: New) {
    let (allocator, hands, _directory) = after(new, 100 * 365 * DAY);
    allocator.writer().confirm_clock("operator");
    assert_eq!(time(allocator.writer()), Ok(NOW));
    assert!(allocator.writer().is_ready());
    assert_eq!(allocator.allocate(request(2)).wait(), Err(EXHAUSTED));
    let events = allocator.transaction(|tx, _, _| event::after(tx, None, 4, 10)).wait().unwrap();
    let said: Vec<_> = events.iter().map(|(_, event)| (&*event.kind, &*event.actor)).collect();
    assert_eq!(said, [("clock.confirmed", "operator")]);
    hands.fetch_add(DAY, Ordering::Relaxed);
    assert_eq!(allocator.allocate(request(2)).wait().unwrap().address, ip("10.0.0.1"));
}

pub fn it_can_be_confirmed_before_the_writer_starts(new: New) {
    let mut store = quarantined(new);
    store.run(|tx| event::append(tx, &Event::new(i64::MAX, "before", "test"))).unwrap();
    store.run(|tx| clock::confirm(tx, NOW + 1, &ACTOR)).unwrap();
    let (writer, _directory) = store.writer(WriterOptions::default());
    assert!(writer.is_ready());
    assert_eq!(time(&writer), Ok(NOW + 1));
}

pub fn a_clock_that_is_put_right_needs_no_confirmation(new: New) {
    let (allocator, hands, _directory) = after(new, 2 * HOUR);
    assert!(is_unavailable(time(allocator.writer())));
    hands.fetch_add(HOUR, Ordering::Relaxed);
    assert_eq!(time(allocator.writer()), Ok(NOW + 2 * HOUR));
    assert!(allocator.writer().is_ready());
}

/// Nor does what was said of another time count later.
pub fn a_clock_that_goes_back_while_it_works_is_noticed(new: New) {
    let (allocator, hands, _directory) = after(new, 0);
    allocator.writer().confirm_clock("too early");
    hands.fetch_add(3 * HOUR, Ordering::Relaxed);
    let event = |tx: &mut dyn nebula_alloc::store::Transaction, now: i64| {
        event::append(tx, &Event::new(now, "now", "test"))
    };
    allocator.writer().transaction(event).unwrap();
    hands.fetch_sub(2 * HOUR, Ordering::Relaxed);
    assert!(is_unavailable(time(allocator.writer())));
    assert!(!allocator.writer().is_ready());
    allocator.writer().confirm_clock("operator");
    assert_eq!(time(allocator.writer()), Ok(NOW + HOUR));
}
