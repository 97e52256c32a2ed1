//! Allocation for programs that have no rows of their own to write along.

use std::future::Future;
use std::sync::Arc;

use crate::event::Actor;
use crate::lease::{self, Hold, Lease, Request};
use crate::pool::{self, Pool};
use crate::store::{Query, Subject, Transaction};
use crate::writer::{Answer, Once, Planned, Step, Writer};
use crate::{AddressRange, Error, LeaseId, NetworkId, OwnerId, PoolId, reclaim};

/// A [`Writer`] with the plain operations.
///
/// Each queues a request at once and answers an [`Answer`]: `.await` it on any runtime, or
/// [`wait`](Answer::wait) for it. What has been answered is durable. Beside its own errors each
/// operation answers those of [`Writer::submit`] and of storage: [`Error::Unavailable`],
/// [`Error::OutcomeUnknown`], [`Error::Contended`].
///
/// ```
/// # use nebula_alloc::lease::Request;
/// # use nebula_alloc::pool::Pool;
/// # use nebula_alloc::{
/// #     Allocator, Family, NetworkId, OwnerId, PoolId, Sqlite, Writer, WriterOptions, usable,
/// # };
/// # let directory = tempfile::tempdir()?;
/// # let store = Sqlite::open(directory.path().join("addresses.db"))?;
/// # let writer = Writer::start(store, || 1_800_000_000, WriterOptions::default())?;
/// # let allocator = Allocator::new(writer, "example");
/// # let (network, pool) = (NetworkId([1; 16]), PoolId([2; 16]));
/// # let range = usable("10.42.0.0/16".parse()?).ok_or("not a Nebula prefix")?;
/// # allocator.create_pool(Pool { id: pool, network, range, position: 0 }).wait()?;
/// # let request = |owner: u8| Request {
/// #     network, owner: OwnerId([owner; 16]), family: Family::V4, address: None, pool: None,
/// #     hold_until: 0, until: None,
/// # };
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// runtime.block_on(async {
///     // Both are under way, and are likely to share a commit.
///     let (laptop, phone) = (allocator.allocate(request(1)), allocator.allocate(request(2)));
///     assert_eq!(laptop.await?.address.to_string(), "10.42.0.1");
///     assert_eq!(phone.await?.address.to_string(), "10.42.0.2");
///     Ok::<_, nebula_alloc::Error>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Allocator {
    writer: Writer,
    actor: Arc<str>,
    waits: bool,
}

impl Allocator {
    /// Allocates through `writer`; events name `actor`.
    #[must_use]
    pub fn new(writer: Writer, actor: impl Into<String>) -> Self {
        Self { writer, actor: actor.into().into(), waits: false }
    }

    /// Where the queue is full, requests wait for room instead of being refused with
    /// [`Error::QueueFull`]: see [`Writer::send_when_room`].
    ///
    /// A request is queued only when its answer is awaited. Of more requests than the queue holds,
    /// awaited one after the other, the rest are queued one by one, with a commit for each: await them
    /// together (each in a task of its own, or joined), or give the
    /// writer a [longer queue](crate::WriterOptions::queue).
    #[must_use]
    pub fn waiting_for_room(self) -> Self {
        Self { waits: true, ..self }
    }

    /// [`Writer::close`]: what is queued is done, then the database is closed. [`Writer::shutdown`], or
    /// dropping the allocator, blocks until then.
    ///
    /// # Errors
    ///
    /// As [`Writer::close`].
    pub fn close(&self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        self.writer.close()
    }

    /// The writer, on which others may go on.
    #[must_use]
    pub fn into_writer(self) -> Writer {
        self.writer
    }

    /// The writer, for other work on the same database.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// [`pool::create`].
    pub fn create_pool(&self, pool: Pool) -> Answer<(), Error> {
        self.transaction(move |tx, now, actor| pool::create(tx, now, actor, &pool))
    }

    /// [`pool::resize`].
    pub fn resize_pool(&self, pool: PoolId, range: AddressRange) -> Answer<Pool, Error> {
        self.transaction(move |tx, now, actor| pool::resize(tx, now, actor, pool, range))
    }

    /// [`pool::delete`].
    pub fn delete_pool(&self, pool: PoolId) -> Answer<(), Error> {
        self.transaction(move |tx, now, actor| pool::delete(tx, now, actor, pool))
    }

    /// [`lease::allocate`].
    pub fn allocate(&self, request: Request) -> Answer<Lease, Error> {
        self.send(AllocateOne { request, actor: Arc::clone(&self.actor) })
    }

    /// [`lease::allocate`] for several requests, all or none: for an IPv4 and an IPv6 address, say.
    /// More than [`limits::ADDRESS_REQUESTS`](crate::limits::ADDRESS_REQUESTS) are [`Error::TooMany`].
    pub fn allocate_all(&self, requests: Vec<Request>) -> Answer<Vec<Lease>, Error> {
        self.send(Allocate { requests, actor: Arc::clone(&self.actor) })
    }

    /// [`lease::relocate`].
    pub fn relocate(&self, request: Request, hold: impl Into<Hold>) -> Answer<Lease, Error> {
        let hold = hold.into();
        self.transaction_about(request.network, request.owner, move |tx, now, actor| {
            lease::relocate(tx, now, actor, &request, hold)
        })
    }

    /// [`lease::renew`].
    pub fn renew(
        &self,
        network: NetworkId,
        owner: OwnerId,
        until: Option<i64>,
    ) -> Answer<Vec<Lease>, Error> {
        self.transaction_about(network, owner, move |tx, now, actor| {
            lease::renew(tx, now, actor, network, owner, until)
        })
    }

    /// [`lease::heartbeat`].
    pub fn heartbeat(
        &self,
        network: NetworkId,
        owner: OwnerId,
        seconds: i64,
    ) -> Answer<Vec<Lease>, Error> {
        self.transaction_about(network, owner, move |tx, now, actor| {
            lease::heartbeat(tx, now, actor, network, owner, seconds)
        })
    }

    /// [`lease::release`].
    pub fn release(
        &self,
        network: NetworkId,
        owner: OwnerId,
        hold: impl Into<Hold>,
    ) -> Answer<Vec<Lease>, Error> {
        let hold = hold.into();
        self.transaction_about(network, owner, move |tx, now, actor| {
            lease::release(tx, now, actor, network, owner, hold)
        })
    }

    /// [`lease::renew_one`].
    pub fn renew_one(&self, lease: LeaseId, until: Option<i64>) -> Answer<Lease, Error> {
        self.transaction_about(lease.network, lease.owner, move |tx, now, actor| {
            lease::renew_one(tx, now, actor, &lease, until)
        })
    }

    /// [`lease::release_one`].
    pub fn release_one(&self, lease: LeaseId, hold: impl Into<Hold>) -> Answer<Lease, Error> {
        let hold = hold.into();
        self.transaction_about(lease.network, lease.owner, move |tx, now, actor| {
            lease::release_one(tx, now, actor, &lease, hold)
        })
    }

    /// [`lease::transfer_one`].
    pub fn transfer_one(&self, lease: LeaseId, to: OwnerId) -> Answer<Lease, Error> {
        self.transaction(move |tx, now, actor| lease::transfer_one(tx, now, actor, &lease, to))
    }

    /// [`lease::transfer`].
    pub fn transfer(
        &self,
        network: NetworkId,
        from: OwnerId,
        to: OwnerId,
    ) -> Answer<Vec<Lease>, Error> {
        self.transaction(move |tx, now, actor| lease::transfer(tx, now, actor, network, from, to))
    }

    /// [`reclaim::reclaim`] in a bounded step. Answers how many addresses became free: as many as
    /// [`RECLAIM_STEP`](Self::RECLAIM_STEP) when there may be more.
    pub fn reclaim(&self) -> Answer<u64, Error> {
        self.transaction(|tx, now, actor| {
            reclaim::reclaim(tx, now, actor, usize::try_from(Self::RECLAIM_STEP).unwrap_or(1))
        })
    }

    /// How many addresses become free in one step: well below the 10 ms that a step may take.
    pub const RECLAIM_STEP: u64 = 64;

    /// Any operations of this crate, in a transaction of their own: reservations and blocks, say.
    /// `work` may run again after a rollback; the number is the transaction's time.
    pub fn transaction<T, E>(
        &self,
        mut work: impl FnMut(&mut dyn Transaction, i64, &Actor<'_>) -> Result<T, E> + Send + 'static,
    ) -> Answer<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let actor = Arc::clone(&self.actor);
        self.send(Once(move |tx: &mut dyn Transaction, now| work(tx, now, &Actor::named(&actor))))
    }

    /// The same for operations on what one owner has, which share a commit with those of others. On
    /// PostgreSQL its first look at the owner's leases may be [as the batch began](Step::prefetch).
    pub fn transaction_about<T, E>(
        &self,
        network: NetworkId,
        owner: OwnerId,
        work: impl FnMut(&mut dyn Transaction, i64, &Actor<'_>) -> Result<T, E> + Send + 'static,
    ) -> Answer<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.send(About { network, owner, actor: Arc::clone(&self.actor), work })
    }
}

impl Allocator {
    fn send<S: Step>(&self, step: S) -> Answer<S::Output, S::Error> {
        if self.waits { self.writer.send_when_room(step) } else { self.writer.send(step) }
    }
}

struct AllocateOne {
    request: Request,
    actor: Arc<str>,
}

impl Step for AllocateOne {
    /// Who asks.
    type Plan = Arc<str>;
    type Output = Lease;
    type Error = Error;

    fn subject(&self) -> Subject {
        Subject::owner(self.request.network, self.request.owner)
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<Arc<str>>, Error> {
        let actor = Arc::clone(&self.actor);
        Ok(Planned::with_addresses(actor, vec![self.request], |actor| Actor::named(actor)))
    }

    fn write(
        &mut self,
        _: &mut dyn Transaction,
        _: i64,
        _: Arc<str>,
        leases: &[Lease],
    ) -> Result<Lease, Error> {
        let Request { network, family, .. } = self.request;
        leases.first().copied().ok_or(Error::PoolExhausted { network, family })
    }
}

struct Allocate {
    requests: Vec<Request>,
    actor: Arc<str>,
}

impl Step for Allocate {
    /// Who asks.
    type Plan = Arc<str>;
    type Output = Vec<Lease>;
    type Error = Error;

    fn subject(&self) -> Subject {
        let mut owners = self.requests.iter().map(|request| (request.network, request.owner));
        match owners.next() {
            Some(first) if owners.all(|other| other == first) => Subject::owner(first.0, first.1),
            _ => Subject::Everything,
        }
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<Arc<str>>, Error> {
        let actor = Arc::clone(&self.actor);
        Ok(Planned::with_addresses(actor, self.requests.clone(), |actor| Actor::named(actor)))
    }

    fn write(
        &mut self,
        _: &mut dyn Transaction,
        _: i64,
        _: Arc<str>,
        leases: &[Lease],
    ) -> Result<Vec<Lease>, Error> {
        Ok(leases.to_vec())
    }
}

/// Work that concerns one owner.
struct About<F> {
    network: NetworkId,
    owner: OwnerId,
    actor: Arc<str>,
    work: F,
}

impl<F, T, E> Step for About<F>
where
    F: FnMut(&mut dyn Transaction, i64, &Actor<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    type Plan = ();
    type Output = T;
    type Error = E;

    fn subject(&self) -> Subject {
        Subject::owner(self.network, self.owner)
    }

    fn prefetch(&self) -> Vec<Query> {
        vec![lease::owner_query(self.network, self.owner)]
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Planned<()>, E> {
        Ok(Planned::without_addresses(()))
    }

    fn write(&mut self, tx: &mut dyn Transaction, now: i64, (): (), _: &[Lease]) -> Result<T, E> {
        (self.work)(tx, now, &Actor::named(&self.actor))
    }
}
