//! How people tell one public key from another.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The least of a fingerprint that names a key, in hexadecimal digits: nobody finds another key that begins
/// so.
#[cfg(feature = "service")]
pub(crate) const LEAST_DIGITS: usize = 16;
/// How many it has.
#[cfg(feature = "service")]
const DIGITS: usize = 64;

/// SHA-256 of a public key's raw bytes, as 16 groups of four hexadecimal digits: `3f2a-91bc-…`. A device
/// that waits for approval shows it, and an operator compares it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyFingerprint([u8; 32]);

impl KeyFingerprint {
    /// Of a public key's raw bytes.
    #[must_use]
    pub fn of(public_key: &[u8]) -> Self {
        Self(Sha256::digest(public_key).into())
    }

    /// Whether it is the one that is named.
    #[cfg(feature = "service")]
    pub(crate) fn is(&self, named: &NamedKey) -> bool {
        self.to_string().replace('-', "").starts_with(&named.0)
    }
}

/// A fingerprint, or its beginning: at least 16 hexadecimal digits in any grouping.
#[cfg(feature = "service")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedKey(String);

#[cfg(feature = "service")]
impl NamedKey {
    /// Nothing where a text has fewer or more digits, or others than digits, spaces, `-` and `:`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.chars().filter(|c| !matches!(c, ' ' | '-' | ':'));
        let digits: String = digits.map(|digit| digit.to_ascii_lowercase()).collect();
        let is_one = (LEAST_DIGITS..=DIGITS).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_one.then_some(Self(digits))
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, byte) in self.0.iter().enumerate() {
            let gap = if number > 0 && number % 2 == 0 { "-" } else { "" };
            write!(f, "{gap}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFingerprint({self})")
    }
}

#[cfg(all(test, feature = "service"))]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_the_beginning_of_its_fingerprint_in_any_grouping() {
        let fingerprint = KeyFingerprint::of(b"abc");
        // FIPS 180-2, appendix B.1.
        let whole =
            "ba78-16bf-8f01-cfea-4141-40de-5dae-2223-b003-61a3-9617-7a9c-b410-ff61-f200-15ad";
        assert_eq!(fingerprint.to_string(), whole);
        for named in [whole, "BA78 16BF 8F01 CFEA", "ba7816bf8f01cfea4", "ba:78:16:bf:8f:01:cf:ea"]
        {
            assert!(fingerprint.is(&NamedKey::parse(named).unwrap()), "{named}");
        }
        for other in ["ba78-16bf-8f01-cfeb", &whole.replace("15ad", "15ae")] {
            assert!(!fingerprint.is(&NamedKey::parse(other).unwrap()), "{other}");
        }
        let long = format!("{whole}0");
        for none in ["", "ba78-16bf-8f01-cfe", "laptop-7", "ba78/16bf/8f01/cfea", &long] {
            assert_eq!(NamedKey::parse(none), None, "{none}");
        }
    }
}
