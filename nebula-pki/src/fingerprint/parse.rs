//! Reads a fingerprint from its hexadecimal digits.

use std::str::FromStr;

use super::Fingerprint;
use crate::Error;

impl FromStr for Fingerprint {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::InvalidFingerprint`] unless the text is 64 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(Error::InvalidFingerprint);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self::from_bytes(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, Error> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(Error::InvalidFingerprint),
    }
}
