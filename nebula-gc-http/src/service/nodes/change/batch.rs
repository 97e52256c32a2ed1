//! One act on many nodes, with a report of each.
//!
//! It goes in transactions of at most [`PART`] nodes, each of which moves the revision once. Only what a
//! signer elsewhere has to sign, and what one node's certificates or addresses stand against while they are
//! written, goes node by node.

use std::sync::{Arc, OnceLock};

use nebula_alloc::lease::{self, Lease};
use nebula_alloc::store::Transaction;

use super::super::{NodeRef, network_for};
use super::command::{Command, Decision};
use super::step::{carry_out, update_node};
use crate::error::{Fault, Field, Kind};
use crate::service::context::Context;
use crate::service::core::Service;
use crate::service::exclusive::Work;
use crate::service::node_change::NodeChange;
use crate::service::precondition::Expected;
use crate::service::shared::Shared;
use crate::store::network::Network;
use crate::store::node::{self, Node, NodeFilter, NodeState};
use crate::{Error, NetworkRef, NodeId, StateReason};

/// How many nodes one request is about at most.
const MOST: usize = 10_000;
/// How many nodes are changed in one transaction, and how many are read at once.
const PART: usize = 100;

/// What is to be done to each of many nodes.
#[derive(Debug, Clone)]
pub enum BatchAction {
    /// As [`Service::revoke_node`].
    Revoke(StateReason),
    /// As [`Service::suspend_node`].
    Suspend(StateReason),
    /// As [`Service::reinstate_node`].
    Reinstate,
    /// As [`Service::release_node`].
    Release,
    /// As [`Service::make_node_due`].
    Renew,
    /// As [`Service::change_node`]: what nodes can have alike.
    Change(NodeChange),
}

impl BatchAction {
    fn command(self) -> Command {
        match self {
            Self::Revoke(reason) => Command::KeepOut(NodeState::Revoked, reason.into()),
            Self::Suspend(reason) => Command::KeepOut(NodeState::Suspended, reason.into()),
            Self::Reinstate => Command::Reinstate,
            Self::Release => Command::Release { silent_since: None },
            Self::Renew => Command::MakeDue,
            Self::Change(change) => Command::Change(change),
        }
    }
}

/// What came of it for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// It was done, or would be.
    Done,
    /// It was so already.
    Unchanged,
    /// It was refused, and nothing of it was done.
    Refused(Error),
}

/// A node, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEntry {
    /// Its id.
    pub id: NodeId,
    /// Its name, as it was before.
    pub name: String,
    /// What came of it.
    pub outcome: BatchOutcome,
}

impl Service {
    /// Does the same to all nodes that a filter finds, in the order in which they came, and answers what
    /// came of each. With `is_dry_run` nothing is done, and the answer is what would come of it. What was
    /// interrupted is finished by asking again: what is done is unchanged then.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a filter that names nothing, or finds more than 10,000 nodes, and those of
    /// access. What is in the way of single nodes is in the answer, and so is what ended the work after
    /// its beginning, at each node that it did not come to.
    pub async fn change_nodes(
        &self,
        context: Context,
        network: NetworkRef,
        filter: NodeFilter,
        action: BatchAction,
        is_dry_run: bool,
    ) -> Result<Vec<BatchEntry>, Error> {
        if filter == NodeFilter::default() {
            return Err(Fault::Empty.of(Field::Filter));
        }
        self.admit(&context).await?;
        let command = Arc::new(action.command());
        let nodes = self.found(&context, &network, filter, &command).await?;
        let mut entries = Vec::with_capacity(nodes.len());
        let mut ended = None;
        for part in nodes.chunks(PART) {
            let outcomes = match &ended {
                None if is_dry_run => self.foresee(&context, &network, &command, part).await,
                None => self.carry_out_part(&context, &network, &command, part).await,
                Some(error) => Err(Error::clone(error)),
            };
            let outcomes = match outcomes {
                Ok(outcomes) => outcomes,
                // Nothing was done yet.
                Err(error) if entries.is_empty() => return Err(error),
                Err(error) => {
                    let refused = BatchOutcome::Refused(error.clone());
                    ended = Some(error);
                    vec![refused; part.len()]
                }
            };
            let part = part.iter().cloned().zip(outcomes);
            entries.extend(part.map(|((id, name), outcome)| BatchEntry { id, name, outcome }));
        }
        Ok(entries)
    }

    /// Keeps nodes of a network out, in transactions of at most [`PART`] nodes.
    pub(in crate::service) async fn keep_out(
        &self,
        context: &Context,
        network: &NetworkRef,
        (state, reason): (NodeState, StateReason),
        nodes: &[(NodeId, String)],
    ) -> Result<Vec<BatchOutcome>, Error> {
        let command = Arc::new(Command::KeepOut(state, reason.into()));
        let mut outcomes = Vec::with_capacity(nodes.len());
        for part in nodes.chunks(PART) {
            outcomes.extend(self.together(context, network, &command, part).await?);
        }
        Ok(outcomes)
    }

    /// The nodes that a filter finds, with their names.
    async fn found(
        &self,
        context: &Context,
        network: &NetworkRef,
        filter: NodeFilter,
        command: &Command,
    ) -> Result<Vec<(NodeId, String)>, Error> {
        let (mut found, mut after) = (vec![], NodeId::from([0; 16]));
        let action = command.action();
        loop {
            let asked = (context.clone(), network.clone(), filter.clone());
            let listed = self
                .read(move |tx, shared| {
                    let (context, network, filter) = asked;
                    let network = network_for(tx, shared, &context, action, &network)?;
                    node::list(tx, network.id, &filter, after, PART)
                })
                .await?;
            let last = listed.nodes.last().map(|node| node.id);
            let is_full = listed.nodes.len() >= PART;
            found.extend(listed.nodes.into_iter().map(|node| (node.id, node.name)));
            if found.len() > MOST {
                return Err(
                    Fault::Count { count: found.len(), least: 0, most: MOST }.of(Field::Filter)
                );
            }
            match listed.go_on.or(last.filter(|_| is_full)) {
                Some(go_on) => after = go_on,
                None => return Ok(found),
            }
        }
    }

    /// What would come of it.
    async fn foresee(
        &self,
        context: &Context,
        network: &NetworkRef,
        command: &Arc<Command>,
        part: &[(NodeId, String)],
    ) -> Result<Vec<BatchOutcome>, Error> {
        let asked = (context.clone(), network.clone(), Arc::clone(command), part.to_vec());
        self.read(move |tx, shared| {
            let (context, network, command, part) = asked;
            let now = shared.now();
            let network = network_for(tx, shared, &context, command.action(), &network)?;
            let each = part.iter().map(|(id, _)| {
                Ok(match decide(tx, shared, &network, &command, *id, now) {
                    Ok((_, Decision::Unchanged)) => BatchOutcome::Unchanged,
                    Ok(_) => BatchOutcome::Done,
                    Err(error) => refused(error)?,
                })
            });
            each.collect()
        })
        .await
    }

    /// Does it to all of them in one transaction where it can, and else to each in one of its own.
    async fn carry_out_part(
        &self,
        context: &Context,
        network: &NetworkRef,
        command: &Arc<Command>,
        part: &[(NodeId, String)],
    ) -> Result<Vec<BatchOutcome>, Error> {
        match self.together(context, network, command, part).await {
            Err(error) if command.issues() => {
                // Nothing was done. What is in the way of one node must not be in that of the others.
                refused(error)?;
                self.one_by_one(context, network, command, part).await
            }
            outcomes => outcomes,
        }
    }

    /// Does it to all of them in one transaction.
    async fn together(
        &self,
        context: &Context,
        network: &NetworkRef,
        command: &Arc<Command>,
        part: &[(NodeId, String)],
    ) -> Result<Vec<BatchOutcome>, Error> {
        let (network, command, part) = (network.clone(), Arc::clone(command), part.to_vec());
        let step = move |work: &mut Work<'_>| {
            let network = work.network(command.action(), &network)?;
            let decided: Vec<_> = part
                .iter()
                .map(|(id, _)| decide(work.tx, work.shared, &network, &command, *id, work.now))
                .collect();
            let mut leases = leases(work, &decided)?.into_iter();
            let mut moved = None;
            let mut outcomes = vec![];
            for decided in decided {
                outcomes.push(match decided {
                    Ok((_, Decision::Unchanged)) => BatchOutcome::Unchanged,
                    Ok((node, Decision::Unissued(act))) => {
                        let about = (&network, &node);
                        carry_out(work.tx, work.now, work.author, about, act, &mut moved)?;
                        BatchOutcome::Done
                    }
                    Ok((_, Decision::Update { kind, terms, node, update, .. })) => {
                        let of =
                            if update.keeps.is_none() { network.families().count() } else { 0 };
                        let leases: Vec<_> = leases.by_ref().take(of).collect();
                        let change = (kind, &*node, update);
                        update_node(work.tx, work.author, change, &terms, &leases, &mut moved)?;
                        BatchOutcome::Done
                    }
                    Err(error) => refused(error)?,
                });
            }
            Ok((network.id, moved.unwrap_or(network.revision), outcomes))
        };
        let (network, revision, outcomes) = self.exclusive(context.another(), step).await?;
        if outcomes.contains(&BatchOutcome::Done) {
            // As after an act on one node: this instance hands out no older bundle after its answer.
            self.view(network, revision).await?;
        }
        Ok(outcomes)
    }

    /// Does it to each in a transaction of its own.
    async fn one_by_one(
        &self,
        context: &Context,
        network: &NetworkRef,
        command: &Arc<Command>,
        part: &[(NodeId, String)],
    ) -> Result<Vec<BatchOutcome>, Error> {
        let mut outcomes = Vec::with_capacity(part.len());
        for (id, _) in part {
            let about = (Some(network.clone()), NodeRef::Id(*id));
            let (context, command) = (context.another(), Arc::clone(command));
            let done = self.operate_on(context, about, Expected::Anything, command).await;
            outcomes.push(match done {
                Ok(outcome) if outcome.is_changed => BatchOutcome::Done,
                Ok(_) => BatchOutcome::Unchanged,
                Err(error) if outcomes.is_empty() => refused(error)?,
                Err(error) => BatchOutcome::Refused(error),
            });
        }
        Ok(outcomes)
    }
}

/// What is in the way of one node; an error of the whole goes on.
fn refused(error: Error) -> Result<BatchOutcome, Error> {
    match error {
        Error::Unavailable(_) | Error::Unauthorized(_) | Error::Forbidden(_) => Err(error),
        error => Ok(BatchOutcome::Refused(error)),
    }
}

/// The addresses that certificates are issued for, those of each node in its place.
fn leases(
    work: &mut Work<'_>,
    decided: &[Result<(Node, Decision), Error>],
) -> Result<Vec<Lease>, Error> {
    let mut requests = vec![];
    for decision in decided.iter().flatten().map(|(_, decision)| decision) {
        if let Some((terms, node)) = decision.certifies() {
            requests.extend(terms.requests(work.tx, node)?);
        }
    }
    let actor = work.author.actor();
    let requests: Vec<_> = requests.into_iter().map(|request| (actor, request)).collect();
    let granted = lease::allocate_many(work.tx, work.now, &requests)?;
    Ok(granted.into_iter().collect::<Result<_, _>>()?)
}

fn decide(
    tx: &mut dyn Transaction,
    shared: &Shared,
    network: &Network,
    command: &Command,
    id: NodeId,
    now: i64,
) -> Result<(Node, Decision), Error> {
    let node = node::by_id(tx, id)?.ok_or_else(|| Error::not_found(Kind::Node, id))?;
    let decision = command.decide(tx, shared, (network, &node), &OnceLock::new(), now)?;
    Ok((node, decision))
}
