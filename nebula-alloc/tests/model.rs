//! Does any sequence of operations do what a simple model does?
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "support/store.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;

use nebula_alloc::Error;
use nebula_alloc::lease::{LeaseState, Request, allocate_many, release};
use nebula_alloc::reclaim::reclaim;
use proptest::prelude::*;
use support::*;

const HOLD: i64 = 10;

#[derive(Debug, Clone)]
enum Step {
    /// Owners, each with the last byte of a given address or none.
    Allocate(Vec<(u64, Option<u8>)>),
    Release(u64),
    Reclaim(usize),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let owner = 0..24_u64;
    let address = prop::option::weighted(0.3, 0..22_u8);
    prop_oneof![
        4 => prop::collection::vec((owner.clone(), address), 1..6).prop_map(Step::Allocate),
        3 => owner.prop_map(Step::Release),
        1 => (0..5_usize).prop_map(Step::Reclaim),
        1 => (1..8_i64).prop_map(Step::Wait),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    owner: u64,
    /// When it was released and until when it is held, unless it is active.
    quarantine: Option<(i64, i64)>,
}

/// Addresses by their order of use: 10.0.0.1 to .8, then .10 to .17; .9 is in no pool.
#[derive(Default)]
struct Model(BTreeMap<u8, Held>);

impl Model {
    fn pools() -> impl Iterator<Item = u8> {
        (1..=8).chain(10..=17)
    }

    fn of(&self, owner: u64, active: bool) -> Option<u8> {
        self.0
            .iter()
            .filter(|(_, held)| held.owner == owner && held.quarantine.is_none() == active)
            .max_by_key(|(address, held)| (held.quarantine.map(|(at, _)| at), **address))
            .map(|(address, _)| *address)
    }

    /// One request by itself.
    fn allocate(&mut self, now: i64, owner: u64, given: Option<u8>) -> Result<u8, &'static str> {
        if let Some(active) = self.of(owner, true) {
            return match given {
                Some(asked) if asked != active => Err("another"),
                _ => Ok(active),
            };
        }
        let address = match given {
            Some(asked) => match self.0.get(&asked) {
                Some(Held { quarantine: None, .. }) => return Err("taken"),
                Some(held)
                    if held.owner != owner
                        && held.quarantine.is_some_and(|(_, until)| until > now) =>
                {
                    return Err("quarantined");
                }
                Some(_) => asked,
                None if Self::pools().any(|address| address == asked) => asked,
                None => return Err("outside"),
            },
            None => match self.of(owner, false) {
                Some(own) => own,
                None => {
                    // Ended quarantines count as free only when nothing else is, pool by pool.
                    for pool in [1..=8, 10..=17] {
                        if Self::pools().all(|address| self.0.contains_key(&address)) {
                            self.0.retain(|address, held| {
                                let ended = held.quarantine.is_some_and(|(_, until)| until <= now);
                                !(ended && pool.contains(address))
                            });
                        }
                    }
                    Self::pools()
                        .find(|address| !self.0.contains_key(address))
                        .ok_or("exhausted")?
                }
            },
        };
        self.0.insert(address, Held { owner, quarantine: None });
        Ok(address)
    }

    fn release(&mut self, now: i64, owner: u64) {
        if let Some(held) = self.of(owner, true).and_then(|address| self.0.get_mut(&address)) {
            held.quarantine = Some((now, now + HOLD));
        }
    }

    fn reclaim(&mut self, now: i64, limit: usize) {
        let mut ended: Vec<_> = self
            .0
            .iter()
            .filter_map(|(address, held)| Some((held.quarantine?.1, *address)))
            .filter(|(until, _)| *until <= now)
            .collect();
        ended.sort_unstable();
        for (_, address) in ended.into_iter().take(limit) {
            self.0.remove(&address);
        }
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn refusal(error: &Error) -> &'static str {
    match error {
        Error::PoolExhausted { .. } => "exhausted",
        Error::AddressTaken { .. } => "taken",
        Error::AddressQuarantined { .. } => "quarantined",
        Error::AddressOutsidePools { .. } => "outside",
        Error::OwnerHasAnother { .. } => "another",
        _ => "unexpected",
    }
}

/// What the store holds, as the model would say it.
fn stored(store: &mut Store) -> BTreeMap<IpAddr, (nebula_alloc::OwnerId, Option<i64>)> {
    store
        .leases()
        .into_iter()
        .map(|lease| {
            let until = (lease.state == LeaseState::Quarantined).then_some(lease.hold_until);
            (lease.address, (lease.owner, until))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Requests one at a time.
    #[test]
    fn single_requests(steps in prop::collection::vec(step(), 1..60)) {
        let mut store = Store::new();
        store.ranged(1, range("10.0.0.1", "10.0.0.8"));
        store.ranged(2, range("10.0.0.10", "10.0.0.17"));
        let mut model = Model::default();
        let mut now = NOW;
        for step in steps {
            match step {
                Step::Allocate(requests) => for (number, given) in requests {
                    let expected = model.allocate(now, number, given);
                    let request = Request {
                        address: given.map(address), hold_until: 0, ..request(number)
                    };
                    let got = store.at(now, &request);
                    prop_assert_eq!(
                        got.as_ref().map(|lease| lease.address).map_err(refusal),
                        expected.map(address)
                    );
                    // Its old quarantine is what a lease counts on; begin afresh, as the model does.
                    store.run(|tx| tx.execute(
                        "UPDATE alloc_lease SET hold_until = 0 WHERE state = 1", &[])).unwrap();
                },
                Step::Release(number) => {
                    model.release(now, number);
                    store.run(|tx| release(tx, now, &ACTOR, NETWORK, owner(number), HOLD)).unwrap();
                }
                Step::Reclaim(limit) => {
                    model.reclaim(now, limit);
                    // Which of several that end at once is left to the database.
                    store.run(|tx| reclaim(tx, now, &ACTOR, limit)).unwrap();
                    let left: Vec<_> = stored(&mut store).keys().copied().collect();
                    prop_assert_eq!(left.len(), model.0.len());
                    let kept: Vec<_> = model.0.keys().copied().map(address).collect();
                    if kept != left {
                        model.0.clear();
                        for lease in store.leases() {
                            let IpAddr::V4(v4) = lease.address else { unreachable!() };
                            let number = u64::from_be_bytes(lease.owner.0[8..].try_into().unwrap());
                            let quarantine = lease.released_at.map(|at| (at, lease.hold_until));
                            model.0.insert(v4.octets()[3], Held { owner: number, quarantine });
                        }
                    }
                }
                Step::Wait(seconds) => now += seconds,
            }
            let expected: BTreeMap<_, _> = model.0.iter().map(|(last, held)| {
                (address(*last), (owner(held.owner), held.quarantine.map(|(_, until)| until)))
            }).collect();
            prop_assert_eq!(stored(&mut store), expected);
        }
        store.assert_sound();
    }

    /// Batches: nobody is lost, nobody is served twice, nobody is refused without need.
    #[test]
    fn batches(steps in prop::collection::vec(step(), 1..60)) {
        let mut store = Store::new();
        store.ranged(1, range("10.0.0.1", "10.0.0.8"));
        store.ranged(2, range("10.0.0.10", "10.0.0.17"));
        let mut now = NOW;
        for step in steps {
            match step {
                Step::Allocate(batch) => {
                    let requests: Vec<_> = batch.iter().map(|(number, given)| Request {
                        address: given.map(address), hold_until: 0, ..request(*number)
                    }).collect();
                    let answers = store.run(|tx| allocate_many(tx, now, &asked(&requests))).unwrap();
                    prop_assert_eq!(answers.len(), requests.len());
                    let stored = stored(&mut store);
                    for (request, answer) in requests.iter().zip(&answers) {
                        match answer {
                            Ok(lease) => {
                                prop_assert_eq!(stored.get(&lease.address), Some(&(request.owner, None)));
                                prop_assert!(request.address.is_none_or(|asked| asked == lease.address));
                            }
                            Err(Error::PoolExhausted { .. }) => prop_assert_eq!(stored.len(), 16),
                            Err(error) => {
                                prop_assert!(request.address.is_some());
                                prop_assert_ne!(refusal(error), "unexpected");
                            }
                        }
                    }
                }
                Step::Release(number) => {
                    store.run(|tx| release(tx, now, &ACTOR, NETWORK, owner(number), HOLD)).unwrap();
                }
                Step::Reclaim(limit) => { store.run(|tx| reclaim(tx, now, &ACTOR, limit)).unwrap(); }
                Step::Wait(seconds) => now += seconds,
            }
        }
        store.assert_sound();
    }
}
