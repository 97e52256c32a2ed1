//! What an enrolment or a renewal does to the network's nodes.

use nebula_alloc::store::Transaction;
use nebula_pki::Certificate;

use super::address::check_free;
use super::approval::{Admission, Spends, Waits};
use super::succession::{Former, Succession};
use crate::service::terms::Terms;
use crate::service::update::Update;
use crate::store::node::Node;
use crate::{Error, NodeAddresses};

/// What is to be done.
pub(super) enum Decision {
    /// What it has still serves.
    Unchanged { node: Node, certificates: Vec<Certificate> },
    /// A device that never had a node.
    New { node: Node, named: Option<NodeAddresses>, spends: Option<Spends> },
    /// One that gets back what a released node had.
    Returned {
        node: Node,
        named: Option<NodeAddresses>,
        succession: Succession,
        spends: Option<Spends>,
    },
    /// One that an operator has to approve.
    Approval(Box<Waits>),
    /// A node whose first certificates are not signed yet.
    Waiting { node: Node },
    /// A node that changes.
    Changed { node: Node, update: Update },
    /// It is about this device's node, which others may be at work on.
    Elsewhere { device: String },
}

impl Decision {
    /// A new node, which gets what others had where it may.
    pub(super) fn joined(
        tx: &mut dyn Transaction,
        terms: &Terms,
        (node, named): (Node, Option<NodeAddresses>),
        admission: Admission,
        former: &Former,
    ) -> Result<Self, Error> {
        let succession = Succession::of(&node, former, terms.now);
        let spends = match admission {
            Admission::Admitted(spends) => spends,
            Admission::Waits(waits) => {
                // What a successor may have of others shows when it takes it over.
                if succession.is_none() {
                    check_free(tx, terms, &node, named)?;
                }
                return Ok(Self::Approval(waits));
            }
        };
        Ok(match succession {
            Some(succession) => Self::Returned { node, named, succession, spends },
            None => Self::New { node, named, spends },
        })
    }

    /// The addresses that a new node is to have.
    pub(super) fn named(&self) -> Option<NodeAddresses> {
        match self {
            Self::New { named, .. } | Self::Returned { named, .. } => *named,
            _ => None,
        }
    }

    /// The node that gets certificates for the leases it asked for.
    pub(super) fn certifies(&self) -> Option<&Node> {
        match self {
            Self::New { node, .. }
            | Self::Waiting { node }
            | Self::Changed { node, update: Update { keeps: None, .. } } => Some(node),
            // It keeps what it has, or asks once it has taken over what its predecessor had.
            Self::Unchanged { .. }
            | Self::Changed { .. }
            | Self::Returned { .. }
            | Self::Approval(_)
            | Self::Elsewhere { .. } => None,
        }
    }

    /// The node that was there before.
    pub(super) fn known(&self) -> Option<&Node> {
        match self {
            Self::Unchanged { node, .. } | Self::Waiting { node } | Self::Changed { node, .. } => {
                Some(node)
            }
            Self::New { .. }
            | Self::Returned { .. }
            | Self::Approval(_)
            | Self::Elsewhere { .. } => None,
        }
    }
}
