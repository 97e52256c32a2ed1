//! How short certificates may be, and how often a node may have another key.

/// How fast certificates may follow each other. The defaults keep ledgers and blocklists small; tests of
/// what happens at each renewal ask for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The shortest lifetime that a network may give its nodes' certificates, in seconds. 10 minutes by
    /// default.
    pub least_lifetime: i64,
    /// How often a node may have another key, in seconds. Once a minute by default.
    pub rekey_seconds: i64,
    /// How many other keys a node may have within a day. 10 by default.
    pub rekeys_per_day: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { least_lifetime: 600, rekey_seconds: 60, rekeys_per_day: 10 }
    }
}
