//! Whether what was answered, and when, can have come from one allocator that does one thing after
//! the other.
//!
//! The events are the witness: they say in which order each address and each owner changed. Then
//! every answer must be the one that this order gives; the order must be one that real time allows;
//! what changed nothing must have seen a state that was there while it ran. Besides, and without
//! regard to events: no two owners certainly hold one address at once.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use nebula_alloc::event::kind;

use super::object::Object;
use super::record::{Answer, Held, Record, Wish};

/// The pool has 10.0.0.1 to this.
pub const ADDRESSES: u8 = 28;

/// An event about a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    pub at: i64,
    pub kind: String,
    pub owner: u8,
    pub address: IpAddr,
    /// Whose it is.
    pub operation: u64,
}

/// What is wrong, by the ids of operations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// An event of an operation that nobody asked for.
    NobodyAsked { operation: u64 },
    /// An event that cannot follow those before it.
    Impossible { operation: u64 },
    /// An answer that is not what the events lead to.
    WrongAnswer { operation: u64 },
    /// The events say that one was before another that had been answered when it was invoked.
    OutOfOrder { earlier: u64, later: u64 },
    /// An answer that no state explains that was there meanwhile.
    Unexplained { operation: u64 },
    /// An address was given to another, or made free, in quarantine.
    TooEarly { operation: u64 },
    /// Two were answered that they have the address, and nobody had given it up.
    TwoHolders { one: u64, other: u64 },
    /// "Exhausted", although an address was free all the time.
    NotExhausted { operation: u64 },
}

impl Violation {
    /// Whose records and events tell more.
    pub fn operations(&self) -> Vec<u64> {
        match *self {
            Self::NobodyAsked { operation }
            | Self::Impossible { operation }
            | Self::WrongAnswer { operation }
            | Self::Unexplained { operation }
            | Self::TooEarly { operation }
            | Self::NotExhausted { operation } => vec![operation],
            Self::OutOfOrder { earlier, later } => vec![earlier, later],
            Self::TwoHolders { one, other } => vec![one, other],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Free,
    Active(u8, Held),
    Quarantined(u8, i64),
}

/// What an operation did, by its events.
#[derive(Default)]
struct Done {
    held: usize,
    released: Vec<(IpAddr, i64)>,
    freed: u64,
}

/// `events` in their order. `clock` is what the allocator's clock said at a moment.
pub fn check(
    records: &[Record],
    events: &[Happened],
    clock: impl Fn(u64) -> i64,
) -> Vec<Violation> {
    let mut replay = Replay {
        operations: records.iter().map(|record| (record.id, record)).collect(),
        places: addresses().map(|address| (address, Object::new(Place::Free))).collect(),
        owners: HashMap::new(),
        done: HashMap::new(),
        found: Vec::new(),
        clock,
    };
    for event in events {
        replay.follow(event);
    }
    replay.settle();
    for record in records {
        replay.judge(record);
    }
    let Replay { mut places, mut owners, mut found, .. } = replay;
    places.values_mut().for_each(|place| place.explain(&mut found));
    owners.values_mut().for_each(|owner| owner.explain(&mut found));
    two_holders(records, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

pub fn addresses() -> impl Iterator<Item = IpAddr> {
    (1..=ADDRESSES).map(|last| IpAddr::from([10, 0, 0, last]))
}

struct Replay<'a, C> {
    operations: HashMap<u64, &'a Record>,
    places: BTreeMap<IpAddr, Object<Place>>,
    owners: HashMap<u8, Object<Option<Held>>>,
    done: HashMap<u64, Done>,
    found: Vec<Violation>,
    clock: C,
}

impl<C: Fn(u64) -> i64> Replay<'_, C> {
    fn follow(&mut self, event: &Happened) {
        let Some(record) = self.operations.get(&event.operation).copied() else {
            return self.found.push(Violation::NobodyAsked { operation: event.operation });
        };
        let Some(place) = self.places.get_mut(&event.address) else {
            return self.found.push(Violation::Impossible { operation: record.id });
        };
        let before = *place.now();
        let Some(after) = after(event, record, before) else {
            return self.found.push(Violation::Impossible { operation: record.id });
        };
        if let Place::Quarantined(owner, end) = before
            && (after == Place::Free || matches!(after, Place::Active(other, _) if other != owner))
            && (event.at < end || (self.clock)(record.responded) < end)
        {
            self.found.push(Violation::TooEarly { operation: record.id });
        }
        place.change(record, after);
        let done = self.done.entry(record.id).or_default();
        let owner = self.owners.entry(event.owner).or_insert_with(|| Object::new(None));
        match after {
            Place::Free => done.freed += 1,
            Place::Active(_, held) => {
                owner.change(record, Some(held));
                done.held += 1;
                if record.answer != Answer::Held(held) {
                    self.found.push(Violation::WrongAnswer { operation: record.id });
                }
            }
            Place::Quarantined(_, end) => {
                owner.change(record, None);
                done.released.push((event.address, end));
            }
        }
    }

    fn settle(&mut self) {
        self.places.values_mut().for_each(|place| place.settle(&mut self.found));
        for record in self.operations.values() {
            self.owners.entry(record.owner).or_insert_with(|| Object::new(None));
        }
        self.owners.values_mut().for_each(|owner| owner.settle(&mut self.found));
    }

    /// Compares an operation's answer with its events, and notes what it saw.
    fn judge(&mut self, record: &Record) {
        let Done { held, released, freed } = self.done.remove(&record.id).unwrap_or_default();
        let (id, me, wish) = (record.id, record.owner, record.wish);
        let silent = held == 0 && released.is_empty();
        let right = match &record.answer {
            Answer::Held(had) => {
                let had = *had;
                if held == 0 {
                    self.owner_saw(record, move |state| *state == Some(had));
                    self.place_saw(record, had.address, move |place| {
                        *place == Place::Active(me, had)
                    });
                }
                held < 2 && released.is_empty() && fits(wish, had)
            }
            Answer::Released(leases) => {
                if leases.is_empty() {
                    self.owner_saw(record, Option::is_none);
                }
                held == 0 && released == *leases && matches!(wish, Wish::Release(_))
            }
            Answer::Freed(count) => silent && freed == *count && wish == Wish::Reclaim,
            Answer::Exhausted => {
                self.owner_saw(record, Option::is_none);
                if !self.exhausted(record) {
                    self.found.push(Violation::NotExhausted { operation: id });
                }
                silent && matches!(wish, Wish::Any(_))
            }
            Answer::Taken => {
                self.owner_saw(record, Option::is_none);
                silent
                    && self.asked_saw(
                        record,
                        move |place| matches!(place, Place::Active(other, _) if *other != me),
                    )
            }
            Answer::Quarantined(until) => {
                let until = *until;
                self.owner_saw(record, Option::is_none);
                silent
                    && (self.clock)(record.invoked) < until
                    && self.asked_saw(record, move |place| {
                        matches!(place, Place::Quarantined(other, end)
                            if *other != me && *end == until)
                    })
            }
            Answer::HasAnother(had) => {
                let had = *had;
                self.owner_saw(record, move |state| state.is_some_and(|one| one.address == had));
                silent && matches!(wish, Wish::Given(asked, _) if asked != had)
            }
            Answer::NoLease => {
                self.owner_saw(record, Option::is_none);
                silent && matches!(wish, Wish::Renew(_))
            }
            Answer::Contended => silent,
        };
        if !right {
            self.found.push(Violation::WrongAnswer { operation: id });
        }
    }

    fn owner_saw(&mut self, who: &Record, fits: impl Fn(&Option<Held>) -> bool + 'static) {
        if let Some(owner) = self.owners.get_mut(&who.owner) {
            owner.saw(who, fits);
        }
    }

    fn place_saw(
        &mut self,
        who: &Record,
        address: IpAddr,
        fits: impl Fn(&Place) -> bool + 'static,
    ) -> bool {
        self.places.get_mut(&address).map(|place| place.saw(who, fits)).is_some()
    }

    /// About the address that was asked for by name.
    fn asked_saw(&mut self, who: &Record, fits: impl Fn(&Place) -> bool + 'static) -> bool {
        match who.wish {
            Wish::Given(address, _) => self.place_saw(who, address, fits),
            _ => false,
        }
    }

    /// Whether there was a moment at which none of the addresses could be given to the owner. One
    /// whose quarantine has ended can be, and so can one that is in quarantine for the owner.
    fn exhausted(&self, who: &Record) -> bool {
        let now = (self.clock)(who.invoked);
        let mut edges = Vec::new();
        for place in self.places.values() {
            let mut reached = None;
            for (begin, end) in place.times(who, |place| match place {
                Place::Free => false,
                Place::Active(..) => true,
                Place::Quarantined(owner, end) => *owner != who.owner && *end > now,
            }) {
                // Times of one address that meet count once.
                let begin = reached.map_or(begin, |reached: u64| begin.max(reached + 1));
                if begin <= end {
                    edges.push((begin, 0, 1));
                    edges.push((end, 1, -1));
                    reached = Some(end);
                }
            }
        }
        edges.sort_unstable();
        let mut taken = 0;
        edges.into_iter().any(|(_, _, change)| {
            taken += change;
            taken == i32::from(ADDRESSES)
        })
    }
}

/// The state of an address after an event; `None` when it cannot follow the one before.
fn after(event: &Happened, record: &Record, before: Place) -> Option<Place> {
    let Happened { at, owner, address, .. } = *event;
    // Whose turn it is frees what has ended, whoever had it.
    if event.kind != kind::FREED && owner != record.owner {
        return None;
    }
    let until = |held: Held| match record.wish {
        Wish::Renew(until) => Some(Held { until: Some(until), ..held }),
        Wish::Any(hold) | Wish::Given(_, hold) if held.hold_until < hold => {
            Some(Held { hold_until: hold, ..held })
        }
        _ => None,
    };
    let hold = match record.wish {
        Wish::Any(hold) => Some(hold),
        Wish::Given(asked, hold) if asked == address => Some(hold),
        _ => None,
    };
    let held = |hold_until| Place::Active(owner, Held { address, hold_until, until: None });
    match (event.kind.as_str(), before) {
        (kind::ALLOCATED, Place::Free) => Some(held(hold?)),
        // It asked for the address by name, or would rather have the one it had, which meanwhile was
        // another's.
        (kind::ALLOCATED, Place::Quarantined(former, _)) if former != owner => Some(held(hold?)),
        (kind::RETURNED, Place::Quarantined(former, end)) if former == owner => {
            Some(held(hold?.max(end)))
        }
        (kind::RENEWED, Place::Active(holder, held)) if holder == owner => {
            Some(Place::Active(owner, until(held)?))
        }
        (kind::RELEASED, Place::Active(holder, held)) if holder == owner => match record.wish {
            Wish::Release(seconds) => {
                Some(Place::Quarantined(owner, held.hold_until.max(at + seconds)))
            }
            _ => None,
        },
        (kind::FREED, Place::Quarantined(former, _)) if former == owner => match record.wish {
            Wish::Reclaim | Wish::Any(_) => Some(Place::Free),
            _ => None,
        },
        _ => None,
    }
}

/// Whether it is what was wished.
fn fits(wish: Wish, held: Held) -> bool {
    match wish {
        Wish::Any(hold) => held.hold_until >= hold,
        Wish::Given(address, hold) => held.address == address && held.hold_until >= hold,
        Wish::Renew(until) => held.until == Some(until),
        Wish::Release(_) | Wish::Reclaim => false,
    }
}

/// From the answer that an owner has an address until a release that may have come after it is
/// invoked, it certainly has it.
fn two_holders(records: &[Record], found: &mut Vec<Violation>) {
    let mut ends: HashMap<(u8, IpAddr), Vec<(u64, u64)>> = HashMap::new();
    for record in records {
        if let Answer::Released(leases) = &record.answer {
            for (address, _) in leases {
                let releases = ends.entry((record.owner, *address)).or_default();
                releases.push((record.responded, record.invoked));
            }
        }
    }
    for releases in ends.values_mut() {
        releases.sort_unstable();
        // The first invocation of all that were answered then or later.
        let mut least = u64::MAX;
        for (_, invoked) in releases.iter_mut().rev() {
            least = least.min(*invoked);
            *invoked = least;
        }
    }
    let mut held: BTreeMap<IpAddr, Vec<(u64, u64, &Record)>> = BTreeMap::new();
    for record in records {
        let Answer::Held(Held { address, .. }) = record.answer else { continue };
        let releases = ends.get(&(record.owner, address)).map_or(&[][..], Vec::as_slice);
        let next = releases.partition_point(|(responded, _)| *responded <= record.invoked);
        let end = releases.get(next).map_or(u64::MAX, |(_, invoked)| *invoked);
        if record.responded < end {
            held.entry(address).or_default().push((record.responded, end, record));
        }
    }
    for times in held.values_mut() {
        times.sort_unstable_by_key(|(begin, end, _)| (*begin, *end));
        let mut last: Option<(u64, &Record)> = None;
        for (begin, end, record) in times.iter().copied() {
            match last {
                Some((until, other)) if begin < until => {
                    if other.owner != record.owner {
                        found.push(Violation::TwoHolders { one: other.id, other: record.id });
                    }
                    if end > until {
                        last = Some((end, record));
                    }
                }
                _ => last = Some((end, record)),
            }
        }
    }
}
