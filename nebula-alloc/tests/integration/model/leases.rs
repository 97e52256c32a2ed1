//! Leases of the model.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nebula_alloc::import::{Assignment, Conflict, Obstacle};
use nebula_alloc::lease::{Hold, Lease, LeaseState, Reason, Request};
use nebula_alloc::reservation::{Purpose, Reservation};
use nebula_alloc::{Error, Family, Keeper, LeaseId, NetworkId, OwnerId, PoolId, limits};

use super::operation::{Answer, Seen};
use super::state::Model;

impl Model {
    /// Owners that have the address they ask for or had one come before others ask for an address
    /// by name, these before whoever takes any; equal owners one after the other.
    pub fn allocate(
        &mut self,
        now: i64,
        requests: &[Request],
        seen: &Seen<'_>,
    ) -> Vec<Result<Lease, Error>> {
        let mut answers = vec![None; requests.len()];
        let mut waiting: Vec<usize> = (0..requests.len()).collect();
        while !waiting.is_empty() {
            let mut owners = BTreeSet::new();
            let (round, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|index| {
                let Request { network, owner, family, .. } = requests[*index];
                owners.insert((network, owner, family))
            });
            waiting = later;
            for (index, answer) in self.round(now, requests, &round, seen) {
                answers[index] = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.expect("each is in one round")).collect()
    }

    fn round(
        &mut self,
        now: i64,
        requests: &[Request],
        round: &[usize],
        seen: &Seen<'_>,
    ) -> Vec<(usize, Result<Lease, Error>)> {
        let mut answers = Vec::new();
        let (mut rather, mut named, mut any) = (Vec::new(), Vec::new(), Vec::new());
        for index in round.iter().copied() {
            let request = requests[index];
            let Request { network, owner, family, address, pool, .. } = request;
            self.number = seen.number(index);
            if let Some(held) = self.active(network, owner, family) {
                answers.push((index, self.ask_again(now, held, &request)));
            } else if let Some(address) = address {
                named.push((index, address));
            } else {
                let own = self.own(&request);
                if own.is_empty() {
                    any.push((index, (network, family, pool)));
                } else {
                    rather.push((index, own));
                }
            }
        }
        // Those of one source where the first of them is.
        let mut sources: Vec<(_, Vec<usize>)> = Vec::new();
        for (index, source) in any {
            match sources.iter_mut().find(|(other, _)| *other == source) {
                Some((_, members)) => members.push(index),
                None => sources.push((source, vec![index])),
            }
        }
        for (index, own) in rather {
            self.number = seen.number(index);
            // It would have liked to, but does not insist.
            let elsewhere = |(answer, pinned): &(Result<_, _>, bool)| match answer {
                Err(
                    Error::AddressInAnotherPool { .. }
                    | Error::AddressOutsidePools { .. }
                    | Error::AddressReserved { .. },
                ) => true,
                // To another of the batch, to whom it is pinned.
                Err(Error::AddressTaken { .. }) => !pinned,
                _ => false,
            };
            let mut tried = own
                .iter()
                .map(|(address, pinned)| (self.given(now, &requests[index], *address), *pinned));
            match tried.find(|answer| !elsewhere(answer)) {
                Some((answer, _)) => answers.push((index, answer)),
                None => {
                    let Request { network, family, pool, .. } = requests[index];
                    sources.push(((network, family, pool), vec![index]));
                }
            }
        }
        for (index, address) in named {
            self.number = seen.number(index);
            answers.push((index, self.given(now, &requests[index], address)));
        }
        for index in sources.into_iter().flat_map(|(_, members)| members) {
            self.number = seen.number(index);
            let request = &requests[index];
            let given = seen.given(index).or_else(|| seen.had(request));
            answers.push((index, self.any(now, request, given)));
        }
        answers
    }

    pub fn allocate_all(
        &mut self,
        now: i64,
        requests: &[Request],
        seen: &Seen<'_>,
    ) -> Result<Answer, Error> {
        let answers = self.allocate(now, requests, seen);
        answers.into_iter().collect::<Result<_, _>>().map(Answer::Leases)
    }

    /// With whether it is pinned: what is pinned to it, then what it released of the pool that it asks for, the last first.
    fn own(&self, request: &Request) -> Vec<(IpAddr, bool)> {
        let Request { network, owner, family, pool, .. } = *request;
        let pinned = self.reservations.iter().filter(|(of, kept)| {
            *of == network && kept.purpose == Purpose::Owner(owner) && kept.range.family() == family
        });
        let mut released = self.of_owner(network, owner);
        released
            .retain(|lease| lease.family() == family && pool.is_none_or(|pool| lease.pool == pool));
        released.sort_by_key(|lease| std::cmp::Reverse((lease.released_at, lease.address)));
        let pinned = pinned.map(|(_, kept)| (kept.range.first(), true));
        let former = released.iter().take(limits::FORMER).map(|lease| (lease.address, false));
        pinned.chain(former).collect()
    }

    fn ask_again(&mut self, now: i64, held: Lease, request: &Request) -> Result<Lease, Error> {
        let Request { network, owner, .. } = *request;
        match (request.address, request.pool) {
            (Some(asked), _) if asked != held.address => {
                Err(Error::OwnerHasAnother { network, owner, held: held.address, asked })
            }
            (_, Some(pool)) if pool != held.pool => {
                Err(Error::OwnerHoldsElsewhere { network, owner, held: held.address, pool })
            }
            _ => {
                let hold_until = held.hold_until.max(request.hold_until);
                let until = match held.until {
                    None => None,
                    Some(end) if now >= end => {
                        let until = request.until;
                        return Ok(self.begin_anew(Lease { hold_until, until, ..held }));
                    }
                    Some(end) => Some(request.until.map_or(end, |until| until.max(end))),
                };
                Ok(self.put(Lease { hold_until, until, ..held }))
            }
        }
    }

    /// The address to who has none.
    fn given(&mut self, now: i64, request: &Request, address: IpAddr) -> Result<Lease, Error> {
        let pool = self.check_given(now, request, address)?;
        let held = self.leases.get(&(request.network, address));
        let own = held.filter(|lease| lease.owner == request.owner);
        let hold_until =
            own.map_or(request.hold_until, |own| own.hold_until.max(request.hold_until));
        Ok(self.begin(request, pool, address, hold_until))
    }

    fn begin(&mut self, request: &Request, pool: PoolId, address: IpAddr, hold: i64) -> Lease {
        let Request { network, owner, until, .. } = *request;
        self.begin_anew(Lease {
            network,
            address,
            pool,
            owner,
            state: LeaseState::Active,
            hold_until: hold,
            released_at: None,
            reason: None,
            until,
            number: 0,
            passed_on_by: None,
        })
    }

    fn check_given(&self, now: i64, request: &Request, address: IpAddr) -> Result<PoolId, Error> {
        let Request { network, owner, family, pool, .. } = *request;
        if Family::of(address) != family {
            return Err(Error::WrongFamily { address, family });
        }
        let held = self.leases.get(&(network, address));
        if held.is_some_and(|lease| lease.state == LeaseState::Active) {
            return Err(Error::AddressTaken { network, address });
        }
        let space = self.space_of(network, address);
        let space = space.ok_or(Error::AddressOutsidePools { network, address })?;
        if let Some(pool) = pool.filter(|pool| *pool != space.id) {
            return Err(Error::AddressInAnotherPool { address, pool });
        }
        let by = match self.reservation(network, address).map(|kept| kept.purpose) {
            _ if pool.is_none() && space.is_block => Some(Keeper::Block),
            Some(Purpose::Nobody) => Some(Keeper::Exclusion),
            Some(Purpose::Owner(other)) if other != owner => Some(Keeper::Pin),
            _ => None,
        };
        if let Some(by) = by {
            return Err(Error::AddressReserved { network, address, by });
        }
        match held {
            Some(lease) if lease.owner != owner && lease.hold_until > now => {
                Err(Error::AddressQuarantined { network, address, until: lease.hold_until })
            }
            _ => Ok(space.id),
        }
    }

    /// The lowest free address of the first pool that has one. What has left its quarantine counts
    /// when there is none, pool by pool.
    fn any(&mut self, now: i64, request: &Request, seen: Option<IpAddr>) -> Result<Lease, Error> {
        let Request { network, family, .. } = *request;
        let pools = match request.pool {
            None => self.in_order(network, family),
            Some(pool) => {
                let space = self.space(pool);
                let fits = space.is_some_and(|space| {
                    space.network == network && space.range.family() == family
                });
                if !fits {
                    return Err(Error::NoSuchPool { pool });
                }
                vec![pool]
            }
        };
        if pools.is_empty() {
            return Err(Error::NoPool { network, family });
        }
        let mut found = pools.iter().find(|pool| !self.free(**pool).is_empty());
        if found.is_none() {
            found = pools.iter().find(|pool| {
                self.leases.retain(|_, lease| {
                    let ended = lease.state == LeaseState::Quarantined && lease.hold_until <= now;
                    !(ended && lease.pool == **pool)
                });
                !self.free(**pool).is_empty()
            });
        }
        let pool = *found.ok_or(Error::PoolExhausted { network, family })?;
        let free = self.free(pool);
        // An instance of several takes the lowest of what it keeps to itself.
        let chosen = seen.filter(|seen| !self.exact && free.contains(seen));
        let address = chosen.or(free.first().copied()).expect("one is free");
        Ok(self.begin(request, pool, address, request.hold_until))
    }

    /// As if it had none, while somebody else holds what it has.
    pub fn relocate(
        &mut self,
        now: i64,
        request: &Request,
        hold: Hold,
        seen: &Seen<'_>,
    ) -> Result<Lease, Error> {
        let Request { network, owner, family, address, pool, .. } = *request;
        let held = self.active(network, owner, family).filter(|held| {
            address.is_some_and(|address| address != held.address)
                || pool.is_some_and(|pool| pool != held.pool)
        });
        let Some(held) = held else { return self.allocate(now, &[*request], seen).remove(0) };
        self.put(Lease { owner: OwnerId([0; 16]), ..held });
        // It leaves it, pinned to it or not.
        let is_its_pin = |(of, kept): &(NetworkId, Reservation)| {
            *of == network
                && kept.purpose == Purpose::Owner(owner)
                && kept.range.first() == held.address
        };
        let place = self.reservations.iter().position(is_its_pin);
        let pin = place.map(|place| self.reservations.remove(place));
        let answer = self.allocate(now, &[*request], seen).remove(0);
        if let (Some(place), Some(pin)) = (place, pin) {
            self.reservations.insert(place, pin);
        }
        self.quarantine(now, held, hold);
        answer
    }

    pub fn release(
        &mut self,
        now: i64,
        network: NetworkId,
        owner: OwnerId,
        hold: Hold,
    ) -> Vec<Lease> {
        let (active, mut released): (Vec<_>, Vec<_>) = self
            .of_owner(network, owner)
            .into_iter()
            .partition(|lease| lease.state == LeaseState::Active);
        let last = released.iter().map(|lease| lease.released_at).max();
        released.retain(|lease| Some(lease.released_at) == last);
        if active.is_empty() {
            return released;
        }
        active.into_iter().map(|lease| self.quarantine(now, lease, hold)).collect()
    }

    /// The lease of this name, in this state.
    fn named(&self, name: LeaseId, state: LeaseState) -> Option<Lease> {
        let lease = self.leases.get(&(name.network, name.address)).copied()?;
        (lease.id() == name && lease.state == state).then_some(lease)
    }

    pub fn release_one(&mut self, now: i64, name: LeaseId, hold: Hold) -> Result<Lease, Error> {
        match self.named(name, LeaseState::Active) {
            Some(lease) => Ok(self.quarantine(now, lease, hold)),
            None => {
                self.named(name, LeaseState::Quarantined).ok_or(Error::LeaseEnded { lease: name })
            }
        }
    }

    pub fn renew_one(&mut self, name: LeaseId, until: Option<i64>) -> Result<Lease, Error> {
        let lease = self.named(name, LeaseState::Active);
        let lease = lease.ok_or(Error::LeaseEnded { lease: name })?;
        Ok(self.put(Lease { until, ..lease }))
    }

    pub fn transfer_one(&mut self, name: LeaseId, to: OwnerId) -> Result<Lease, Error> {
        let lease = self.named(name, LeaseState::Active);
        if let Some(lease) = lease {
            return if name.owner == to { Ok(lease) } else { self.pass_on(lease, to) };
        }
        let passed = self.leases.get(&(name.network, name.address)).filter(|lease| {
            lease.owner == to
                && lease.state == LeaseState::Active
                && lease.passed_on_by == Some(name.owner)
                && lease.number > name.number
        });
        passed.copied().ok_or(Error::LeaseEnded { lease: name })
    }

    fn pass_on(&mut self, lease: Lease, to: OwnerId) -> Result<Lease, Error> {
        let active = lease.state == LeaseState::Active;
        if let Some(held) = self.active(lease.network, to, lease.family()).filter(|_| active) {
            let (network, held, asked) = (lease.network, held.address, lease.address);
            return Err(Error::OwnerHasAnother { network, owner: to, held, asked });
        }
        Ok(self.begin_anew(Lease { owner: to, passed_on_by: Some(lease.owner), ..lease }))
    }

    fn quarantine(&mut self, now: i64, lease: Lease, hold: Hold) -> Lease {
        self.put(Lease {
            state: LeaseState::Quarantined,
            hold_until: lease.hold_until.max(now + hold.seconds.max(0)),
            released_at: Some(now),
            reason: Some(hold.reason),
            until: None,
            ..lease
        })
    }

    pub fn renew(
        &mut self,
        network: NetworkId,
        owner: OwnerId,
        until: impl Fn(Option<i64>) -> Option<i64>,
    ) -> Result<Vec<Lease>, Error> {
        let mut leases = self.of_owner(network, owner);
        leases.retain(|lease| lease.state == LeaseState::Active);
        if leases.is_empty() {
            return Err(Error::NoLease { network, owner });
        }
        let renewed = |lease: Lease| self.put(Lease { until: until(lease.until), ..lease });
        Ok(leases.into_iter().map(renewed).collect())
    }

    pub fn transfer(
        &mut self,
        network: NetworkId,
        from: OwnerId,
        to: OwnerId,
        seen: &Seen<'_>,
    ) -> Result<Vec<Lease>, Error> {
        let leases = self.of_owner(network, from);
        let is_active = |lease: &Lease| lease.state == LeaseState::Active;
        if !leases.iter().any(is_active) {
            let mut theirs = self.of_owner(network, to);
            theirs.retain(|lease| lease.passed_on_by == Some(from));
            return match theirs.iter().any(is_active) {
                true => Ok(theirs),
                false => Err(Error::NoLease { network, owner: from }),
            };
        }
        if from == to {
            return Ok(leases);
        }
        let passed = leases.into_iter().enumerate().map(|(index, lease)| {
            self.number = seen.number(index);
            self.pass_on(lease, to)
        });
        passed.collect()
    }

    pub fn take_over(&mut self, network: NetworkId, from: OwnerId, to: OwnerId) -> u64 {
        let mut leases = self.of_owner(network, from);
        leases.retain(|lease| lease.state == LeaseState::Quarantined);
        let passed_on_by = Some(from);
        let passed = |lease| Lease { owner: to, passed_on_by, ..lease };
        self.put_all(leases.into_iter().map(passed).collect())
    }

    pub fn extend_hold(&mut self, network: NetworkId, owner: OwnerId, hold_until: i64) -> u64 {
        let mut leases = self.of_owner(network, owner);
        leases.retain(|lease| lease.hold_until < hold_until);
        self.put_all(leases.into_iter().map(|lease| Lease { hold_until, ..lease }).collect())
    }

    pub fn shorten_hold(&mut self, network: NetworkId, owner: OwnerId, seconds: i64) -> u64 {
        let leases = self.of_owner(network, owner).into_iter();
        let sooner = leases.filter_map(|lease| {
            let hold_until = lease.released_at? + seconds.max(0);
            (hold_until < lease.hold_until).then_some(Lease { hold_until, ..lease })
        });
        let sooner = sooner.collect();
        self.put_all(sooner)
    }

    fn put_all(&mut self, leases: Vec<Lease>) -> u64 {
        let count = u64::try_from(leases.len()).unwrap();
        for lease in leases {
            self.put(lease);
        }
        count
    }

    /// The first to end; of those that end at once, any.
    pub fn expire(
        &mut self,
        now: i64,
        network: NetworkId,
        seconds: i64,
        limit: usize,
        seen: &Seen<'_>,
    ) -> Vec<Lease> {
        let hold = Hold { seconds, reason: Reason::Ended };
        let mut ended: Vec<_> = self
            .leases
            .values()
            .filter(|lease| lease.network == network && lease.state == LeaseState::Active)
            .filter_map(|lease| Some((lease.until?, *lease)))
            .filter(|(until, _)| *until <= now)
            .collect();
        let place =
            |lease: &Lease| (0..limit).find(|index| seen.given(*index) == Some(lease.address));
        ended.sort_by_key(|(until, lease)| {
            (*until, place(lease).unwrap_or(usize::MAX), lease.address)
        });
        ended.truncate(limit);
        ended.into_iter().map(|(_, lease)| self.quarantine(now, lease, hold)).collect()
    }

    /// Of quarantines that end at once, any.
    pub fn reclaim(&mut self, now: i64, limit: usize, seen: &Seen<'_>) -> u64 {
        let mut ended: Vec<_> = self
            .leases
            .values()
            .filter(|lease| lease.state == LeaseState::Quarantined && lease.hold_until <= now)
            .map(|lease| (lease.hold_until, (lease.network, lease.address)))
            .collect();
        ended.sort_by_key(|(until, key)| (*until, seen.leases.contains_key(key)));
        ended.truncate(limit);
        for (_, key) in &ended {
            self.leases.remove(key);
        }
        u64::try_from(ended.len()).unwrap()
    }

    pub fn conflicts(
        &self,
        now: i64,
        network: NetworkId,
        assignments: &[Assignment],
    ) -> Vec<Conflict> {
        let obstacle = |index: usize| {
            let assignment = assignments[index];
            let family = Family::of(assignment.address);
            let before = &assignments[..index];
            let same_owner = |other: &Assignment| {
                (other.owner, Family::of(other.address)) == (assignment.owner, family)
            };
            if let Some(other) = before.iter().position(|one| one.address == assignment.address) {
                return Some(Obstacle::SameAddress(other));
            }
            if let Some(other) = before.iter().position(same_owner) {
                return Some(Obstacle::SameOwner(other));
            }
            let request = request(network, &assignment);
            // In a model of its own, as if it were asked for.
            let seen = Seen { answer: &Ok(Answer::Nothing), leases: &self.leases };
            self.clone().allocate(now, &[request], &seen).remove(0).err().map(Obstacle::Refused)
        };
        let conflict = |index| {
            let assignment = assignments[index];
            obstacle(index).map(|obstacle| Conflict { index, assignment, obstacle })
        };
        (0..assignments.len()).filter_map(conflict).collect()
    }

    pub fn import(
        &mut self,
        now: i64,
        network: NetworkId,
        assignments: &[Assignment],
        seen: &Seen<'_>,
    ) -> Result<Answer, Error> {
        for Conflict { assignment, obstacle, .. } in self.conflicts(now, network, assignments) {
            let Assignment { owner, address, .. } = assignment;
            match obstacle {
                Obstacle::Refused(error) => return Err(error),
                // The same once more.
                Obstacle::SameAddress(other) if assignments[other].owner == owner => {}
                Obstacle::SameAddress(_) => return Err(Error::AddressTaken { network, address }),
                Obstacle::SameOwner(other) => {
                    let (held, asked) = (assignments[other].address, address);
                    return Err(Error::OwnerHasAnother { network, owner, held, asked });
                }
                other => panic!("{other:?}"),
            }
        }
        let requests: Vec<_> = assignments.iter().map(|one| request(network, one)).collect();
        self.allocate_all(now, &requests, seen)
    }
}

fn request(network: NetworkId, assignment: &Assignment) -> Request {
    let Assignment { owner, address, pool, hold_until, until } = *assignment;
    let family = Family::of(address);
    Request { network, owner, family, address: Some(address), pool, hold_until, until }
}
