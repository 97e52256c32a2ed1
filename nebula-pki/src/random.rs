//! Sources of randomness.

use crate::Error;

/// A source of random bytes fit for keys.
///
/// A trait of our own, so that no version of a randomness crate becomes part of this interface.
pub trait Random {
    /// Fills `bytes` with random ones.
    ///
    /// # Errors
    ///
    /// [`Error::Randomness`] when the source fails; `bytes` must not be used then.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error>;
}

/// The operating system's source of randomness.
#[cfg(feature = "system-random")]
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

#[cfg(feature = "system-random")]
impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        getrandom::fill(bytes).map_err(|error| Error::Randomness { reason: error.to_string() })
    }
}
