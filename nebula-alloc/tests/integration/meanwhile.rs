//! What if another process changes what an operation has read, before it writes?

use crate::shared::postgres;
use crate::support::told::*;
use nebula_alloc::lease::{self, Lease, LeaseState, Request};
use nebula_alloc::reclaim::{expire, reclaim};
use nebula_alloc::store::Subject;
use nebula_alloc::store::{Param, Row, Transaction};
use nebula_alloc::verify::verify;
use nebula_alloc::{AddressRange, Allocator, Error, OwnerId, Postgres, pool};

/// Runs something before the first statement that holds a text.
struct Interrupted<'a> {
    inner: &'a mut dyn Transaction,
    text: &'a str,
    meanwhile: Option<&'a mut dyn FnMut()>,
}

impl Interrupted<'_> {
    fn before(&mut self, sql: &str) {
        if sql.contains(self.text)
            && let Some(meanwhile) = self.meanwhile.take()
        {
            meanwhile();
        }
    }
}

impl Transaction for Interrupted<'_> {
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.before(sql);
        self.inner.execute(sql, params)
    }

    fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.before(sql);
        self.inner.query(sql, params)
    }

    fn queue(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.before(sql);
        self.inner.queue(sql, params)
    }

    fn queue_one(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        self.before(sql);
        self.inner.queue_one(sql, params)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.inner.flush()
    }

    fn query_skip_locked(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.before(sql);
        self.inner.query_skip_locked(sql, params)
    }

    fn instance(&self) -> Option<i64> {
        self.inner.instance()
    }

    fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.inner.script(sql)
    }

    fn tables(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        self.inner.tables(prefix)
    }
}

/// Two processes.
struct Two {
    one: Postgres,
    other: Postgres,
}

fn two() -> Option<Two> {
    let url = postgres::cluster_in_memory()?.schema();
    Some(Two { one: with_pool(&url), other: open(&url) })
}

impl Two {
    /// What `work` of the one comes to when `meanwhile` happens in the other before `text`.
    fn run<T>(
        &mut self,
        text: &str,
        mut work: impl FnMut(&mut dyn Transaction) -> Result<T, Error>,
        meanwhile: impl Fn(&mut dyn Transaction) -> Result<(), Error>,
    ) -> Result<T, Error> {
        let Self { one, other } = self;
        let mut done = false;
        let mut happen = || {
            other.transaction_about(&[subject(2)], |tx| meanwhile(tx)).unwrap();
            done = true;
        };
        let outcome = one.transaction_about(&[subject(1)], |tx| {
            work(&mut Interrupted { inner: tx, text, meanwhile: Some(&mut happen) })
        });
        assert!(done, "there is no statement with {text}");
        outcome
    }

    fn lease(&mut self, last: u8) -> Lease {
        let address = [10, 0, 0, last].into();
        let lease = self.one.transaction(|tx| lease::by_address(tx, NETWORK, address));
        assert_eq!(self.other.transaction(|tx| verify(tx)), Ok::<_, Error>(vec![]));
        lease.unwrap().unwrap()
    }

    /// The owner has 10.0.0.1 until now, and no later.
    fn ending(&mut self, number: u8) {
        let request = Request { until: Some(NOW), ..request(number) };
        let leased = self.one.transaction(|tx| lease::allocate(tx, NOW, &ACTOR, &request));
        assert_eq!(leased.unwrap().address.to_string(), "10.0.0.1");
    }

    /// The owner had 10.0.0.1, and its quarantine is over.
    fn ended(&mut self, number: u8) {
        self.ending(number);
        self.one.transaction(|tx| release(tx, number, 0)).unwrap();
    }
}

fn subject(key: u8) -> Subject {
    Subject::Key(vec![key])
}

fn owner(number: u8) -> OwnerId {
    OwnerId([number; 16])
}

fn given(number: u8) -> Request {
    Request { address: Some([10, 0, 0, 1].into()), ..request(number) }
}

fn release(tx: &mut dyn Transaction, number: u8, hold: i64) -> Result<(), Error> {
    lease::release(tx, NOW, &ACTOR, NETWORK, owner(number), hold).map(drop)
}

fn allocate(tx: &mut dyn Transaction, request: &Request) -> Result<(), Error> {
    lease::allocate(tx, NOW, &ACTOR, request).map(drop)
}

/// 10.0.0.1 ends, is free, and is owner 2's.
fn pass_on(tx: &mut dyn Transaction) -> Result<(), Error> {
    expire(tx, NOW, &ACTOR, NETWORK, 0, 9)?;
    reclaim(tx, NOW, &ACTOR, 9)?;
    allocate(tx, &given(2))
}

/// The owner has 10.0.0.1 back, with another certificate.
fn come_back(tx: &mut dyn Transaction) -> Result<(), Error> {
    allocate(tx, &Request { hold_until: NOW + 500, ..request(1) })
}

fn extend(until: i64) -> impl Fn(&mut dyn Transaction) -> Result<(), Error> {
    move |tx| lease::extend_hold(tx, NOW, &ACTOR, NETWORK, owner(1), until).map(drop)
}

fn shorten(tx: &mut dyn Transaction) -> Result<u64, Error> {
    lease::shorten_hold(tx, NOW, &ACTOR, NETWORK, owner(1), 50)
}

/// Where a hold is moved.
const HOLD: &str = "SET hold_until = $1\n";

fn contended<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let Err(Error::Contended { .. } | Error::Overtaken { .. }) = outcome else {
        panic!("{outcome:?}")
    };
}

#[test]
fn a_quarantine_that_began_anew_is_respected() {
    let Some(mut two) = two() else { return };
    two.ended(9);
    let asked = two.run(
        "SET state = 1",
        |tx| allocate(tx, &given(1)),
        |tx| {
            allocate(tx, &request(9))?;
            release(tx, 9, 100)
        },
    );
    contended(asked);
    let lease = two.lease(1);
    assert_eq!((lease.owner, lease.hold_until), (owner(9), NOW + 100));
}

#[test]
fn anothers_lease_is_not_released() {
    let Some(mut two) = two() else { return };
    two.ending(1);
    contended(two.run("SET state = 2", |tx| release(tx, 1, 0), pass_on));
    let lease = two.lease(1);
    assert_eq!((lease.owner, lease.state), (owner(2), LeaseState::Active));
}

#[test]
fn anothers_lease_is_not_renewed() {
    let Some(mut two) = two() else { return };
    two.ending(1);
    let renew =
        |tx: &mut dyn Transaction| lease::renew(tx, NOW, &ACTOR, NETWORK, owner(1), Some(NOW + 50));
    contended(two.run("UPDATE alloc_lease SET hold_until = $1, until", renew, pass_on));
    let lease = two.lease(1);
    assert_eq!((lease.owner, lease.until), (owner(2), None));
}

#[test]
fn anothers_quarantine_is_not_moved() {
    let Some(mut two) = two() else { return };
    two.ending(1);
    let extend =
        |tx: &mut dyn Transaction| lease::extend_hold(tx, NOW, &ACTOR, NETWORK, owner(1), NOW + 50);
    contended(two.run(HOLD, extend, pass_on));
    let lease = two.lease(1);
    assert_eq!((lease.owner, lease.hold_until), (owner(2), NOW));
}

#[test]
fn a_hold_is_not_shortened_once_its_owner_came_back() {
    let Some(mut two) = two() else { return };
    two.one.transaction(|tx| allocate(tx, &request(1))).unwrap();
    two.one.transaction(|tx| release(tx, 1, 100)).unwrap();
    contended(two.run(HOLD, shorten, come_back));
    let lease = two.lease(1);
    assert_eq!((lease.state, lease.hold_until), (LeaseState::Active, NOW + 500));
}

/// It came back and went again: the hold time runs from the second release.
#[test]
fn a_later_release_is_held_for_as_long_as_any() {
    let Some(mut two) = two() else { return };
    let held = Request { hold_until: NOW + 1_000, ..request(1) };
    two.one.transaction(|tx| allocate(tx, &held)).unwrap();
    two.one.transaction(|tx| release(tx, 1, 0)).unwrap();
    let again = |tx: &mut dyn Transaction| {
        lease::allocate(tx, NOW + 10, &ACTOR, &request(1))?;
        lease::release(tx, NOW + 10, &ACTOR, NETWORK, owner(1), 0).map(drop)
    };
    contended(two.run(HOLD, shorten, again));
    assert_eq!(two.lease(1).hold_until, NOW + 1_000);
}

#[test]
fn a_hold_that_was_extended_is_not_moved_back() {
    let Some(mut two) = two() else { return };
    let ask = |until| Request { hold_until: NOW + until, ..request(1) };
    two.one.transaction(|tx| allocate(tx, &ask(0))).unwrap();
    let asked =
        two.run("SET hold_until = $1, until", |tx| allocate(tx, &ask(150)), extend(NOW + 200));
    contended(asked);
    contended(two.run(HOLD, extend(NOW + 250), extend(NOW + 300)));
    contended(two.run("SET state = 2", |tx| release(tx, 1, 350), extend(NOW + 400)));
    let lease = two.lease(1);
    assert_eq!((lease.state, lease.hold_until), (LeaseState::Active, NOW + 400));
}

#[test]
fn an_end_that_was_moved_is_not_moved_back_by_asking_again() {
    let Some(mut two) = two() else { return };
    let ask = |until| Request { until: Some(NOW + until), ..request(1) };
    two.one.transaction(|tx| allocate(tx, &ask(50))).unwrap();
    let renew = |tx: &mut dyn Transaction| {
        lease::renew(tx, NOW, &ACTOR, NETWORK, owner(1), Some(NOW + 200)).map(drop)
    };
    contended(two.run("SET hold_until = $1, until", |tx| allocate(tx, &ask(150)), renew));
    assert_eq!(two.lease(1).until, Some(NOW + 200));
}

#[test]
fn who_came_back_is_not_taken_over() {
    let Some(mut two) = two() else { return };
    two.one.transaction(|tx| allocate(tx, &request(1))).unwrap();
    two.one.transaction(|tx| release(tx, 1, 100)).unwrap();
    let take_over =
        |tx: &mut dyn Transaction| lease::take_over(tx, NOW, &ACTOR, NETWORK, owner(1), owner(3));
    contended(two.run("SET owner = $1", take_over, come_back));
    let lease = two.lease(1);
    assert_eq!((lease.owner, lease.state), (owner(1), LeaseState::Active));
}

/// What the `Allocator` does for an owner, and a step of a caller's own.
#[test]
fn steps_about_one_owner_wait_for_each_other() {
    let Some(Two { mut one, other }) = two() else { return };
    let about = [Subject::owner(NETWORK, owner(1))];
    let allocator = Allocator::new(writer(other), "test");
    let asked = one.transaction_about(&about, |tx| {
        allocate(tx, &request(1))?;
        let asked = allocator.allocate(request(1));
        until("the other is put off", || allocator.writer().counters().deferrals > 0);
        Ok::<_, Error>(asked)
    });
    let lease = asked.unwrap().wait().unwrap();
    assert_eq!(lease.address.to_string(), "10.0.0.1");
}

#[test]
fn a_free_address_that_another_took_is_contended_not_inconsistent() {
    let Some(mut two) = two() else { return };
    let take = |tx: &mut dyn Transaction| allocate(tx, &given(2));
    contended(two.run("FROM alloc_interval", |tx| allocate(tx, &given(1)), take));
    assert_eq!(two.lease(1).owner, owner(2));
}

/// Taken before the free space is looked at, and free again before the lease is.
#[test]
fn an_address_that_another_had_for_a_moment_is_contended_too() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut two = Two { one: with_pool(&url), other: open(&url) };
    let mut third = open(&url);
    let asked = two.run(
        "FROM alloc_interval",
        |tx| {
            let mut free = || {
                let freed = third.transaction_about(&[subject(3)], |tx| {
                    release(tx, 2, 0)?;
                    reclaim(tx, NOW, &ACTOR, 9)
                });
                assert_eq!(freed, Ok(1));
            };
            let text = "SELECT 1 FROM alloc_lease";
            let mut tx = Interrupted { inner: tx, text, meanwhile: Some(&mut free) };
            allocate(&mut tx, &given(1))
        },
        |tx| allocate(tx, &given(2)),
    );
    contended(asked);
    two.one.transaction(|tx| allocate(tx, &given(1))).unwrap();
    assert_eq!(two.lease(1).owner, owner(1));
}

#[test]
fn who_cannot_have_its_former_address_gets_another() {
    let Some(mut two) = two() else { return };
    two.ended(1);
    let by_address = "WHERE network = $1 AND address = $2";
    two.run(by_address, |tx| allocate(tx, &request(1)), pass_on).unwrap();
    assert_eq!((two.lease(1).owner, two.lease(2).owner), (owner(2), owner(1)));
}

/// While it is moved from quarantine to the free space, it is in neither for everyone else.
#[test]
fn an_address_that_another_is_about_to_free_is_not_exhaustion() {
    let Some(mut two) = two() else { return };
    let one = AddressRange::new([10, 0, 0, 1].into(), [10, 0, 0, 1].into()).unwrap();
    two.one.transaction(|tx| pool::resize(tx, NOW, &ACTOR, POOL, one)).unwrap();
    two.ended(9);
    let Two { one, other } = &mut two;
    let asked = one.transaction_about(&[subject(1)], |tx| {
        assert_eq!(reclaim(tx, NOW, &ACTOR, 9), Ok(1));
        tx.flush()?;
        Ok::<_, Error>(other.transaction_about(&[subject(2)], |tx| allocate(tx, &request(2))))
    });
    contended(asked.unwrap());
    two.other.transaction(|tx| allocate(tx, &request(2))).unwrap();
    let asked = two.other.transaction(|tx| allocate(tx, &request(3)));
    assert!(matches!(asked, Err(Error::PoolExhausted { .. })), "{asked:?}");
}
