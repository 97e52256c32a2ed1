//! Is what one request brings, and what one step does, bounded, and is the limit named?

use std::net::{IpAddr, Ipv4Addr};

use nebula_alloc::block::{self, Block};
use nebula_alloc::event::{self, Event};
use nebula_alloc::import::{self, Assignment};
use nebula_alloc::lease::{self, Request, allocate_many, release};
use nebula_alloc::reclaim::{expire, reclaim};
use nebula_alloc::reservation::{self, Lifted, Purpose, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Actor, AddressRange, Allocator, Error, PoolId, WriterOptions, limits, pool};

use crate::support::*;

const POOL: PoolId = PoolId([1; 16]);

fn number(of: usize) -> u64 {
    u64::try_from(of).unwrap()
}

/// 10.0.0.0 and so many more.
fn nth(offset: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(offset).unwrap()).into()
}

fn part(first: usize, last: usize) -> AddressRange {
    AddressRange::new(nth(first), nth(last)).unwrap()
}

fn too_many(outcome: Result<impl std::fmt::Debug, Error>, most: usize) {
    assert!(
        matches!(outcome, Err(Error::TooMany { limit, .. }) if limit == most),
        "{most}: {outcome:?}"
    );
}

type Work<'a> = &'a dyn Fn(&mut dyn Transaction, &Actor<'_>) -> Result<(), Error>;

pub fn an_actor_that_events_cannot_name_is_refused_by_each_operation(new: New) {
    let mut store = new();
    let pool = pool_of(1, part(1, 9));
    let block = Block {
        id: PoolId([2; 16]),
        network: NETWORK,
        pool: POOL,
        name: "block".into(),
        range: part(1, 2),
    };
    let kept = Reservation { range: part(9, 9), purpose: Purpose::Nobody, note: None };
    let assigned =
        Assignment { pool: None, owner: owner(1), address: nth(4), hold_until: 0, until: None };
    let (me, other) = (owner(1), owner(2));
    let name = nebula_alloc::LeaseId { network: NETWORK, address: nth(1), owner: me, number: 1 };
    let operations: [Work<'_>; 22] = [
        &|tx, actor| pool::create(tx, NOW, actor, &pool),
        &|tx, actor| pool::resize(tx, NOW, actor, POOL, part(1, 5)).map(drop),
        &|tx, actor| pool::set_position(tx, NOW, actor, POOL, 9).map(drop),
        &|tx, actor| pool::delete(tx, NOW, actor, POOL),
        &|tx, actor| block::create(tx, NOW, actor, &block),
        &|tx, actor| block::resize(tx, NOW, actor, block.id, part(1, 3)).map(drop),
        &|tx, actor| block::delete(tx, NOW, actor, block.id).map(drop),
        &|tx, actor| reservation::make(tx, NOW, actor, NETWORK, &kept),
        &|tx, actor| reservation::remove(tx, NOW, actor, NETWORK, kept.range).map(drop),
        &|tx, actor| import::take_over(tx, NOW, actor, NETWORK, &[assigned]).map(drop),
        &|tx, actor| lease::allocate(tx, NOW, actor, &request(1)).map(drop),
        &|tx, actor| release(tx, NOW, actor, NETWORK, me, 0).map(drop),
        &|tx, actor| lease::release_one(tx, NOW, actor, &name, 0).map(drop),
        &|tx, actor| lease::renew_one(tx, NOW, actor, &name, None).map(drop),
        &|tx, actor| lease::transfer_one(tx, NOW, actor, &name, other).map(drop),
        &|tx, actor| lease::renew(tx, NOW, actor, NETWORK, me, None).map(drop),
        &|tx, actor| lease::heartbeat(tx, NOW, actor, NETWORK, me, 1).map(drop),
        &|tx, actor| lease::extend_hold(tx, NOW, actor, NETWORK, me, 1).map(drop),
        &|tx, actor| lease::shorten_hold(tx, NOW, actor, NETWORK, me, 1).map(drop),
        &|tx, actor| lease::transfer(tx, NOW, actor, NETWORK, me, other).map(drop),
        &|tx, actor| lease::take_over(tx, NOW, actor, NETWORK, me, other).map(drop),
        &|tx, actor| {
            expire(tx, NOW, actor, NETWORK, 0, 9).and(reclaim(tx, NOW, actor, 9)).map(drop)
        },
    ];
    let long = "a".repeat(limits::NAME + 1);
    for text in [&*long, "a\0b"] {
        for (field, actor) in [
            ("actor", Actor::named(text)),
            ("source address", Actor { source_address: Some(text), ..ACTOR }),
            ("request id", Actor { request_id: Some(text), ..ACTOR }),
        ] {
            for (index, operation) in operations.iter().enumerate() {
                let refused = store.run(|tx| operation(tx, &actor));
                let expected = Error::UnusableText { field, limit: limits::NAME };
                assert_eq!(refused, Err(expected), "operation {index}");
            }
        }
    }
    let longest = "ä".repeat(limits::NAME / 2);
    let actor = Actor { name: &longest, source_address: Some(&longest), request_id: None };
    store.run(|tx| pool::create(tx, NOW, &actor, &pool)).unwrap();
    let events = store.run(|tx| event::after(tx, None, 0, 9)).unwrap();
    assert_eq!((events.len(), &*events[0].1.actor), (1, &*longest));
}

pub fn names_notes_and_details_have_a_longest(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 99));
    let mut count = 0;
    let mut check = |field, limit: usize, write: Work<'_>, text: &dyn Fn(String)| {
        for (content, served) in
            [("a".repeat(limit), true), ("a".repeat(limit + 1), false), ("a\0".to_owned(), false)]
        {
            text(content);
            let outcome = store.run(|tx| write(tx, &ACTOR));
            let expected = if served { Ok(()) } else { Err(Error::UnusableText { field, limit }) };
            assert_eq!(outcome, expected);
            count += 1;
        }
        store.assert_sound();
    };
    let text = std::cell::RefCell::new(String::new());
    let set = |content| *text.borrow_mut() = content;
    let get = || text.borrow().clone();
    let block = || Block {
        id: PoolId([2; 16]),
        network: NETWORK,
        pool: POOL,
        name: get(),
        range: part(1, 2),
    };
    let kept = || Reservation { range: part(9, 9), purpose: Purpose::Nobody, note: Some(get()) };
    let named = || Event { detail: Some(get()), ..Event::new(NOW, "test", "test") };
    check("name", limits::NAME, &|tx, actor| block::create(tx, NOW, actor, &block()), &set);
    check(
        "note",
        limits::NOTE,
        &|tx, actor| reservation::make(tx, NOW, actor, NETWORK, &kept()),
        &set,
    );
    check("detail", limits::DETAIL, &|tx, _| event::append(tx, &named()), &set);
    check("kind", limits::NAME, &|tx, _| event::append(tx, &Event::new(NOW, get(), "test")), &set);
    check("actor", limits::NAME, &|tx, _| event::append(tx, &Event::new(NOW, "test", get())), &set);
    assert_eq!(count, 15);
    let none = store.run(|tx| block::by_name(tx, NETWORK, nebula_alloc::Family::V4, "a\0"));
    assert_eq!(none, Ok(None));
}

pub fn a_reservation_over_many_leases_is_lifted_in_steps(new: New) {
    let mut store = new();
    let pool = store.ranged(1, part(1, 9_999));
    let leases = 2 * limits::STANDING + 10;
    // Every other address.
    let wishes: Vec<_> = (1..=leases)
        .map(|place| Request { address: Some(nth(2 * place)), ..request(number(place)) })
        .collect();
    store.run(|tx| allocate_many(tx, NOW, &asked(&wishes)).map(drop)).unwrap();
    let all = part(1, 9_999);
    let kept = Reservation { range: all, purpose: Purpose::Asking, note: Some("why".into()) };
    store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &kept)).unwrap();

    let (mut rest, mut steps) = (Some(all), 0);
    while let Some(range) = rest {
        let before = store.free(pool);
        let lifted = store.run(|tx| reservation::remove(tx, NOW, &ACTOR, NETWORK, range)).unwrap();
        let Lifted { reservation, .. } = lifted;
        assert_eq!(reservation.range.first(), range.first());
        assert_eq!((reservation.purpose, reservation.note.as_deref()), (kept.purpose, Some("why")));
        assert!(store.free(pool) > before);
        store.assert_sound();
        rest = lifted.rest;
        let left = store.run(|tx| reservation::list(tx, NETWORK, nth(0), 9)).unwrap();
        assert_eq!(left.first().map(|kept| kept.range), rest);
        steps += 1;
    }
    assert_eq!(steps, 3);
    assert_eq!(store.free(pool), 9_999 - u128::from(number(leases)));
}

pub fn a_pool_over_many_reservations_grows_in_steps(new: New) {
    let mut store = new();
    let most = limits::STANDING;
    store
        .run(|tx| {
            (1..=most + 1).try_for_each(|place| {
                let range = part(2 * place, 2 * place);
                let kept = Reservation { range, purpose: Purpose::Nobody, note: None };
                reservation::make(tx, NOW, &ACTOR, NETWORK, &kept)
            })
        })
        .unwrap();
    let whole = part(1, 2 * most + 2);
    too_many(store.run(|tx| pool::create(tx, NOW, &ACTOR, &pool_of(1, whole))), most);
    store.ranged(1, part(1, 1));
    too_many(store.run(|tx| pool::resize(tx, NOW, &ACTOR, POOL, whole)), most);
    for last in [2 * most, 2 * most + 2] {
        store.run(|tx| pool::resize(tx, NOW, &ACTOR, POOL, part(1, last))).unwrap();
        store.assert_sound();
    }
    assert_eq!(store.free(POOL), u128::from(number(most + 1)));
    let block = Block {
        id: PoolId([2; 16]),
        network: NETWORK,
        pool: POOL,
        name: "block".into(),
        range: whole,
    };
    too_many(store.run(|tx| block::create(tx, NOW, &ACTOR, &block)), most);
    store.assert_sound();
}

pub fn an_owner_does_not_name_one_address_after_the_other_without_end(new: New) {
    let mut store = new();
    let pool = store.ranged(1, part(1, 999));
    let other = store.ranged(2, part(1_001, 1_999));
    let most = limits::QUARANTINED;
    let ask = |place| Request { address: Some(nth(place)), ..request(1) };
    for place in 1..=most {
        store.at(NOW, &ask(place)).unwrap();
        store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), DAY).map(drop)).unwrap();
    }
    too_many(store.at(NOW, &ask(most + 1)), most);
    // What it had, and what it is given, is none more.
    for (request, expected) in [
        (ask(7), 7),
        (request(1), most),
        (Request { pool: Some(other), ..request(1) }, 1_001),
        (Request { pool: Some(pool), ..request(1) }, most),
    ] {
        assert_eq!(store.at(NOW, &request).unwrap().address, nth(expected));
        store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(1), DAY).map(drop)).unwrap();
    }
    assert_eq!(
        store.at(NOW, &Request { address: Some(nth(900)), ..request(2) }).unwrap().pool,
        pool
    );
    store.run(|tx| reclaim(tx, NOW + DAY, &ACTOR, 2)).unwrap();
    store.at(NOW, &ask(most + 1)).unwrap();
    store.assert_sound();
}

pub fn assignments_are_taken_over_so_many_at_a_time(new: New) {
    let mut store = new();
    store.ranged(1, part(1, 999));
    let list: Vec<_> = (1..=import::STEP + 1)
        .map(|place| Assignment {
            pool: None,
            owner: owner(number(place)),
            address: nth(place),
            hold_until: NOW,
            until: None,
        })
        .collect();
    let mut take =
        |list: &[Assignment]| store.run(|tx| import::take_over(tx, NOW, &ACTOR, NETWORK, list));
    too_many(take(&list), import::STEP);
    assert_eq!(take(&list[1..]).unwrap().len(), import::STEP);
}

/// Who wants more at once would have everybody else wait for it.
pub fn a_step_asks_for_so_many_addresses_and_no_more(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/16");
    let (writer, _directory) = store.writer(WriterOptions::default());
    let allocator = Allocator::new(writer, "test");
    let some = |count| (0..number(count)).map(request).collect::<Vec<_>>();
    too_many(
        allocator.allocate_all(some(limits::ADDRESS_REQUESTS + 1)).wait(),
        limits::ADDRESS_REQUESTS,
    );
    let leases = allocator.allocate_all(some(limits::ADDRESS_REQUESTS)).wait().unwrap();
    assert_eq!(leases.len(), limits::ADDRESS_REQUESTS);
    assert!(allocator.writer().is_ready());
}
