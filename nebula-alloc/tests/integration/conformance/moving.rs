//! What becomes of an owner that moves, of the address it had, and of those that are refused?

use nebula_alloc::event;
use nebula_alloc::lease::{
    Hold, Lease, LeaseState, Reason, Request, by_address, refusal, relocate,
};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::{Subject, Transaction};
use nebula_alloc::writer::{Planned, Step};
use nebula_alloc::{Error, Family, PoolId, WriterOptions, limits};

use crate::support::*;

const HOLD: Hold = Hold { seconds: DAY, reason: Reason::Replaced };

/// Of the pool with this number.
fn to(number: u64, pool: u8) -> Request {
    Request { pool: Some(PoolId([pool; 16])), ..request(number) }
}

/// A pool that is used first and has few addresses, and another.
fn two_pools(new: New) -> Store {
    let mut store = new();
    store.pool(1, "10.0.1.0/29");
    store.pool(2, "10.0.2.0/29");
    store
}

impl Store {
    /// Moves, after asking whether that would be refused.
    fn moved(&mut self, now: i64, request: &Request) -> Result<Lease, Error> {
        let foreseen = self.run(|tx| refusal(tx, now, request)).unwrap();
        let moved = self.run(|tx| relocate(tx, now, &ACTOR, request, HOLD));
        assert_eq!(foreseen, moved.clone().err());
        self.assert_sound();
        moved
    }

    fn lease_at(&mut self, address: &str) -> Option<Lease> {
        self.run(|tx| by_address(tx, NETWORK, ip(address))).unwrap()
    }
}

pub fn to_a_pool_it_gets_an_address_of_it_and_gives_up_its_own(new: New) {
    let mut store = two_pools(new);
    let held = store.at(NOW, &Request { hold_until: NOW + 5 * DAY, ..request(1) }).unwrap();
    let request = Request { hold_until: NOW + 7 * DAY, ..to(1, 2) };
    let lease = store.moved(NOW + 10, &request).unwrap();
    assert_eq!((lease.address, lease.pool), (ip("10.0.2.1"), PoolId([2; 16])));
    assert_eq!((lease.state, lease.hold_until), (LeaseState::Active, NOW + 7 * DAY));
    let left = store.lease_at("10.0.1.1").unwrap();
    let expected = Lease {
        state: LeaseState::Quarantined,
        released_at: Some(NOW + 10),
        reason: Some(Reason::Replaced),
        ..held
    };
    assert_eq!(left, expected, "held as long as what names it is valid");
}

pub fn to_a_given_address_it_gets_that_one(new: New) {
    let mut store = two_pools(new);
    store.allocate(1).unwrap();
    // Of the same pool, of another, and one that it is told with its pool.
    for request in [given(1, "10.0.1.5"), given(1, "10.0.2.3")] {
        let lease = store.moved(NOW, &request).unwrap();
        assert_eq!(Some(lease.address), request.address);
    }
    let both = Request { pool: Some(PoolId([1; 16])), ..given(1, "10.0.1.6") };
    assert_eq!(store.moved(NOW, &both).unwrap().address, ip("10.0.1.6"));
    let active = store.leases().into_iter().filter(|lease| lease.state == LeaseState::Active);
    assert_eq!(active.map(|lease| lease.address).collect::<Vec<_>>(), [ip("10.0.1.6")]);
}

pub fn asking_again_answers_the_same(new: New) {
    let mut store = two_pools(new);
    store.allocate(1).unwrap();
    for request in [to(1, 2), given(1, "10.0.1.4")] {
        let lease = store.moved(NOW, &request).unwrap();
        let before = store.leases();
        let events = store.count("SELECT count(*) FROM alloc_event");
        assert_eq!(store.moved(NOW + 1, &request), Ok(lease));
        assert_eq!(store.moved(NOW + 1, &super::moving::request(1)), Ok(lease), "anywhere");
        assert_eq!(store.leases(), before);
        assert_eq!(store.count("SELECT count(*) FROM alloc_event"), events);
    }
}

pub fn refused_it_keeps_what_it_has(new: New) {
    let mut store = two_pools(new);
    store.allocate(1).unwrap();
    for number in 11..=16 {
        store.at(NOW, &to(number, 2)).unwrap();
    }
    store.allocate(2).unwrap();
    store.at(NOW, &given(3, "10.0.1.3")).unwrap();
    store.run(|tx| nebula_alloc::lease::release(tx, NOW, &ACTOR, NETWORK, owner(3), DAY)).unwrap();
    let kept =
        Reservation { range: range("10.0.1.4", "10.0.1.4"), purpose: Purpose::Nobody, note: None };
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &kept)).unwrap();
    let before = store.leases();
    let (network, pool) = (NETWORK, PoolId([2; 16]));
    let by = nebula_alloc::Keeper::Exclusion;
    let until = NOW + DAY;
    let elsewhere = Request { pool: Some(pool), ..given(1, "10.0.1.5") };
    for (request, error) in [
        (to(1, 2), Error::PoolExhausted { network, family: Family::V4 }),
        (to(1, 9), Error::NoSuchPool { pool: PoolId([9; 16]) }),
        (given(1, "10.0.1.2"), Error::AddressTaken { network, address: ip("10.0.1.2") }),
        (
            given(1, "10.0.1.3"),
            Error::AddressQuarantined { network, address: ip("10.0.1.3"), until },
        ),
        (given(1, "10.0.1.4"), Error::AddressReserved { network, address: ip("10.0.1.4"), by }),
        (given(1, "10.0.9.1"), Error::AddressOutsidePools { network, address: ip("10.0.9.1") }),
        (elsewhere, Error::AddressInAnotherPool { address: ip("10.0.1.5"), pool }),
        (
            Request { family: Family::V6, ..given(1, "10.0.1.5") },
            Error::WrongFamily { address: ip("10.0.1.5"), family: Family::V6 },
        ),
    ] {
        assert_eq!(store.moved(NOW, &request), Err(error));
        assert_eq!(store.leases(), before);
    }
}

pub fn what_it_left_is_nobodys_until_its_hold_ends_and_its_own_when_it_comes_back(new: New) {
    let mut store = two_pools(new);
    store.at(NOW, &Request { hold_until: NOW + 3 * DAY, ..request(1) }).unwrap();
    store.moved(NOW, &to(1, 2)).unwrap();
    let until = NOW + 3 * DAY;
    let address = ip("10.0.1.1");
    let quarantined = Error::AddressQuarantined { network: NETWORK, address, until };
    assert_eq!(store.at(until - 1, &given(2, "10.0.1.1")), Err(quarantined));
    let back = store.moved(until - 1, &to(1, 1)).unwrap();
    assert_eq!(back.address, address);
    store.moved(until - 1, &to(1, 2)).unwrap();
    assert_eq!(store.at(until - 1 + DAY, &given(2, "10.0.1.1")).unwrap().address, address);
}

pub fn only_the_family_of_the_request_moves(new: New) {
    let mut store = two_pools(new);
    store.pool(3, "fd00::/120");
    store.pool(4, "fd00::100/120");
    store.allocate(1).unwrap();
    store.at(NOW, &Request { family: Family::V6, ..request(1) }).unwrap();
    store.moved(NOW, &Request { family: Family::V6, ..to(1, 4) }).unwrap();
    assert_eq!(store.lease_at("10.0.1.1").unwrap().state, LeaseState::Active);
    assert_eq!(store.lease_at("fd00::1").unwrap().state, LeaseState::Quarantined);
    assert_eq!(store.lease_at("fd00::101").unwrap().state, LeaseState::Active);
}

pub fn one_without_an_address_gets_one(new: New) {
    let mut store = two_pools(new);
    assert_eq!(store.moved(NOW, &to(1, 2)).unwrap().address, ip("10.0.2.1"));
    assert_eq!(store.leases().len(), 1);
}

pub fn pinned_to_what_it_has_it_leaves_it_pinned(new: New) {
    let mut store = two_pools(new);
    let only = range("10.0.1.5", "10.0.1.5");
    let pin = Reservation { range: only, purpose: Purpose::Owner(owner(1)), note: None };
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &pin)).unwrap();
    assert_eq!(store.allocate(1), Ok(ip("10.0.1.5")));
    assert_eq!(store.moved(NOW, &to(1, 2)).unwrap().address, ip("10.0.2.1"));
    let pinned = Error::AddressReserved {
        network: NETWORK,
        address: ip("10.0.1.5"),
        by: nebula_alloc::Keeper::Pin,
    };
    assert_eq!(store.at(NOW + 9 * DAY, &given(2, "10.0.1.5")), Err(pinned));
    assert_eq!(store.moved(NOW, &to(1, 1)).unwrap().address, ip("10.0.1.5"));
}

pub fn how_many_it_may_leave_is_bounded(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/20");
    store.pool(2, "10.1.0.0/20");
    store.pool(3, "10.2.0.0/20");
    store.allocate(1).unwrap();
    // So that each address is another, not one that it had.
    for last in 2..=limits::QUARANTINED + 1 {
        let address = format!("10.0.{}.{}", last / 256, last % 256);
        store.run(|tx| relocate(tx, NOW, &ACTOR, &given(1, &address), HOLD)).unwrap();
    }
    let limit = limits::QUARANTINED;
    let full = Error::TooMany { what: "addresses that the owner has in quarantine", limit };
    assert_eq!(store.moved(NOW, &to(1, 2)), Err(full.clone()));
    assert_eq!(store.moved(NOW, &given(1, "10.2.0.9")), Err(full));
    // Where it was before it may go.
    store.moved(NOW, &given(1, "10.0.0.2")).unwrap();
}

/// Moves an owner, and fails in writing where it is to.
struct Move(Request, bool);

impl Step for Move {
    type Plan = ();
    type Output = Lease;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::owner(self.0.network, self.0.owner)
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, Error> {
        Ok(Planned::with_addresses((), vec![self.0], |()| ACTOR).relocating(HOLD))
    }

    fn write(
        &mut self,
        _: &mut dyn Transaction,
        _: i64,
        (): (),
        leases: &[Lease],
    ) -> Result<Lease, Error> {
        match self.1 {
            true => Err(Error::Unique),
            false => Ok(leases[0]),
        }
    }
}

pub fn movers_of_a_batch_are_refused_alone(new: New) {
    let mut store = two_pools(new);
    for number in 1..=6 {
        store.at(NOW, &to(number, 1)).unwrap();
    }
    let (writer, _directory) = store.writer(WriterOptions::default());
    // Seven want one of six, the last of them by name; one stands where it asks to be.
    let mut answers = vec![];
    for number in 1..=6 {
        answers.push(writer.send(Move(to(number, 2), false)));
    }
    answers.push(writer.send(Move(to(7, 2), false)));
    answers.push(writer.send(Move(given(1, "10.0.2.1"), false)));
    let answers: Vec<_> = answers.into_iter().map(nebula_alloc::writer::Answer::wait).collect();
    let exhausted = Error::PoolExhausted { network: NETWORK, family: Family::V4 };
    assert_eq!(answers.iter().filter(|answer| **answer == Err(exhausted.clone())).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 7, "{answers:?}");
    let (violations, leases) = writer
        .transaction(|tx, _| {
            let leases = nebula_alloc::lease::list(tx, NETWORK, None, usize::MAX)?;
            Ok::<_, Error>((nebula_alloc::verify::verify(tx)?, leases))
        })
        .unwrap();
    assert_eq!(violations, []);
    let active = leases.iter().filter(|lease| lease.state == LeaseState::Active);
    assert_eq!(active.filter(|lease| lease.pool == PoolId([2; 16])).count(), 6);
}

pub fn what_a_step_does_not_write_has_not_moved(new: New) {
    let mut store = two_pools(new);
    store.allocate(1).unwrap();
    store.allocate(2).unwrap();
    let before = store.leases();
    let (writer, _directory) = store.writer(WriterOptions::default());
    let answers = [writer.send(Move(to(1, 2), true)), writer.send(Move(to(2, 2), false))];
    let [failed, moved] = answers.map(nebula_alloc::writer::Answer::wait);
    assert_eq!(failed, Err(Error::Unique));
    assert_eq!(moved.unwrap().address, ip("10.0.2.1"));
    let leases =
        writer.transaction(|tx, _| nebula_alloc::lease::by_owner(tx, NETWORK, owner(1))).unwrap();
    assert_eq!(leases, before[..1]);
}

pub fn the_events_explain_it(new: New) {
    let mut store = two_pools(new);
    store.allocate(1).unwrap();
    store.moved(NOW, &to(1, 2)).unwrap();
    store.moved(NOW, &to(1, 1)).unwrap();
    let events = store.run(|tx| event::after(tx, Some(NETWORK), 0, 99)).unwrap();
    let of_leases: Vec<_> = events
        .iter()
        .filter(|(_, event)| event.subject == Some(owner(1).0.to_vec()))
        .map(|(_, event)| (event.kind.as_str(), event.address.unwrap().to_string()))
        .collect();
    let expected = [
        ("lease.allocated", "10.0.1.1"),
        ("lease.released", "10.0.1.1"),
        ("lease.allocated", "10.0.2.1"),
        ("lease.released", "10.0.2.1"),
        ("lease.returned", "10.0.1.1"),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(kind, at)| (kind, at.to_owned())).collect();
    assert_eq!(of_leases, expected);
}
