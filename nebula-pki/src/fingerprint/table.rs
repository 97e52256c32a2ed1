//! How tables find fingerprints: by a hash that costs a quarter of the standard library's, which for
//! bytes that are a SHA-256 already does more than is needed.
//!
//! It is multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast", 2014):
//! k₀ + Σ kᵢ·wᵢ modulo 2^128 over the four words of a fingerprint, and of the sum the upper half. With
//! random k the hashes of any two different fingerprints are uniform and independent of each other.
//! So whoever chooses fingerprints without knowing k, as the author of a blocklist may, makes two of
//! them meet in a table no more often than chance does, and cannot make look-ups slow.
//!
//! Other than SipHash it does not withstand somebody who learns hashes: from a few, k can be computed.
//! Nothing shows them, and tables are listed in the order of the fingerprints. k is drawn once per
//! process from what the standard library's tables draw theirs from; on `wasm32-unknown-unknown` that
//! is no randomness, for either.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// For a map or a set of fingerprints and nothing else.
#[derive(Clone, Copy)]
pub(crate) struct TableState(&'static Keys);

/// k₀, and one k for each word.
type Keys = (u128, [u128; 4]);

impl Default for TableState {
    fn default() -> Self {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        Self(KEYS.get_or_init(|| draw(&RandomState::new())))
    }
}

fn draw(random: &impl BuildHasher) -> Keys {
    let half = |number: u8| u128::from(random.hash_one(number));
    let key = |number: u8| half(2 * number) << 64 | half(2 * number + 1);
    (key(0), [key(1), key(2), key(3), key(4)])
}

impl BuildHasher for TableState {
    type Hasher = TableHasher;

    #[inline]
    fn build_hasher(&self) -> TableHasher {
        TableHasher { keys: self.0, hash: 0 }
    }
}

pub(crate) struct TableHasher {
    keys: &'static Keys,
    hash: u64,
}

impl Hasher for TableHasher {
    #[inline]
    fn write(&mut self, fingerprint: &[u8]) {
        let (first, keys) = self.keys;
        let (words, _) = fingerprint.as_chunks::<8>();
        let sum = keys.iter().zip(words).fold(*first, |sum, (key, word)| {
            sum.wrapping_add(key.wrapping_mul(u64::from_le_bytes(*word).into()))
        });
        self.hash = u64::try_from(sum >> 64).unwrap_or_default();
    }

    /// The length, which is always the same.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;
    use crate::Fingerprint;

    /// What somebody would choose who guesses that a table looks at a part only.
    #[test]
    fn fingerprints_that_differ_in_one_word_only_are_spread() {
        // The same k each time, so that chance fails no run.
        static KEYS: OnceLock<Keys> = OnceLock::new();
        let keys = KEYS.get_or_init(|| draw(&BuildHasherDefault::<DefaultHasher>::default()));
        for word in 0..4 {
            for shift in [0, 25, 50] {
                // By the bits that choose the place in a table, and by those that are compared there.
                let (mut places, mut tags) = (HashMap::new(), HashMap::new());
                for number in 0..1_u64 << 14 {
                    let mut words = [[0xab; 8]; 4];
                    words[word] = (number << shift).to_le_bytes();
                    let bytes = words.concat().try_into().unwrap();
                    let hash = TableState(keys).hash_one(Fingerprint::from_bytes(bytes));
                    *places.entry(hash & 0xffff).or_insert(0) += 1;
                    *tags.entry(hash >> 57).or_insert(0) += 1;
                }
                let fullest = |counts: HashMap<u64, u32>| counts.into_values().max().unwrap();
                let (place, tag) = (fullest(places), fullest(tags));
                assert!(
                    place <= 16,
                    "{place} in one of 65,536 places: word {word}, bits from {shift}"
                );
                assert!(tag <= 512, "{tag} with one of 128 tags: word {word}, bits from {shift}");
            }
        }
    }
}
