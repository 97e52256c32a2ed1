//! What the enrolment of a device without a node token means, which is known by the device's own id:
//! a new one joins as any other node, and what a known one sends changes its node.

use nebula_alloc::store::Transaction;
use nebula_bundle::Endpoints;
use nebula_pki::key::PublicKey;

use super::address::check_families;
use super::approval::Admission;
use super::decision::Decision;
use super::join::{Join, check_groups, check_name, check_time};
use super::succession::Former;
use crate::error::{Conflict, Field, JoinRefusal, KeyConflict, Needs};
use crate::service::node_change::{Change, NodeChange, check_endpoints, check_unique};
use crate::service::principal::Principal;
use crate::service::reserved_device;
use crate::service::shared::Shared;
use crate::service::terms::Terms;
use crate::service::update::{Renewal, Update, same_groups};
use crate::store::certificate::{self, Reason};
use crate::store::node::{Node, NodeState};
use crate::store::pending;
use crate::{DeviceId, Error, Groups, NetworkRef, NodeName};

/// What a device enrols with that has no node token.
#[derive(Debug, Clone)]
pub struct DeviceEnrollment {
    /// The network; may be left out where there is only one.
    pub network: Option<NetworkRef>,
    /// The device's own id.
    pub device: DeviceId,
    /// Its name in the network.
    pub name: NodeName,
    /// Its public key, on the network's curve.
    pub public_key: PublicKey,
    /// Its groups; none for a new device that leaves them out.
    pub groups: Change<Groups>,
    /// Where it is reached as a lighthouse, or `None` for one that is no lighthouse (any more).
    pub lighthouse: Change<Option<Endpoints>>,
}

impl DeviceEnrollment {
    /// `former` is the node that the device has.
    pub(super) fn decide(
        &self,
        tx: &mut dyn Transaction,
        shared: &Shared,
        principal: &Principal,
        terms: &Terms,
        former: Option<Node>,
    ) -> Result<Decision, Error> {
        let network = terms.network.id;
        if !principal.is_operator() && matches!(self.lighthouse, Change::Set(Some(_))) {
            return Err(Needs::OperatorKeyFor(Field::Lighthouse).into());
        }
        let Some(former) = former else {
            let about = (self.name.as_str(), Some(&self.device));
            let join = Join::check(principal, about, self.asked_groups(), terms.now)?;
            let node = Node {
                device: self.device.clone().into(),
                lighthouse: match &self.lighthouse {
                    Change::Keep => None,
                    Change::Set(lighthouse) => lighthouse.clone(),
                },
                ..join.node(network, self.name.as_str(), &self.public_key, terms.now)
            };
            let named = join.addresses(None)?;
            check_families(&terms.network, named)?;
            let node = reserved_device::claim(tx, principal, node, named, terms.now)?;
            check_endpoints(&terms.network, &node)?;
            check_unique(tx, &node, None)?;
            let former = Former::default().of_device(tx, principal, &node)?;
            let about = (Some(self.device.as_str()), None);
            let admission = Admission::of(tx, shared, &join, (&node, named), about)?;
            return Decision::joined(tx, terms, (node, named), admission, &former);
        };
        if former.is_native() && !principal.is_operator() {
            return Err(KeyConflict::DeviceHasToken.into());
        }
        self.check_repeat(principal, &former, terms.now)?;
        if former.state != NodeState::Active {
            return Err(Error::NodeKeptOut { state: former.state, reason: None });
        }
        if former.public_key != self.public_key.as_bytes() && !principal.is_operator() {
            return Err(KeyConflict::DeviceRegistered.into());
        }
        let node = self.change().apply(&former);
        check_endpoints(&terms.network, &node)?;
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

    /// What it asks of a node that is there.
    fn change(&self) -> NodeChange {
        NodeChange {
            name: Change::Set(self.name.clone()),
            public_key: Change::Set(self.public_key.clone()),
            groups: self.groups.clone(),
            lighthouse: self.lighthouse.clone(),
            ..NodeChange::default()
        }
    }

    fn asked_groups(&self) -> Option<&[String]> {
        match &self.groups {
            Change::Keep => None,
            Change::Set(groups) => Some(groups.as_slice()),
        }
    }
}
