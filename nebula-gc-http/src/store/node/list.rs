//! Lists of nodes.

use std::collections::HashMap;

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Param, Transaction};

use super::{Node, NodeState, read};
use crate::store::{ids, one_id, one_integer};
use crate::{CaId, Error, NodeId};

/// Which nodes of a network to list. Released nodes are only listed by their state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFilter {
    /// In this state.
    pub state: Option<NodeState>,
    /// With a name that begins with this.
    pub name_prefix: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// In this group.
    pub group: Option<String>,
    /// With this role.
    pub role: Option<NodeRole>,
    /// Active ones that have reported neither this revision of the network nor a later one, or not the
    /// last change of their own.
    pub not_applied: Option<i64>,
    /// With current certificates of this CA.
    pub ca: Option<CaId>,
    /// Active ones whose last certificate ends by then, in seconds since the Unix epoch.
    pub ends_by: Option<i64>,
}

/// What a node does for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    /// It helps nodes find each other.
    Lighthouse,
    /// It forwards between nodes that cannot reach each other.
    Relay,
}

/// A page of a network's nodes.
#[derive(Debug)]
pub(crate) struct Listed {
    /// In the order of their ids.
    pub(crate) nodes: Vec<Node>,
    /// After which node to continue, if the search ended early, with fewer nodes than asked for.
    pub(crate) go_on: Option<NodeId>,
}

/// How many nodes are searched with one query, because few may match.
const LOOKED_AT: i64 = 1_000;
/// How many such queries are made for a page.
const LOOKS: usize = 8;

/// At most `limit` nodes after this id, ordered by id.
pub(crate) fn list(
    tx: &mut dyn Transaction,
    network: NetworkId,
    filter: &NodeFilter,
    after: NodeId,
    limit: usize,
) -> Result<Listed, Error> {
    let (mut nodes, mut after) = (vec![], after);
    for _ in 0..LOOKS {
        let end = end(tx, network, after)?;
        while nodes.len() < limit {
            let wanted = limit - nodes.len();
            let page = page(tx, network, filter, (after, end), wanted)?;
            let is_last = page.len() < wanted;
            after = page.last().map_or(after, |node| node.id);
            // The query finds a group by its text, which may also match parts of two others.
            let in_group =
                |node: &Node| filter.group.as_ref().is_none_or(|group| node.groups.contains(group));
            nodes.extend(page.into_iter().filter(in_group));
            if is_last {
                break;
            }
        }
        match end {
            Some(end) if nodes.len() < limit => after = end,
            _ => return Ok(Listed { nodes, go_on: None }),
        }
    }
    Ok(Listed { nodes, go_on: Some(after) })
}

/// The last node to search with one query; nothing if the rest fits.
fn end(
    tx: &mut dyn Transaction,
    network: NetworkId,
    after: NodeId,
) -> Result<Option<NodeId>, Error> {
    let rows = tx.query(
        "SELECT id FROM gc_node WHERE network = $1 AND id > $2 ORDER BY id LIMIT 1 OFFSET $3",
        &[network.as_bytes().into(), after.as_bytes().into(), (LOOKED_AT - 1).into()],
    )?;
    one_id(&rows)
}

fn page(
    tx: &mut dyn Transaction,
    network: NetworkId,
    filter: &NodeFilter,
    (after, end): (NodeId, Option<NodeId>),
    limit: usize,
) -> Result<Vec<Node>, Error> {
    let group = filter.group.as_ref().map(serde_json::to_string).transpose();
    let group = group.map_err(crate::store::unwritable)?;
    let end = end.unwrap_or([u8::MAX; 16].into());
    let mut sql = select!("WHERE network = $1 AND id > $2 AND id <= $3").to_owned();
    let mut params: Vec<Param<'_>> =
        vec![network.as_bytes().into(), after.as_bytes().into(), end.as_bytes().into()];
    let mut conditions: Vec<(&str, Param<'_>)> = vec![match &filter.state {
        Some(state) => ("state = ?", state.word().into()),
        None => ("state <> ?", NodeState::Released.word().into()),
    }];
    if let Some(prefix) = &filter.name_prefix {
        conditions.push(("substr(name, 1, length(?)) = ?", prefix.into()));
    }
    if let Some(user) = &filter.user {
        conditions.push(("user_name = ?", user.into()));
    }
    if let Some(group) = &group {
        conditions.push(("replace(groups, ?, '') <> groups", group.into()));
    }
    if let Some(ca) = &filter.ca {
        let is_of = "EXISTS (SELECT 1 FROM gc_certificate WHERE gc_certificate.issuer = ? \
                     AND gc_certificate.node = gc_node.id AND gc_certificate.state = 'issued')";
        conditions.push((is_of, ca.as_bytes().into()));
    }
    if let Some(revision) = filter.not_applied {
        let is_behind = "(applied_revision < ? OR applied_generation < generation) \
                         AND state = 'active'";
        conditions.push((is_behind, revision.into()));
    }
    if let Some(ends_by) = filter.ends_by {
        let ends = "(SELECT max(not_after) FROM gc_certificate WHERE gc_certificate.node = gc_node.id \
                    AND gc_certificate.state IN ('issued', 'expired')) <= ? AND state = 'active'";
        conditions.push((ends, ends_by.into()));
    }
    for (condition, param) in conditions {
        params.push(param);
        sql.push_str(" AND ");
        sql.push_str(&condition.replace('?', &format!("${}", params.len())));
    }
    sql.push_str(match filter.role {
        Some(NodeRole::Lighthouse) => " AND lighthouse IS NOT NULL",
        Some(NodeRole::Relay) => " AND relay = 1",
        None => "",
    });
    params.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    sql.push_str(&format!(" ORDER BY id LIMIT ${}", params.len()));
    tx.query(&sql, &params)?.iter().map(read).collect()
}

/// The names of these nodes, in whatever state.
pub(crate) fn names(
    tx: &mut dyn Transaction,
    nodes: &[NodeId],
) -> Result<HashMap<NodeId, String>, Error> {
    let sets: Vec<_> = nodes.iter().map(|node| vec![node.as_bytes().into()]).collect();
    let found = tx.query_each("SELECT name FROM gc_node WHERE id = $1", &sets)?;
    let mut names = HashMap::new();
    for (node, rows) in nodes.iter().zip(found) {
        if let Some(row) = rows.first() {
            names.insert(*node, row.columns().text()?.to_owned());
        }
    }
    Ok(names)
}

/// How many active nodes have reported neither this revision nor a later one, or not the last change of
/// their own.
pub(crate) fn count_unapplied(
    tx: &mut dyn Transaction,
    network: NetworkId,
    revision: i64,
) -> Result<i64, Error> {
    let rows = tx.query(
        "SELECT count(*) FROM gc_node \
         WHERE network = $1 AND state = 'active' \
         AND (applied_revision < $2 OR applied_generation < generation)",
        &[network.as_bytes().into(), revision.into()],
    )?;
    Ok(one_integer(&rows)?.unwrap_or_default())
}

/// How many active nodes have ever reported what they have applied, and how many of these have reported
/// neither this revision nor a later one, or not the last change of their own.
pub(crate) fn count_reporting(
    tx: &mut dyn Transaction,
    network: NetworkId,
    revision: i64,
) -> Result<(i64, i64), Error> {
    let rows = tx.query(
        "SELECT count(*), \
         count(CASE WHEN applied_revision < $1 OR applied_generation < generation THEN 1 END) \
         FROM gc_node WHERE network = $2 AND state = 'active' AND reported_at IS NOT NULL",
        &[revision.into(), network.as_bytes().into()],
    )?;
    let Some(row) = rows.first() else { return Ok((0, 0)) };
    let mut columns = row.columns();
    Ok((columns.integer()?, columns.integer()?))
}

/// The revision that every active node has applied; nothing if there is no active node. Nodes that
/// are kept out do not count: their certificates are blocked, and they get the blocklist with their
/// next one.
pub(crate) fn applied_by_all(
    tx: &mut dyn Transaction,
    network: NetworkId,
) -> Result<Option<i64>, Error> {
    let rows = tx.query(
        "SELECT min(applied_revision) FROM gc_node WHERE network = $1 AND state = 'active'",
        &[network.as_bytes().into()],
    )?;
    Ok(rows.first().map(|row| row.columns().optional_integer()).transpose()?.flatten())
}

/// Active native nodes that have reported before and sent no request since this time, the longest
/// silent first.
pub(crate) fn silent(
    tx: &mut dyn Transaction,
    network: NetworkId,
    since: i64,
    limit: i64,
) -> Result<Vec<Node>, Error> {
    let rows = tx.query(
        select!(
            "WHERE network = $1 AND reported_at IS NOT NULL AND state = 'active' \
             AND seen_at < $2 AND token_hash IS NOT NULL ORDER BY seen_at LIMIT $3"
        ),
        &[network.as_bytes().into(), since.into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

/// Active nodes that never report, or have no node token, whose last certificate had ended by this time
/// and that sent no request since, the oldest first.
pub(crate) fn ended(
    tx: &mut dyn Transaction,
    network: NetworkId,
    since: i64,
    limit: i64,
) -> Result<Vec<Node>, Error> {
    let rows = tx.query(
        select!(
            "WHERE network = $1 AND state = 'active' AND (reported_at IS NULL OR token_hash IS NULL) \
             AND coalesce((SELECT max(not_after) FROM gc_certificate \
             WHERE gc_certificate.node = gc_node.id), created_at) < $2 \
             AND (seen_at IS NULL OR seen_at < $2) ORDER BY id LIMIT $3"
        ),
        &[network.as_bytes().into(), since.into(), limit.into()],
    )?;
    rows.iter().map(read).collect()
}

/// Ephemeral nodes after this id that were not heard of for their time of silence, where that is not longer
/// than `heard_for` seconds, as long as there was somebody to hear them.
pub(crate) fn overdue(
    tx: &mut dyn Transaction,
    network: NetworkId,
    after: NodeId,
    (now, heard_for): (i64, i64),
    limit: i64,
) -> Result<Vec<NodeId>, Error> {
    let rows = tx.query(
        "SELECT id FROM gc_node WHERE network = $1 AND id > $2 AND state = 'active' \
         AND ephemeral_seconds IS NOT NULL AND ephemeral_seconds <= $3 \
         AND coalesce(seen_at, (SELECT max(created_at) FROM gc_certificate \
         WHERE gc_certificate.node = gc_node.id), created_at) < $4 - ephemeral_seconds \
         ORDER BY id LIMIT $5",
        &[
            network.as_bytes().into(),
            after.as_bytes().into(),
            heard_for.into(),
            now.into(),
            limit.into(),
        ],
    )?;
    ids(&rows)
}

/// How many nodes of a network are active.
pub(crate) fn count_active(tx: &mut dyn Transaction, network: NetworkId) -> Result<u64, Error> {
    let rows = tx.query(
        "SELECT count(*) FROM gc_node WHERE network = $1 AND state = 'active'",
        &[network.as_bytes().into()],
    )?;
    Ok(one_integer(&rows)?.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// The names of at most `limit` active nodes of a network, oldest first.
pub(crate) fn active_names(
    tx: &mut dyn Transaction,
    network: NetworkId,
    limit: i64,
) -> Result<Vec<String>, Error> {
    let rows = tx.query(
        "SELECT name FROM gc_node WHERE network = $1 AND state = 'active' ORDER BY id LIMIT $2",
        &[network.as_bytes().into(), limit.into()],
    )?;
    rows.iter().map(|row| Ok(row.columns().text()?.to_owned())).collect()
}
