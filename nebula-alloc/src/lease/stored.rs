//! A lease as it is stored.

use std::net::IpAddr;

use crate::store::Row;
use crate::{Error, Family, LeaseId, NetworkId, OwnerId, PoolId};

/// Where a lease is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Its owner has the address.
    Active,
    /// The address is held by no owner, and only the last one may get it.
    Quarantined,
}

/// One address and its owner. All times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Where.
    pub network: NetworkId,
    /// The address, unique in the network.
    pub address: IpAddr,
    /// The pool it is from.
    pub pool: PoolId,
    /// Who holds it, or held it last.
    pub owner: OwnerId,
    /// Whether it is active.
    pub state: LeaseState,
    /// While active: the earliest end of a later quarantine. In quarantine: its end.
    pub hold_until: i64,
    /// When it was released; `None` while active.
    pub released_at: Option<i64>,
    /// Why it was released; `None` while active.
    pub reason: Option<Reason>,
    /// When it ends by itself.
    pub until: Option<i64>,
    /// Grows each time an owner gets an address, gets it back, or gets it from another: one owner has
    /// an address under a number once. 0 for leases from before there were numbers.
    pub number: i64,
    /// The owner that passed it on, if it was passed on.
    pub passed_on_by: Option<OwnerId>,
}

impl Lease {
    /// Its name, for [`release_one`](super::release_one), [`renew_one`](super::renew_one) and
    /// [`transfer_one`](super::transfer_one).
    #[must_use]
    pub fn id(&self) -> LeaseId {
        let Self { network, address, owner, number, .. } = *self;
        LeaseId { network, address, owner, number }
    }

    /// The family of its address.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

/// Why a lease was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Its owner gave it up.
    Released,
    /// Its `until` passed.
    Ended,
    /// It was taken away.
    Revoked,
    /// Its owner has another address instead.
    Replaced,
    /// The address seems to be in use elsewhere.
    Conflict,
}

impl Reason {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Released => 1,
            Self::Ended => 2,
            Self::Revoked => 3,
            Self::Replaced => 4,
            Self::Conflict => 5,
        }
    }

    const fn from_number(number: i64) -> Self {
        match number {
            2 => Self::Ended,
            3 => Self::Revoked,
            4 => Self::Replaced,
            5 => Self::Conflict,
            _ => Self::Released,
        }
    }

    /// As its event tells it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Ended => "ended",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
            Self::Conflict => "conflict",
        }
    }
}

/// Columns as [`read`] expects them; a macro, because `concat!` takes no constants.
macro_rules! columns {
    () => {
        "state, number, owner, address, pool, network, hold_until, released_at, reason, until,
         passed_on_by"
    };
}
pub(crate) use columns;

const ACTIVE: i64 = 1;

pub(crate) fn read(row: &Row) -> Result<Lease, Error> {
    let mut row = row.columns();
    Ok(Lease {
        state: if row.integer()? == ACTIVE { LeaseState::Active } else { LeaseState::Quarantined },
        number: row.integer()?,
        owner: OwnerId(row.array()?),
        address: row.address()?,
        pool: PoolId(row.array()?),
        network: NetworkId(row.array()?),
        hold_until: row.integer()?,
        released_at: row.optional_integer()?,
        reason: row.optional_integer()?.map(Reason::from_number),
        until: row.optional_integer()?,
        passed_on_by: row.optional_array()?.map(OwnerId),
    })
}
