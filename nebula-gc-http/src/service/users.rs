//! Users, to whom nodes belong: ending all that somebody has.

use std::collections::BTreeMap;

use super::context::Context;
use super::core::Service;
use super::exclusive::Work;
use super::nodes::BatchOutcome;
use super::principal::{Action, Principal};
use super::{join_tokens, operator_keys};
use crate::error::Kind;
use crate::store::network;
use crate::store::node::NodeState;
use crate::store::user::{self, UserNode, UserToken};
use crate::{Error, JoinTokenId, NetworkRef, NodeId, OperatorKeyId, StateReason, UserName};

/// How to end what somebody has.
#[derive(Debug, Clone)]
pub struct UserEnd {
    /// Whether its nodes and their keys are kept out for good, rather than suspended.
    pub revokes: bool,
    /// Why. The nodes are told.
    pub reason: StateReason,
    /// Whether to tell only what would happen.
    pub is_dry_run: bool,
}

/// What became of what somebody had, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEnded {
    /// The user's nodes, in the order in which they were kept out.
    pub nodes: Vec<EndedNode>,
    /// The join tokens that are revoked now.
    pub join_tokens: Vec<EndedToken>,
    /// The operator keys whose nodes are the user's.
    pub operator_keys: Vec<EndedKey>,
    /// The revisions of the nodes' networks, by their names: who has applied them lets none of the
    /// nodes in.
    pub revisions: BTreeMap<String, i64>,
    /// Whether there may be more than one request does: ask again.
    pub has_more: bool,
}

/// A node of an ended user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedNode {
    /// Its network, by name.
    pub network: String,
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: EndOutcome,
}

/// A join token of an ended user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedToken {
    /// Its network, by name.
    pub network: String,
    /// Its id.
    pub id: JoinTokenId,
    /// Its name.
    pub name: String,
}

/// An operator key of an ended user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedKey {
    /// Its id.
    pub id: OperatorKeyId,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: EndOutcome,
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndOutcome {
    /// It is ended now, or would be.
    Ended,
    /// It was so already.
    Unchanged,
    /// It stays, for this reason.
    Kept(String),
}

/// How many nodes, tokens and keys one request ends, of each.
const LIMIT: i64 = 500;

/// What somebody has.
struct Belongings {
    nodes: Vec<UserNode>,
    tokens: Vec<UserToken>,
    keys: Vec<EndedKey>,
    has_more: bool,
}

impl Service {
    /// Ends all that somebody has in the networks that the caller sees: first the join tokens and the
    /// operator keys of that user, in one step, so that nobody comes again; then the nodes, network by
    /// network, a hundred in a step, which moves the revision once. Doing it again changes nothing, and
    /// finishes what was interrupted.
    ///
    /// A key that the caller may not revoke, its own one and the last one of a root owner stay, and
    /// the answer says so.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a user who has nothing, and those of access.
    pub async fn end_user(
        &self,
        context: Context,
        user: UserName,
        end: UserEnd,
    ) -> Result<UserEnded, Error> {
        let state = if end.revokes { NodeState::Revoked } else { NodeState::Suspended };
        let (name, is_dry_run) = (user.to_string(), end.is_dry_run);
        let found = self
            .exclusive(context.clone(), move |work| {
                work.principal.permit(Action::ChangeNode)?;
                work.principal.permit(Action::ManageJoinTokens)?;
                take_credentials(work, &name, state, is_dry_run)
            })
            .await?;
        let Belongings { nodes, tokens, keys, has_more } = found;
        let networks: BTreeMap<_, _> =
            nodes.iter().map(|node| (node.network_name.clone(), node.network)).collect();
        let mut ended: Vec<_> = nodes.iter().map(|node| ended_node(node, state)).collect();
        if !is_dry_run {
            for (name, network) in &networks {
                let mut open: Vec<_> = ended
                    .iter_mut()
                    .filter(|node| node.network == *name && node.outcome == EndOutcome::Ended)
                    .collect();
                let about: Vec<_> = open.iter().map(|node| (node.id, node.name.clone())).collect();
                let network = NetworkRef::new(network.to_string())?;
                let how = (state, end.reason.clone());
                let outcomes = self.keep_out(&context, &network, how, &about).await?;
                for (node, outcome) in open.iter_mut().zip(outcomes) {
                    node.outcome = match outcome {
                        BatchOutcome::Done => EndOutcome::Ended,
                        BatchOutcome::Unchanged => EndOutcome::Unchanged,
                        // What somebody else did to it meanwhile.
                        BatchOutcome::Refused(error) => EndOutcome::Kept(error.to_string()),
                    };
                }
            }
        }
        let revisions = self
            .read(move |tx, _| {
                let mut revisions = BTreeMap::new();
                for (name, id) in networks {
                    if let Some(network) = network::by_id(tx, id)? {
                        revisions.insert(name, network.revision.0);
                    }
                }
                Ok(revisions)
            })
            .await?;
        let join_tokens = tokens.into_iter().map(|token| EndedToken {
            network: token.network_name,
            id: token.id,
            name: token.name,
        });
        let join_tokens = join_tokens.collect();
        Ok(UserEnded { nodes: ended, join_tokens, operator_keys: keys, revisions, has_more })
    }
}

/// A node before anything is done to it, with what would become of it.
fn ended_node(node: &UserNode, state: NodeState) -> EndedNode {
    let is_so = node.state == NodeState::Revoked || node.state == state;
    let outcome = if is_so { EndOutcome::Unchanged } else { EndOutcome::Ended };
    let UserNode { network_name: network, id, name, .. } = node;
    EndedNode { network: network.clone(), id: *id, name: name.clone(), outcome }
}

/// What somebody has, whose tokens and keys are revoked then.
fn take_credentials(
    work: &mut Work<'_>,
    user: &str,
    state: NodeState,
    is_dry_run: bool,
) -> Result<Belongings, Error> {
    let scope = work.principal.scope();
    let nodes = user::nodes(work.tx, &scope, user, state, LIMIT)?;
    let tokens = user::tokens(work.tx, &scope, user, LIMIT)?;
    let mut keys = vec![];
    for id in user::keys(work.tx, user, LIMIT)? {
        // Of one that is beyond its scope the caller is told nothing.
        if let Some(ended) = end_key(work, id, is_dry_run)? {
            keys.push(ended);
        }
    }
    if nodes.is_empty() && tokens.is_empty() && keys.is_empty() {
        return Err(Error::not_found(Kind::User, user));
    }
    if !is_dry_run {
        for token in &tokens {
            join_tokens::revoke(work, token.id)?;
        }
    }
    let is_full = |count: usize| i64::try_from(count).is_ok_and(|count| count >= LIMIT);
    let has_more = is_full(nodes.len()) || is_full(tokens.len()) || is_full(keys.len());
    Ok(Belongings { nodes, tokens, keys, has_more })
}

fn end_key(
    work: &mut Work<'_>,
    id: OperatorKeyId,
    is_dry_run: bool,
) -> Result<Option<EndedKey>, Error> {
    let kept = match operator_keys::find(work.tx, work.principal, id) {
        Ok(kept) => kept,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let ended = |outcome| Some(EndedKey { id, name: kept.key.name.clone(), outcome });
    if matches!(work.principal, Principal::OperatorKey(own) if own.id == id) {
        return Ok(ended(EndOutcome::Kept("it is the key that asks".to_owned())));
    }
    let checked = work.principal.permit(Action::ManageOperatorKeys);
    match checked.and_then(|()| operator_keys::check_last(work.tx, &kept.key)) {
        Ok(()) => {}
        Err(error @ (Error::Conflict(_) | Error::Forbidden(_))) => {
            return Ok(ended(EndOutcome::Kept(error.to_string())));
        }
        Err(error) => return Err(error),
    }
    if !is_dry_run {
        operator_keys::revoke(work, &kept.key)?;
    }
    Ok(ended(EndOutcome::Ended))
}
