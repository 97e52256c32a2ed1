//! How a node is, in one word: from its state, its certificates and its reports.

use crate::store::certificate::LedgerEntry;
use crate::store::network::Network;
use crate::store::node::{Node, NodeState};

/// How a node is: the first of these that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// It was released.
    Released,
    /// It was revoked.
    Revoked,
    /// It was suspended.
    Suspended,
    /// Its last certificate has ended.
    Expired,
    /// It has reported before, and sent no request for the network's time of silence.
    Silent,
    /// It reports, and has not applied all changes.
    Behind,
    /// None of the others.
    Active,
}

impl Condition {
    /// As the API writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Active => "active",
        }
    }

    /// As far as the state tells.
    pub(super) const fn of_state(state: NodeState) -> Self {
        match state {
            NodeState::Released => Self::Released,
            NodeState::Revoked => Self::Revoked,
            NodeState::Suspended => Self::Suspended,
            NodeState::Active => Self::Active,
        }
    }
}

/// What the condition of a node follows from. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    state: NodeState,
    /// The end of the last certificate that it can use.
    current_end: Option<i64>,
    /// The end of the last one that was not taken back.
    last_end: Option<i64>,
    /// When it was last heard of, if it has reported before.
    heard_at: Option<i64>,
    /// Changes of the network and of the node that it has not reported.
    behind: i64,
    /// The network's time of silence, in seconds.
    silent_after: i64,
    now: i64,
}

impl Known {
    /// Of a node with these current certificates; `last_end` is the end of the last one that it had.
    pub(super) fn of(
        network: &Network,
        node: &Node,
        current: &[LedgerEntry],
        last_end: Option<i64>,
        now: i64,
    ) -> Self {
        let revisions = network.revision.0.saturating_sub(node.applied.revision);
        let generations = node.generation.0.saturating_sub(node.applied.generation);
        let reports = node.applied.at.is_some() && node.state == NodeState::Active;
        Self {
            state: node.state,
            current_end: current.iter().map(|entry| entry.not_after).max(),
            last_end,
            heard_at: node.applied.at.max(node.seen_at).filter(|_| reports),
            behind: if reports { revisions.max(generations).max(0) } else { 0 },
            silent_after: network.silent_after,
            now,
        }
    }

    pub(super) fn condition(&self) -> Condition {
        if self.state != NodeState::Active {
            return Condition::of_state(self.state);
        }
        let is_valid = self.current_end.is_some_and(|end| end >= self.now);
        if self.last_end.is_some() && !is_valid {
            return Condition::Expired;
        }
        let is_silent = |heard: i64| self.now.saturating_sub(heard) > self.silent_after;
        if self.heard_at.is_some_and(is_silent) {
            return Condition::Silent;
        }
        if self.behind > 0 { Condition::Behind } else { Condition::Active }
    }

    /// The end of its last certificate, where it is not kept out. What a retired CA has signed is of no
    /// use, however long it would be valid.
    pub(super) fn certificate_end(&self) -> Option<i64> {
        let past = self.last_end.filter(|end| *end < self.now);
        self.current_end.or(past).filter(|_| self.state == NodeState::Active)
    }

    pub(super) const fn behind(&self) -> i64 {
        self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that reported 10 seconds ago, and is well.
    const WELL: Known = Known {
        state: NodeState::Active,
        current_end: Some(2_000),
        last_end: Some(2_000),
        heard_at: Some(990),
        behind: 0,
        silent_after: 300,
        now: 1_000,
    };

    #[test]
    fn the_first_condition_that_holds_is_the_nodes() {
        let gone = Known { now: 2_001, behind: 3, ..WELL };
        let cases = [
            (WELL, Condition::Active),
            (Known { behind: 3, ..WELL }, Condition::Behind),
            (Known { behind: 3, heard_at: Some(699), ..WELL }, Condition::Silent),
            (Known { heard_at: Some(700), ..WELL }, Condition::Active),
            (Known { heard_at: None, ..WELL }, Condition::Active),
            (gone, Condition::Expired),
            (Known { now: 2_000, heard_at: Some(1_990), ..WELL }, Condition::Active),
            // Upkeep has marked it as expired.
            (Known { current_end: None, last_end: Some(999), ..WELL }, Condition::Expired),
            // It waits for its first one.
            (Known { current_end: None, last_end: None, ..WELL }, Condition::Active),
            (Known { state: NodeState::Suspended, ..gone }, Condition::Suspended),
            (Known { state: NodeState::Revoked, ..gone }, Condition::Revoked),
            (Known { state: NodeState::Released, ..gone }, Condition::Released),
        ];
        for (known, expected) in cases {
            assert_eq!(known.condition(), expected, "{known:?}");
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_told_also_afterwards_but_not_of_who_is_kept_out() {
        assert_eq!(WELL.certificate_end(), Some(2_000));
        let marked = Known { current_end: None, last_end: Some(999), ..WELL };
        assert_eq!(marked.certificate_end(), Some(999));
        let of_a_retired_ca = Known { current_end: None, ..WELL };
        assert_eq!(of_a_retired_ca.certificate_end(), None);
        assert_eq!(of_a_retired_ca.condition(), Condition::Expired);
        assert_eq!(Known { state: NodeState::Revoked, ..WELL }.certificate_end(), None);
    }
}
