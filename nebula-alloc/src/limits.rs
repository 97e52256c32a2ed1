//! Bounds of what comes from outside, and of what one step does.

use crate::Error;

/// How many bytes a name may have: of a block, an actor, a kind of event; a source address and a
/// request id, too.
pub const NAME: usize = 512;

/// How many bytes the note of a reservation may have.
pub const NOTE: usize = 1_024;

/// How many bytes the detail of an event may have.
pub const DETAIL: usize = 1 << 20;

/// How many addresses a step of the writer may ask for.
pub const ADDRESS_REQUESTS: usize = 256;

/// How many leases, reservations and blocks a range may have whose rest becomes free in one step.
pub const STANDING: usize = 1_024;

/// How many runs of free addresses one step takes out of a pool, or looks at for room.
pub const RUNS: usize = 8_192;

/// How many addresses an owner may have in quarantine, in one network and family, before it can ask
/// for no further one by name.
pub const QUARANTINED: usize = 256;

/// How many of the addresses that it has in quarantine an owner is given before any other.
pub const FORMER: usize = 16;

/// How far, in seconds, the clock may be from what it should show before that is a jump.
pub const CLOCK_TOLERANCE: u64 = 3_600;

/// As the parameter of a `LIMIT`.
pub(crate) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// That a text is no longer than `limit` bytes and has no NUL, which PostgreSQL cannot store.
pub(crate) fn check(field: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    if text.len() > limit || text.contains('\0') {
        return Err(Error::UnusableText { field, limit });
    }
    Ok(())
}
