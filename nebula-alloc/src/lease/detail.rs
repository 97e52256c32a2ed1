//! The number and times of a lease in the details of its events.

use std::fmt;

use super::stored::{Lease, LeaseState};

/// The number and the times of a lease as they are after an event: the end of its detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseDetail {
    pub(crate) hold_until: i64,
    /// Unknown for events of older programs.
    pub(crate) number: Option<i64>,
    /// Unknown for some events of older programs, and for a lease in quarantine.
    pub(crate) until: Option<Option<i64>>,
}

impl LeaseDetail {
    pub(super) fn of(lease: &Lease) -> Self {
        let until = (lease.state == LeaseState::Active).then_some(lease.until);
        Self { hold_until: lease.hold_until, number: Some(lease.number), until }
    }

    /// Reads them; `None` for an event of an older program that has none.
    pub(crate) fn parse(detail: &str) -> Option<Self> {
        let mut words = detail.rsplit(", ");
        let hold_until = words.next()?;
        let hold_until = hold_until.strip_prefix("held ").unwrap_or(hold_until);
        let hold_until = hold_until.strip_prefix("until ")?.parse().ok()?;
        let mut word = words.next();
        let until = match word.and_then(|word| word.strip_prefix("ends ")) {
            Some("never") => Some(None),
            Some(end) => Some(Some(end.parse().ok()?)),
            None => None,
        };
        if until.is_some() {
            word = words.next();
        }
        let number = match word.and_then(|word| word.strip_prefix("lease ")) {
            Some(number) => Some(number.parse().ok()?),
            None => None,
        };
        Some(Self { hold_until, number, until })
    }
}

impl fmt::Display for LeaseDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.number {
            write!(f, "lease {number}, ")?;
        }
        match self.until {
            Some(Some(until)) => write!(f, "ends {until}, ")?,
            Some(None) => f.write_str("ends never, ")?,
            None => {}
        }
        write!(f, "held until {}", self.hold_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        for until in [None, Some(None), Some(Some(-3)), Some(Some(1_800_000_000))] {
            for number in [None, Some(0), Some(i64::MAX)] {
                let detail = LeaseDetail { hold_until: 7, number, until };
                assert_eq!(LeaseDetail::parse(&detail.to_string()), Some(detail));
                assert_eq!(LeaseDetail::parse(&format!("from until ends, {detail}")), Some(detail));
            }
        }
        // Of an older program.
        assert_eq!(
            LeaseDetail::parse("until 9"),
            Some(LeaseDetail { hold_until: 9, number: None, until: None })
        );
        for nothing in [
            "",
            "released",
            "active",
            "from 0102",
            "until when",
            "ends x, held until 1",
            "lease x, held until 1",
        ] {
            assert_eq!(LeaseDetail::parse(nothing), None, "{nothing}");
        }
    }
}
