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

/// What there is: addresses and owners are numbered from 1, and so many owners are pinned to the
/// address of their number.
#[derive(Debug, Clone, Copy)]
pub struct Ground {
    pub addresses: u16,
    pub owners: u16,
    pub pinned: u16,
}

impl Ground {
    /// Few addresses, often exhausted.
    pub const NARROW: Self = Self { addresses: 28, owners: 48, pinned: 4 };
    /// More than an instance holds at once.
    pub const WIDE: Self = Self { addresses: 2_500, owners: 4_000, pinned: 40 };

    /// What is pinned to an owner.
    fn pinned_to(self, owner: u16) -> Option<IpAddr> {
        (1..=self.pinned).contains(&owner).then(|| ip(owner))
    }

    /// Whether an address is pinned to another owner.
    fn is_kept_from(self, owner: u16, address: IpAddr) -> bool {
        (1..=self.pinned).any(|other| ip(other) == address && other != owner)
    }
}

pub fn ip(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    [10, 0, high, low].into()
}

/// An event about a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    pub at: i64,
    pub kind: String,
    pub owner: u16,
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
    Active(u16, Held),
    /// Until then, since then.
    Quarantined(u16, i64, i64),
}

/// What an operation did, by its events.
#[derive(Default)]
struct Done {
    held: usize,
    released: Vec<(u16, IpAddr, i64)>,
    passed: Vec<(IpAddr, bool)>,
    moved: u64,
    freed: u64,
}

/// `events` in their order. `clock` is what the allocator's clock said at a moment.
pub fn check(
    ground: Ground,
    records: &[Record],
    events: &[Happened],
    clock: impl Fn(u64) -> i64,
) -> Vec<Violation> {
    let mut replay = Replay {
        operations: records.iter().map(|record| (record.id, record)).collect(),
        places: (1..=ground.addresses).map(|it| (ip(it), Object::new(Place::Free))).collect(),
        owners: HashMap::new(),
        done: HashMap::new(),
        found: Vec::new(),
        ground,
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

struct Replay<'a, C> {
    operations: HashMap<u64, &'a Record>,
    places: BTreeMap<IpAddr, Object<Place>>,
    owners: HashMap<u16, Object<Option<Held>>>,
    done: HashMap<u64, Done>,
    found: Vec<Violation>,
    ground: Ground,
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
        let after = after(event, record, before).filter(|_| is_allowed(self.ground, event, record));
        let Some(after) = after else {
            return self.found.push(Violation::Impossible { operation: record.id });
        };
        if let Place::Quarantined(owner, end, _) = before
            && (after == Place::Free || matches!(after, Place::Active(other, _) if other != owner))
            && (event.at < end || (self.clock)(record.responded) < end)
        {
            self.found.push(Violation::TooEarly { operation: record.id });
        }
        place.change(record, after);
        let done = self.done.entry(record.id).or_default();
        let mut owner = |number: u16, state| {
            self.owners.entry(number).or_insert_with(|| Object::new(None)).change(record, state);
        };
        match (event.kind.as_str(), after) {
            (kind::TRANSFERRED, Place::Active(to, held)) => {
                owner(record.owner, None);
                owner(to, Some(held));
                done.passed.push((event.address, true));
            }
            (kind::TRANSFERRED, _) => done.passed.push((event.address, false)),
            (kind::HELD, Place::Active(holder, held)) => {
                owner(holder, Some(held));
                done.moved += 1;
            }
            (kind::HELD, _) => done.moved += 1,
            (_, Place::Free) => done.freed += 1,
            (_, Place::Active(holder, held)) => {
                owner(holder, Some(held));
                done.held += 1;
                if record.answer != Answer::Held(held) {
                    self.found.push(Violation::WrongAnswer { operation: record.id });
                }
            }
            (_, Place::Quarantined(former, end, _)) => {
                owner(former, None);
                done.released.push((former, event.address, end));
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
        let done = self.done.remove(&record.id).unwrap_or_default();
        let Done { held, released, passed, moved, freed } = done;
        let (id, me, wish) = (record.id, record.owner, record.wish);
        let stays = moved == 0 && passed.is_empty();
        let silent = held == 0 && released.is_empty() && stays;
        let right = match &record.answer {
            Answer::Held(had) => {
                let had = *had;
                if held == 0 {
                    self.owner_saw(record, move |state| *state == Some(had));
                    self.place_saw(record, had.address, move |place| {
                        *place == Place::Active(me, had)
                    });
                }
                held < 2 && released.is_empty() && stays && fits(wish, had)
            }
            Answer::Released(leases) => {
                let again = released.is_empty();
                if again {
                    // It had none, and was answered what it had released before.
                    self.owner_saw(record, Option::is_none);
                    for (address, end) in leases.iter().copied() {
                        self.place_saw(record, address, move |place| {
                            matches!(place, Place::Quarantined(owner, until, _)
                                if (*owner, *until) == (me, end))
                        });
                    }
                }
                let leases = leases.iter().map(|(address, end)| (me, *address, *end));
                let same = again || leases.eq(released.iter().copied());
                held == 0 && stays && same && matches!(wish, Wish::Release(_))
            }
            Answer::Expired(leases) => {
                held == 0 && stays && released == *leases && matches!(wish, Wish::Expire(_))
            }
            Answer::Passed(leases) => match wish {
                // To oneself it changes nothing.
                Wish::Transfer(to) if to == me => {
                    self.owner_saw(record, Option::is_some);
                    silent
                }
                // It had none, and was answered what it had passed on before.
                Wish::Transfer(to) if passed.is_empty() => {
                    self.owner_saw(record, Option::is_none);
                    for (address, active) in leases.iter().copied() {
                        self.place_saw(record, address, move |place| match place {
                            Place::Active(owner, _) => active && *owner == to,
                            Place::Quarantined(owner, ..) => !active && *owner == to,
                            Place::Free => false,
                        });
                    }
                    silent && leases.iter().any(|(_, active)| *active)
                }
                Wish::Transfer(_) => {
                    held == 0 && moved == 0 && released.is_empty() && passed == *leases
                }
                _ => false,
            },
            Answer::Moved(count) => {
                if let (0, Wish::Hold(until)) = (*count, wish) {
                    let long = move |held: &Held| held.hold_until >= until;
                    self.owner_saw(record, move |state| state.as_ref().is_none_or(long));
                }
                held == 0
                    && released.is_empty()
                    && passed.is_empty()
                    && moved == *count
                    && matches!(wish, Wish::Hold(_) | Wish::Shorten(_))
            }
            Answer::Freed(count) => silent && freed == *count && wish == Wish::Reclaim,
            Answer::Reserved => {
                self.owner_saw(record, Option::is_none);
                let asked = self.asked(record);
                silent
                    && asked.is_some_and(|asked| self.ground.is_kept_from(me, asked))
                    && self.asked_saw(record, |place| !matches!(place, Place::Active(..)))
            }
            Answer::Exhausted => {
                self.owner_saw(record, Option::is_none);
                if !self.exhausted(record) {
                    self.found.push(Violation::NotExhausted { operation: id });
                }
                silent && matches!(wish, Wish::Any(_)) && self.ground.pinned_to(me).is_none()
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
                        matches!(place, Place::Quarantined(other, end, _)
                            if *other != me && *end == until)
                    })
            }
            Answer::HasAnother(had) => {
                let had = *had;
                let whose = if let Wish::Transfer(to) = wish { to } else { me };
                self.saw(whose, record, move |state| state.is_some_and(|one| one.address == had));
                silent
                    && match wish {
                        Wish::Given(asked, _) => asked != had,
                        wish => matches!(wish, Wish::Transfer(to) if to != me),
                    }
            }
            Answer::NoLease => {
                self.owner_saw(record, Option::is_none);
                silent && matches!(wish, Wish::Renew(_) | Wish::Transfer(_))
            }
            Answer::Contended => silent,
        };
        if !right {
            self.found.push(Violation::WrongAnswer { operation: id });
        }
    }

    fn owner_saw(&mut self, who: &Record, fits: impl Fn(&Option<Held>) -> bool + 'static) {
        self.saw(who.owner, who, fits);
    }

    fn saw(&mut self, owner: u16, who: &Record, fits: impl Fn(&Option<Held>) -> bool + 'static) {
        // Of whom there is neither record nor event nothing was seen.
        let nobody = Object::new(None);
        let owner = self.owners.entry(owner).or_insert(nobody);
        owner.saw(who, fits);
    }

    fn place_saw(
        &mut self,
        who: &Record,
        address: IpAddr,
        fits: impl Fn(&Place) -> bool + 'static,
    ) -> bool {
        self.places.get_mut(&address).map(|place| place.saw(who, fits)).is_some()
    }

    /// The address that was asked for by name, or is pinned to the owner.
    fn asked(&self, who: &Record) -> Option<IpAddr> {
        match who.wish {
            Wish::Given(address, _) => Some(address),
            Wish::Any(_) => self.ground.pinned_to(who.owner),
            _ => None,
        }
    }

    fn asked_saw(&mut self, who: &Record, fits: impl Fn(&Place) -> bool + 'static) -> bool {
        match self.asked(who) {
            Some(address) => self.place_saw(who, address, fits),
            None => false,
        }
    }

    /// Whether there was a moment at which none of the addresses could be given to the owner. One
    /// whose quarantine has ended can be, and so can one that is in quarantine for the owner.
    fn exhausted(&self, who: &Record) -> bool {
        let now = (self.clock)(who.invoked);
        let mut edges = Vec::new();
        // Others' pinned addresses, the first ones, are none of its business.
        for place in self.places.values().skip(usize::from(self.ground.pinned)) {
            let mut reached = None;
            for (begin, end) in place.times(who, |place| match place {
                Place::Free => false,
                Place::Active(..) => true,
                Place::Quarantined(owner, end, _) => *owner != who.owner && *end > now,
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
            taken == i32::from(self.ground.addresses) - i32::from(self.ground.pinned)
        })
    }
}

/// Whether its pin lets the owner have the address of its event.
fn is_allowed(ground: Ground, event: &Happened, record: &Record) -> bool {
    if !matches!(event.kind.as_str(), kind::ALLOCATED | kind::RETURNED) {
        return true;
    }
    // Without naming another, who is pinned to an address gets that one.
    let pinned = match record.wish {
        Wish::Any(_) => ground.pinned_to(event.owner),
        _ => None,
    };
    !ground.is_kept_from(event.owner, event.address)
        && pinned.is_none_or(|pinned| pinned == event.address)
}

/// The state of an address after an event; `None` when it cannot follow the one before.
fn after(event: &Happened, record: &Record, before: Place) -> Option<Place> {
    let Happened { at, owner, address, .. } = *event;
    // Whose turn it is ends what has ended, whoever had it.
    match (event.kind.as_str(), record.wish) {
        (kind::FREED, _) | (kind::EXPIRED, Wish::Expire(_)) => {}
        (kind::TRANSFERRED, Wish::Transfer(to)) if owner == to => {}
        _ if owner == record.owner => {}
        _ => return None,
    }
    let until = |held: Held| match record.wish {
        Wish::Renew(until) => Some(Held { until: Some(until), ..held }),
        Wish::Any(hold) | Wish::Given(_, hold) => {
            // One that has ended begins anew, and never ends.
            let until = held.until.filter(|end| *end > at);
            let later = Held { hold_until: held.hold_until.max(hold), until, ..held };
            (later != held).then_some(later)
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
        (kind::ALLOCATED, Place::Quarantined(former, ..)) if former != owner => Some(held(hold?)),
        (kind::RETURNED, Place::Quarantined(former, end, _)) if former == owner => {
            Some(held(hold?.max(end)))
        }
        (kind::RENEWED, Place::Active(holder, held)) if holder == owner => {
            Some(Place::Active(owner, until(held)?))
        }
        (kind::RELEASED, Place::Active(holder, held)) if holder == owner => match record.wish {
            Wish::Release(seconds) => {
                Some(Place::Quarantined(owner, held.hold_until.max(at + seconds), at))
            }
            _ => None,
        },
        (kind::EXPIRED, Place::Active(holder, held)) if holder == owner => match record.wish {
            Wish::Expire(seconds) if held.until.is_some_and(|until| until <= at) => {
                Some(Place::Quarantined(owner, held.hold_until.max(at + seconds), at))
            }
            _ => None,
        },
        (kind::TRANSFERRED, Place::Active(holder, held)) if holder == record.owner => {
            Some(Place::Active(owner, held))
        }
        (kind::TRANSFERRED, Place::Quarantined(former, end, since)) if former == record.owner => {
            Some(Place::Quarantined(owner, end, since))
        }
        (kind::HELD, Place::Active(holder, held)) if holder == owner => match record.wish {
            Wish::Hold(end) if end > held.hold_until => {
                Some(Place::Active(owner, Held { hold_until: end, ..held }))
            }
            _ => None,
        },
        (kind::HELD, Place::Quarantined(former, end, since)) if former == owner => {
            match record.wish {
                Wish::Hold(later) if later > end => Some(Place::Quarantined(owner, later, since)),
                Wish::Shorten(seconds) if since + seconds < end => {
                    Some(Place::Quarantined(owner, since + seconds, since))
                }
                _ => None,
            }
        }
        (kind::FREED, Place::Quarantined(former, ..)) if former == owner => match record.wish {
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
        _ => false,
    }
}

/// From the answer that an owner has an address until a release that may have come after it is
/// invoked, it certainly has it. What expires or is passed on is given up, too.
fn two_holders(records: &[Record], found: &mut Vec<Violation>) {
    let mut ends: HashMap<(u16, IpAddr), Vec<(u64, u64)>> = HashMap::new();
    for record in records {
        let mut end = |owner, address| {
            let times = (record.responded, record.invoked);
            ends.entry((owner, address)).or_default().push(times);
        };
        match &record.answer {
            Answer::Released(leases) => {
                leases.iter().for_each(|(address, _)| end(record.owner, *address));
            }
            Answer::Expired(leases) => {
                leases.iter().for_each(|(owner, address, _)| end(*owner, *address));
            }
            Answer::Passed(leases) => {
                leases.iter().for_each(|(address, _)| end(record.owner, *address));
            }
            _ => {}
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
    let mut held: BTreeMap<IpAddr, Vec<(u64, u64, u16, &Record)>> = BTreeMap::new();
    for record in records {
        for (owner, address) in holders(record) {
            let releases = ends.get(&(owner, address)).map_or(&[][..], Vec::as_slice);
            let next = releases.partition_point(|(responded, _)| *responded <= record.invoked);
            let end = releases.get(next).map_or(u64::MAX, |(_, invoked)| *invoked);
            if record.responded < end {
                held.entry(address).or_default().push((record.responded, end, owner, record));
            }
        }
    }
    for times in held.values_mut() {
        times.sort_unstable_by_key(|(begin, end, ..)| (*begin, *end));
        let mut last: Option<(u64, u16, &Record)> = None;
        for (begin, end, owner, record) in times.iter().copied() {
            match last {
                Some((until, other, before)) if begin < until => {
                    if other != owner {
                        found.push(Violation::TwoHolders { one: before.id, other: record.id });
                    }
                    if end > until {
                        last = Some((end, owner, record));
                    }
                }
                _ => last = Some((end, owner, record)),
            }
        }
    }
}

/// Who has what, says an answer.
fn holders(record: &Record) -> Vec<(u16, IpAddr)> {
    match (&record.answer, record.wish) {
        (Answer::Held(held), _) => vec![(record.owner, held.address)],
        (Answer::Passed(leases), Wish::Transfer(to)) => {
            leases.iter().filter(|(_, active)| *active).map(|(address, _)| (to, *address)).collect()
        }
        _ => Vec::new(),
    }
}
