//! What may be changed of a node, and what it may not share with another node of its network.

use ipnet::IpNet;
use nebula_alloc::store::Transaction;
use nebula_bundle::Endpoints;
use nebula_pki::key::PublicKey;

use super::update::same_groups;
use crate::error::{Fault, Field, Kind};
use crate::names::{check_seen, hidden_id};
use crate::store::former_key;
use crate::store::network::Network;
use crate::store::node::{self, Node};
use crate::{Error, Groups, NodeId, NodeName, UserName};

/// A field of a change, which may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Left out: as it is.
    #[default]
    Keep,
    /// To be this.
    Set(T),
}

/// What to change of a node.
#[derive(Debug, Clone, Default)]
pub struct NodeChange {
    /// Its name in the network.
    pub name: Change<NodeName>,
    /// Its public key, on the network's curve.
    pub public_key: Change<PublicKey>,
    /// To whom it belongs.
    pub user: Change<UserName>,
    /// Its groups.
    pub groups: Change<Groups>,
    /// Groups that it is in beside those that it has.
    pub add_groups: Groups,
    /// Groups that it is no longer in; those that it is not in do not matter.
    pub remove_groups: Groups,
    /// Where it is reached as a lighthouse, or `None` for one that is no lighthouse (any more).
    pub lighthouse: Change<Option<Endpoints>>,
    /// Whether it is a relay.
    pub relay: Change<bool>,
    /// The MTU of its tun interface in bytes, or `None` for the network's.
    pub mtu: Change<Option<u32>>,
}

impl NodeChange {
    /// The node as it is to be.
    pub(super) fn apply(&self, former: &Node) -> Node {
        let mut node = Node { generation: former.generation.next(), ..former.clone() };
        if let Change::Set(name) = &self.name {
            node.name = name.clone().into();
        }
        if let Change::Set(user) = &self.user {
            node.user = user.clone().into();
        }
        if let Change::Set(key) = &self.public_key
            && key.as_bytes() != former.public_key
        {
            node.public_key = key.as_bytes().to_vec();
            // Whoever has the node token may be whom the new key replaces.
            node.key_until = None;
            node.token = None;
        }
        let mut groups = match &self.groups {
            Change::Set(groups) => groups.as_slice().to_vec(),
            Change::Keep => former.groups.clone(),
        };
        let added =
            self.add_groups.as_slice().iter().filter(|group| !former.groups.contains(group));
        groups.extend(added.cloned());
        groups.retain(|group| !self.remove_groups.as_slice().contains(group));
        if !same_groups(&groups, &former.groups) {
            node.groups = groups;
        }
        if let Change::Set(lighthouse) = &self.lighthouse {
            node.lighthouse.clone_from(lighthouse);
        }
        if let Change::Set(relay) = &self.relay {
            node.relay = *relay;
        }
        if let Change::Set(mtu) = &self.mtu {
            node.mtu = *mtu;
        }
        node
    }
}

/// Refuses a name that is another node's id.
pub(super) fn check_no_id(tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
    match hidden_id(&node.name).map(NodeId::from) {
        Some(id) if id != node.id && node::by_id(tx, id)?.is_some() => {
            Err(Error::NameIsId { name: node.name.clone(), kind: Kind::Node })
        }
        _ => Ok(()),
    }
}

/// Refuses an endpoint of a lighthouse that is inside of the network itself.
pub(super) fn check_endpoints(network: &Network, node: &Node) -> Result<(), Error> {
    let Some(endpoints) = &node.lighthouse else { return Ok(()) };
    let prefixes: Vec<IpNet> =
        [network.prefix_v4, network.prefix_v6].into_iter().flatten().collect();
    endpoints
        .check_outside(&prefixes)
        .map_err(|error| Fault::from(error).of(Field::LighthouseEndpoint))
}

/// Refuses a name or a key that another node of the network has, and a key that it had: who is
/// kept out must not come back with a former one.
pub(super) fn check_unique(
    tx: &mut dyn Transaction,
    node: &Node,
    former: Option<&Node>,
) -> Result<(), Error> {
    if former.is_none_or(|former| former.name != node.name)
        && let Some(holder) = node::by_name(tx, node.network, &node.name)?
        && holder != node.id
    {
        // Its own may differ in case.
        let name = node::by_id(tx, holder)?.map_or_else(|| node.name.clone(), |it| it.name);
        return Err(Error::NameTaken { kind: Kind::Node, name });
    }
    if former.is_none_or(|former| former.name != node.name) {
        check_seen(Field::Name, &node.name)?;
        check_no_id(tx, node)?;
    }
    if former.is_none_or(|former| former.public_key != node.public_key)
        && former_key::is_of_another(tx, node.network, &node.public_key, node.id)?
    {
        return Err(Error::KeyTaken);
    }
    Ok(())
}
