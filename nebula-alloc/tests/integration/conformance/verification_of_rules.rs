//! Does verifying find what breaks a rule, although the rows fit each other?

use nebula_alloc::PoolId;
use nebula_alloc::block::{self, Block};
use nebula_alloc::event::kind;
use nebula_alloc::lease::{self, release};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::Param;
use nebula_alloc::verify::{Violation, verify};

use crate::support::*;

const BLOCK: PoolId = PoolId([50; 16]);

/// The stored form of 10.0.0.*.
const fn octets(last: u8) -> [u8; 4] {
    [10, 0, 0, last]
}

/// 10.0.0.1 to .20 with the block .11 to .14. Owner 1 has .1; owner 2 had .2, which is in quarantine
/// for a day.
fn store(new: New) -> Store {
    let mut store = new();
    let pool = store.ranged(1, range("10.0.0.1", "10.0.0.20"));
    let range = range("10.0.0.11", "10.0.0.14");
    let block = Block { id: BLOCK, network: NETWORK, pool, name: "block".into(), range };
    store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
    store.allocate(1).unwrap();
    store.allocate(2).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(2), DAY)).unwrap();
    store.assert_sound();
    store
}

/// What is found after one row was changed behind the crate's back.
fn broken(new: New, sql: &str, params: &[Param<'_>]) -> Vec<Violation> {
    let mut store = store(new);
    assert_eq!(store.run(|tx| tx.execute(sql, params)), Ok(1));
    store.run(|tx| verify(tx)).unwrap()
}

/// What is found after an event that nothing was done for.
fn told(new: New, at: i64, kind: &str, number: u64, detail: &str) -> Vec<Violation> {
    let last = u8::try_from(number).unwrap();
    broken(
        new,
        "INSERT INTO alloc_event (at, network, kind, actor, subject, address, detail)
         VALUES ($1, $2, $3, 'nobody', $4, $5, $6)",
        &[
            at.into(),
            NETWORK.as_bytes().into(),
            kind.into(),
            owner(number).as_bytes().into(),
            (&octets(last)).into(),
            detail.into(),
        ],
    )
}

fn wrong_times(last: u8) -> Violation {
    Violation::WrongTimes { network: NETWORK, address: octets(last).into() }
}

fn against(last: u8) -> Violation {
    Violation::AgainstReservation { network: NETWORK, address: octets(last).into() }
}

pub fn a_lease_with_other_times_than_its_events_tell(new: New) {
    for (change, last) in [
        ("hold_until = hold_until - 1", 1),
        ("until = 7", 1),
        ("released_at = 7", 1),
        ("hold_until = hold_until - 1", 2),
        ("until = 7", 2),
        ("released_at = released_at + 1", 2),
        ("released_at = NULL", 2),
    ] {
        let sql = format!("UPDATE alloc_lease SET {change} WHERE address = $1");
        let found = broken(new, &sql, &[(&octets(last)).into()]);
        assert_eq!(found, [wrong_times(last)], "{change} of {last}");
    }
}

pub fn a_hold_that_went_back(new: New) {
    let end = NOW + DAY;
    for (kind, last, hold, goes_back) in [
        (kind::RENEWED, 1, NOW - 1, true),
        (kind::RENEWED, 1, NOW + 1, false),
        (kind::HELD, 1, NOW - 1, true),
        (kind::RELEASED, 1, NOW - 1, true),
        (kind::TRANSFERRED, 1, NOW - 1, true),
        // A quarantine can be ended early, but not before it began.
        (kind::HELD, 2, NOW, false),
        (kind::HELD, 2, NOW - 1, true),
        (kind::RETURNED, 2, end - 1, true),
        (kind::RETURNED, 2, end, false),
        (kind::TRANSFERRED, 2, end - 1, true),
    ] {
        let found = told(new, NOW, kind, last, &format!("ends never, held until {hold}"));
        let back = |one: &Violation| matches!(one, Violation::HeldBack { .. });
        assert_eq!(found.iter().any(back), goes_back, "{kind} of {last}: {found:?}");
    }
}

pub fn a_quarantine_that_ended_early(new: New) {
    for kind in [kind::FREED, kind::ALLOCATED] {
        for (at, early) in [(NOW + DAY - 1, true), (NOW + DAY, false)] {
            let found = told(new, at, kind, 2, "ends never, held until 0");
            let ended = |one: &Violation| matches!(one, Violation::EndedEarly { .. });
            assert_eq!(found.iter().any(ended), early, "{kind} at {at}: {found:?}");
        }
    }
}

/// As an older program wrote them.
pub fn events_that_tell_no_times_are_not_held_against_a_lease(new: New) {
    let mut store = store(new);
    let forget = "UPDATE alloc_event SET detail = NULL WHERE kind <> 'lease.renewed'";
    store.run(|tx| tx.execute(forget, &[])).unwrap();
    let set = "UPDATE alloc_lease SET hold_until = hold_until + 5";
    store.run(|tx| tx.execute(set, &[])).unwrap();
    store.assert_sound();
    // From the next event on they are known again.
    store.run(|tx| lease::renew(tx, NOW, &ACTOR, NETWORK, owner(1), Some(NOW))).unwrap();
    store.assert_sound();
    store.run(|tx| tx.execute(set, &[])).unwrap();
    assert_eq!(store.run(|tx| verify(tx)).unwrap(), [wrong_times(1)]);
}

/// A caller's own, from before such kinds were refused.
pub fn an_event_about_a_lease_that_does_not_say_which(new: New) {
    let append = "INSERT INTO alloc_event (at, kind, actor) VALUES (0, 'lease.note', 'a caller')";
    let found = broken(new, append, &[]);
    assert!(matches!(found[..], [Violation::NamelessEvent { .. }]), "{found:?}");
}

pub fn reservations_that_overlap_outside_pools(new: New) {
    let mut store = store(new);
    for (first, last) in [(1, 5), (6, 6), (4, 8)] {
        store
            .run(|tx| {
                tx.execute(
                    "INSERT INTO alloc_reservation (network, family, last, first, kind)
                     VALUES ($1, 4, $2, $3, 1)",
                    &[
                        NETWORK.as_bytes().into(),
                        (&[11, 0, 0, last]).into(),
                        (&[11, 0, 0, first]).into(),
                    ],
                )
            })
            .unwrap();
    }
    let overlap = Violation::OverlappingReservations { network: NETWORK, first: ip("11.0.0.4") };
    assert_eq!(store.run(|tx| verify(tx)).unwrap(), [overlap]);
}

pub fn a_block_that_is_not_inside_its_pool(new: New) {
    let stray = Violation::StrayBlock { block: BLOCK };
    let widen = "UPDATE alloc_pool SET last = $1 WHERE id = $2";
    let found = broken(new, widen, &[(&octets(21)).into(), BLOCK.as_bytes().into()]);
    assert!(found.contains(&stray), "{found:?}");
    let found =
        broken(new, "UPDATE alloc_pool SET parent = $1 WHERE id = $1", &[BLOCK.as_bytes().into()]);
    assert!(found.contains(&stray), "of a block: {found:?}");
}

pub fn an_active_lease_of_what_is_kept_for_others(new: New) {
    let reserve = "INSERT INTO alloc_reservation (network, family, last, first, kind, owner)
         VALUES ($1, 4, $2, $2, $3, $4)";
    let other = owner(9);
    for (kind, owner) in [(3, None), (2, Some(other.as_bytes()))] {
        let (network, address) = (NETWORK, octets(1));
        let params: [Param<'_>; 4] =
            [network.as_bytes().into(), (&address).into(), kind.into(), owner.into()];
        assert_eq!(broken(new, reserve, &params), [against(1)], "of kind {kind}");
    }
}

pub fn a_pinned_address_may_be_passed_on(new: New) {
    let mut store = store(new);
    let pin = Reservation {
        range: range("10.0.0.5", "10.0.0.5"),
        purpose: Purpose::Owner(owner(5)),
        note: None,
    };
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &pin)).unwrap();
    store.allocate(5).unwrap();
    store.run(|tx| lease::transfer(tx, NOW, &ACTOR, NETWORK, owner(5), owner(6))).unwrap();
    store.assert_sound();
    let forget = "UPDATE alloc_reservation SET kind = 3, owner = NULL";
    store.run(|tx| tx.execute(forget, &[])).unwrap();
    assert_eq!(store.run(|tx| verify(tx)).unwrap(), [against(5)], "but not if it is excluded");
}

pub fn a_pool_with_free_addresses_that_is_passed_over(new: New) {
    let found = broken(new, "UPDATE alloc_pool SET is_full = 1 WHERE parent IS NULL", &[]);
    assert_eq!(found, [Violation::PassedOver { pool: PoolId([1; 16]) }]);
}
