//! Releasing a node: its certificates are blocked, its addresses go into quarantine.

use std::sync::Arc;

use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};

use super::access::{Action, Caller, Principal, authorize};
use super::audit::{Entry, Origin};
use super::{Service, Shared};
use crate::store::network::{self, Network};
use crate::store::node::{self, Node};
use crate::store::{blocklist, certificate};
use crate::{DeviceId, Error, ProjectId};

impl Service {
    /// Releases the node of a device. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a device that never had a node, and those of access.
    pub async fn release(
        &self,
        caller: Caller,
        origin: Origin,
        project: Option<ProjectId>,
        device: DeviceId,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        self.write(Releasing { shared, caller, origin, project, device, decided: None }).await
    }
}

struct Releasing {
    shared: Arc<Shared>,
    caller: Caller,
    origin: Origin,
    project: Option<ProjectId>,
    device: DeviceId,
    /// The node to release; none where it is released already.
    decided: Option<(Principal, Network, Option<Node>)>,
}

impl Step for Releasing {
    type Output = ();
    type Error = Error;

    /// The device alone: `project` may be left out, and one device means one node in a network.
    fn subject(&self) -> Subject {
        Subject::Key(self.device.as_str().into())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, _: i64) -> Result<Vec<lease::Request>, Error> {
        let project = self.project.as_ref();
        let (principal, network) =
            authorize(tx, &self.shared.secrets, &self.caller, Action::Release, project)?;
        let device = self.device.as_str();
        let node = node::by_device(tx, network.id, device)?;
        if node.is_none() && node::last_released(tx, network.id, device)?.is_none() {
            return Err(Error::NotFound { what: format!("device {device:?}") });
        }
        self.decided = Some((principal, network, node));
        Ok(vec![])
    }

    fn write(&mut self, tx: &mut dyn Transaction, now: i64, _: &[Lease]) -> Result<(), Error> {
        let (principal, network, node) =
            self.decided.take().ok_or_else(|| Error::unavailable("written before planned"))?;
        let Some(node) = node else { return Ok(()) };
        let revision = network::move_revision(tx, network.id, now)?;
        for certificate in certificate::unexpired(tx, node.id, now)? {
            blocklist::insert(
                tx,
                network.id,
                &certificate.fingerprint,
                certificate.not_after,
                revision,
            )?;
        }
        certificate::revoke(tx, node.id)?;
        node::release(tx, node.id, now)?;
        let leases = lease::release(tx, now, network.id, node.id.owner(), network.hold_seconds)?;
        let entry = Entry {
            network: Some(network.id),
            address: leases.first().map(|lease| lease.address),
            ..Entry::new("node.released", node.id.as_bytes())
        };
        self.origin.record(tx, now, principal.actor(), entry)
    }
}
