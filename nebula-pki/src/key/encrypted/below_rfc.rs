//! Argon2id (RFC 9106) with less memory than the RFC allows, which is 8 KiB for each lane.
//!
//! Go's `golang.org/x/crypto/argon2`, and so the reference, takes any amount: it computes with the
//! 8 KiB, but hashes the smaller number that it was given. The `argon2` crate refuses such
//! parameters, hence this. At most it takes 2 MiB, and it is not made for speed.

use std::array;

use blake2::{Blake2b256, Blake2b512, Digest as _};
use zeroize::Zeroizing;

use super::memory::allocate;
use super::parameters::Argon2Parameters;
use crate::Error;

/// Slices of a lane, between which the lanes wait for each other.
const SLICES: u64 = 4;
const VERSION: u32 = 0x13;
/// The number of the variant Argon2id.
const VARIANT: u8 = 2;
/// Words of 64 bits in a block.
const WORDS: usize = 128;

type Block = [u64; WORDS];

/// Derives a key; for memory within the RFC too, where the result is the RFC's.
pub(super) fn derive(
    passphrase: &[u8],
    salt: &[u8],
    parameters: Argon2Parameters,
    key: &mut [u8; 32],
) -> Result<(), Error> {
    let mut memory = Memory::new(parameters)?;
    memory.seed(&*initial_hash(passphrase, salt, parameters)?);
    for pass in 0..parameters.iterations.into() {
        for slice in 0..SLICES {
            for lane in 0..memory.lanes {
                memory.fill_segment(pass, slice, lane, parameters.iterations.into());
            }
        }
    }
    memory.last_hash(key);
    Ok(())
}

/// H0 of the RFC, without secret and associated data.
fn initial_hash(
    passphrase: &[u8],
    salt: &[u8],
    parameters: Argon2Parameters,
) -> Result<Zeroizing<[u8; 64]>, Error> {
    let length = |bytes: &[u8]| {
        u32::try_from(bytes.len()).map(u32::to_le_bytes).map_err(|_| Error::Encryption)
    };
    let mut hash = Blake2b512::new();
    hash.update(parameters.parallelism.to_le_bytes());
    hash.update(32_u32.to_le_bytes());
    hash.update(parameters.memory_kib.to_le_bytes());
    hash.update(parameters.iterations.to_le_bytes());
    hash.update(VERSION.to_le_bytes());
    hash.update(u32::from(VARIANT).to_le_bytes());
    hash.update(length(passphrase)?);
    hash.update(passphrase);
    hash.update(length(salt)?);
    hash.update(salt);
    hash.update([0; 8]);
    Ok(Zeroizing::new(hash.finalize().into()))
}

/// The matrix of blocks, lane after lane.
struct Memory {
    blocks: Zeroizing<Box<[Block]>>,
    lanes: u64,
    segment_length: u64,
}

impl Memory {
    fn new(parameters: Argon2Parameters) -> Result<Self, Error> {
        let lanes = u64::from(parameters.parallelism);
        let segment_length = (u64::from(parameters.memory_kib) / (SLICES * lanes)).max(2);
        let count = usize::try_from(SLICES * lanes * segment_length).unwrap_or(usize::MAX);
        Ok(Self { blocks: allocate(count, [0; WORDS])?, lanes, segment_length })
    }

    fn lane_length(&self) -> u64 {
        SLICES * self.segment_length
    }

    /// Where a block is in the list; lanes and columns are always within the matrix.
    fn position(&self, lane: u64, column: u64) -> usize {
        usize::try_from(lane * self.lane_length() + column).unwrap_or(usize::MAX)
    }

    fn block(&self, lane: u64, column: u64) -> Block {
        self.blocks.get(self.position(lane, column)).copied().unwrap_or([0; WORDS])
    }

    /// Puts the block on top of what is there: nothing during the first pass.
    fn xor(&mut self, lane: u64, column: u64, block: &Block) {
        let position = self.position(lane, column);
        if let Some(place) = self.blocks.get_mut(position) {
            *place = xor(place, block);
        }
    }

    /// The first two blocks of each lane.
    fn seed(&mut self, initial_hash: &[u8; 64]) {
        for lane in 0..self.lanes {
            for column in 0..2 {
                let seed = long_hash(&[
                    initial_hash,
                    &low_half(column).to_le_bytes(),
                    &low_half(lane).to_le_bytes(),
                ]);
                self.xor(lane, column, &seed);
            }
        }
    }

    /// The blocks of one lane in one slice.
    fn fill_segment(&mut self, pass: u64, slice: u64, lane: u64, passes: u64) {
        let (length, lane_length) = (self.segment_length, self.lane_length());
        // In the first half of the first pass the choice of blocks does not depend on secrets.
        let independent = pass == 0 && slice < SLICES / 2;
        let total = lane_length * self.lanes;
        let input = [pass, lane, slice, total, passes, VARIANT.into()];
        let first = if pass == 0 && slice == 0 { 2 } else { 0 };
        let before = if pass == 0 { slice * length } else { lane_length - length };
        let start = if pass == 0 || slice == SLICES - 1 { 0 } else { (slice + 1) * length };

        for index in first..length {
            let column = slice * length + index;
            let previous = self.block(lane, (column + lane_length - 1) % lane_length);
            let [random, ..] = previous;
            let random = if independent { address(&input, index) } else { random };

            let other = if pass == 0 && slice == 0 { lane } else { (random >> 32) % self.lanes };
            let choices =
                if other == lane { before + index - 1 } else { before - u64::from(index == 0) };
            let x = u64::from(low_half(random));
            let back = (choices * ((x * x) >> 32)) >> 32;
            let chosen = self.block(other, (start + choices - 1 - back) % lane_length);
            self.xor(lane, column, &compress(&previous, &chosen));
        }
    }

    /// The key, from the last blocks of all lanes.
    fn last_hash(&self, key: &mut [u8; 32]) {
        let mut last = Zeroizing::new([0; WORDS]);
        for lane in 0..self.lanes {
            *last = xor(&last, &self.block(lane, self.lane_length() - 1));
        }
        let mut hash = Blake2b256::new();
        hash.update(32_u32.to_le_bytes());
        for word in &*last {
            hash.update(word.to_le_bytes());
        }
        key.copy_from_slice(&hash.finalize());
    }
}

/// The random number for a block of a segment, where it does not depend on secrets. Computed anew
/// for each: segments are short.
fn address([pass, lane, slice, total, passes, variant]: &[u64; 6], index: u64) -> u64 {
    let words = u64::try_from(WORDS).unwrap_or(u64::MAX);
    let counter = index / words + 1;
    let mut input = [0; WORDS];
    for (to, from) in
        input.iter_mut().zip([*pass, *lane, *slice, *total, *passes, *variant, counter])
    {
        *to = from;
    }
    let zero = [0; WORDS];
    let addresses = compress(&zero, &compress(&zero, &input));
    let position = usize::try_from(index % words).unwrap_or(usize::MAX);
    addresses.get(position).copied().unwrap_or_default()
}

/// The variable-length hash H′ for the length of a block.
fn long_hash(parts: &[&[u8]]) -> Block {
    let mut hash = Blake2b512::new();
    hash.update(1024_u32.to_le_bytes());
    for part in parts {
        hash.update(part);
    }
    let mut hash: [u8; 64] = hash.finalize().into();
    let mut bytes = Zeroizing::new([0; 8 * WORDS]);
    // The first half of each hash, and the whole of the last.
    if let Some((halves, last)) = bytes.split_last_chunk_mut::<64>() {
        for half in halves.chunks_mut(32) {
            half.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
            hash = Blake2b512::digest(hash).into();
        }
        *last = hash;
    }
    let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    array::from_fn(|_| words.next().unwrap_or_default())
}

/// The compression function G.
fn compress(x: &Block, y: &Block) -> Block {
    let mixed = xor(x, y);
    let mut block = mixed;
    for row in block.as_chunks_mut::<16>().0 {
        permute(row);
    }
    // A column is a pair of words from each row.
    for column in 0..8 {
        let mut words = [0; 16];
        let (pairs, _) = block.as_chunks_mut::<2>();
        let (copies, _) = words.as_chunks_mut::<2>();
        for (copy, pair) in copies.iter_mut().zip(pairs.iter().skip(column).step_by(8)) {
            *copy = *pair;
        }
        permute(&mut words);
        let (copies, _) = words.as_chunks::<2>();
        for (copy, pair) in copies.iter().zip(pairs.iter_mut().skip(column).step_by(8)) {
            *pair = *copy;
        }
    }
    xor(&mixed, &block)
}

/// The permutation P: a round of BLAKE2b with multiplications.
fn permute(words: &mut [u64; 16]) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = words;
    mix(a, e, i, m);
    mix(b, f, j, n);
    mix(c, g, k, o);
    mix(d, h, l, p);
    mix(a, f, k, p);
    mix(b, g, l, m);
    mix(c, h, i, n);
    mix(d, e, j, o);
}

fn mix(a: &mut u64, b: &mut u64, c: &mut u64, d: &mut u64) {
    let add = |x: u64, y: u64| {
        let product = u64::from(low_half(x)) * u64::from(low_half(y));
        x.wrapping_add(y).wrapping_add(product.wrapping_mul(2))
    };
    for (first, second) in [(32, 24), (16, 63)] {
        *a = add(*a, *b);
        *d = (*d ^ *a).rotate_right(first);
        *c = add(*c, *d);
        *b = (*b ^ *c).rotate_right(second);
    }
}

fn xor(x: &Block, y: &Block) -> Block {
    let mut words = x.iter().zip(y).map(|(x, y)| x ^ y);
    array::from_fn(|_| words.next().unwrap_or_default())
}

const fn low_half(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Less than 8 KiB for each lane computes alike, but is hashed.
    #[test]
    fn hashes_the_memory_asked_for() {
        let derive = |memory_kib| {
            let parameters = Argon2Parameters { memory_kib, iterations: 1, parallelism: 4 };
            let mut key = [0; 32];
            derive(b"passphrase", &[1; 16], parameters, &mut key).unwrap();
            key
        };
        assert_ne!(derive(1), derive(2));
        assert_ne!(derive(31), derive(32));
    }
}
