//! The parameters of Argon2, and their limits.

use crate::Error;
use crate::error::Argon2Field;

/// What deriving a key from a passphrase costs (Argon2id, RFC 9106).
///
/// The default is that of `nebula-cert` 1.10 and later: 2 GiB, 1 iteration, 4 lanes. Releases before
/// used 64 MiB and 3 iterations, which is also the smallest choice that RFC 9106 recommends (its
/// section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Argon2Parameters {
    /// Memory in KiB, at least 1; less than 8 for each lane is used as if it were 8 for each.
    pub memory_kib: u32,
    /// Passes over the memory, at least 1.
    pub iterations: u32,
    /// Lanes, 1 to 255. Each pass computes them side by side.
    pub parallelism: u32,
}

impl Argon2Parameters {
    /// The most memory that a key is opened or sealed with: 4 GiB, twice the default.
    pub const MAX_MEMORY_KIB: u32 = 4 << 20;

    /// The most iterations that a key is opened or sealed with.
    pub const MAX_ITERATIONS: u32 = 1 << 16;

    /// The most lanes that there can be; the reference has no more either.
    pub const MAX_PARALLELISM: u32 = 255;

    /// The most memory, in KiB, that all iterations together may go over: 64 GiB, of which a
    /// processor of 2025 does about one in a second.
    pub const MAX_WORK_KIB: u64 = 64 << 20;

    /// Whether Argon2 has such parameters, in the reference's order.
    pub(super) fn check_range(self) -> Result<(), Error> {
        let Self { memory_kib, iterations, parallelism } = self;
        for (field, found, max) in [
            (Argon2Field::Memory, memory_kib, u32::MAX),
            (Argon2Field::Parallelism, parallelism, Self::MAX_PARALLELISM),
            (Argon2Field::Iterations, iterations, u32::MAX),
        ] {
            if !(1..=max).contains(&found) {
                return Err(Error::Argon2Range { field, found, max });
            }
        }
        Ok(())
    }

    /// Whether we are willing to pay for them.
    pub(super) fn check_limits(self) -> Result<(), Error> {
        let (memory, iterations) = (u64::from(self.memory_kib), u64::from(self.iterations));
        let used = memory.max(8 * u64::from(self.parallelism));
        for (field, found, limit) in [
            (Argon2Field::Memory, memory, u64::from(Self::MAX_MEMORY_KIB)),
            (Argon2Field::Iterations, iterations, u64::from(Self::MAX_ITERATIONS)),
            (Argon2Field::Work, used * iterations, Self::MAX_WORK_KIB),
        ] {
            if found > limit {
                return Err(Error::Argon2Limit { field, found, limit });
            }
        }
        Ok(())
    }

    /// Whether the reference takes more memory than asked for, which RFC 9106 does not know.
    pub(super) const fn is_below_rfc(self) -> bool {
        self.memory_kib < 8 * self.parallelism
    }
}

impl Default for Argon2Parameters {
    fn default() -> Self {
        Self { memory_kib: 2 << 20, iterations: 1, parallelism: 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_themselves_are_allowed() {
        let allowed = |memory_kib, iterations, parallelism| {
            Argon2Parameters { memory_kib, iterations, parallelism }.check_limits().is_ok()
        };
        assert!(Argon2Parameters::default().check_limits().is_ok());
        // 4 GiB, 64 GiB in all, and the most iterations.
        for (memory, iterations) in [(4 << 20, 16), (1 << 20, 64), (1 << 10, 1 << 16)] {
            assert!(allowed(memory, iterations, 4), "{memory}, {iterations}");
            assert!(!allowed(memory + 1, iterations, 4), "{memory}, {iterations}");
            assert!(!allowed(memory, iterations + 1, 4), "{memory}, {iterations}");
        }
        assert!(allowed(1, 32_896, 255));
        assert!(!allowed(1, 32_897, 255));
    }
}
