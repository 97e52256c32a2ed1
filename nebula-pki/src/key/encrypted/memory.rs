//! Memory for Argon2, which is wiped afterwards.

use zeroize::{Zeroize, Zeroizing};

use crate::Error;

/// Memory of so many blocks of 1 KiB, wiped when it is dropped.
pub(super) fn allocate<B: Clone + Zeroize>(
    count: usize,
    empty: B,
) -> Result<Zeroizing<Box<[B]>>, Error> {
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { kib: count })?;
    blocks.resize(count, empty);
    Ok(Zeroizing::new(blocks.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        for count in [1 << 44, usize::MAX] {
            let refused = allocate(count, [0_u64; 128]).map(drop);
            assert_eq!(refused, Err(Error::OutOfMemory { kib: count }));
        }
        assert_eq!(allocate(3, [7_u64; 128]).unwrap().len(), 3);
    }
}
