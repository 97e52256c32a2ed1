//! What was asked when, and what was answered when: as one line of text, too, by which a process
//! hands it on.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use nebula_alloc::Error;
use nebula_alloc::lease::{Lease, LeaseState};

/// One operation. Its events bear its id as their request's.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub id: u64,
    /// In nanoseconds of the clock that all processes share.
    pub invoked: u64,
    pub responded: u64,
    pub owner: u16,
    pub wish: Wish,
    pub answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wish {
    /// Any address, or the one that it has; to be held at least until then.
    Any(i64),
    Given(IpAddr, i64),
    Renew(i64),
    /// For so many seconds.
    Release(i64),
    /// What the owner has is held at least until then.
    Hold(i64),
    /// Its quarantines end so many seconds after the release.
    Shorten(i64),
    /// To this owner.
    Transfer(u16),
    /// What ended by itself, of anybody, for so many seconds.
    Expire(i64),
    Reclaim,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Held(Held),
    /// Address and end of the quarantine; of nothing, too.
    Released(Vec<(IpAddr, i64)>),
    /// Owner, address and end of the quarantine.
    Expired(Vec<(u16, IpAddr, i64)>),
    /// Addresses, and whether they were active.
    Passed(Vec<(IpAddr, bool)>),
    /// How many are held for another time.
    Moved(u64),
    /// How many.
    Freed(u64),
    Exhausted,
    /// It is pinned to another.
    Reserved,
    Taken,
    /// Until then.
    Quarantined(i64),
    /// The owner has this one.
    HasAnother(IpAddr),
    NoLease,
    /// Others were in the way all the time: it did not take place.
    Contended,
}

/// An active lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    pub address: IpAddr,
    pub hold_until: i64,
    pub until: Option<i64>,
}

impl Answer {
    pub fn held(lease: &Lease) -> Self {
        let Lease { address, hold_until, until, .. } = *lease;
        assert_eq!(lease.state, LeaseState::Active);
        Self::Held(Held { address, hold_until, until })
    }

    pub fn refused(error: &Error) -> Self {
        match error {
            Error::PoolExhausted { .. } => Self::Exhausted,
            Error::AddressTaken { .. } => Self::Taken,
            Error::AddressReserved { .. } => Self::Reserved,
            Error::AddressQuarantined { until, .. } => Self::Quarantined(*until),
            Error::OwnerHasAnother { held, .. } => Self::HasAnother(*held),
            Error::NoLease { .. } => Self::NoLease,
            Error::Contended { .. } | Error::Overtaken { .. } => Self::Contended,
            other => panic!("an answer that nothing here leads to: {other}"),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, invoked, responded, owner, .. } = self;
        write!(out, "{id} {invoked} {responded} {owner}")?;
        match self.wish {
            Wish::Any(hold) => write!(out, " any {hold}")?,
            Wish::Given(address, hold) => write!(out, " given {address} {hold}")?,
            Wish::Renew(until) => write!(out, " renew {until}")?,
            Wish::Release(seconds) => write!(out, " release {seconds}")?,
            Wish::Hold(until) => write!(out, " hold {until}")?,
            Wish::Shorten(seconds) => write!(out, " shorten {seconds}")?,
            Wish::Transfer(to) => write!(out, " transfer {to}")?,
            Wish::Expire(seconds) => write!(out, " expire {seconds}")?,
            Wish::Reclaim => write!(out, " reclaim")?,
        }
        match &self.answer {
            Answer::Held(Held { address, hold_until, until: None }) => {
                write!(out, " held {address} {hold_until} never")
            }
            Answer::Held(Held { address, hold_until, until: Some(until) }) => {
                write!(out, " held {address} {hold_until} {until}")
            }
            Answer::Released(leases) => {
                write!(out, " released {}", leases.len())?;
                leases.iter().try_for_each(|(address, end)| write!(out, " {address} {end}"))
            }
            Answer::Expired(leases) => {
                write!(out, " expired {}", leases.len())?;
                let lease = |(owner, address, end): &_| write!(out, " {owner} {address} {end}");
                leases.iter().try_for_each(lease)
            }
            Answer::Passed(leases) => {
                write!(out, " passed {}", leases.len())?;
                leases.iter().try_for_each(|(address, active)| write!(out, " {address} {active}"))
            }
            Answer::Moved(count) => write!(out, " moved {count}"),
            Answer::Freed(count) => write!(out, " freed {count}"),
            Answer::Exhausted => write!(out, " exhausted"),
            Answer::Reserved => write!(out, " reserved"),
            Answer::Taken => write!(out, " taken"),
            Answer::Quarantined(until) => write!(out, " quarantined {until}"),
            Answer::HasAnother(address) => write!(out, " has {address}"),
            Answer::NoLease => write!(out, " none"),
            Answer::Contended => write!(out, " contended"),
        }
    }
}

impl FromStr for Record {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split(' ');
        read(&mut words).ok_or_else(|| line.to_owned())
    }
}

fn read<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Record> {
    fn next<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<T> {
        words.next()?.parse().ok()
    }
    let (id, invoked) = (next(words)?, next(words)?);
    let (responded, owner) = (next(words)?, next(words)?);
    let wish = match words.next()? {
        "any" => Wish::Any(next(words)?),
        "given" => Wish::Given(next(words)?, next(words)?),
        "renew" => Wish::Renew(next(words)?),
        "release" => Wish::Release(next(words)?),
        "hold" => Wish::Hold(next(words)?),
        "shorten" => Wish::Shorten(next(words)?),
        "transfer" => Wish::Transfer(next(words)?),
        "expire" => Wish::Expire(next(words)?),
        "reclaim" => Wish::Reclaim,
        _ => return None,
    };
    let answer = match words.next()? {
        "held" => {
            let (address, hold_until) = (next(words)?, next(words)?);
            let until = match words.next()? {
                "never" => None,
                number => Some(number.parse().ok()?),
            };
            Answer::Held(Held { address, hold_until, until })
        }
        "released" => {
            let count: usize = next(words)?;
            let lease = |_| Some((next(words)?, next(words)?));
            Answer::Released((0..count).map(lease).collect::<Option<_>>()?)
        }
        "expired" => {
            let count: usize = next(words)?;
            let lease = |_| Some((next(words)?, next(words)?, next(words)?));
            Answer::Expired((0..count).map(lease).collect::<Option<_>>()?)
        }
        "passed" => {
            let count: usize = next(words)?;
            let lease = |_| Some((next(words)?, next(words)?));
            Answer::Passed((0..count).map(lease).collect::<Option<_>>()?)
        }
        "moved" => Answer::Moved(next(words)?),
        "reserved" => Answer::Reserved,
        "freed" => Answer::Freed(next(words)?),
        "exhausted" => Answer::Exhausted,
        "taken" => Answer::Taken,
        "quarantined" => Answer::Quarantined(next(words)?),
        "has" => Answer::HasAnother(next(words)?),
        "none" => Answer::NoLease,
        "contended" => Answer::Contended,
        _ => return None,
    };
    Some(Record { id, invoked, responded, owner, wish, answer })
}

#[test]
fn a_record_survives_its_line() {
    let address = IpAddr::from([10, 0, 0, 7]);
    let held = |until| Answer::Held(Held { address, hold_until: -4, until });
    for (wish, answer) in [
        (Wish::Any(5), held(None)),
        (Wish::Given(address, 5), held(Some(9))),
        (Wish::Given(address, 5), Answer::Quarantined(8)),
        (Wish::Renew(6), Answer::NoLease),
        (Wish::Release(0), Answer::Released(vec![(address, 3), (address, 4)])),
        (Wish::Release(0), Answer::Released(vec![])),
        (Wish::Reclaim, Answer::Freed(2)),
        (Wish::Hold(3), Answer::Moved(1)),
        (Wish::Shorten(3), Answer::Moved(0)),
        (Wish::Transfer(300), Answer::Passed(vec![(address, true), (address, false)])),
        (Wish::Expire(1), Answer::Expired(vec![(300, address, 7), (2, address, -7)])),
        (Wish::Given(address, 5), Answer::Reserved),
        (Wish::Any(0), Answer::HasAnother(address)),
        (Wish::Any(0), Answer::Exhausted),
        (Wish::Any(0), Answer::Taken),
        (Wish::Any(0), Answer::Contended),
    ] {
        let record = Record { id: 1, invoked: 2, responded: 3, owner: 4, wish, answer };
        assert_eq!(record.to_string().parse(), Ok(record));
    }
    assert!("1 2 3 4 any 5 held".parse::<Record>().is_err());
}
