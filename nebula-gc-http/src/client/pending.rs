//! Devices that wait for an operator's approval: as they ask, and as an operator sees them.

use std::time::Duration;

use hyper::Method;

use super::call::path;
use super::{Client, ClientError, List, Request};
use crate::wire::{ApprovalBody, Enrolled, PendingDevice, PendingEnrollment, RefusalBody};

/// What a server answers a device that enrols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrollmentAnswer {
    /// It has joined.
    Enrolled(Box<Enrolled>),
    /// An operator has to approve it: the same request is to be sent again.
    Pending {
        /// As what it waits, until when, and by what the operator recognises it.
        pending: PendingEnrollment,
        /// After what time to ask again.
        retry_after: Duration,
    },
}

impl EnrollmentAnswer {
    /// What it has, if it has joined.
    #[must_use]
    pub fn enrolled(self) -> Option<Enrolled> {
        match self {
            Self::Enrolled(enrolled) => Some(*enrolled),
            Self::Pending { .. } => None,
        }
    }
}

/// Pending devices of a network; with an operator key.
impl Client {
    /// Lists the devices that wait, were approved and have not come yet, or were refused:
    /// `GET /networks/{network}/pending`.
    #[must_use]
    pub fn list_pending(&self, network: &str) -> List<'_, PendingDevice> {
        self.list(Request::get(&path(&["networks", network, "pending"])))
    }

    /// Reads one of them: `GET /networks/{network}/pending/{pending}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_pending(
        &self,
        network: &str,
        pending: &str,
    ) -> Result<PendingDevice, ClientError> {
        self.read(&path(&["networks", network, "pending", pending])).await
    }

    /// Approves a device, by the fingerprint that it shows: `POST
    /// /networks/{network}/pending/{pending}/approve`. Repeating it changes nothing.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn approve_pending(
        &self,
        network: &str,
        pending: &str,
        approval: &ApprovalBody,
    ) -> Result<PendingDevice, ClientError> {
        let path = path(&["networks", network, "pending", pending, "approve"]);
        let request = Request::new(Method::POST, &path).json(approval)?;
        self.send(request.repeatable()).await?.read_as()
    }

    /// Refuses a device, which is told the reason: `POST
    /// /networks/{network}/pending/{pending}/refuse`. Repeating it changes nothing.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn refuse_pending(
        &self,
        network: &str,
        pending: &str,
        refusal: &RefusalBody,
    ) -> Result<PendingDevice, ClientError> {
        let path = path(&["networks", network, "pending", pending, "refuse"]);
        let request = Request::new(Method::POST, &path).json(refusal)?;
        self.send(request.repeatable()).await?.read_as()
    }
}
