//! Looking through the log: by network, kind and subject, from either end, a page at a time.

use super::{Event, read};
use crate::interval::limit;
use crate::store::{Param, Row, Transaction};
use crate::{Error, NetworkId, limits};

/// Each text goes up or down; a macro, because `concat!` takes no constants.
macro_rules! both_ways {
    ($up:ident, $down:ident, $before:literal, $behind:literal, $limit:literal) => {
        pub(crate) const $up: &str =
            concat!($before, " id > ", $behind, " ORDER BY id ASC LIMIT ", $limit);
        pub(crate) const $down: &str =
            concat!($before, " id < ", $behind, " ORDER BY id DESC LIMIT ", $limit);
    };
}

// Only the ids, which the indexes have: no other way to find them is as good to a planner, whatever
// its statistics say.
both_ways!(ALL_UP, ALL_DOWN, "SELECT id FROM alloc_event WHERE", "$1", "$2");
both_ways!(
    NETWORK_UP,
    NETWORK_DOWN,
    "SELECT id FROM alloc_event WHERE network = $1 AND",
    "$2",
    "$3"
);
both_ways!(
    KIND_UP,
    KIND_DOWN,
    "SELECT id FROM alloc_event WHERE kind = $1 AND network = $2 AND",
    "$3",
    "$4"
);
both_ways!(
    ELSEWHERE_UP,
    ELSEWHERE_DOWN,
    "SELECT id FROM alloc_event WHERE kind = $1 AND network IS NULL AND",
    "$2",
    "$3"
);
both_ways!(
    SUBJECT_UP,
    SUBJECT_DOWN,
    "SELECT id, at, network, kind, actor, source_address, request_id, subject, address, detail
     FROM alloc_event WHERE subject = $1 AND subject IS NOT NULL AND",
    "$2",
    "$3"
);
pub(crate) const BY_ID: &str = "SELECT id, at, network, kind, actor, source_address, request_id,
     subject, address, detail FROM alloc_event WHERE id = $1";
/// The networks that have events of a kind, from one to the next.
pub(crate) const NETWORKS: &str = "WITH RECURSIVE known (network) AS (
         SELECT (SELECT network FROM alloc_event
             WHERE kind = $1 AND network IS NOT NULL ORDER BY network LIMIT 1)
         UNION ALL
         SELECT (SELECT network FROM alloc_event
             WHERE kind = $1 AND network > known.network ORDER BY network LIMIT 1)
         FROM known WHERE known.network IS NOT NULL)
     SELECT network FROM known WHERE network IS NOT NULL";

/// How many events of a subject are looked at together.
const PAGE: usize = 256;

/// Which events, and in which order. The default is all, the oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Search<'a> {
    /// Of these networks alone. `None` is all, and those of no network.
    pub networks: Option<&'a [NetworkId]>,
    /// Of this kind alone, such as [`kind::RELEASED`](super::kind::RELEASED).
    pub kind: Option<&'a str>,
    /// About what has this id alone: of events about leases their owner.
    pub subject: Option<&'a [u8]>,
    /// The newest first.
    pub newest_first: bool,
    /// Only those behind the event of this id, in the order asked for: the last of the page before.
    pub behind: Option<i64>,
    /// Only those up to this id, to follow the log with: what
    /// [`last_settled_event`](Transaction::last_settled_event) answers.
    pub up_to: Option<i64>,
}

/// The events that are asked for, at most `limit` of them, each with its id.
///
/// A page costs what it holds, whatever there is beside it; of several networks, or of one kind in all
/// of them, as much for each network, and of one subject what there is of it in front of the page's
/// end. On PostgreSQL an event may come to light behind others with higher ids: who goes on from the last
/// one misses none as long as the search ends [in time](Search::up_to).
///
/// # Errors
///
/// The engine's.
pub fn search(
    tx: &mut dyn Transaction,
    search: &Search<'_>,
    limit: usize,
) -> Result<Vec<(i64, Event)>, Error> {
    if search.kind.is_some_and(|kind| limits::check("kind", kind, limits::NAME).is_err()) {
        return Ok(Vec::new());
    }
    if search.subject.is_some() {
        return of_subject(tx, search, limit);
    }
    let mut ids = ids(tx, search, limit)?;
    ids.retain(|id| search.up_to.is_none_or(|end| *id <= end));
    ids.sort_unstable();
    ids.dedup();
    if search.newest_first {
        ids.reverse();
    }
    ids.truncate(limit);
    let keys: Vec<_> = ids.iter().map(|id| vec![(*id).into()]).collect();
    tx.query_each(BY_ID, &keys)?.iter().flatten().map(read).collect()
}

/// The ids of the first `limit` of each of the networks, or more.
fn ids(tx: &mut dyn Transaction, search: &Search<'_>, limit: usize) -> Result<Vec<i64>, Error> {
    let behind = behind(search).into();
    let limit = self::limit(limit).into();
    let way = |up, down| if search.newest_first { down } else { up };
    let found = match (search.networks, search.kind) {
        (None, None) => vec![tx.query(way(ALL_UP, ALL_DOWN), &[behind, limit])?],
        (Some(networks), None) => {
            let sets: Vec<_> = networks
                .iter()
                .map(|network| vec![network.as_bytes().into(), behind, limit])
                .collect();
            tx.query_each(way(NETWORK_UP, NETWORK_DOWN), &sets)?
        }
        (Some(networks), Some(kind)) => of_kind(tx, search, networks, kind, limit)?,
        (None, Some(kind)) => {
            let rows = tx.query(NETWORKS, &[kind.into()])?;
            let networks: Vec<_> = rows
                .iter()
                .map(|row| Ok(NetworkId(row.array(0)?)))
                .collect::<Result<_, Error>>()?;
            let mut found = of_kind(tx, search, &networks, kind, limit)?;
            let elsewhere = way(ELSEWHERE_UP, ELSEWHERE_DOWN);
            found.push(tx.query(elsewhere, &[kind.into(), behind, limit])?);
            found
        }
    };
    found.iter().flatten().map(|row| row.integer(0)).collect()
}

fn of_kind(
    tx: &mut dyn Transaction,
    search: &Search<'_>,
    networks: &[NetworkId],
    kind: &str,
    limit: Param<'_>,
) -> Result<Vec<Vec<Row>>, Error> {
    let sets: Vec<_> = networks
        .iter()
        .map(|network| vec![kind.into(), network.as_bytes().into(), behind(search).into(), limit])
        .collect();
    tx.query_each(if search.newest_first { KIND_DOWN } else { KIND_UP }, &sets)
}

/// A subject is mostly of one network, and has few events.
fn of_subject(
    tx: &mut dyn Transaction,
    search: &Search<'_>,
    limit: usize,
) -> Result<Vec<(i64, Event)>, Error> {
    let mut found = Vec::new();
    let mut behind = behind(search);
    let mut count = limit.min(PAGE);
    while found.len() < limit {
        let text = if search.newest_first { SUBJECT_DOWN } else { SUBJECT_UP };
        let rows =
            tx.query(text, &[search.subject.into(), behind.into(), self::limit(count).into()])?;
        for row in &rows {
            let (id, event) = read(row)?;
            behind = id;
            let of_network = |networks: &[NetworkId]| {
                event.network.is_some_and(|network| networks.contains(&network))
            };
            if search.up_to.is_none_or(|end| id <= end)
                && search.networks.is_none_or(of_network)
                && search.kind.is_none_or(|kind| kind == event.kind)
            {
                found.push((id, event));
            }
        }
        if rows.len() < count {
            break;
        }
        count = PAGE;
    }
    found.truncate(limit);
    Ok(found)
}

fn behind(search: &Search<'_>) -> i64 {
    if !search.newest_first {
        return search.behind.unwrap_or(i64::MIN);
    }
    let end = search.up_to.map_or(i64::MAX, |end| end.saturating_add(1));
    search.behind.map_or(end, |behind| behind.min(end))
}
