use std::fmt;
use std::str::FromStr;

use nebula_pki::{Certificate, Curve, Version};

/// A release of Nebula, such as 1.9.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    major: u16,
    minor: u16,
    patch: u16,
}

/// A text that is no release, such as that of a build from a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a release of Nebula, such as 1.9.3")]
pub struct ReleaseError;

impl Release {
    /// The oldest whose behaviour is known here.
    pub const OLDEST: Self = Self::new(1, 6, 0);

    /// One by its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// The oldest that starts with these certificates: those of the trusted CAs, and the node's own.
    ///
    /// Version 2 came with 1.10, the curve P256 with 1.7. Of a node's certificates older releases read
    /// the first alone.
    #[must_use]
    pub fn needed_for(cas: &[Certificate], own: &[Certificate]) -> Self {
        let mut read = cas.iter().chain(own.first());
        if read.any(|one| one.version() == Version::V2) {
            Self::new(1, 10, 0)
        } else if own.first().is_some_and(|one| one.curve() == Curve::P256) {
            Self::new(1, 7, 0)
        } else {
            Self::OLDEST
        }
    }

    /// Whether it knows certificates of version 2, and reads two certificates of a node.
    pub(crate) fn knows_version_2(self) -> bool {
        self >= Self::new(1, 10, 0)
    }
}

impl FromStr for Release {
    type Err = ReleaseError;

    /// Three numbers; what a distribution adds behind them (`1.6.1+dfsg`) is left out.
    fn from_str(text: &str) -> Result<Self, ReleaseError> {
        let numbers = text.split(['-', '+', '~']).next().unwrap_or_default();
        let mut numbers = numbers.splitn(3, '.').map(|n| n.parse().map_err(|_| ReleaseError));
        let mut next = || numbers.next().ok_or(ReleaseError)?;
        Ok(Self::new(next()?, next()?, next()?))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_by_their_numbers() {
        let release = |text: &str| text.parse::<Release>().unwrap();
        assert!(release("1.9.3") < release("1.10.0"));
        assert_eq!(release("1.6.1+dfsg-2"), Release::new(1, 6, 1));
        assert_eq!(release("1.11.0").to_string(), "1.11.0");
    }

    #[test]
    fn what_is_no_release_is_refused() {
        for text in ["", "dev", "1.9", "1.9.x", "1.9.3.4", "1.-9.3", "+1.9.3", "1.99999.0"] {
            assert_eq!(text.parse::<Release>(), Err(ReleaseError), "{text}");
        }
    }
}
