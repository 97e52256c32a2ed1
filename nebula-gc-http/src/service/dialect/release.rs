//! The dialect's release of a device.

use std::sync::Arc;

use nebula_alloc::NetworkId;
use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};

use crate::error::{Conflict, Kind};
use crate::service::access::{Action, authorize_device, network_that_released};
use crate::service::audit::Author;
use crate::service::context::Context;
use crate::service::release::release_node;
use crate::service::{Service, Shared};
use crate::store::network::{Network, Revision};
use crate::store::node::{self, Node, NodeState};
use crate::{DeviceId, Error, NetworkRef};

impl Service {
    /// Releases the node of a device. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a device that never had a node, and those of access.
    pub async fn release(
        &self,
        context: Context,
        project: Option<NetworkRef>,
        device: DeviceId,
    ) -> Result<(), Error> {
        self.admit(&context).await?;
        let shared = Arc::clone(&self.shared);
        let releasing = Releasing { shared, context, project, device, decided: None };
        if let Some((network, revision)) = self.write(releasing).await? {
            // Once this is answered, no bundle without the blocked certificates is handed out.
            self.view(network, revision).await?;
        }
        Ok(())
    }
}

struct Releasing {
    shared: Arc<Shared>,
    context: Context,
    project: Option<NetworkRef>,
    device: DeviceId,
    /// The node to release; none where it is released already.
    decided: Option<(Author, Network, Option<Node>)>,
}

impl Step for Releasing {
    /// The network and its new revision, where something was released.
    type Output = Option<(NetworkId, Revision)>;
    type Error = Error;

    /// The device alone: `project` may be left out, and one device means one node in a network.
    fn subject(&self) -> Subject {
        Subject::Key(self.device.as_str().into())
    }

    fn actor(&self) -> Actor<'_> {
        self.decided.as_ref().map_or(Actor::named(""), |(author, ..)| author.actor())
    }

    fn plan(&mut self, tx: &mut dyn Transaction, now: i64) -> Result<Vec<lease::Request>, Error> {
        let about = (self.project.as_ref(), &self.device);
        let secrets = &self.shared.secrets;
        let (principal, network) =
            authorize_device(tx, secrets, &self.context, now, Action::Release, about)?;
        let device = self.device.as_str();
        let network = match network {
            Some(network) => Some(network),
            None => network_that_released(tx, &principal, &self.device)?,
        };
        let network = network.ok_or_else(|| Error::not_found(Kind::Device, device))?;
        let node = node::by_device(tx, network.id, device)?;
        if node.is_none() && node::released_of(tx, network.id, device, 1)?.is_empty() {
            return Err(Error::not_found(Kind::Device, device));
        }
        if let Some(Node { state: state @ (NodeState::Revoked | NodeState::Suspended), .. }) = &node
        {
            // Released, it could register anew.
            return Err(Conflict::ReleaseOfKeptOut { state: *state }.into());
        }
        self.decided = Some((self.context.author(principal.actor()), network, node));
        Ok(vec![])
    }

    fn write(
        &mut self,
        tx: &mut dyn Transaction,
        now: i64,
        _: &[Lease],
    ) -> Result<Self::Output, Error> {
        let (author, network, node) =
            self.decided.take().ok_or_else(|| Error::unavailable("written before planned"))?;
        let Some(node) = node else { return Ok(None) };
        let revision = release_node(tx, now, &author, &network, &node, None)?;
        Ok(Some((network.id, revision)))
    }
}
