//! Derives the AES-256 key from a passphrase.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use super::below_rfc;
use super::memory::allocate;
use super::parameters::Argon2Parameters;
use crate::Error;

/// The AES-256 key of a passphrase.
pub(super) fn derive_key(
    passphrase: &[u8],
    salt: &[u8],
    parameters: Argon2Parameters,
) -> Result<Zeroizing<[u8; 32]>, Error> {
    parameters.check_limits()?;
    let mut key = Zeroizing::new([0; 32]);
    if parameters.is_below_rfc() {
        below_rfc::derive(passphrase, salt, parameters, &mut key)?;
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
    // The parameters were checked, so that only a passphrase of 4 GiB is left to be refused.
    let refused = |_| Error::Encryption;
    let Argon2Parameters { memory_kib, iterations, parallelism } = parameters;
    let parameters =
        Params::new(memory_kib, iterations, parallelism, Some(key.len())).map_err(refused)?;
    let mut memory = allocate(parameters.block_count(), Block::new())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into_with_memory(passphrase, salt, key, &mut **memory)
        .map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes with one and several lanes, one and several passes, memory that is not a multiple of
    /// 4 for each lane, and segments long enough for a second block of addresses.
    #[test]
    fn agrees_with_the_argon2_crate_within_the_rfc() {
        let mut count = 0;
        for parallelism in [1, 2, 3, 4, 7, 16] {
            for memory_kib in [8, 9, 10, 11, 12, 13, 31, 32, 64, 101, 127, 128, 515, 1_100] {
                let memory_kib = memory_kib.max(8 * parallelism);
                for iterations in [1, 2, 3] {
                    let parameters = Argon2Parameters { memory_kib, iterations, parallelism };
                    let salt = [7; 16];
                    let mut ours = [0; 32];
                    below_rfc::derive(b"passphrase", &salt, parameters, &mut ours).unwrap();
                    let theirs = derive_key(b"passphrase", &salt, parameters);
                    assert_eq!(ours, *theirs.unwrap(), "{parameters:?}");
                    count += 1;
                }
            }
        }
        assert_eq!(count, 252);
    }
}
