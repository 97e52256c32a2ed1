//! What a native enrolment means.

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_bundle::Endpoints;
use nebula_pki::key::PublicKey;

use super::address::{check_families, check_repeated};
use super::approval::Admission;
use super::decision::Decision;
use super::join::{Join, check_time};
use super::succession::Former;
use crate::error::{Conflict, Field, JoinRefusal, KeyConflict, Needs};
use crate::secret::Bearer;
use crate::service::networks::settings::check_mtu;
use crate::service::node_change::{check_endpoints, check_unique};
use crate::service::principal::Principal;
use crate::service::reserved_device;
use crate::service::shared::Shared;
use crate::service::terms::Terms;
use crate::service::update::{Renewal, Update};
use crate::store::node::{self, Node, NodeState};
use crate::store::{certificate, pending};
use crate::{DeviceId, Error, Groups, NetworkRef, NodeAddresses, NodeName, UserName};

/// What a node enrols with.
#[derive(Debug, Clone)]
pub struct Enrollment {
    /// The network, by name or id; may be left out where there is only one to see, as with a join
    /// token.
    pub network: Option<NetworkRef>,
    /// Its name in the network.
    pub name: NodeName,
    /// Its public key, on the network's curve.
    pub public_key: PublicKey,
    /// The node token that the device has made.
    pub token: Bearer,
    /// The node token of the node that it was before, which was released: by it, it gets that one's
    /// addresses back.
    pub former_token: Option<Bearer>,
    /// The device's own id, where it has one: after a release it gets its addresses back by it, with
    /// an operator key or for the same public key.
    pub device: Option<DeviceId>,
    /// To whom it belongs, as an operator says: the operator key's user where left out, and whom the
    /// join token names with one.
    pub user: Option<UserName>,
    /// Its groups: those of the join token where left out, and with one no others.
    pub groups: Option<Groups>,
    /// Where it is reached, as a lighthouse.
    pub lighthouse: Option<Endpoints>,
    /// Whether it is a relay: as the join token says where left out.
    pub relay: Option<bool>,
    /// The addresses that it is to have: with a join token free ones of where that gives any.
    pub addresses: Option<NodeAddresses>,
    /// The MTU of its tun interface, in bytes, where it is not the network's.
    pub mtu: Option<u32>,
}

impl Enrollment {
    pub(super) fn decide(
        &self,
        tx: &mut dyn Transaction,
        shared: &Shared,
        principal: &Principal,
        terms: &Terms,
    ) -> Result<Decision, Error> {
        let network = terms.network.id;
        if let Some(node) = node::with_public_key(tx, network, self.public_key.as_bytes())? {
            return self.repeat(tx, shared, principal, node, terms);
        }
        let groups = self.groups.as_ref().map(Groups::as_slice);
        let about = (self.name.as_str(), self.device.as_ref());
        let join = Join::check(principal, about, groups, terms.now)?;
        let node = self.new_node(shared, &join, terms)?;
        let named = join.addresses(self.addresses)?;
        check_families(&terms.network, named)?;
        check_endpoints(&terms.network, &node)?;
        check_unique(tx, &node, None)?;
        let other = with_token(tx, shared, &self.token)?;
        if other.is_some() {
            return Err(match is_released(other, network) {
                true => Error::NodeReleased,
                false => Conflict::NodeTokenTaken.into(),
            });
        }
        // Else it has a new id, which is its own.
        let is_named = self.device.is_some() || join.preset_device().is_some();
        if is_named && node::by_device(tx, network, &node.device)?.is_some() {
            return Err(KeyConflict::DeviceEnrolled.into());
        }
        let node = match is_named {
            true => reserved_device::claim(tx, principal, node, named, terms.now)?,
            false => node,
        };
        let mut former = Former::default();
        if let Some(token) = &self.former_token {
            let shown = with_token(tx, shared, token)?
                .filter(|node| node.network == network && node.state == NodeState::Released);
            let shown = shown.ok_or(KeyConflict::FormerTokenUnknown)?;
            former = former.with_token(principal, shown);
        }
        if is_named {
            former = former.of_device(tx, principal, &node)?;
        }
        let device = is_named.then_some(node.device.as_str());
        let admission =
            Admission::of(tx, shared, &join, (&node, named), (device, Some(&self.token)))?;
        Decision::joined(tx, terms, (node, named), admission, &former)
    }

    /// The same key and node token get what they have, whatever became of the join token.
    fn repeat(
        &self,
        tx: &mut dyn Transaction,
        shared: &Shared,
        principal: &Principal,
        node: Node,
        terms: &Terms,
    ) -> Result<Decision, Error> {
        let matches =
            |token| shared.secrets.hashes(&self.token).any(|hashed| hashed.matches(token));
        let is_own = node.token.as_ref().is_some_and(matches);
        if let (false, Principal::JoinToken { token, .. }) = (is_own, principal) {
            check_time(token, terms.now)?;
        }
        if node.state != NodeState::Active {
            // Before the token, so that a key that is kept out is not told to try another. Why is
            // for the node alone: anybody may have its public key.
            let reason = node.state_reason.filter(|_| is_own);
            return Err(Error::NodeKeptOut { state: node.state, reason });
        }
        if !is_own && is_released(with_token(tx, shared, &self.token)?, node.network) {
            // It may have taken another since, and not have heard of that.
            return Err(Error::NodeReleased);
        }
        if !is_own {
            return Err(KeyConflict::OtherToken.into());
        }
        check_repeated(tx, &node, self.addresses)?;
        let certificates = certificate::current(tx, node.id)?;
        if !certificates.is_empty() && !terms.begin_later(&certificates) {
            return Ok(Decision::Unchanged { node, certificates });
        }
        if certificates.is_empty() && pending::is_first(tx, node.id)? {
            return Ok(Decision::Waiting { node });
        }
        // They expired, or are of a clock that was ahead; who has the token may renew them.
        let renewed = Node { generation: node.generation.next(), ..node.clone() };
        Ok(match Update::between(&node, &renewed, certificates, terms, Renewal::WhenDue) {
            Ok(update) => Decision::Changed { node: renewed, update },
            Err(certificates) => Decision::Unchanged { node, certificates },
        })
    }

    fn new_node(&self, shared: &Shared, join: &Join<'_>, terms: &Terms) -> Result<Node, Error> {
        let preset = join.node(terms.network.id, self.name.as_str(), &self.public_key, terms.now);
        if let Some(token) = join.token {
            if self.user.is_some() {
                return Err(Needs::OperatorKeyFor(Field::User).into());
            }
            if self.lighthouse.is_some() && !token.lighthouse {
                return Err(JoinRefusal::Role { field: Field::Lighthouse }.into());
            }
            if self.relay == Some(true) && !token.relay {
                return Err(JoinRefusal::Role { field: Field::Relay }.into());
            }
        }
        if let Some(mtu) = self.mtu {
            check_mtu(mtu, terms.network.prefix_v6.is_some())?;
        }
        Ok(Node {
            device: self.device.clone().map_or(preset.device, String::from),
            user: self.user.clone().map_or(preset.user, String::from),
            lighthouse: self.lighthouse.clone(),
            relay: self.relay.unwrap_or(preset.relay),
            mtu: self.mtu,
            token: Some(shared.secrets.hash(&self.token)?),
            seen_at: Some(preset.created_at),
            ..preset
        })
    }
}

/// The node that has a node token, in whatever state.
fn with_token(
    tx: &mut dyn Transaction,
    shared: &Shared,
    token: &Bearer,
) -> Result<Option<Node>, Error> {
    for hashed in shared.secrets.hashes(token) {
        if let Some(node) = node::by_token(tx, &hashed)? {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

/// Whether it is a node of this network that was released.
fn is_released(node: Option<Node>, network: NetworkId) -> bool {
    node.is_some_and(|node| node.network == network && node.state == NodeState::Released)
}
