//! How short certificates may be, and how often a node may have another key.

/// How fast certificates may follow each other. The defaults keep ledgers and blocklists small; tests of
/// what happens at each renewal ask for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The shortest lifetime that a network may give its nodes' certificates, in seconds, at least 1. 10
    /// minutes by default.
    pub least_lifetime: i64,
    /// How often a node may have another key, in seconds; 0 for as often as it asks. Once a minute by
    /// default.
    pub rekey_seconds: i64,
    /// How many other keys a node may have within a day, at least 1. 10 by default.
    pub rekeys_per_day: i64,
}

impl Pace {
    /// Each value as near to itself as is possible.
    pub(super) fn within_bounds(self) -> Self {
        Self {
            least_lifetime: self.least_lifetime.max(1),
            rekey_seconds: self.rekey_seconds.max(0),
            rekeys_per_day: self.rekeys_per_day.max(1),
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { least_lifetime: 600, rekey_seconds: 60, rekeys_per_day: 10 }
    }
}
