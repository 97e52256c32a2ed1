//! Users: ending all that somebody has.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::AskWith;
use super::respond::{Answer, json};
use super::values::read;
use crate::service::{EndOutcome, UserEnd, UserEnded};
use crate::wire::{EndAction, EndUserBody, EndedItem, EndedUser, NetworkRevision};
use crate::{Service, UserName};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(end_user))
}

/// End all that a user has, in the networks that the credential sees: its nodes are suspended or
/// revoked, join tokens for its nodes and its operator keys are revoked. Repeating the
/// request changes nothing.
#[utoipa::path(post, path = "/users/{user}/end", operation_id = "end_user", tag = "nodes",
    params(("user" = String, Path, description = "The user.")), request_body = EndUserBody,
    responses((status = 200, description = "What became of each.", body = EndedUser)))]
async fn end_user(
    State(service): State<Arc<Service>>,
    ask: AskWith<EndUserBody, UserName>,
) -> Answer {
    let EndUserBody { action, reason, dry_run } = ask.body;
    let end = UserEnd {
        revokes: action == EndAction::Revoke,
        reason: read("reason", reason)?,
        is_dry_run: dry_run.unwrap_or(false),
    };
    let user = ask.path.to_string();
    let is_dry_run = end.is_dry_run;
    let ended = service.end_user(ask.context, ask.path, end).await?;
    Ok(json(view(user, is_dry_run, action, ended)))
}

fn view(user: String, dry_run: bool, action: EndAction, ended: UserEnded) -> EndedUser {
    let kept_out = match action {
        EndAction::Suspend => "suspended",
        EndAction::Revoke => "revoked",
    };
    let nodes = ended.nodes.into_iter().map(|node| {
        item(node.id.to_string(), node.name, Some(node.network), kept_out, node.outcome)
    });
    let join_tokens = ended.join_tokens.into_iter().map(|token| {
        let (id, network) = (token.id.to_string(), Some(token.network));
        item(id, token.name, network, "revoked", EndOutcome::Ended)
    });
    let operator_keys = ended
        .operator_keys
        .into_iter()
        .map(|key| item(key.id.to_string(), key.name, None, "revoked", key.outcome));
    EndedUser {
        nodes: nodes.collect(),
        join_tokens: join_tokens.collect(),
        operator_keys: operator_keys.collect(),
        revisions: ended
            .revisions
            .into_iter()
            .map(|(network, revision)| NetworkRevision { network, revision })
            .collect(),
        more: ended.has_more,
        user,
        dry_run,
    }
}

fn item(
    id: String,
    name: String,
    network: Option<String>,
    ended: &str,
    outcome: EndOutcome,
) -> EndedItem {
    let (outcome, reason) = match outcome {
        EndOutcome::Ended => (ended, None),
        EndOutcome::Unchanged => ("unchanged", None),
        EndOutcome::Kept(reason) => ("kept", Some(reason)),
    };
    EndedItem { id, name, network, outcome: outcome.to_owned(), reason }
}
