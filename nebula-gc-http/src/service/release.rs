//! Releasing a node: its certificates are blocked, its addresses go into quarantine.

use std::sync::Arc;

use nebula_alloc::NetworkId;
use nebula_alloc::event::Actor;
use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;
use nebula_alloc::store::writer::{Step, Subject};
use nebula_pki::Fingerprint;
use serde_json::json;

use super::access::{Action, Caller, authorize_device, network_that_released};
use super::audit::{Author, Entry, Origin, addresses};
use super::{Service, Shared};
use crate::store::certificate::Blockable;
use crate::store::network::{self, Network, Revision};
use crate::store::node::{self, Node, NodeState};
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
        self.admit(&caller).await?;
        let shared = Arc::clone(&self.shared);
        let releasing = Releasing { shared, caller, origin, project, device, decided: None };
        if let Some((network, revision)) = self.write(releasing).await? {
            // Once this is answered, no bundle without the blocked certificates is handed out.
            self.view(network, revision).await?;
        }
        Ok(())
    }
}

struct Releasing {
    shared: Arc<Shared>,
    caller: Caller,
    origin: Origin,
    project: Option<ProjectId>,
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
            authorize_device(tx, secrets, &self.caller, now, Action::Release, about)?;
        let device = self.device.as_str();
        let network = match network {
            Some(network) => Some(network),
            None => network_that_released(tx, &principal, &self.device)?,
        };
        let network =
            network.ok_or_else(|| Error::NotFound { what: format!("device {device:?}") })?;
        let node = node::by_device(tx, network.id, device)?;
        if node.is_none() && node::released_of(tx, network.id, device, 1)?.is_empty() {
            return Err(Error::NotFound { what: format!("device {device:?}") });
        }
        if let Some(Node { state: state @ (NodeState::Revoked | NodeState::Suspended), .. }) = &node
        {
            // Released, it could register anew.
            return Err(Error::Forbidden {
                reason: format!(
                    "this device is {}; an operator must reinstate it first",
                    state.word()
                ),
            });
        }
        self.decided = Some((self.origin.author(principal.actor()), network, node));
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

/// Lets an active node go, and answers the network's new revision.
pub(super) fn release_node(
    tx: &mut dyn Transaction,
    now: i64,
    author: &Author,
    network: &Network,
    node: &Node,
    reason: Option<&str>,
) -> Result<Revision, Error> {
    let revision = network::move_revision(tx, network.id, now)?;
    let blocked = revoke_certificates(tx, now, node, revision)?;
    node::release(tx, node, reason, now)?;
    network::note_move(tx, network.id)?;
    let (actor, owner, hold) = (author.actor(), node.id.owner(), network.hold_seconds);
    let leases = lease::release(tx, now, &actor, network.id, owner, hold)?;
    if network.hold_alone {
        // Whatever certificates name them.
        lease::shorten_hold(tx, now, &actor, network.id, owner, hold)?;
    }
    let entry = Entry {
        network: Some(network.id),
        address: leases.first().map(|lease| lease.address),
        detail: json!({
            "addresses": addresses(&leases),
            "blocked": blocked.iter().map(Fingerprint::to_string).collect::<Vec<_>>(),
            "reason": reason,
            "revision": revision.0,
        }),
        ..Entry::new("node.released", node.id.as_bytes())
    };
    author.record(tx, now, entry)?;
    Ok(revision)
}

/// Takes a node's certificates away, and what it waits for, and blocks them.
pub(super) fn revoke_certificates(
    tx: &mut dyn Transaction,
    now: i64,
    node: &Node,
    revision: Revision,
) -> Result<Vec<Fingerprint>, Error> {
    let revoked = certificate::revoke(tx, node.id, now)?;
    block(tx, node, revoked, revision)
}

/// Takes a node's certificates away, and blocks them; what it waits for, it gets.
pub(super) fn block_certificates(
    tx: &mut dyn Transaction,
    now: i64,
    node: &Node,
    revision: Revision,
) -> Result<Vec<Fingerprint>, Error> {
    let revoked = certificate::revoke_signed(tx, node.id, now)?;
    block(tx, node, revoked, revision)
}

fn block(
    tx: &mut dyn Transaction,
    node: &Node,
    former: Vec<Blockable>,
    revision: Revision,
) -> Result<Vec<Fingerprint>, Error> {
    for Blockable { fingerprint, not_after } in &former {
        blocklist::insert(tx, node.network, fingerprint, *not_after, revision)?;
    }
    Ok(former.into_iter().map(|certificate| certificate.fingerprint).collect())
}
