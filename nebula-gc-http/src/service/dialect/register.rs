//! What the dialect's register request means for its device's node.

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_bundle::Endpoint;
use nebula_pki::key::PublicKey;

use crate::error::{Conflict, Field, JoinRefusal, KeyConflict, Needs};
use crate::service::access::Principal;
use crate::service::enroll::join::{Join, check_groups, check_name, check_time};
use crate::service::enroll::succession::Former;
use crate::service::enroll::{Decision, check_unique};
use crate::service::terms::Terms;
use crate::service::update::{Renewal, Update, same_groups};
use crate::store::certificate::{self, Reason};
use crate::store::node::{Node, NodeState};
use crate::store::pending;
use crate::{DeviceId, Error, Groups, NetworkRef, NodeName};

/// A field of a registration that may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Left out: as it is.
    #[default]
    Keep,
    /// Given.
    Set(T),
}

/// What a device registers with.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The network; may be left out where there is only one.
    pub project: Option<NetworkRef>,
    /// The device's own id.
    pub device: DeviceId,
    /// Its name in the network.
    pub name: NodeName,
    /// Its public key, on the network's curve.
    pub public_key: PublicKey,
    /// Its groups; none for a new device that leaves them out.
    pub groups: Change<Groups>,
    /// Where it is reached as a lighthouse, or `None` for one that is no lighthouse (any more).
    pub lighthouse: Change<Option<Endpoint>>,
}

impl Registration {
    /// `former` is the node that the device has.
    pub(in crate::service) fn decide(
        &self,
        tx: &mut dyn Transaction,
        principal: &Principal,
        terms: &Terms,
        former: Option<Node>,
    ) -> Result<Decision, Error> {
        let network = terms.network.id;
        if !principal.is_operator() && matches!(self.lighthouse, Change::Set(Some(_))) {
            return Err(Needs::OperatorKeyFor(Field::Lighthouse).into());
        }
        let Some(former) = former else {
            let join = Join::check(principal, self.name.as_str(), self.asked_groups(), terms.now)?;
            let node = self.new_node(network, terms.now, &join);
            check_unique(tx, &node, None)?;
            let spends = join.token.map(|token| token.id);
            let former = Former::default().of_device(tx, principal, &node)?;
            return Ok(Decision::joined(node, spends, &former, terms.now));
        };
        if former.is_native() && !principal.is_operator() {
            return Err(KeyConflict::DeviceHasToken.into());
        }
        self.check_repeat(principal, &former, terms.now)?;
        check_active(&former)?;
        if former.public_key != self.public_key.as_bytes() && !principal.is_operator() {
            return Err(KeyConflict::DeviceRegistered.into());
        }
        let node = self.changed_node(&former);
        check_unique(tx, &node, Some(&former))?;
        let current = certificate::current(tx, node.id)?;
        // Its first ones may not be signed yet; else they expired.
        let waits = current.is_empty() && pending::is_first(tx, node.id)?;
        let renewal = if waits { Renewal::Left } else { Renewal::WhenDue };
        let decision = match Update::between(&former, &node, current, terms, renewal) {
            Ok(update) if waits => {
                // There is nothing that it could keep.
                let update = Update { keeps: None, reason: Reason::Enrolled, ..update };
                Decision::Changed { node, update }
            }
            Ok(update) => Decision::Changed { node, update },
            Err(_) if waits => Decision::Waiting { node: former },
            Err(certificates) => Decision::Unchanged { node: former, certificates },
        };
        match &decision {
            Decision::Changed { update, .. }
                if !principal.is_operator() && update.changed != ["renewal"] =>
            {
                Err(Conflict::RegisteredOtherwise { changed: update.changed.clone() }.into())
            }
            _ => Ok(decision),
        }
    }

    /// Whether who asks may have what the device's node has: with a join token only the one that it
    /// came with, for no more than that gives or the node has, and not for ever.
    fn check_repeat(&self, principal: &Principal, former: &Node, now: i64) -> Result<(), Error> {
        let Principal::JoinToken { token, .. } = principal else { return Ok(()) };
        if former.join_token != Some(token.id) {
            return Err(JoinRefusal::OtherCredential.into());
        }
        check_time(token, now)?;
        if self.name.as_str() != former.name {
            check_name(token, self.name.as_str())?;
        }
        match self.asked_groups() {
            Some(asked) if !same_groups(asked, &former.groups) => check_groups(token, asked),
            _ => Ok(()),
        }
    }

    fn asked_groups(&self) -> Option<&[String]> {
        match &self.groups {
            Change::Keep => None,
            Change::Set(groups) => Some(groups.as_slice()),
        }
    }

    fn new_node(&self, network: NetworkId, now: i64, join: &Join<'_>) -> Node {
        Node {
            device: self.device.clone().into(),
            lighthouse: match &self.lighthouse {
                Change::Keep => None,
                Change::Set(lighthouse) => lighthouse.clone(),
            },
            ..join.node(network, self.name.as_str(), &self.public_key, now)
        }
    }

    /// The node a device has, as this registration would have it.
    fn changed_node(&self, former: &Node) -> Node {
        let mut node = Node {
            name: self.name.clone().into(),
            public_key: self.public_key.as_bytes().to_vec(),
            generation: former.generation.next(),
            ..former.clone()
        };
        if let Change::Set(groups) = &self.groups
            && !same_groups(groups.as_slice(), &former.groups)
        {
            node.groups = groups.as_slice().to_vec();
        }
        if let Change::Set(lighthouse) = &self.lighthouse {
            node.lighthouse.clone_from(lighthouse);
        }
        if node.public_key != former.public_key {
            // Only an operator key does that. Who has the node token may be whom it replaces.
            node.key_until = None;
            node.token = None;
        }
        node
    }
}

/// Refuses a device whose node is kept out.
fn check_active(node: &Node) -> Result<(), Error> {
    match node.state {
        NodeState::Active => Ok(()),
        state => Err(Error::NodeKeptOut { state, reason: None }),
    }
}
