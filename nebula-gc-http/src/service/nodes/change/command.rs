//! What is to be done to a node, and what that means for its present state.

use std::sync::OnceLock;

use nebula_alloc::store::Transaction;

use super::relocation::{Destination, Relocation, relocate};
use crate::error::{Conflict, Field};
use crate::secret::{Bearer, Hashed};
use crate::service::enroll::key::{check_canonical, check_curve};
use crate::service::networks::settings::check_mtu;
use crate::service::node_change::{Change, NodeChange, check_endpoints, check_unique};
use crate::service::principal::{Action, Principal};
use crate::service::shared::Shared;
use crate::service::terms::Terms;
use crate::service::update::{Renewal, Update};
use crate::service::upkeep;
use crate::store::certificate::{self, Reason};
use crate::store::network::Network;
use crate::store::node::{Node, NodeState};
use crate::{Error, Groups};

pub(super) enum Command {
    Change(NodeChange),
    KeepOut(NodeState, String),
    Reinstate,
    Release {
        /// Only where it has not reported since, in seconds since the Unix epoch.
        silent_since: Option<i64>,
    },
    /// Releases a node that never reports, where its last certificate had ended by this time, in
    /// seconds since the Unix epoch.
    GiveBack {
        ended_since: i64,
    },
    /// Releases an ephemeral node that was not heard of for its time of silence, where there was somebody
    /// to hear it since this time, in seconds since the Unix epoch.
    EndEphemeral {
        up_since: i64,
    },
    Rotate(Bearer),
    /// Its certificates are due now.
    MakeDue,
    /// It gets another address.
    Move(Destination),
}

/// What is to be done.
pub(super) enum Decision {
    /// It is so already.
    Unchanged,
    /// It changes, with what that means for its certificates.
    Update {
        kind: &'static str,
        terms: Box<Terms>,
        node: Box<Node>,
        update: Update,
        /// Where it gets another address.
        moves: Option<Relocation>,
    },
    /// It changes, and nothing is issued.
    Unissued(Unissued),
}

/// A change for which nothing is issued.
pub(super) enum Unissued {
    /// It is kept out.
    KeepOut {
        kind: &'static str,
        node: Box<Node>,
    },
    Release {
        reason: Option<&'static str>,
    },
    Rotate(Hashed),
    MakeDue,
}

impl Decision {
    /// The node that gets certificates, and on which terms.
    pub(super) fn certifies(&self) -> Option<(&Terms, &Node)> {
        match self {
            Self::Update { terms, node, update: Update { keeps: None, .. }, .. } => {
                Some((terms, node))
            }
            _ => None,
        }
    }
}

impl Decision {
    /// That there is an address for it, where it gets another, as far as that can be foreseen.
    pub(super) fn check_room(&self, tx: &mut dyn Transaction, now: i64) -> Result<(), Error> {
        match self {
            Self::Update { terms, node, moves: Some(moves), .. } => {
                moves.check(tx, (terms, node), now)
            }
            _ => Ok(()),
        }
    }

    /// The move that it is, if it is one.
    pub(super) fn moves(&self) -> Option<&Relocation> {
        match self {
            Self::Update { moves, .. } => moves.as_ref(),
            _ => None,
        }
    }
}

impl Command {
    /// Whether it may issue certificates.
    pub(super) fn issues(&self) -> bool {
        matches!(self, Self::Change(_) | Self::Reinstate | Self::Move(_))
    }

    pub(super) fn action(&self) -> Action {
        match self {
            Self::Release { .. } | Self::GiveBack { .. } | Self::EndEphemeral { .. } => {
                Action::Release
            }
            _ => Action::ChangeNode,
        }
    }

    /// Whose it is, as the audit log names it.
    pub(super) fn actor(&self, principal: &Principal) -> String {
        match self {
            Self::Release { silent_since: Some(_) }
            | Self::GiveBack { .. }
            | Self::EndEphemeral { .. } => upkeep::NAME.to_owned(),
            _ => principal.actor(),
        }
    }

    /// `begun` is the node's state as it was when this was requested.
    pub(super) fn decide(
        &self,
        tx: &mut dyn Transaction,
        shared: &Shared,
        about: (&Network, &Node),
        begun: &OnceLock<NodeState>,
        now: i64,
    ) -> Result<Decision, Error> {
        use NodeState as S;
        let (_, former) = about;
        let refuse = |conflict: Conflict| Err(conflict.into());
        match (self, former.state) {
            (
                Self::Release { .. } | Self::GiveBack { .. } | Self::EndEphemeral { .. },
                S::Released,
            ) => Ok(Decision::Unchanged),
            (Self::GiveBack { ended_since }, _) => give_back(tx, former, *ended_since),
            (Self::EndEphemeral { up_since }, _) => end_ephemeral(tx, former, *up_since, now),
            (_, S::Released) => refuse(Conflict::NodeGone),
            (Self::Release { silent_since: Some(since) }, _)
                if former.state != S::Active
                    || former.applied.at.is_none()
                    || former.seen_at.is_none_or(|seen| seen >= *since) =>
            {
                Ok(Decision::Unchanged)
            }
            (Self::Release { silent_since }, S::Active) => {
                let reason = silent_since.map(|_| "silent");
                Ok(Decision::Unissued(Unissued::Release { reason }))
            }
            (Self::Release { .. }, state @ (S::Suspended | S::Revoked)) => {
                refuse(Conflict::ReleaseOfKeptOut { state })
            }
            (Self::Rotate(token), _) => {
                Ok(Decision::Unissued(Unissued::Rotate(shared.secrets.hash(token)?)))
            }
            (Self::MakeDue, S::Active) => make_due(tx, about, now),
            (Self::MakeDue, state) => refuse(Conflict::NodeState { state }),
            (Self::Move(destination), S::Active) => {
                Ok(match relocate(tx, shared, about, *destination, now)? {
                    None => Decision::Unchanged,
                    Some((terms, node, relocation)) => Decision::Update {
                        kind: "node.moved",
                        terms: Box::new(terms),
                        update: Update::of_address(&node),
                        node: Box::new(node),
                        moves: Some(relocation),
                    },
                })
            }
            (Self::Move(_), state) => refuse(Conflict::NodeState { state }),
            (Self::KeepOut(state, reason), current)
                if *state == current && former.state_reason.as_ref() == Some(reason) =>
            {
                Ok(Decision::Unchanged)
            }
            (Self::KeepOut(S::Suspended, _), S::Revoked) => {
                refuse(Conflict::NodeState { state: S::Revoked })
            }
            (Self::KeepOut(state, reason), _) => Ok(Decision::Unissued(Unissued::KeepOut {
                kind: if *state == S::Revoked { "node.revoked" } else { "node.suspended" },
                node: Box::new(Node {
                    state: *state,
                    state_reason: Some(reason.clone()),
                    ..former.clone()
                }),
            })),
            (Self::Reinstate, S::Active) => Ok(Decision::Unchanged),
            (Self::Reinstate, current) if *begun.get_or_init(|| current) != current => {
                refuse(Conflict::KeptOutAgain)
            }
            (Self::Reinstate, _) => reinstate(tx, shared, about, now),
            (Self::Change(_), S::Revoked) => refuse(Conflict::NodeState { state: S::Revoked }),
            (Self::Change(change), _) => alter(tx, shared, about, change, now),
        }
    }
}

/// A node renews by itself what is due, so that one without a node token can't be asked.
fn make_due(
    tx: &mut dyn Transaction,
    (network, node): (&Network, &Node),
    now: i64,
) -> Result<Decision, Error> {
    if !node.is_native() {
        return Err(Conflict::RenewsNothing.into());
    }
    let current = certificate::current(tx, node.id)?;
    let is_due = network.has_left(node.renew_before, &current, now) || current.is_empty();
    Ok(if is_due { Decision::Unchanged } else { Decision::Unissued(Unissued::MakeDue) })
}

/// It may have got another certificate, or asked, since it was looked for.
fn give_back(tx: &mut dyn Transaction, former: &Node, ended_since: i64) -> Result<Decision, Error> {
    let reports = former.is_native() && former.applied.at.is_some();
    let asked = former.seen_at.is_some_and(|seen| seen >= ended_since);
    let end = certificate::last_end(tx, former.id)?.unwrap_or(former.created_at);
    Ok(match former.state == NodeState::Active && !reports && !asked && end < ended_since {
        true => Decision::Unissued(Unissued::Release { reason: Some("certificate_ended") }),
        false => Decision::Unchanged,
    })
}

/// It may have asked, or got another certificate, since it was looked for.
fn end_ephemeral(
    tx: &mut dyn Transaction,
    former: &Node,
    up_since: i64,
    now: i64,
) -> Result<Decision, Error> {
    let Some(seconds) = former.ephemeral_seconds else { return Ok(Decision::Unchanged) };
    let heard = match former.seen_at {
        Some(seen) => seen,
        None => certificate::last_issued(tx, former.id)?.unwrap_or(former.created_at),
    };
    let since = now.saturating_sub(seconds);
    Ok(match former.state == NodeState::Active && up_since <= since && heard < since {
        true => Decision::Unissued(Unissued::Release { reason: Some("ephemeral") }),
        false => Decision::Unchanged,
    })
}

fn reinstate(
    tx: &mut dyn Transaction,
    shared: &Shared,
    (network, former): (&Network, &Node),
    now: i64,
) -> Result<Decision, Error> {
    let node = Node {
        state: NodeState::Active,
        state_reason: None,
        generation: former.generation.next(),
        // It was refused meanwhile, whatever it asked.
        seen_at: former.seen_at.map(|_| now),
        ..former.clone()
    };
    let update = Update {
        keeps: None,
        reason: Reason::Reinstated,
        blocks_former: false,
        blocks_former_later: false,
        moves_revision: node.lighthouse.is_some() || node.relay,
        ends_token: false,
        changed: vec!["state"],
    };
    // The network may have grown around it meanwhile.
    check_endpoints(network, &node)?;
    let terms = Terms::new(tx, shared, network.clone(), node.is_native(), now)?;
    Ok(Decision::Update {
        kind: "node.reinstated",
        terms: Box::new(terms),
        node: Box::new(node),
        update,
        moves: None,
    })
}

fn alter(
    tx: &mut dyn Transaction,
    shared: &Shared,
    (network, former): (&Network, &Node),
    change: &NodeChange,
    now: i64,
) -> Result<Decision, Error> {
    if let Change::Set(key) = &change.public_key {
        check_canonical(key).map_err(|fault| fault.of(Field::PublicKey))?;
        check_curve(key, network.curve)?;
    }
    let node = change.apply(former);
    if !change.add_groups.as_slice().is_empty() {
        Groups::new(node.groups.clone())?;
    }
    if let Change::Set(Some(mtu)) = change.mtu {
        check_mtu(mtu, network.prefix_v6.is_some())?;
    }
    check_endpoints(network, &node)?;
    check_unique(tx, &node, Some(former))?;
    let current = certificate::current(tx, node.id)?;
    let terms = Terms::new(tx, shared, network.clone(), node.is_native(), now)?;
    let Ok(mut update) = Update::between(former, &node, current, &terms, Renewal::Left) else {
        return Ok(Decision::Unchanged);
    };
    if node.state != NodeState::Active {
        // It has no certificates, and no bundle names it.
        let keeps = Some(vec![]);
        update = Update { keeps, blocks_former: false, moves_revision: false, ..update };
    }
    Ok(Decision::Update {
        kind: "node.changed",
        terms: Box::new(terms),
        node: Box::new(node),
        update,
        moves: None,
    })
}
