//! Allocation for programs that have no rows of their own to write along.

use std::net::IpAddr;

use crate::event::Event;
use crate::lease::{self, Lease, LeaseState, Request};
use crate::pool::{self, Pool};
use crate::store::Transaction;
use crate::store::writer::{Step, Subject, Writer};
use crate::{Error, NetworkId, OwnerId, event};

/// A [`Writer`] with the plain operations, each durable when it returns and each with an
/// [event](crate::event).
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

    /// [`pool::create`], with the event `pool.created`.
    ///
    /// # Errors
    ///
    /// As [`pool::create`] and [`Writer::run`].
    pub fn create_pool(&self, pool: Pool) -> Result<(), Error> {
        let actor = self.actor.clone();
        self.writer.transaction(move |tx, now| {
            pool::create(tx, &pool)?;
            event::append(
                tx,
                &Event {
                    network: Some(pool.network),
                    subject: Some(pool.id.0.to_vec()),
                    detail: Some(pool.range.to_string()),
                    ..Event::new(now, "pool.created", &*actor)
                },
            )
        })
    }

    /// [`lease::allocate`], with the event `lease.allocated` unless the owner had it already.
    ///
    /// # Errors
    ///
    /// As [`lease::allocate`] and [`Writer::run`].
    pub fn allocate(&self, request: Request) -> Result<Lease, Error> {
        self.writer.run(Allocate { request, held: None, actor: self.actor.clone() })
    }

    /// [`lease::release`], with an event `lease.released` for each.
    ///
    /// # Errors
    ///
    /// As [`lease::release`] and [`Writer::run`].
    pub fn release(
        &self,
        network: NetworkId,
        owner: OwnerId,
        hold_seconds: i64,
    ) -> Result<Vec<Lease>, Error> {
        self.writer.run(Release { network, owner, hold_seconds, actor: self.actor.clone() })
    }
}

struct Allocate {
    request: Request,
    held: Option<IpAddr>,
    actor: String,
}

impl Step for Allocate {
    type Output = Lease;
    type Error = Error;

    fn subject(&self) -> Subject {
        subject(self.request.network, self.request.owner)
    }

    fn plan(&mut self, tx: &mut dyn Transaction, _: i64) -> Result<Vec<Request>, Error> {
        let Request { network, owner, family, .. } = self.request;
        self.held = lease::by_owner(tx, network, owner)?
            .into_iter()
            .find(|lease| lease.state == LeaseState::Active && lease.family() == family)
            .map(|lease| lease.address);
        Ok(vec![self.request])
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        leases: &[Lease],
    ) -> Result<Lease, Error> {
        let Request { network, family, .. } = self.request;
        let lease = *leases.first().ok_or(Error::PoolExhausted { network, family })?;
        if self.held != Some(lease.address) {
            event::append(tx, &about(&lease, now, "lease.allocated", &self.actor))?;
        }
        Ok(lease)
    }
}

struct Release {
    network: NetworkId,
    owner: OwnerId,
    hold_seconds: i64,
    actor: String,
}

impl Step for Release {
    type Output = Vec<Lease>;
    type Error = Error;

    fn subject(&self) -> Subject {
        subject(self.network, self.owner)
    }

    fn plan(&mut self, _: &mut dyn Transaction, _: i64) -> Result<Vec<Request>, Error> {
        Ok(Vec::new())
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        _: &[Lease],
    ) -> Result<Vec<Lease>, Error> {
        let released = lease::release(tx, now, self.network, self.owner, self.hold_seconds)?;
        for lease in &released {
            event::append(tx, &about(lease, now, "lease.released", &self.actor))?;
        }
        Ok(released)
    }
}

fn subject(network: NetworkId, owner: OwnerId) -> Subject {
    Subject::Key([network.0, owner.0].concat())
}

fn about(lease: &Lease, now: i64, kind: &str, actor: &str) -> Event {
    Event {
        network: Some(lease.network),
        subject: Some(lease.owner.0.to_vec()),
        address: Some(lease.address),
        ..Event::new(now, kind, actor)
    }
}
