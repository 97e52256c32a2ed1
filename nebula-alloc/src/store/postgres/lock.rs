//! The advisory locks that keep processes from each other.
//!
//! A lock is a 64-bit number, hashed from a name of this crate's, the schema, and what it is
//! about, so that neither another schema nor another program is likely to use the same. Two keys
//! that meet by chance wait for each other; nothing worse. The hash is fixed: programs of
//! different versions must agree.

/// A family of locks in one schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locks {
    seed: u64,
}

impl Locks {
    pub(super) fn new(schema: &str) -> Self {
        Self { seed: fold(fold(OFFSET, b"nebula-alloc\0"), schema.as_bytes()) }
    }

    /// Held during a migration.
    pub(super) fn migration(self) -> i64 {
        self.of(b'm', &[])
    }

    /// Shared by steps about keys, held exclusively by a step about everything.
    pub(super) fn everything(self) -> i64 {
        self.of(b'e', &[])
    }

    /// Of one key.
    pub(super) fn key(self, key: &[u8]) -> i64 {
        self.of(b'k', key)
    }

    /// What all locks on the numbers of events have in common, the first of two numbers.
    pub(super) fn following(self) -> i32 {
        i32::try_from(self.of(b'f', &[]) >> 32).unwrap_or_default()
    }

    fn of(self, kind: u8, key: &[u8]) -> i64 {
        mix(fold(fold(self.seed, &[0, kind]), key)).cast_signed()
    }
}

/// FNV-1a.
fn fold(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(PRIME))
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The end of splitmix64: each bit of the input changes half of the output.
fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another number would let two versions of a program work on one key at once.
    #[test]
    fn the_numbers_are_fixed() {
        let locks = Locks::new("public");
        assert_eq!(
            [locks.migration(), locks.everything(), locks.key(b"")],
            [7_126_052_390_288_370_549, 3_203_308_382_547_415_299, -539_962_840_095_830_325]
        );
        assert_eq!(locks.following(), 1_481_596_824);
    }

    #[test]
    fn schemas_and_keys_differ() {
        let (public, other) = (Locks::new("public"), Locks::new("other"));
        let mut seen = std::collections::HashSet::new();
        for locks in [public, other] {
            assert!(seen.insert(locks.migration()) && seen.insert(locks.everything()));
            for number in 0..10_000_u32 {
                assert!(seen.insert(locks.key(&number.to_be_bytes())));
            }
        }
    }
}
