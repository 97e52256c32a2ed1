//! One act on many nodes.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::v1::ask::{AskWith, checked};
use crate::api::v1::problem::Problem;
use crate::api::v1::remaining::Changing;
use crate::api::v1::respond::{Answer, json};
use crate::api::v1::values::{read, read_some};
use crate::wire::{
    BatchAction as ActionWord, BatchFilter, BatchNode, BatchOutcome as OutcomeWord,
    NodesBatch as BatchView, NodesBatchBody,
};
use crate::{
    BatchAction, BatchEntry, BatchOutcome, Change, Label, NetworkRef, NodeChange, NodeFilter,
    NodeName, Service, UserName,
};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(change_nodes))
}

/// Do the same to all nodes that a filter finds, at most 10,000, and tell of each what came of it.
/// At most 100 nodes are changed in one transaction, which moves the revision once. Where a signer elsewhere
/// has to sign, or one of them is refused its address or certificate, each node is changed by itself. Repeat
/// the request to finish what was interrupted.
#[utoipa::path(post, path = "/networks/{network}/nodes/batch", operation_id = "change_nodes",
    tag = "nodes", request_body = NodesBatchBody,
    params(("network" = String, Path, description = "The network's name or id.")),
    responses((status = 200, description = "What came of each node.", body = BatchView)))]
async fn change_nodes(
    State(service): State<Arc<Service>>,
    ask: AskWith<NodesBatchBody, NetworkRef>,
) -> Answer {
    let is_dry_run = ask.body.dry_run;
    let asked = filter(ask.body.filter.clone()).and_then(|filter| Ok((filter, action(ask.body)?)));
    let (filter, action) = checked(&service, &ask.context, asked).await?;
    let changing = Changing::new(&service, &ask.context, &ask.path);
    let entries = service.change_nodes(ask.context, ask.path, filter, action, is_dry_run).await?;
    changing.answer(Ok(json(view(entries, is_dry_run)))).await
}

fn filter(filter: BatchFilter) -> Result<NodeFilter, Problem> {
    let prefix: Option<Label> = read_some("namePrefix", filter.name_prefix)?;
    let group: Option<NodeName> = read_some("group", filter.group)?;
    let user: Option<UserName> = read_some("user", filter.user)?;
    Ok(NodeFilter {
        name_prefix: prefix.map(String::from),
        group: group.map(String::from),
        user: user.map(String::from),
        ..NodeFilter::default()
    })
}

fn action(body: NodesBatchBody) -> Result<BatchAction, Problem> {
    let sets = [
        ("groups", body.groups.is_some()),
        ("addGroups", body.add_groups.is_some()),
        ("removeGroups", body.remove_groups.is_some()),
    ];
    let given = sets.into_iter().find(|(_, is_given)| *is_given).map(|(name, _)| name);
    match (body.action, given) {
        (ActionWord::Set, None) => {
            let reason = "give one of: groups, addGroups, removeGroups";
            return Err(Problem::invalid("groups", reason));
        }
        (ActionWord::Set, _) | (_, None) => {}
        (_, Some(field)) => return Err(Problem::invalid(field, "is only for the action set")),
    }
    let needs_reason = matches!(body.action, ActionWord::Revoke | ActionWord::Suspend);
    if !needs_reason && body.reason.is_some() {
        return Err(Problem::invalid("reason", "is only for the actions revoke and suspend"));
    }
    let reason = || {
        let given = body.reason.clone();
        let given = given.ok_or_else(|| Problem::invalid("reason", "must be given"))?;
        read("reason", given)
    };
    Ok(match body.action {
        ActionWord::Revoke => BatchAction::Revoke(reason()?),
        ActionWord::Suspend => BatchAction::Suspend(reason()?),
        ActionWord::Reinstate => BatchAction::Reinstate,
        ActionWord::Renew => BatchAction::Renew,
        ActionWord::Release => BatchAction::Release,
        ActionWord::Set => BatchAction::Change(NodeChange {
            groups: read_some("groups", body.groups)?.map_or(Change::Keep, Change::Set),
            add_groups: read_some("addGroups", body.add_groups)?.unwrap_or_default(),
            remove_groups: read_some("removeGroups", body.remove_groups)?.unwrap_or_default(),
            ..NodeChange::default()
        }),
    })
}

fn view(entries: Vec<BatchEntry>, dry_run: bool) -> BatchView {
    let mut view = BatchView { dry_run, done: 0, unchanged: 0, refused: 0, nodes: vec![] };
    for BatchEntry { id, name, outcome } in entries {
        let (outcome, problem) = match outcome {
            BatchOutcome::Done => (OutcomeWord::Done, None),
            BatchOutcome::Unchanged => (OutcomeWord::Unchanged, None),
            BatchOutcome::Refused(error) => (OutcomeWord::Refused, Some(Problem::from(error))),
        };
        match outcome {
            OutcomeWord::Done => view.done += 1,
            OutcomeWord::Unchanged => view.unchanged += 1,
            OutcomeWord::Refused => view.refused += 1,
        }
        let (code, detail) = problem.map(Problem::said).unzip();
        view.nodes.push(BatchNode { id: id.to_string(), name, outcome, code, detail });
    }
    view
}
