//! What children were answered, and whether a database has it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use nebula_alloc::lease::{Lease, LeaseState, list};
use nebula_alloc::verify::verify;
use nebula_alloc::{Allocator, Error, OwnerId, Sqlite, Writer, WriterOptions, event, pool};

use crate::support::{NETWORK, NOW, owner, request};

#[derive(Debug, Default)]
pub struct History {
    owners: BTreeMap<OwnerId, Owner>,
    pools: BTreeSet<u8>,
    reclaiming: bool,
    /// Operations answered.
    pub acknowledged: usize,
}

#[derive(Debug, Default)]
struct Owner {
    /// What it was answered last: state, address and `hold_until`.
    known: Option<Held>,
    /// What may have happened since.
    tried: Vec<Trial>,
    /// Events that must be there: of allocations and of releases.
    allocated: usize,
    released: usize,
}

type Held = (LeaseState, IpAddr, i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    Allocate,
    Release,
}

impl History {
    pub fn of(lines: &[String]) -> Self {
        let mut history = Self::default();
        for line in lines {
            history.note(line);
        }
        history
    }

    /// What is wrong with a database after children had said these lines.
    pub fn after(lines: &[String], path: &Path) -> Result<(), String> {
        Self::of(lines).check(path)
    }

    pub fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["open"] | ["note", ..] => {}
            ["pool", id] => drop(self.pools.insert(id.parse().unwrap())),
            ["try", "reclaim"] => self.reclaiming = true,
            ["try", what, number] => {
                let trial = if what == "release" { Trial::Release } else { Trial::Allocate };
                self.owner(number).tried.push(trial);
            }
            ["refused", number] => drop(self.owner(number).tried.pop()),
            ["unknown", _] => {}
            ["held", number, address, hold] => {
                self.answered(number, LeaseState::Active, address, hold);
            }
            ["quarantined", number, address, hold] => {
                self.answered(number, LeaseState::Quarantined, address, hold);
            }
            _ => panic!("{line}"),
        }
    }

    fn owner(&mut self, number: &str) -> &mut Owner {
        self.owners.entry(owner(number.parse().unwrap())).or_default()
    }

    fn answered(&mut self, number: &str, state: LeaseState, address: &str, hold: &str) {
        self.acknowledged += 1;
        let owner = self.owner(number);
        // With trials of unknown outcome before it, an event may be theirs.
        let certain = owner.tried.len() == 1;
        let before = owner.known.map(|(state, ..)| state);
        owner.known = Some((state, address.parse().unwrap(), hold.parse().unwrap()));
        owner.tried.clear();
        match state {
            LeaseState::Quarantined => owner.released += 1,
            LeaseState::Active if certain && before == Some(LeaseState::Active) => {}
            LeaseState::Active => owner.allocated += 1,
        }
    }

    /// Opens the database as a program would after an accident. What is wrong with it, if anything.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let text = |error: Error| error.to_string();
        let mut store = Sqlite::open(path).map_err(|error| format!("opening: {error}"))?;
        let (violations, leases, events, pools) = store
            .transaction(|tx| {
                Ok::<_, Error>((
                    verify(tx)?,
                    list(tx, NETWORK, None, usize::MAX)?,
                    event::after(tx, Some(NETWORK), 0, usize::MAX)?,
                    pool::by_network(tx, NETWORK, None, usize::MAX)?,
                ))
            })
            .map_err(text)?;
        if let Some(violation) = violations.first() {
            return Err(format!("{violation} ({} violations)", violations.len()));
        }
        let pools: BTreeSet<u8> = pools.iter().map(|pool| pool.id.0[0]).collect();
        if let Some(lost) = self.pools.difference(&pools).next() {
            return Err(format!("pool {lost} is lost"));
        }
        let mut stored: BTreeMap<OwnerId, Lease> = BTreeMap::new();
        for lease in leases {
            if let Some(other) = stored.insert(lease.owner, lease) {
                return Err(format!("{} and {} of one owner", lease.address, other.address));
            }
        }
        let mut counted: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
        for (_, event) in &events {
            let count = counted.entry(event.subject.as_deref().unwrap_or_default()).or_default();
            match event.kind.as_str() {
                "lease.allocated" | "lease.returned" => count.0 += 1,
                "lease.released" => count.1 += 1,
                _ => {}
            }
        }
        for (id, owner) in &self.owners {
            let lease = stored.get(id);
            if !self.permits(owner, lease) {
                return Err(format!("owner {id} has {lease:?} after {owner:?}"));
            }
            let (allocated, released) = counted.get(id.0.as_slice()).copied().unwrap_or_default();
            let further = |trial| owner.tried.iter().filter(|tried| **tried == trial).count();
            let allocations = owner.allocated..=owner.allocated + further(Trial::Allocate);
            let releases = owner.released..=owner.released + further(Trial::Release);
            if !allocations.contains(&allocated) || !releases.contains(&released) {
                return Err(format!(
                    "owner {id} has {allocated} and {released} events after {owner:?}"
                ));
            }
        }
        if let Some(stranger) = stored.keys().find(|id| !self.owners.contains_key(id)) {
            return Err(format!("owner {stranger} never asked"));
        }
        if self.pools.is_empty() {
            return Ok(());
        }
        let writer = Writer::start(store, || NOW, WriterOptions::default()).map_err(text)?;
        let lease =
            Allocator::new(writer, "check").allocate(request(u64::MAX)).wait().map_err(text)?;
        // After an earlier check it asks again.
        let taken = stored
            .values()
            .find(|other| other.address == lease.address && other.owner != lease.owner);
        match taken {
            Some(other) if other.state == LeaseState::Active => {
                Err(format!("{} is given twice", lease.address))
            }
            _ => Ok(()),
        }
    }

    /// Whether this may be what the owner has now.
    fn permits(&self, owner: &Owner, stored: Option<&Lease>) -> bool {
        let stored = stored.map(|lease| (lease.state, lease.address, lease.hold_until));
        let may_be_reclaimed = |hold| self.reclaiming && hold <= NOW;
        let as_answered = match owner.known {
            Some((LeaseState::Quarantined, _, hold)) if may_be_reclaimed(hold) => {
                stored.is_none() || stored == owner.known
            }
            known => stored == known,
        };
        as_answered
            || owner.tried.iter().any(|trial| match (trial, owner.known, stored) {
                (Trial::Allocate, None, Some((LeaseState::Active, ..))) => true,
                (Trial::Allocate, Some((state, known, before)), Some(stored)) => {
                    let (LeaseState::Active, address, after) = stored else { return false };
                    let elsewhere = state == LeaseState::Quarantined && may_be_reclaimed(before);
                    elsewhere || (address == known && after >= before)
                }
                (Trial::Release, Some((_, known, before)), Some(stored)) => {
                    let (LeaseState::Quarantined, address, after) = stored else { return false };
                    address == known && after >= before
                }
                (Trial::Release, Some((_, _, before)), None) => may_be_reclaimed(before),
                _ => false,
            })
    }

    /// After a check: what is there now is what is known.
    pub fn settle(&mut self, path: &Path) {
        let mut store = Sqlite::open(path).unwrap();
        let (leases, events, pools) = store
            .transaction(|tx| {
                Ok::<_, Error>((
                    list(tx, NETWORK, None, usize::MAX)?,
                    event::after(tx, Some(NETWORK), 0, usize::MAX)?,
                    pool::by_network(tx, NETWORK, None, usize::MAX)?,
                ))
            })
            .unwrap();
        self.pools = pools.iter().map(|pool| pool.id.0[0]).collect();
        self.owners.clear();
        for lease in leases {
            let known = Some((lease.state, lease.address, lease.hold_until));
            self.owners.insert(lease.owner, Owner { known, ..Owner::default() });
        }
        for (_, event) in events {
            let Some(Ok(id)) = event.subject.map(TryInto::try_into) else { continue };
            let owner = self.owners.entry(OwnerId(id)).or_default();
            match event.kind.as_str() {
                "lease.allocated" | "lease.returned" => owner.allocated += 1,
                "lease.released" => owner.released += 1,
                _ => {}
            }
        }
    }
}
