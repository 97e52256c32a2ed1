//! What events make of leases.

use std::collections::HashMap;

use super::super::violation::{Place, Violation};
use super::LeaseState;
use crate::OwnerId;
use crate::event::kind;
use crate::lease::{Lease, LeaseDetail};

/// An event about the lease of an address.
pub(super) struct Event<'a> {
    pub(super) at: i64,
    pub(super) kind: &'a str,
    pub(super) owner: OwnerId,
    pub(super) detail: Option<&'a str>,
}

/// What the events up to one lead to.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) held: HashMap<Place, Known>,
}

/// A lease as its events have it. Those of older programs lack some of it.
#[derive(Clone, Copy)]
pub(super) struct Known {
    owner: OwnerId,
    active: bool,
    number: Option<i64>,
    hold_until: Option<i64>,
    until: Option<Option<i64>>,
    released_at: Option<i64>,
    passed_on_by: Option<OwnerId>,
}

impl Known {
    /// Whether the lease has the same owner, state, number and past.
    pub(super) fn is_of(&self, lease: &Lease) -> bool {
        // Older programs did not store who passed a lease on.
        let old = lease.number == 0 && lease.passed_on_by.is_none();
        self.owner == lease.owner
            && self.active == (lease.state == LeaseState::Active)
            && self.number.is_none_or(|number| number == lease.number)
            && (old || self.passed_on_by == lease.passed_on_by)
    }

    /// Whether the lease has the times that are known, and none that its state has not.
    pub(super) fn has_times_of(&self, lease: &Lease) -> bool {
        let released = match lease.released_at {
            Some(at) => !self.active && self.released_at.is_none_or(|known| known == at),
            None => self.active,
        };
        released
            && self.hold_until.is_none_or(|known| known == lease.hold_until)
            && self.until.is_none_or(|known| known == lease.until)
    }

    /// Whether its owner has it from another, who may have had it by a pin.
    pub(super) fn is_passed_on(&self) -> bool {
        self.passed_on_by.is_some()
    }
}

impl Replay {
    /// Carries out an event, and answers what is wrong with it.
    pub(super) fn follow(&mut self, id: i64, place: Place, event: &Event<'_>) -> Option<Violation> {
        let (network, address) = place;
        let before = self.held.get(&place).copied();
        let detail = event.detail.and_then(LeaseDetail::parse);
        let (possible, after) = after(event, before, detail);
        match after {
            Some(after) => self.held.insert(place, after),
            None => self.held.remove(&place),
        };
        if !possible {
            return Some(Violation::ImpossibleEvent { id, network, address });
        }
        let before = before?;
        let held = before.hold_until?;
        if matches!(event.kind, kind::FREED | kind::ALLOCATED) {
            return (event.at < held).then_some(Violation::EndedEarly { id, network, address });
        }
        // Who knows that nothing names the address any more ends a quarantine early, but not before
        // it began.
        let least = match event.kind {
            kind::HELD if !before.active => before.released_at.map_or(held, |at| held.min(at)),
            _ => held,
        };
        detail.is_some_and(|detail| detail.hold_until < least).then_some(Violation::HeldBack {
            id,
            network,
            address,
        })
    }
}

/// Whether the event can follow, and the lease after it, if there is one then.
fn after(
    event: &Event<'_>,
    before: Option<Known>,
    detail: Option<LeaseDetail>,
) -> (bool, Option<Known>) {
    let owner = event.owner;
    let active = Known {
        owner,
        active: true,
        number: detail.and_then(|detail| detail.number),
        hold_until: detail.map(|detail| detail.hold_until),
        until: detail.and_then(|detail| detail.until),
        released_at: None,
        passed_on_by: None,
    };
    let quarantined = Known { active: false, until: Some(None), ..active };
    let changed = before.map(|before| Known {
        number: active.number.or(before.number),
        hold_until: active.hold_until.or(before.hold_until),
        until: active.until.or(before.until),
        ..before
    });
    let is_theirs = before.is_some_and(|before| before.owner == owner);
    let is_active = before.is_some_and(|before| before.active);
    // Whether its number is the one from before, or a later one.
    let number = before.and_then(|before| before.number).zip(active.number);
    let is_same = number.is_none_or(|(before, after)| after == before);
    let is_later = number.is_none_or(|(before, after)| after > before);
    let passed_on_by = before.and_then(|before| before.passed_on_by);
    match event.kind {
        kind::RECORDED if event.detail == Some("active") => (before.is_none(), Some(active)),
        kind::RECORDED => (before.is_none(), Some(Known { until: None, ..quarantined })),
        kind::ALLOCATED => (!is_active, Some(active)),
        kind::RETURNED => (is_theirs && !is_active && is_later, Some(active)),
        kind::RELEASED | kind::EXPIRED => {
            let released_at = Some(event.at);
            let after = Known { released_at, passed_on_by, ..quarantined };
            (is_theirs && is_active && is_same, Some(after))
        }
        kind::TRANSFERRED => {
            let passed_on_by = before.map(|before| before.owner);
            let possible = before.is_some() && (is_later || is_same && !is_active);
            (possible, changed.map(|after| Known { owner, passed_on_by, ..after }))
        }
        kind::FREED => (is_theirs && !is_active && is_same, None),
        kind::REMOVED => (is_theirs && is_same, None),
        kind::RENEWED => (is_theirs && is_active && (is_same || is_later), changed),
        kind::HELD => (is_theirs && is_same, changed),
        _ => (false, before),
    }
}
