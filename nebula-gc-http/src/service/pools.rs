//! Pools of networks, blocks in them, and reservations.

mod addresses;
mod blocks;
#[cfg(feature = "server")]
mod listing;
#[cfg(feature = "server")]
mod quarantine;
mod reservations;

use nebula_alloc::pool::{self, Pool, Usage};
use nebula_alloc::store::Transaction;
use nebula_alloc::{Error as AllocError, NetworkId, PoolId};

pub use self::addresses::Addresses;
pub use self::blocks::{NewBlock, Room};
#[cfg(feature = "server")]
pub(crate) use self::listing::{AddressEntry, Held};
#[cfg(feature = "server")]
pub(crate) use self::quarantine::{QuarantineEnd, QuarantineEnded};
pub use self::reservations::{ReservationDetails, ReservationRef, ReservedTo};
use super::access::authorize;
use super::context::Context;
use super::core::Service;
use super::exclusive::{Created, Repeat, Work};
use super::precondition::{Expected, Tag};
use super::principal::Action;
use crate::error::{Conflict, Fault, Field, Kind};
use crate::store::network::Network;
use crate::{Error, NetworkRef, id};

/// A pool, and how full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// The pool.
    pub pool: Pool,
    /// What becomes of its addresses.
    pub usage: Usage,
}

impl PoolUsage {
    /// What tells this state from its others.
    #[must_use]
    pub fn tag(&self) -> Tag {
        let Usage { free, active, quarantined, reserved, blocks, .. } = self.usage;
        tag(&self.pool).and(format!("{free}-{active}-{quarantined}-{reserved}-{blocks}"))
    }
}

fn tag(pool: &Pool) -> Tag {
    let range = pool.range.to_string().replace(':', "_");
    Tag::new(pool.id, range.replace('.', "_"))
}

impl Service {
    /// A network's pools in the order of their ids, after the one of this id, at most `limit`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn pools(
        &self,
        context: Context,
        network: NetworkRef,
        after: Option<PoolId>,
        limit: i64,
    ) -> Result<Vec<PoolUsage>, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            let limit = usize::try_from(limit).unwrap_or_default();
            let pools = pool::by_network(tx, network.id, after, limit)?;
            pools.into_iter().map(|pool| with_usage(tx, pool)).collect()
        })
        .await
    }

    /// One pool.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn pool(
        &self,
        context: Context,
        network: NetworkRef,
        id: PoolId,
    ) -> Result<PoolUsage, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&network))?;
            let pool = find(tx, network.id, id)?;
            with_usage(tx, pool)
        })
        .await
    }

    /// Makes a pool of some addresses of the network's prefix. Pools of one family are used in the
    /// order of `position`, equal ones in the order of their making.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Conflict`] where another pool has some of the addresses,
    /// [`Error::NotFound`], [`Error::IdempotencyKeyReused`], and those of access.
    pub async fn create_pool(
        &self,
        context: Context,
        network: NetworkRef,
        (range, position): (Addresses, i64),
        repeat: Option<Repeat>,
    ) -> Result<Created<PoolUsage>, Error> {
        let making = self.exclusive(context, move |work| {
            let network = work.network(Action::ChangeNetwork, &network)?;
            let range = range.of(&network)?;
            work.once(
                repeat.as_ref(),
                |work, id| find(work.tx, network.id, PoolId(id)),
                |work| {
                    let pool = Pool { id: id::new_pool(), network: network.id, range, position };
                    pool::create(work.tx, work.now, &work.author.actor(), &pool)
                        .map_err(refusal)?;
                    Ok((pool.id.0, pool, None))
                },
            )
        });
        let Created { resource, secret, is_new } = making.await?;
        Ok(Created { resource: self.usage(resource).await?, secret, is_new })
    }

    /// Gives a pool another range.
    ///
    /// # Errors
    /// As [`create_pool`](Self::create_pool), and [`Error::LeasesStand`], [`Error::Precondition`].
    pub async fn resize_pool(
        &self,
        context: Context,
        (network, id): (NetworkRef, PoolId),
        expected: Expected,
        range: Addresses,
    ) -> Result<PoolUsage, Error> {
        let resizing = self.exclusive(context, move |work| {
            let (network, pool) = changeable(work, (&network, id), &expected)?;
            let range = range.of(&network)?;
            if pool.range == range {
                return Ok(pool);
            }
            pool::resize(work.tx, work.now, &work.author.actor(), id, range).map_err(refusal)
        });
        let pool = resizing.await?;
        self.usage(pool).await
    }

    /// Deletes a pool of which no address is leased.
    ///
    /// # Errors
    /// [`Error::LeasesStand`], [`Error::Conflict`] where blocks stand, [`Error::NotFound`],
    /// [`Error::Precondition`], and those of access.
    pub async fn delete_pool(
        &self,
        context: Context,
        (network, id): (NetworkRef, PoolId),
        expected: Expected,
    ) -> Result<(), Error> {
        self.exclusive(context, move |work| {
            changeable(work, (&network, id), &expected)?;
            pool::delete(work.tx, work.now, &work.author.actor(), id).map_err(refusal)
        })
        .await
    }
}

impl Service {
    /// Counting reads every row of a pool's leases: beside the writer, not in its steps.
    async fn usage(&self, pool: Pool) -> Result<PoolUsage, Error> {
        self.read(move |tx, _| match with_usage(tx, pool) {
            // Somebody was faster to delete it.
            Err(Error::Unavailable { .. }) if pool::by_id(tx, pool.id)?.is_none() => {
                Err(Error::not_found(Kind::Pool, pool.id))
            }
            counted => counted,
        })
        .await
    }
}

/// What is wrong with an operation on pools, in this service's words.
pub(super) fn refusal(error: AllocError) -> Error {
    match error {
        AllocError::Overlap { range, pool, .. } => Conflict::PoolOverlaps { range, pool }.into(),
        AllocError::NoSuchPool { pool } => Error::not_found(Kind::Pool, pool),
        AllocError::NoSuchReservation { range, .. } => Error::not_found(Kind::Reservation, range),
        AllocError::BlockStands { block, range } => Conflict::BlockStands { block, range }.into(),
        AllocError::OutsidePool { range, pool } => {
            Fault::OutsidePool { range, pool }.of(Field::Range)
        }
        AllocError::ReservationOverlaps { other, .. } => Conflict::Reserved { range: other }.into(),
        AllocError::PinnedAlready { .. } => Conflict::PinnedAlready.into(),
        AllocError::WrongFamily { .. } => Fault::WrongFamily.of(Field::Range),
        AllocError::RangeForOwner { .. } => Fault::NotOneAddress.of(Field::Range),
        other => other.into(),
    }
}

fn find(tx: &mut dyn Transaction, network: NetworkId, id: PoolId) -> Result<Pool, Error> {
    pool::by_id(tx, id)?
        .filter(|pool| pool.network == network)
        .ok_or_else(|| Error::not_found(Kind::Pool, id))
}

fn with_usage(tx: &mut dyn Transaction, pool: Pool) -> Result<PoolUsage, Error> {
    Ok(PoolUsage { usage: pool::usage(tx, pool.id)?, pool })
}

fn changeable(
    work: &mut Work<'_>,
    (network, id): (&NetworkRef, PoolId),
    expected: &Expected,
) -> Result<(Network, Pool), Error> {
    let network = work.network(Action::ChangeNetwork, network)?;
    let pool = find(work.tx, network.id, id)?;
    expected.check(&tag(&pool))?;
    Ok((network, pool))
}
