//! Devices that wait for an operator's approval.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith};
use super::page::{Page, Paging, after};
use super::respond::{Answer, json};
use super::values::read_some;
use crate::wire::{
    ApprovalBody, Id, PendingDevice, PendingState as PendingStateView, RefusalBody, Timestamp,
};
use crate::{NetworkRef, PendingJoin, PendingJoinId, PendingState, Service};

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(list_pending))
        .routes(routes!(read_pending))
        .routes(routes!(approve_pending))
        .routes(routes!(refuse_pending))
}

impl From<PendingJoin> for PendingDevice {
    fn from(row: PendingJoin) -> Self {
        Self {
            id: row.id.to_string(),
            key_fingerprint: row.key_fingerprint().to_string(),
            name: row.asks.name,
            state: match row.state {
                PendingState::Pending => PendingStateView::Pending,
                PendingState::Approved => PendingStateView::Approved,
                PendingState::Refused => PendingStateView::Refused,
            },
            device: row.asks.device,
            groups: row.asks.groups,
            lighthouse: row.asks.lighthouse,
            relay: row.asks.relay,
            mtu: row.asks.mtu,
            address: row.asks.address.as_ref().map(ToString::to_string),
            user: row.asks.user,
            join_token: row.join_token.to_string(),
            join_token_name: row.token_name,
            source: row.source,
            asked_at: Timestamp(row.created_at),
            expires_at: Timestamp(row.expires_at),
            decided_by: row.decided_by,
            reason: row.reason,
        }
    }
}

/// List the devices that wait for approval, were approved and have not come yet, or were refused. Each is
/// forgotten after a day.
#[utoipa::path(get, path = "/networks/{network}/pending", operation_id = "list_pending",
    tag = "pending",
    params(("network" = String, Path, description = "The network's name or id."), Paging),
    responses((status = 200, description = "A page of pending devices.",
        body = Page<PendingDevice>)))]
async fn list_pending(State(service): State<Arc<Service>>, ask: Ask<NetworkRef, Paging>) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "pending").await?.map(PendingJoinId::from);
    let rows = service.pending_joins(ask.context, ask.path, after, limit.and_one()).await?;
    let page: Page<PendingDevice> =
        Page::new(rows, limit, "pending", |row: &PendingJoin| row.id.as_bytes().to_vec());
    Ok(json(page))
}

/// Read a pending device.
#[utoipa::path(get, path = "/networks/{network}/pending/{pending}", operation_id = "read_pending",
    tag = "pending",
    params(("network" = String, Path, description = "The network's name or id."), ("pending" = Id, Path)),
    responses((status = 200, description = "The device.", body = PendingDevice)))]
async fn read_pending(
    State(service): State<Arc<Service>>,
    ask: Ask<(NetworkRef, PendingJoinId)>,
) -> Answer {
    let (network, id) = ask.path;
    Ok(json(PendingDevice::from(service.pending_join(ask.context, network, id).await?)))
}

/// Approve a pending device, by the key fingerprint that it shows. It then has a day to join. Repeating it
/// changes nothing.
#[utoipa::path(post, path = "/networks/{network}/pending/{pending}/approve",
    operation_id = "approve_pending", tag = "pending",
    params(("network" = String, Path, description = "The network's name or id."), ("pending" = Id, Path)),
    request_body = ApprovalBody,
    responses((status = 200, description = "It is approved.", body = PendingDevice)))]
async fn approve_pending(
    State(service): State<Arc<Service>>,
    ask: AskWith<ApprovalBody, (NetworkRef, PendingJoinId)>,
) -> Answer {
    let ((network, id), fingerprint) = (ask.path, ask.body.key_fingerprint);
    let row = service.approve_join(ask.context, network, id, &fingerprint).await?;
    Ok(json(PendingDevice::from(row)))
}

/// Refuse a pending device: its key can't join with its token for a day. Repeating it changes nothing, but
/// for another reason.
#[utoipa::path(post, path = "/networks/{network}/pending/{pending}/refuse",
    operation_id = "refuse_pending", tag = "pending",
    params(("network" = String, Path, description = "The network's name or id."), ("pending" = Id, Path)),
    request_body = RefusalBody,
    responses((status = 200, description = "It is refused.", body = PendingDevice)))]
async fn refuse_pending(
    State(service): State<Arc<Service>>,
    ask: AskWith<RefusalBody, (NetworkRef, PendingJoinId)>,
) -> Answer {
    let ((network, id), reason) = (ask.path, read_some("reason", ask.body.reason)?);
    Ok(json(PendingDevice::from(service.refuse_join(ask.context, network, id, reason).await?)))
}
