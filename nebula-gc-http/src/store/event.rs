//! Looking through the audit log, which is a table of [`nebula_alloc`].

use nebula_alloc::event::Event;
use nebula_alloc::store::{Param, Row, Transaction};

use super::operator_key::Scope;
use crate::Error;
use crate::service::EventFilter;

const EVENTS: &str = "SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event";
const STORED: &str = "SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event WHERE id > $1 ORDER BY id LIMIT $2";

/// The events that a scope covers and that pass, each with its id, from the one after `after` on,
/// at most `limit`. Oldest first they can be followed: it should be the first that a snapshot is
/// asked for, see [`nebula_alloc::event::after`].
pub(crate) fn search(
    tx: &mut dyn Transaction,
    scope: Scope,
    filter: &EventFilter,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<(i64, Event)>, Error> {
    let settled = if filter.newest_first { None } else { Some(tx.last_settled_event()?) };
    let mut sql = EVENTS.to_owned();
    let mut params: Vec<Param<'_>> = vec![];
    let mut conditions: Vec<String> = vec![];
    let mut require = |before: &str, param, behind: &str| {
        params.push(param);
        conditions.push(format!("{before} ${}{behind}", params.len()));
    };
    match &scope {
        Scope::Root => {}
        Scope::Tenant(tenant) => {
            let networks = "network IN (SELECT id FROM gc_network WHERE tenant =";
            require(networks, tenant.as_bytes().into(), ")");
        }
        Scope::Network(network) => require("network =", network.as_bytes().into(), ""),
    }
    if let Some(kind) = &filter.kind {
        require("kind =", kind.into(), "");
    }
    if let Some(subject) = &filter.subject {
        require("subject =", subject.into(), "");
    }
    let (beyond, order) = if filter.newest_first { ("<", "DESC") } else { (">", "ASC") };
    if let Some(after) = after {
        require(&format!("id {beyond}"), after.into(), "");
    }
    if let Some(settled) = settled {
        require("id <=", settled.into(), "");
    }
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    params.push(limit.into());
    sql.push_str(&format!(" ORDER BY id {order} LIMIT ${}", params.len()));
    tx.query(&sql, &params)?.iter().map(read).collect()
}

/// All events that a snapshot has, page by page: for who compares them with its other rows.
pub(crate) fn stored(
    tx: &mut dyn Transaction,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Event)>, Error> {
    tx.query(STORED, &[after.into(), limit.into()])?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<(i64, Event), Error> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let event = Event {
        network: match row.optional_blob(2)? {
            Some(_) => Some(row.array(2)?.into()),
            None => None,
        },
        source_address: owned(row.optional_text(5)?),
        request_id: owned(row.optional_text(6)?),
        subject: row.optional_blob(7)?.map(<[u8]>::to_vec),
        address: match row.optional_blob(8)? {
            Some(_) => Some(row.address(8)?),
            None => None,
        },
        detail: owned(row.optional_text(9)?),
        ..Event::new(row.integer(1)?, row.text(3)?, row.text(4)?)
    };
    Ok((row.integer(0)?, event))
}
