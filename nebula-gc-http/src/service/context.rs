//! Who asks for an operation, and from where: what every request carries through the service.

use std::net::{IpAddr, SocketAddr};

use uuid::Uuid;

use crate::secret::Bearer;

/// Who asks for an operation, and from where.
#[derive(Debug, Clone)]
pub struct Context {
    caller: Caller,
    origin: Origin,
}

/// Who asks, as far as it can be told before the transaction.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Someone with a bearer secret.
    Bearer(Bearer),
    /// The program that runs the service, on behalf of whoever started it. It may do everything.
    Local,
}

/// Where a request came from, for the audit log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    source: Option<SocketAddr>,
    request: Uuid,
}

impl Context {
    /// The program that runs the service itself.
    #[must_use]
    pub fn local() -> Self {
        Self { caller: Caller::Local, origin: Origin::local() }
    }

    /// Someone with this credential, on the machine of the service.
    #[must_use]
    pub fn bearer(bearer: Bearer) -> Self {
        Self { caller: Caller::Bearer(bearer), origin: Origin::local() }
    }

    /// What the answer, the log and the audit log call this request.
    #[must_use]
    pub fn request_id(&self) -> Uuid {
        self.origin.request
    }

    /// The same caller, from another place.
    #[cfg(feature = "server")]
    pub(crate) fn at(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The same caller from the same place, with a request of its own.
    pub(super) fn another(&self) -> Self {
        Self { origin: Origin { request: Uuid::now_v7(), ..self.origin }, ..self.clone() }
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The machine that the request came from, unless it is the program itself.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.origin.source.map(|source| source.ip())
    }
}

impl Origin {
    /// A request from the network.
    #[cfg(feature = "server")]
    pub(crate) fn remote(source: SocketAddr) -> Self {
        Self { source: Some(source), request: Uuid::now_v7() }
    }

    /// Something the program itself does.
    pub(crate) fn local() -> Self {
        Self { source: None, request: Uuid::now_v7() }
    }

    /// What the answer, the log and the audit log call this request.
    #[cfg(feature = "server")]
    pub(crate) fn request_id(&self) -> Uuid {
        self.request
    }

    /// From which machine, unless it is the program itself.
    #[cfg(feature = "server")]
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.source.map(|source| source.ip())
    }
}
