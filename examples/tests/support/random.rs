//! Numbers that a failure can be repeated with.

/// SplitMix64: one seed, one sequence.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// Seeded by the variable, or else by `seed`. The test's output tells which, so that a failure
    /// can be repeated.
    pub fn from_environment(variable: &str, seed: u64) -> Self {
        let seed = std::env::var(variable).map_or(seed, |text| text.parse().expect("a number"));
        println!("{variable}={seed}");
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(limit).expect("64 bits"))
            .expect("below usize")
    }

    /// A public key: on Curve25519 any 32 bytes are one.
    pub fn public_key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        for chunk in key.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes());
        }
        // The canonical form of a point has a clear top bit.
        key[31] &= 0x7f;
        key
    }

    /// Another sequence, for somebody who works beside this one.
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}
