//! Events for the audit log: who did what, from where.

use std::net::IpAddr;

use nebula_alloc::NetworkId;
use nebula_alloc::event::{self, Actor, Event};
use nebula_alloc::lease::Lease;
use nebula_alloc::store::Transaction;
use serde_json::Value;

use super::context::Context;
use super::principal::node_actor;
use crate::{Error, NodeId};

/// Who does something, as events name it.
pub(super) struct Author {
    name: String,
    source: Option<String>,
    request: String,
}

impl Author {
    pub(super) fn actor(&self) -> Actor<'_> {
        Actor {
            name: &self.name,
            source_address: self.source.as_deref(),
            request_id: Some(&self.request),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The address that it asks from, where it is known.
    pub(super) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Whether a node does it itself.
    pub(super) fn is_node(&self, node: NodeId) -> bool {
        self.name == node_actor(node)
    }

    pub(super) fn record(
        &self,
        tx: &mut dyn Transaction,
        now: i64,
        entry: Entry<'_>,
    ) -> Result<(), Error> {
        let event = Event {
            network: entry.network,
            source_address: self.source.clone(),
            request_id: Some(self.request.clone()),
            subject: Some(entry.subject.to_vec()),
            address: entry.address,
            detail: (!entry.detail.is_null()).then(|| entry.detail.to_string()),
            ..Event::new(now, entry.kind, &*self.name)
        };
        Ok(event::append(tx, &event)?)
    }
}

/// One thing that happened.
pub(super) struct Entry<'a> {
    pub(super) kind: &'static str,
    /// The id of what it happened to.
    pub(super) subject: &'a [u8],
    pub(super) network: Option<NetworkId>,
    pub(super) address: Option<IpAddr>,
    /// What else there is to know of it; null for nothing.
    pub(super) detail: Value,
}

impl<'a> Entry<'a> {
    pub(super) fn new(kind: &'static str, subject: &'a [u8]) -> Self {
        Self { kind, subject, network: None, address: None, detail: Value::Null }
    }
}

/// The addresses of some leases, as an event's detail names them.
pub(super) fn addresses(leases: &[Lease]) -> Vec<String> {
    leases.iter().map(|lease| lease.address.to_string()).collect()
}

impl Context {
    /// Whoever asks, by its name in the audit log.
    pub(super) fn author(&self, name: impl Into<String>) -> Author {
        Author {
            name: name.into(),
            source: self.source().map(|source| source.to_string()),
            request: self.request_id().to_string(),
        }
    }
}
