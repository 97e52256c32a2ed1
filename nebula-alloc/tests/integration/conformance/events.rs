//! Is what happened written down?

use nebula_alloc::block::{self, Block};
use nebula_alloc::event::{Event, Search, after, append, forget, forget_owner, search};
use nebula_alloc::import::{self, Assignment};
use nebula_alloc::lease::{self, Hold, Reason, Request};
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::store::Transaction;
use nebula_alloc::{
    Actor, Allocator, Error, NetworkId, PoolId, WriterOptions, pool, reclaim, usable,
};

use crate::support::*;

pub fn an_event_comes_back_as_it_was_written(new: New) {
    let mut store = new();
    let bare = Event::new(NOW, "bare", "somebody");
    let full = Event {
        network: Some(NETWORK),
        source_address: Some("192.0.2.1:5".into()),
        request_id: Some("r-1".into()),
        subject: Some(vec![1, 2, 3]),
        address: Some(ip("fd00::1")),
        detail: Some("ü".into()),
        ..Event::new(NOW + 1, "full", "somebody")
    };
    store.run(|tx| append(tx, &bare).and_then(|()| append(tx, &full))).unwrap();
    let all = store.run(|tx| after(tx, None, 0, 10)).unwrap();
    assert_eq!(all, [(1, bare), (2, full.clone())]);
    assert_eq!(store.run(|tx| after(tx, Some(NETWORK), 0, 10)).unwrap(), [(2, full)]);
    assert_eq!(store.run(|tx| after(tx, Some(NetworkId([9; 16])), 0, 10)).unwrap(), []);
    assert_eq!(store.run(|tx| after(tx, None, 0, 1)).unwrap().len(), 1);
    assert_eq!(store.run(|tx| after(tx, None, 2, 10)).unwrap(), []);
}

pub fn the_allocator_writes_one_for_each_change(new: New) {
    let (writer, _directory) = new().writer(WriterOptions::default());
    let allocator = Allocator::new(writer, "tester");
    allocator
        .create_pool(pool_of(1, usable("10.0.0.0/24".parse().unwrap()).unwrap()))
        .wait()
        .unwrap();
    allocator.allocate(request(1)).wait().unwrap();
    allocator.allocate(request(1)).wait().unwrap();
    let released = allocator.release(NETWORK, owner(1), DAY).wait().unwrap();
    assert_eq!(allocator.release(NETWORK, owner(1), DAY).wait(), Ok(released));
    allocator.allocate(request(1)).wait().unwrap();
    assert!(allocator.allocate(given(2, "10.9.9.9")).wait().is_err());
    let events = allocator
        .writer()
        .transaction(|tx, _| after(tx, Some(NETWORK), 0, 100))
        .unwrap_or_else(|error: Error| panic!("{error}"));
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind.as_str()).collect();
    assert_eq!(kinds, ["pool.created", "lease.allocated", "lease.released", "lease.returned"]);
    assert!(events.iter().all(|(_, event)| event.actor == "tester" && event.at == NOW));
}

/// With all that is known of who asks.
pub fn each_operation_names_who_asked_from_where_and_in_which_request(new: New) {
    let mut store = new();
    let who = Actor {
        name: "operator",
        source_address: Some("192.0.2.7:1234"),
        request_id: Some("r-77"),
    };
    let pool = pool_of(1, range("10.0.0.1", "10.0.0.9"));
    let block = Block {
        id: PoolId([50; 16]),
        network: NETWORK,
        pool: pool.id,
        name: "printers".into(),
        range: range("10.0.0.8", "10.0.0.9"),
    };
    let pinned = range("10.0.0.7", "10.0.0.7");
    let reservation = Reservation {
        range: pinned,
        purpose: Purpose::Owner(owner(7)),
        note: Some("the printer".into()),
    };
    let mut at = NOW;
    let mut operation = |work: &dyn Fn(&mut dyn Transaction, i64) -> Result<(), Error>| {
        at += 1;
        store.run(|tx| work(tx, at)).unwrap();
    };
    operation(&|tx, now| pool::create(tx, now, &who, &pool));
    operation(&|tx, now| {
        pool::resize(tx, now, &who, pool.id, range("10.0.0.1", "10.0.0.10")).map(drop)
    });
    operation(&|tx, now| block::create(tx, now, &who, &block));
    operation(&|tx, now| reservation::make(tx, now, &who, NETWORK, &reservation));
    operation(&|tx, now| {
        let ending = Request { until: Some(now + 100), ..request(1) };
        lease::allocate(tx, now, &who, &ending).map(drop)
    });
    operation(&|tx, now| lease::renew(tx, now, &who, NETWORK, owner(1), Some(NOW)).map(drop));
    operation(&|tx, now| lease::transfer(tx, now, &who, NETWORK, owner(1), owner(2)).map(drop));
    operation(&|tx, now| reclaim::expire(tx, now, &who, NETWORK, 50, 10).map(drop));
    operation(&|tx, now| lease::extend_hold(tx, now, &who, NETWORK, owner(2), now + 500).map(drop));
    operation(&|tx, now| lease::shorten_hold(tx, now, &who, NETWORK, owner(2), 60).map(drop));
    operation(&|tx, now| lease::take_over(tx, now, &who, NETWORK, owner(2), owner(3)).map(drop));
    operation(&|tx, now| lease::allocate(tx, now, &who, &request(3)).map(drop));
    operation(&|tx, now| {
        let hold = Hold { seconds: 0, reason: Reason::Revoked };
        lease::release(tx, now, &who, NETWORK, owner(3), hold).map(drop)
    });
    operation(&|tx, _| reclaim::reclaim(tx, NOW + DAY, &who, 10).map(drop));
    operation(&|tx, now| {
        let (owner, address) = (owner(4), ip("10.0.0.4"));
        let assignment = Assignment { pool: None, owner, address, hold_until: 0, until: None };
        import::take_over(tx, now, &who, NETWORK, &[assignment]).map(drop)
    });
    operation(&|tx, now| {
        lease::release(tx, now, &who, NETWORK, owner(4), 0)?;
        reclaim::reclaim(tx, now, &who, 10).map(drop)
    });
    operation(&|tx, now| reservation::remove(tx, now, &who, NETWORK, pinned).map(drop));
    operation(&|tx, now| pool::set_position(tx, now, &who, pool.id, 7).map(drop));
    operation(&|tx, now| {
        block::resize(tx, now, &who, block.id, range("10.0.0.8", "10.0.0.10")).map(drop)
    });
    operation(&|tx, now| block::delete(tx, now, &who, block.id).map(drop));
    operation(&|tx, now| pool::delete(tx, now, &who, pool.id));

    let events = store.run(|tx| after(tx, Some(NETWORK), 0, 100)).unwrap();
    for (id, event) in &events {
        assert_eq!(
            (event.actor.as_str(), event.source_address.as_deref(), event.request_id.as_deref()),
            (who.name, who.source_address, who.request_id),
            "event {id}"
        );
    }
    let told: Vec<_> = events
        .iter()
        .map(|(_, event)| {
            let address = event.address.map(|address| address.to_string()).unwrap_or_default();
            let detail = event.detail.as_deref().unwrap_or_default();
            format!("{} {} {address} {detail}", event.at - NOW, event.kind)
        })
        .collect();
    let shortened = NOW + 8 + 60;
    assert_eq!(
        told,
        [
            "1 pool.created  10.0.0.1-10.0.0.9".to_owned(),
            "2 pool.resized  10.0.0.1-10.0.0.10".to_owned(),
            "3 block.created  printers 10.0.0.8-10.0.0.9".to_owned(),
            "4 reservation.made  10.0.0.7-10.0.0.7 for its owner: the printer".to_owned(),
            format!("5 lease.allocated 10.0.0.1 lease 5, ends {}, held until {NOW}", NOW + 5 + 100),
            format!("6 lease.renewed 10.0.0.1 lease 5, ends {NOW}, held until {NOW}"),
            format!(
                "7 lease.transferred 10.0.0.1 from {}, lease 7, ends {NOW}, held until {NOW}",
                owner(1)
            ),
            format!("8 lease.expired 10.0.0.1 ended, lease 7, held until {}", NOW + 8 + 50),
            format!("9 lease.held 10.0.0.1 lease 7, held until {}", NOW + 9 + 500),
            format!("10 lease.held 10.0.0.1 lease 7, held until {shortened}"),
            format!(
                "11 lease.transferred 10.0.0.1 from {}, lease 7, held until {shortened}",
                owner(2)
            ),
            format!("12 lease.returned 10.0.0.1 lease 12, ends never, held until {shortened}"),
            format!("13 lease.released 10.0.0.1 revoked, lease 12, held until {shortened}"),
            format!("{DAY} lease.freed 10.0.0.1 lease 12, held until {shortened}"),
            "15 lease.allocated 10.0.0.4 lease 15, ends never, held until 0".to_owned(),
            format!("16 lease.released 10.0.0.4 released, lease 15, held until {}", NOW + 16),
            format!("16 lease.freed 10.0.0.4 lease 15, held until {}", NOW + 16),
            "17 reservation.removed  10.0.0.7-10.0.0.7 for its owner: the printer".to_owned(),
            "18 pool.moved  10.0.0.1-10.0.0.10".to_owned(),
            "19 block.resized  printers 10.0.0.8-10.0.0.10".to_owned(),
            "20 block.deleted  printers 10.0.0.8-10.0.0.10".to_owned(),
            "21 pool.deleted  10.0.0.1-10.0.0.10".to_owned(),
        ]
    );
    let subjects: Vec<_> =
        events.iter().map(|(_, event)| event.subject.clone().unwrap()[15]).collect();
    assert_eq!(subjects, [1, 1, 50, 7, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 7, 1, 50, 50, 1]);
    store.assert_sound();
}

/// What changes nothing is no event, and neither is what was refused.
pub fn no_change_is_no_event(new: New) {
    let mut store = new();
    let pool = store.ranged(1, range("10.0.0.1", "10.0.0.9"));
    store.at(NOW, &Request { until: Some(NOW + 100), ..request(1) }).unwrap();
    let before = store.run(|tx| after(tx, None, 0, 100)).unwrap();
    store.allocate(1).unwrap();
    assert!(store.at(NOW, &given(2, "10.0.0.1")).is_err());
    store
        .run(|tx| {
            lease::renew(tx, NOW, &ACTOR, NETWORK, owner(1), Some(NOW + 100))?;
            lease::heartbeat(tx, NOW, &ACTOR, NETWORK, owner(1), 100)?;
            lease::release(tx, NOW, &ACTOR, NETWORK, owner(2), DAY)?;
            lease::extend_hold(tx, NOW, &ACTOR, NETWORK, owner(1), NOW)?;
            lease::shorten_hold(tx, NOW, &ACTOR, NETWORK, owner(1), 0)?;
            lease::take_over(tx, NOW, &ACTOR, NETWORK, owner(1), owner(2))?;
            reclaim::expire(tx, NOW, &ACTOR, NETWORK, DAY, 10)?;
            reclaim::reclaim(tx, NOW, &ACTOR, 10).map(drop)
        })
        .unwrap();
    assert!(store.run(|tx| pool::delete(tx, NOW, &ACTOR, pool)).is_err());
    assert_eq!(store.run(|tx| after(tx, None, 0, 100)).unwrap(), before);
}

/// `verify` judges the stored state by them.
pub fn the_kinds_of_this_crate_are_not_for_others(new: New) {
    let mut store = new();
    for kind in ["lease.note", "pool.created", "block.x", "reservation.", "clock.confirmed"] {
        let refused = store.run(|tx| append(tx, &Event::new(NOW, kind, "somebody")));
        assert_eq!(refused, Err(Error::ReservedKind { kind: kind.into() }));
    }
    store.run(|tx| append(tx, &Event::new(NOW, "leasehold", "somebody"))).unwrap();
    assert_eq!(store.run(|tx| after(tx, None, 0, 10)).unwrap().len(), 1);
}

/// Each way to ask, from either end, page by page, against all events looked through.
pub fn they_are_found_by_network_kind_and_subject_from_either_end(new: New) {
    let mut store = new();
    let other = NetworkId([9; 16]);
    let pick = |number: usize, of: usize| number.is_multiple_of(of);
    let written: Vec<Event> = (0..600_usize)
        .map(|number| Event {
            network: (!pick(number, 7)).then_some(if pick(number, 3) { other } else { NETWORK }),
            subject: (!pick(number, 5)).then(|| vec![u8::from(pick(number, 11)); 16]),
            ..Event::new(NOW, if pick(number, 4) { "rare" } else { "common" }, "somebody")
        })
        .collect();
    store.run(|tx| written.iter().try_for_each(|event| append(tx, event))).unwrap();
    let all = store.run(|tx| after(tx, None, 0, 1000)).unwrap();
    assert_eq!(all.len(), written.len());

    let (one, both) = ([NETWORK], [NETWORK, other]);
    for networks in [None, Some(&[][..]), Some(&one[..]), Some(&both[..])] {
        for kind in [None, Some("rare"), Some("none such"), Some("\0")] {
            for subject in [None, Some(&[0; 16][..]), Some(&[1; 16][..]), Some(&[7; 16][..])] {
                let mut expected: Vec<_> = all
                    .iter()
                    .filter(|(id, event)| {
                        *id <= 597
                            && networks.is_none_or(|all: &[NetworkId]| {
                                event.network.is_some_and(|network| all.contains(&network))
                            })
                            && kind.is_none_or(|kind| kind == event.kind)
                            && subject.is_none_or(|id| event.subject.as_deref() == Some(id))
                    })
                    .cloned()
                    .collect();
                for newest_first in [false, true] {
                    let mut found: Vec<(i64, Event)> = Vec::new();
                    loop {
                        let behind = found.last().map(|(id, _)| *id);
                        let up_to = Some(i64::try_from(written.len()).unwrap() - 3);
                        let asked = Search { networks, kind, subject, newest_first, behind, up_to };
                        let page = store.run(|tx| search(tx, &asked, 70)).unwrap();
                        assert_eq!(page.go_on, None);
                        let is_last = page.events.len() < 70;
                        found.extend(page.events);
                        if is_last {
                            break;
                        }
                    }
                    assert!(found == expected, "{networks:?} {kind:?} {subject:?}");
                    expected.reverse();
                }
            }
        }
    }
}

/// Of some networks there is much, of most a little, and of some nothing.
pub fn a_page_of_many_networks_is_in_order(new: New) {
    let mut store = new();
    let network = |number: usize| NetworkId([u8::try_from(number).unwrap(); 16]);
    let written: Vec<_> = (0..900_usize)
        .map(|at| {
            let of = if at % 3 == 0 { 100 } else { at % 37 };
            let kind = if at % 5 == 0 { "rare" } else { "common" };
            Event { network: Some(network(of)), ..Event::new(NOW, kind, "test") }
        })
        .collect();
    store.run(|tx| written.iter().try_for_each(|event| append(tx, event))).unwrap();
    let asked: Vec<_> = (20..120).map(network).collect();
    for kind in [None, Some("rare")] {
        for newest_first in [false, true] {
            let (mut found, mut behind) = (vec![], None);
            loop {
                let networks = Some(asked.as_slice());
                let search_for =
                    Search { networks, kind, newest_first, behind, ..Search::default() };
                let page = store.run(|tx| search(tx, &search_for, 13)).unwrap().events;
                let is_last = page.len() < 13;
                behind = page.last().map(|(id, _)| *id);
                found.extend(page.into_iter().map(|(id, _)| id));
                if is_last {
                    break;
                }
            }
            let passes = |event: &Event| {
                event.network.is_some_and(|network| asked.contains(&network))
                    && kind.is_none_or(|kind| kind == event.kind)
            };
            let ids = (1..).zip(&written).filter(|(_, event)| passes(event)).map(|(id, _)| id);
            let mut expected: Vec<i64> = ids.collect();
            if newest_first {
                expected.reverse();
            }
            assert_eq!(found, expected, "{kind:?} {newest_first}");
        }
    }
}

pub fn a_search_for_few_among_many_ends_early_and_goes_on(new: New) {
    let mut store = new();
    let of_kind = |kind| Event {
        network: Some(NETWORK),
        subject: Some(vec![7; 16]),
        ..Event::new(NOW, kind, "test")
    };
    let mut written = vec![of_kind("rare")];
    written.extend((0..5_000).map(|_| of_kind("common")));
    written.push(of_kind("rare"));
    for part in written.chunks(500) {
        store.run(|tx| part.iter().try_for_each(|event| append(tx, event))).unwrap();
    }
    let (mut found, mut behind, mut pages) = (vec![], None, 0);
    loop {
        let subject = Some(&[7; 16][..]);
        let asked = Search { subject, kind: Some("rare"), behind, ..Search::default() };
        let page = store.run(|tx| search(tx, &asked, 10)).unwrap();
        pages += 1;
        found.extend(page.events.into_iter().map(|(id, _)| id));
        behind = page.go_on;
        if behind.is_none() {
            break;
        }
    }
    assert_eq!(found, [1, 5_002]);
    assert!((3..=6).contains(&pages), "{pages}");
}

pub fn what_leases_are_judged_by_is_not_forgotten(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let renewal = |store: &mut Store, number: u64, day: i64| {
        let (at, owner) = (NOW + day * DAY, owner(number));
        let until = Some(at + 30 * DAY);
        store.run(|tx| lease::renew(tx, at, &ACTOR, NETWORK, owner, until)).unwrap();
    };
    for number in 1..=2 {
        store.allocate(number).unwrap();
    }
    for day in 1..=20 {
        renewal(&mut store, 1, day);
        renewal(&mut store, 2, day);
        let own = Event::new(NOW + day * DAY, "own", "test");
        store.run(|tx| append(tx, &own)).unwrap();
    }
    let count = |store: &mut Store| store.run(|tx| after(tx, None, 0, 1_000)).unwrap().len();
    let before = count(&mut store);
    let (mut behind, mut gone) = (0, 0);
    loop {
        let step = store.run(|tx| forget(tx, NOW + 10 * DAY, behind, 7)).unwrap();
        gone += step.events;
        store.assert_sound();
        let Some(go_on) = step.go_on else { break };
        behind = go_on;
    }
    // Nine days of three events each.
    assert_eq!((gone, count(&mut store)), (27, before - 27));
    // Who has an address is not forgotten, and who has none is, as a whole.
    assert!(!store.run(|tx| forget_owner(tx, NETWORK, owner(1))).unwrap());
    let end = NOW + 21 * DAY;
    store.run(|tx| lease::release(tx, end, &ACTOR, NETWORK, owner(1), DAY)).unwrap();
    assert!(!store.run(|tx| forget_owner(tx, NETWORK, owner(1))).unwrap());
    store.run(|tx| reclaim::reclaim(tx, end + 800 * DAY, &ACTOR, 10)).unwrap();
    let last = Event::new(end + 800 * DAY, "own", "test");
    store.run(|tx| append(tx, &last)).unwrap();
    assert!(store.run(|tx| forget_owner(tx, NETWORK, owner(1))).unwrap());
    store.assert_sound();
    let left = store.run(|tx| after(tx, None, 0, 1_000)).unwrap();
    assert!(left.iter().all(|(_, event)| event.subject.as_deref() != Some(&owner(1).0[..])));
    // The newest stays, whatever it is.
    let done = store.run(|tx| forget(tx, i64::MAX, 0, 1_000)).unwrap();
    assert!(done.events > 0);
    assert_eq!(store.run(|tx| after(tx, None, 0, 1_000)).unwrap().last(), left.last());
}
