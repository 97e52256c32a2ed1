//! Searches the audit log, which is a table of [`nebula_alloc`].

use nebula_alloc::NetworkId;
use nebula_alloc::event::{self, Event, Found, Search};
use nebula_alloc::store::{Row, Transaction};

use super::ids;
use super::operator_key::Scope;
use crate::Error;
#[cfg(feature = "server")]
use crate::error::Unavailable;

/// Which events to list, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only events of this kind, such as `node.enrolled`.
    pub kind: Option<String>,
    /// Only events about the resource with this id.
    pub subject: Option<[u8; 16]>,
    /// Newest first, instead of oldest first.
    pub newest_first: bool,
}

/// How far the clock may be behind the last event and still be trusted, in seconds.
#[cfg(feature = "server")]
const CLOCK_BEHIND: i64 = 3_600;

const STORED: &str = "SELECT id, at, network, kind, actor, source_address, request_id, subject,
     address, detail FROM alloc_event WHERE id > $1 ORDER BY id LIMIT $2";

/// At most `limit` events of a scope that match a filter, each with its id, after the event
/// `after`. To follow events, oldest first, this must be the first query of a snapshot, see
/// [`nebula_alloc::event::after`].
pub(crate) fn search(
    tx: &mut dyn Transaction,
    scope: Scope,
    filter: &EventFilter,
    after: Option<i64>,
    limit: i64,
) -> Result<Found, Error> {
    let settled = if filter.newest_first { None } else { Some(tx.last_settled_event()?) };
    let networks: Option<Vec<NetworkId>> = match scope {
        Scope::Root => None,
        Scope::Tenant(tenant) => {
            let sql = "SELECT id FROM gc_network WHERE tenant = $1 \
                       UNION SELECT id FROM gc_deleted_network WHERE tenant = $1 ORDER BY id";
            let rows = tx.query(sql, &[tenant.as_bytes().into()])?;
            Some(ids(&rows)?)
        }
        Scope::Network(network) => Some(vec![network]),
    };
    let search = Search {
        networks: networks.as_deref(),
        kind: filter.kind.as_deref(),
        subject: filter.subject.as_ref().map(|subject| subject.as_slice()),
        newest_first: filter.newest_first,
        behind: after,
        up_to: settled,
    };
    Ok(event::search(tx, &search, usize::try_from(limit).unwrap_or_default())?)
}

/// When the last event happened, in seconds since the Unix epoch.
#[cfg(feature = "server")]
fn last_at(tx: &mut dyn Transaction) -> Result<Option<i64>, Error> {
    let rows = tx.query("SELECT at FROM alloc_event ORDER BY id DESC LIMIT 1", &[])?;
    super::one_integer(&rows)
}

/// When the last event happened, if that is too far ahead of the clock to be trusted.
#[cfg(feature = "server")]
pub(crate) fn is_ahead(tx: &mut dyn Transaction, now: i64) -> Result<Option<i64>, Error> {
    Ok(last_at(tx)?.filter(|last| last.saturating_sub(now) > CLOCK_BEHIND))
}

/// The time of a change made while no server runs: now, but not before the last event.
///
/// # Errors
/// [`Error::Unavailable`] where that is too far ahead of the clock to be believed.
#[cfg(feature = "server")]
pub(crate) fn time(tx: &mut dyn Transaction, now: i64) -> Result<i64, Error> {
    if let Some(last) = is_ahead(tx, now)? {
        return Err(Unavailable::ClockBehind { last, now }.into());
    }
    Ok(last_at(tx)?.map_or(now, |last| last.max(now)))
}

/// All events of a snapshot, page by page, to compare them with its other rows.
pub(crate) fn stored(
    tx: &mut dyn Transaction,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Event)>, Error> {
    tx.query(STORED, &[after.into(), limit.into()])?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<(i64, Event), Error> {
    let mut columns = row.columns();
    let (id, at) = (columns.integer()?, columns.integer()?);
    let network = columns.optional_array()?.map(NetworkId::from);
    let mut event = Event::new(at, columns.text()?, columns.text()?);
    event.network = network;
    event.source_address = columns.optional_text()?.map(str::to_owned);
    event.request_id = columns.optional_text()?.map(str::to_owned);
    event.subject = columns.optional_blob()?.map(<[u8]>::to_vec);
    event.address = columns.optional_address()?;
    event.detail = columns.optional_text()?.map(str::to_owned);
    Ok((id, event))
}
