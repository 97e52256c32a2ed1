//! Draws from a seed: equal seeds make equal cases.

use nebula_pki::Random as _;

use crate::support::random::Seeded;

pub(crate) struct Dice(Seeded);

impl Dice {
    /// The dice of one case of a run.
    pub(crate) fn new(seed: u64, case: usize) -> Self {
        let mut dice = Self(Seeded(seed));
        let offset = dice.number();
        Self(Seeded(offset.wrapping_add((case as u64).wrapping_mul(0xd134_2543_de82_ef95))))
    }

    pub(crate) fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    }

    /// A number from 0 to one less than this.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// A number within both ends.
    pub(crate) fn within(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.number() as u8
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes).unwrap();
        bytes
    }

    /// Lower-case letters.
    pub(crate) fn word(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| b'a' + self.below(26) as u8).collect()
    }

    /// Up to three random edits of a byte or two.
    pub(crate) fn edit(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.within(1, 3) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.byte(),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, self.byte()),
            }
        }
    }
}
