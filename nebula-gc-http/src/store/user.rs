//! What belongs to a user, in all networks of a scope.

use nebula_alloc::NetworkId;
use nebula_alloc::store::{Param, Row, Transaction};

use super::operator_key::Scope;
use crate::stored_words::NodeState;
use crate::{Error, JoinTokenId, NodeId, OperatorKeyId};

/// A node of a user.
#[derive(Debug, Clone)]
pub(crate) struct UserNode {
    pub(crate) id: NodeId,
    pub(crate) network: NetworkId,
    pub(crate) network_name: String,
    pub(crate) name: String,
    pub(crate) state: NodeState,
}

/// A join token for a user's nodes.
#[derive(Debug, Clone)]
pub(crate) struct UserToken {
    pub(crate) id: JoinTokenId,
    pub(crate) network_name: String,
    pub(crate) name: String,
}

/// At most `limit` nodes that are not released: those that are neither in this state nor revoked
/// first.
pub(crate) fn nodes(
    tx: &mut dyn Transaction,
    scope: &Scope,
    user: &str,
    state: NodeState,
    limit: i64,
) -> Result<Vec<UserNode>, Error> {
    let sql = "SELECT gc_node.id, gc_network.id, gc_network.name, gc_node.name, gc_node.state \
        FROM gc_node JOIN gc_network ON gc_network.id = gc_node.network \
        WHERE gc_node.user_name = $1 AND gc_node.state <> 'released' AND gc_network.deleting_at IS NULL";
    let order =
        "CASE WHEN gc_node.state = ? OR gc_node.state = 'revoked' THEN 1 ELSE 0 END, gc_node.id";
    let rows =
        within(tx, scope, (sql, order), vec![user.into()], &[state.word().into(), limit.into()])?;
    let node = |row: &Row| {
        let mut columns = row.columns();
        Ok(UserNode {
            id: columns.array()?.into(),
            network: columns.array()?.into(),
            network_name: columns.text()?.to_owned(),
            name: columns.text()?.to_owned(),
            state: NodeState::from_word(columns.text()?)?,
        })
    };
    rows.iter().map(node).collect()
}

/// At most `limit` join tokens that are not revoked.
pub(crate) fn tokens(
    tx: &mut dyn Transaction,
    scope: &Scope,
    user: &str,
    limit: i64,
) -> Result<Vec<UserToken>, Error> {
    let sql = "SELECT gc_join_token.id, gc_network.name, gc_join_token.name \
        FROM gc_join_token JOIN gc_network ON gc_network.id = gc_join_token.network \
        WHERE gc_join_token.user_name = $1 AND gc_join_token.revoked_at IS NULL \
        AND gc_network.deleting_at IS NULL";
    let order = "gc_join_token.id";
    let rows = within(tx, scope, (sql, order), vec![user.into()], &[limit.into()])?;
    let token = |row: &Row| {
        let mut columns = row.columns();
        Ok(UserToken {
            id: columns.array()?.into(),
            network_name: columns.text()?.to_owned(),
            name: columns.text()?.to_owned(),
        })
    };
    rows.iter().map(token).collect()
}

/// At most `limit` operator keys that let in nodes of the user, and are not revoked, wherever they apply.
pub(crate) fn keys(
    tx: &mut dyn Transaction,
    user: &str,
    limit: i64,
) -> Result<Vec<OperatorKeyId>, Error> {
    let rows = tx.query(
        "SELECT id FROM gc_operator_key WHERE coalesce(user_name, name) = $1 AND revoked_at IS NULL \
         ORDER BY id LIMIT $2",
        &[user.into(), limit.into()],
    )?;
    super::ids(&rows)
}

/// The rows of networks within a scope, in this order. Parameters are numbered as they appear.
fn within<'a>(
    tx: &mut dyn Transaction,
    scope: &'a Scope,
    (sql, order): (&str, &str),
    mut params: Vec<Param<'a>>,
    last: &[Param<'a>],
) -> Result<Vec<Row>, Error> {
    let condition = match scope {
        Scope::Root => String::new(),
        Scope::Tenant(tenant) => {
            params.push(tenant.as_bytes().into());
            format!(" AND gc_network.tenant = ${}", params.len())
        }
        Scope::Network(network) => {
            params.push(network.as_bytes().into());
            format!(" AND gc_network.id = ${}", params.len())
        }
    };
    let mut sql = format!("{sql}{condition}");
    for (part, param) in format!(" ORDER BY {order} LIMIT ?").split_inclusive('?').zip(last) {
        params.push(*param);
        sql.push_str(&part.replace('?', &format!("${}", params.len())));
    }
    Ok(tx.query(&sql, &params)?)
}
