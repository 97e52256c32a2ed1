//! Inserting and changing nodes.

use nebula_alloc::store::Transaction;
use nebula_alloc::{NetworkId, PoolId};
use nebula_bundle::Endpoints;

use super::{Generation, Node};
use crate::names::key_beside;
use crate::secret::Hashed;
use crate::store::network::Revision;
use crate::store::unwritable;
use crate::{Error, JoinTokenId, NodeId};

pub(crate) fn insert(tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
    let groups = groups_text(&node.groups)?;
    let lighthouse = node.lighthouse.as_ref().map(Endpoints::to_string);
    Ok(tx.queue(
        "INSERT INTO gc_node (id, network, device, name, public_key, state, groups, lighthouse, relay, mtu, \
         pool, token_key, token_hash, join_token, generation, changes, created_at, seen_at, key_until, name_key, user_name, \
         ephemeral_seconds) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
        &[
            node.id.as_bytes().into(),
            node.network.as_bytes().into(),
            (&node.device).into(),
            (&node.name).into(),
            (&node.public_key).into(),
            node.state.word().into(),
            (&groups).into(),
            lighthouse.as_deref().into(),
            i64::from(node.relay).into(),
            node.mtu.map(i64::from).into(),
            node.pool.as_ref().map(PoolId::as_bytes).into(),
            node.token.as_ref().map(|token| token.key_id).into(),
            node.token.as_ref().map(|token| &token.hash).into(),
            node.join_token.as_ref().map(JoinTokenId::as_bytes).into(),
            node.generation.0.into(),
            node.changes.into(),
            node.created_at.into(),
            node.seen_at.into(),
            node.key_until.into(),
            key_beside(&node.name).as_deref().into(),
            (&node.user).into(),
            node.ephemeral_seconds.into(),
        ],
    )?)
}

/// Writes everything that may change of a node except its token, unless it changed since it was
/// read. The caller moves the generation.
pub(crate) fn update(tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
    let groups = groups_text(&node.groups)?;
    let lighthouse = node.lighthouse.as_ref().map(Endpoints::to_string);
    Ok(tx.queue_one(
        "UPDATE gc_node SET name = $1, public_key = $2, state = $3, state_reason = $4, groups = $5, \
         lighthouse = $6, relay = $7, mtu = $8, generation = $9, \
         seen_at = CASE WHEN seen_at < $10 THEN $10 ELSE seen_at END, key_until = $11, \
         name_key = CASE WHEN name = $1 THEN name_key ELSE $12 END, user_name = $13, changes = changes + 1 \
         WHERE id = $14 AND changes = $15 AND state <> 'released'",
        &[
            (&node.name).into(),
            (&node.public_key).into(),
            node.state.word().into(),
            node.state_reason.as_deref().into(),
            (&groups).into(),
            lighthouse.as_deref().into(),
            i64::from(node.relay).into(),
            node.mtu.map(i64::from).into(),
            node.generation.0.into(),
            node.seen_at.into(),
            node.key_until.into(),
            key_beside(&node.name).as_deref().into(),
            (&node.user).into(),
            node.id.as_bytes().into(),
            node.changes.into(),
        ],
    )?)
}

/// Makes a node's certificates due that begin before its `renew_before`, unless it changed since it was read.
/// The caller moves the generation.
pub(crate) fn make_due(tx: &mut dyn Transaction, node: &Node) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_node SET renew_before = $1, generation = $2, changes = changes + 1 \
         WHERE id = $3 AND changes = $4 AND state <> 'released'",
        &[
            node.renew_before.into(),
            node.generation.0.into(),
            node.id.as_bytes().into(),
            node.changes.into(),
        ],
    )?)
}

/// Makes the nodes of a network due whose certificates begin at this time: the mark of the network is only
/// about those that begin before.
pub(crate) fn make_due_since(
    tx: &mut dyn Transaction,
    network: NetworkId,
    then: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET renew_before = $1 WHERE network = $2 AND state = 'active' \
         AND id IN (SELECT node FROM gc_certificate \
             WHERE network = $3 AND state = 'issued' AND not_before = $4)",
        &[then.into(), network.as_bytes().into(), network.as_bytes().into(), then.into()],
    )?)
}

/// Sets the pool or block that a node's addresses must be from. Its leases move in the same
/// transaction, and what else changes of it may follow later: this is no change of the resource.
pub(crate) fn set_pool(
    tx: &mut dyn Transaction,
    id: NodeId,
    pool: Option<PoolId>,
) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_node SET pool = $1 WHERE id = $2 AND state = 'active'",
        &[pool.as_ref().map(PoolId::as_bytes).into(), id.as_bytes().into()],
    )?)
}

/// Ends that a node's certificates are due because an operator asked for others: it gets them.
pub(crate) fn end_due(tx: &mut dyn Transaction, node: NodeId) -> Result<(), Error> {
    Ok(tx
        .queue("UPDATE gc_node SET renew_before = NULL WHERE id = $1", &[node.as_bytes().into()])?)
}

/// Replaces a node's token, unless the node changed since it was read.
pub(crate) fn replace_token(
    tx: &mut dyn Transaction,
    node: &Node,
    token: &Hashed,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_node SET token_key = $1, token_hash = $2, seen_at = coalesce(seen_at, $3), \
         changes = changes + 1 WHERE id = $4 AND changes = $5 AND state <> 'released'",
        &[
            token.key_id.into(),
            (&token.hash).into(),
            now.into(),
            node.id.as_bytes().into(),
            node.changes.into(),
        ],
    )?)
}

/// Removes a node's token, without giving it another.
pub(crate) fn end_token(tx: &mut dyn Transaction, id: NodeId) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET token_key = NULL, token_hash = NULL, seen_at = NULL WHERE id = $1",
        &[id.as_bytes().into()],
    )?)
}

/// Releases a node, unless it changed since it was read.
pub(crate) fn release(
    tx: &mut dyn Transaction,
    node: &Node,
    reason: Option<&str>,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue_one(
        "UPDATE gc_node SET state = 'released', state_reason = $1, released_at = $2, \
         changes = changes + 1 WHERE id = $3 AND changes = $4 AND state <> 'released'",
        &[reason.into(), now.into(), node.id.as_bytes().into(), node.changes.into()],
    )?)
}

/// Records what an active node reports as applied. Counters never go back.
pub(crate) fn report(
    tx: &mut dyn Transaction,
    id: NodeId,
    revision: Revision,
    generation: Generation,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET \
         applied_revision = CASE WHEN applied_revision < $1 THEN $1 ELSE applied_revision END, \
         applied_generation = CASE WHEN applied_generation < $2 THEN $2 ELSE applied_generation END, \
         reported_at = $3, seen_at = $3 WHERE id = $4 AND state = 'active'",
        &[revision.0.into(), generation.0.into(), now.into(), id.as_bytes().into()],
    )?)
}

/// Records that an active node has sent a request with its token.
pub(crate) fn see(
    tx: &mut dyn Transaction,
    id: NodeId,
    now: i64,
    coarse: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET seen_at = $1 WHERE id = $2 AND state = 'active' \
         AND (seen_at IS NULL OR seen_at < $1 OR seen_at >= $3)",
        &[now.into(), id.as_bytes().into(), now.saturating_add(coarse).into()],
    )?)
}

/// Removes the tokens of a node whose enrolment was cancelled, so that its device can use them
/// again.
pub(crate) fn forget_tokens(tx: &mut dyn Transaction, id: NodeId) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET token_key = NULL, token_hash = NULL, join_token = NULL WHERE id = $1",
        &[id.as_bytes().into()],
    )?)
}

fn groups_text(groups: &[String]) -> Result<String, Error> {
    serde_json::to_string(groups).map_err(unwritable)
}

/// Replaces a hash by that of the same secret under another key, unless it changed meanwhile.
pub(crate) fn rehash(tx: &mut dyn Transaction, former: &Hashed, new: &Hashed) -> Result<(), Error> {
    Ok(tx.queue(
        "UPDATE gc_node SET token_hash = $1, token_key = $2 WHERE token_hash = $3 AND token_key = $4",
        &[(&new.hash).into(), new.key_id.into(), (&former.hash).into(), former.key_id.into()],
    )?)
}
