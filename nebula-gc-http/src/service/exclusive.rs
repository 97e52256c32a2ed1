//! Rare changes, each in a batch of its own: of tenants, networks, pools, operator keys, tokens.

use std::sync::Arc;

use nebula_alloc::store::Transaction;

use super::access::{find_network, not_found};
use super::audit::{Author, Entry};
use super::context::Context;
use super::core::Service;
use super::exclusive_step::Exclusive;
use super::principal::{Action, Principal};
use super::shared::Shared;
use crate::error::Conflict;
use crate::secret::Bearer;
use crate::store::idempotency;
use crate::store::network::Network;
use crate::{Error, NetworkRef};

/// By what a repeat of a creation is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// What the client calls the request, for itself alone.
    pub key: String,
    /// SHA-256 over what it asks.
    pub request: [u8; 32],
}

/// Something that was made.
#[derive(Debug)]
pub struct Created<T> {
    /// As it is now.
    pub resource: T,
    /// Its secret, which nobody is told again.
    pub secret: Option<Bearer>,
    /// Whether this request made it, rather than a former one that it repeats.
    pub is_new: bool,
}

/// Who changes something, and when.
pub(super) struct Work<'a> {
    pub(super) tx: &'a mut dyn Transaction,
    /// The transaction's time, in seconds since the Unix epoch.
    pub(super) now: i64,
    pub(super) shared: &'a Shared,
    pub(super) principal: &'a Principal,
    pub(super) author: &'a Author,
}

impl Work<'_> {
    pub(super) fn record(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        self.author.record(self.tx, self.now, entry)
    }

    /// The network named, where the principal may do this to it.
    pub(super) fn network(&mut self, action: Action, name: &NetworkRef) -> Result<Network, Error> {
        let found = find_network(self.tx, self.principal, Some(name))?;
        let network = found.ok_or_else(|| not_found(Some(name)))?;
        self.principal.permit(action)?;
        Ok(network)
    }

    /// Makes something, or finds what the repeated request made before. It commits with what it
    /// makes.
    pub(super) fn once<T>(
        &mut self,
        repeat: Option<&Repeat>,
        find: impl FnOnce(&mut Self, [u8; 16]) -> Result<T, Error>,
        make: impl FnOnce(&mut Self) -> Result<([u8; 16], T, Option<Bearer>), Error>,
    ) -> Result<Created<T>, Error> {
        let who = self.principal.actor();
        if let Some(repeat) = repeat
            && let Some(former) = idempotency::find(self.tx, &who, &repeat.key, self.now)?
        {
            if former.request != repeat.request {
                return Err(Error::IdempotencyKeyReused);
            }
            let resource = find(self, former.resource)?;
            return Ok(Created { resource, secret: None, is_new: false });
        }
        let (id, resource, secret) = make(self)?;
        if let Some(Repeat { key, request }) = repeat
            && !idempotency::insert(self.tx, &who, key, (request, &id), self.now)?
        {
            // Another instance was first.
            return Err(Conflict::UnderWay.into());
        }
        Ok(Created { resource, secret, is_new: true })
    }
}

impl Service {
    /// Runs a work. It may run again after a rollback.
    pub(super) async fn exclusive<T: Send + 'static>(
        &self,
        context: Context,
        mut work: impl FnMut(&mut Work<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.admit(&context).await?;
        let shared = Arc::clone(&self.shared);
        let step = Exclusive::new(move |tx, now| {
            let principal = Principal::authenticate(tx, &shared.secrets, &context, now)?;
            let author = context.author(principal.actor());
            work(&mut Work { tx, now, shared: &shared, principal: &principal, author: &author })
        });
        self.write(step).await
    }
}
