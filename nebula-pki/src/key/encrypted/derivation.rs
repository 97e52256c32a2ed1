use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

use super::{Argon2Parameters, argon2id};
use crate::Error;

/// The AES-256 key that a passphrase stands for.
pub(super) fn derive_key(
    passphrase: &[u8],
    salt: &[u8],
    parameters: Argon2Parameters,
) -> Result<Zeroizing<[u8; 32]>, Error> {
    parameters.check_limits()?;
    let mut key = Zeroizing::new([0; 32]);
    if parameters.is_below_rfc() {
        argon2id::derive(passphrase, salt, parameters, &mut key)?;
    } else {
        derive(passphrase, salt, parameters, &mut *key)?;
    }
    Ok(key)
}

/// Derives with parameters within RFC 9106.
///
/// The memory is ours and not the `argon2` crate's, which would not wipe it.
fn derive(
    passphrase: &[u8],
    salt: &[u8],
    parameters: Argon2Parameters,
    key: &mut [u8],
) -> Result<(), Error> {
    // What is left for the crate to refuse is a passphrase of 4 GiB.
    let refused = |error: argon2::Error| Error::Encryption { reason: error.to_string() };
    let Argon2Parameters { memory_kib, iterations, parallelism } = parameters;
    let parameters =
        Params::new(memory_kib, iterations, parallelism, Some(key.len())).map_err(refused)?;
    let mut memory = allocate(parameters.block_count(), Block::new())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into_with_memory(passphrase, salt, key, &mut **memory)
        .map_err(refused)
}

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
            let refused = allocate(count, Block::new()).map(drop);
            assert_eq!(refused, Err(Error::OutOfMemory { kib: count }));
        }
        assert_eq!(allocate(3, [7_u64; 128]).unwrap().len(), 3);
    }
}
