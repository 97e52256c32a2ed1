//! Allocation for programs that have no rows of their own to write along.

use crate::event::Actor;
use crate::lease::{self, Hold, Lease, Request};
use crate::pool::{self, Pool};
use crate::store::Transaction;
use crate::store::writer::{Step, Subject, Writer};
use crate::{AddressRange, Error, NetworkId, OwnerId, PoolId, reclaim};

/// A [`Writer`] with the plain operations, each durable when it returns.
#[derive(Debug)]
pub struct Allocator {
    writer: Writer,
    actor: String,
}

impl Allocator {
    /// Allocates through `writer`; events name `actor`.
    #[must_use]
    pub fn new(writer: Writer, actor: impl Into<String>) -> Self {
        Self { writer, actor: actor.into() }
    }

    /// The writer, for other work on the same database.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// [`pool::create`].
    ///
    /// # Errors
    ///
    /// As [`pool::create`] and [`Writer::run`].
    pub fn create_pool(&self, pool: Pool) -> Result<(), Error> {
        self.transaction(move |tx, now, actor| pool::create(tx, now, actor, &pool))
    }

    /// [`pool::resize`].
    ///
    /// # Errors
    ///
    /// As [`pool::resize`] and [`Writer::run`].
    pub fn resize_pool(&self, pool: PoolId, range: AddressRange) -> Result<Pool, Error> {
        self.transaction(move |tx, now, actor| pool::resize(tx, now, actor, pool, range))
    }

    /// [`pool::delete`].
    ///
    /// # Errors
    ///
    /// As [`pool::delete`] and [`Writer::run`].
    pub fn delete_pool(&self, pool: PoolId) -> Result<(), Error> {
        self.transaction(move |tx, now, actor| pool::delete(tx, now, actor, pool))
    }

    /// [`lease::allocate`].
    ///
    /// # Errors
    ///
    /// As [`lease::allocate`] and [`Writer::run`].
    pub fn allocate(&self, request: Request) -> Result<Lease, Error> {
        let Request { network, family, .. } = request;
        let leases = self.allocate_all(vec![request])?;
        leases.into_iter().next().ok_or(Error::PoolExhausted { network, family })
    }

    /// [`lease::allocate`] for several requests, all or none: for an IPv4 and an IPv6 address, say.
    ///
    /// # Errors
    ///
    /// As [`lease::allocate`] and [`Writer::run`].
    pub fn allocate_all(&self, requests: Vec<Request>) -> Result<Vec<Lease>, Error> {
        self.writer.run(Allocate { requests, actor: self.actor.clone() })
    }

    /// [`lease::renew`].
    ///
    /// # Errors
    ///
    /// As [`lease::renew`] and [`Writer::run`].
    pub fn renew(
        &self,
        network: NetworkId,
        owner: OwnerId,
        until: Option<i64>,
    ) -> Result<Vec<Lease>, Error> {
        self.of_owner(network, owner, move |tx, now, actor| {
            lease::renew(tx, now, actor, network, owner, until)
        })
    }

    /// [`lease::heartbeat`].
    ///
    /// # Errors
    ///
    /// As [`lease::heartbeat`] and [`Writer::run`].
    pub fn heartbeat(
        &self,
        network: NetworkId,
        owner: OwnerId,
        seconds: i64,
    ) -> Result<Vec<Lease>, Error> {
        self.of_owner(network, owner, move |tx, now, actor| {
            lease::heartbeat(tx, now, actor, network, owner, seconds)
        })
    }

    /// [`lease::release`].
    ///
    /// # Errors
    ///
    /// As [`lease::release`] and [`Writer::run`].
    pub fn release(
        &self,
        network: NetworkId,
        owner: OwnerId,
        hold: impl Into<Hold>,
    ) -> Result<Vec<Lease>, Error> {
        let hold = hold.into();
        self.of_owner(network, owner, move |tx, now, actor| {
            lease::release(tx, now, actor, network, owner, hold)
        })
    }

    /// [`lease::transfer`].
    ///
    /// # Errors
    ///
    /// As [`lease::transfer`] and [`Writer::run`].
    pub fn transfer(
        &self,
        network: NetworkId,
        from: OwnerId,
        to: OwnerId,
    ) -> Result<Vec<Lease>, Error> {
        self.transaction(move |tx, now, actor| lease::transfer(tx, now, actor, network, from, to))
    }

    /// [`reclaim::reclaim`] until nothing is left that has ended, in steps between which others get
    /// their turn. Answers how many addresses became free.
    ///
    /// # Errors
    ///
    /// As [`Writer::run`].
    pub fn reclaim(&self) -> Result<u64, Error> {
        let mut freed = 0;
        loop {
            let step =
                self.transaction(|tx, now, actor| reclaim::reclaim(tx, now, actor, RECLAIM_STEP))?;
            freed += step;
            if usize::try_from(step).is_ok_and(|step| step < RECLAIM_STEP) {
                return Ok(freed);
            }
        }
    }

    /// Any operations of this crate in a transaction of their own: reservations and blocks, say.
    /// `work` may run again after a rollback; the number is the transaction's time.
    ///
    /// # Errors
    ///
    /// Those of `work`, and those of [`Writer::run`].
    pub fn transaction<T, E>(
        &self,
        mut work: impl FnMut(&mut dyn Transaction, i64, &Actor<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let actor = self.actor.clone();
        self.writer.transaction(move |tx, now| work(tx, now, &Actor::named(&actor)))
    }

    fn of_owner<F, T>(&self, network: NetworkId, owner: OwnerId, work: F) -> Result<T, Error>
    where
        F: FnMut(&mut dyn Transaction, i64, &Actor<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        self.writer.run(OfOwner { network, owner, actor: self.actor.clone(), work })
    }
}

/// How many addresses become free in one step: well below the 10 ms that a step may take.
const RECLAIM_STEP: usize = 64;

struct Allocate {
    requests: Vec<Request>,
    actor: String,
}

impl Step for Allocate {
    type Output = Vec<Lease>;
    type Error = Error;

    fn subject(&self) -> Subject {
        let mut owners = self.requests.iter().map(|request| (request.network, request.owner));
        match owners.next() {
            Some(first) if owners.all(|other| other == first) => subject(first.0, first.1),
            _ => Subject::Everything,
        }
    }

    fn actor(&self) -> Actor<'_> {
        Actor::named(&self.actor)
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Vec<Request>, Error> {
        Ok(self.requests.clone())
    }

    fn write(
        &mut self,
        _: &mut dyn Transaction,
        _: i64,
        leases: &[Lease],
    ) -> Result<Vec<Lease>, Error> {
        Ok(leases.to_vec())
    }
}

/// Work that concerns one owner.
struct OfOwner<F> {
    network: NetworkId,
    owner: OwnerId,
    actor: String,
    work: F,
}

impl<F, T> Step for OfOwner<F>
where
    F: FnMut(&mut dyn Transaction, i64, &Actor<'_>) -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    type Output = T;
    type Error = Error;

    fn subject(&self) -> Subject {
        subject(self.network, self.owner)
    }

    fn actor(&self) -> Actor<'_> {
        Actor::named(&self.actor)
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Vec<Request>, Error> {
        Ok(Vec::new())
    }

    fn write(&mut self, tx: &mut dyn Transaction, now: i64, _: &[Lease]) -> Result<T, Error> {
        (self.work)(tx, now, &Actor::named(&self.actor))
    }
}

fn subject(network: NetworkId, owner: OwnerId) -> Subject {
    Subject::Key([network.0, owner.0].concat())
}
