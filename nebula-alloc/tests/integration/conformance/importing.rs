//! Are assignments made elsewhere taken over all or none, and is what is in the way told before?

use nebula_alloc::block::{self, Block};
use nebula_alloc::event::after;
use nebula_alloc::import::{Assignment, Conflict, Obstacle, STEP, conflicts, take_over};
use nebula_alloc::lease::release;
use nebula_alloc::reservation::{self, Purpose, Reservation};
use nebula_alloc::{Error, Keeper, PoolId};

use crate::support::*;

fn assigned(number: u64, address: &str) -> Assignment {
    Assignment {
        pool: None,
        owner: owner(number),
        address: ip(address),
        hold_until: NOW + 5,
        until: None,
    }
}

fn found(store: &mut Store, assignments: &[Assignment]) -> Vec<Conflict> {
    // On a connection that cannot write.
    store.reader().read(|tx| conflicts(tx, NOW, NETWORK, assignments)).unwrap()
}

pub fn each_obstacle_is_told_by_its_place(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/24");
    store.at(NOW, &given(1, "10.0.0.1")).unwrap();
    store.at(NOW, &given(2, "10.0.0.2")).unwrap();
    store.run(|tx| release(tx, NOW, &ACTOR, NETWORK, owner(2), DAY).map(drop)).unwrap();
    for (address, purpose) in [
        ("10.0.0.20", Purpose::Nobody),
        ("10.0.0.21", Purpose::Owner(owner(21))),
        ("10.0.0.22", Purpose::Asking),
    ] {
        let reservation = Reservation { range: range(address, address), purpose, note: None };
        store.run(|tx| reservation::make(tx, NOW, &ACTOR, NETWORK, &reservation)).unwrap();
    }
    let block = Block {
        id: PoolId([50; 16]),
        network: NETWORK,
        pool,
        name: "block".into(),
        range: range("10.0.0.30", "10.0.0.39"),
    };
    store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
    let before = store.leases();

    let address = ip;
    let reserved =
        |text, by| Error::AddressReserved { network: NETWORK, address: address(text), by };
    let cases = [
        (assigned(1, "10.0.0.1"), None),
        (assigned(2, "10.0.0.2"), None),
        (assigned(21, "10.0.0.21"), None),
        (assigned(22, "10.0.0.22"), None),
        (assigned(9, "10.0.0.9"), None),
        (assigned(10, "10.0.0.9"), Some(Obstacle::SameAddress(4))),
        (assigned(9, "10.0.0.10"), Some(Obstacle::SameOwner(4))),
        (
            assigned(11, "10.0.0.1"),
            // The assignment before it has it already, in this list as in the network.
            Some(Obstacle::SameAddress(0)),
        ),
        (
            assigned(12, "10.0.0.20"),
            Some(Obstacle::Refused(reserved("10.0.0.20", Keeper::Exclusion))),
        ),
        (assigned(14, "10.0.0.33"), Some(Obstacle::Refused(reserved("10.0.0.33", Keeper::Block)))),
        (
            assigned(15, "10.0.1.1"),
            Some(Obstacle::Refused(Error::AddressOutsidePools {
                network: NETWORK,
                address: ip("10.0.1.1"),
            })),
        ),
    ];
    let list: Vec<_> = cases.iter().map(|(assignment, _)| *assignment).collect();
    let expected: Vec<_> = cases
        .iter()
        .enumerate()
        .filter_map(|(index, (assignment, obstacle))| {
            let obstacle = obstacle.clone()?;
            Some(Conflict { index, assignment: *assignment, obstacle })
        })
        .collect();
    assert_eq!(found(&mut store, &list), expected);

    // What others have, asked for alone.
    for (assignment, error) in [
        (
            assigned(11, "10.0.0.1"),
            Error::AddressTaken { network: NETWORK, address: ip("10.0.0.1") },
        ),
        (
            assigned(11, "10.0.0.2"),
            Error::AddressQuarantined {
                network: NETWORK,
                address: ip("10.0.0.2"),
                until: NOW + DAY,
            },
        ),
        (assigned(11, "10.0.0.21"), reserved("10.0.0.21", Keeper::Pin)),
        (
            assigned(1, "10.0.0.5"),
            Error::OwnerHasAnother {
                network: NETWORK,
                owner: owner(1),
                held: ip("10.0.0.1"),
                asked: ip("10.0.0.5"),
            },
        ),
    ] {
        let obstacle = Obstacle::Refused(error.clone());
        assert_eq!(found(&mut store, &[assignment]), [Conflict { index: 0, assignment, obstacle }]);
        let refused = store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, &[assignment]));
        assert_eq!(refused, Err(error), "the report and the deed agree");
    }
    assert_eq!(store.leases(), before, "nothing is written");

    let free: Vec<_> =
        cases.iter().filter(|(_, obstacle)| obstacle.is_none()).map(|(one, _)| *one).collect();
    let taken = store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, &free)).unwrap();
    let addresses: Vec<_> = taken.iter().map(|lease| lease.address).collect();
    assert_eq!(addresses, free.iter().map(|one| one.address).collect::<Vec<_>>());
    store.assert_sound();
}

pub fn one_that_cannot_be_taken_over_keeps_all_out(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let list = [assigned(1, "10.0.0.7"), assigned(2, "10.9.9.9"), assigned(3, "10.0.0.8")];
    let refused = store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, &list));
    assert!(matches!(refused, Err(Error::AddressOutsidePools { .. })), "{refused:?}");
    assert_eq!(store.leases(), []);
    store.assert_sound();
}

pub fn taking_over_again_changes_nothing(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    store.pool(2, "fd00::/64");
    let list = [assigned(1, "10.0.0.7"), assigned(1, "fd00::7"), assigned(2, "10.0.0.8")];
    let mut counts = Vec::new();
    for _ in 0..2 {
        assert_eq!(found(&mut store, &list), []);
        let taken = store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, &list)).unwrap();
        assert_eq!(taken.iter().map(|lease| lease.hold_until).collect::<Vec<_>>(), [NOW + 5; 3]);
        counts.push(store.run(|tx| after(tx, None, 0, 100)).unwrap().len());
    }
    assert_eq!(counts, [5, 5]);
    assert_eq!(store.leases().len(), 3);
    store.assert_sound();
}

pub fn many_are_taken_over_in_steps(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/16");
    let list: Vec<_> = (0..600)
        .map(|number| assigned(number, &format!("10.0.{}.{}", number % 200, 1 + number / 200)))
        .collect();
    assert_eq!(found(&mut store, &list), []);
    for step in list.chunks(STEP) {
        store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, step).map(drop)).unwrap();
    }
    assert_eq!(store.leases().len(), 600);
    assert_eq!(store.free(pool), 65_534 - 600);
    store.assert_sound();
}

pub fn a_conflict_says_what_it_is(new: New) {
    let mut store = new();
    store.pool(1, "10.0.0.0/24");
    let list = [assigned(1, "10.0.0.1"), assigned(2, "10.0.0.1"), assigned(1, "10.0.0.2")];
    let said: Vec<_> = found(&mut store, &list).iter().map(ToString::to_string).collect();
    let owner = |number| format!("00000000-0000-0000-0000-{number:012}");
    assert_eq!(
        said,
        [
            format!("assignment 1 (10.0.0.1 to {}): assignment 0 has the same address", owner(2)),
            format!("assignment 2 (10.0.0.2 to {}): assignment 0 is of the same owner", owner(1)),
        ]
    );
}

pub fn into_a_block_and_out_again(new: New) {
    let mut store = new();
    let pool = store.pool(1, "10.0.0.0/24");
    let id = PoolId([2; 16]);
    let range = range("10.0.0.1", "10.0.0.9");
    let block = Block { id, network: NETWORK, pool, name: "printers".into(), range };
    store.run(|tx| block::create(tx, NOW, &ACTOR, &block)).unwrap();
    let one = assigned(1, "10.0.0.4");
    let refused = store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, &[one]));
    assert!(matches!(refused, Err(Error::AddressReserved { .. })));
    let one = Assignment { pool: Some(id), ..one };
    let leases = store.run(|tx| take_over(tx, NOW, &ACTOR, NETWORK, &[one])).unwrap();
    assert_eq!((leases[0].address, leases[0].pool), (ip("10.0.0.4"), id));
    // What is exported is what was imported.
    let exported: Vec<_> = store.leases().iter().map(Assignment::from).collect();
    assert_eq!(exported, [one]);
    store.assert_sound();
}
