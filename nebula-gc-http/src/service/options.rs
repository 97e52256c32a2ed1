//! What an operator decides about a service.

/// What an operator decides about a service, whatever its database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How much memory opening an encrypted CA key may take, in KiB; all passes over it together may
    /// go over four times as much. One is opened at a time. 2 GiB by default, as `nebula-cert` makes
    /// them.
    pub key_memory: u32,
    /// How long what is over is remembered, in seconds: events, certificates that ended, join tokens
    /// that expired, released nodes. For ever by default.
    pub keep_history: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { key_memory: 2 << 20, keep_history: None }
    }
}
