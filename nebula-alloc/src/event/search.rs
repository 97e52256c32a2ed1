//! Looking through the log: by network, kind and subject, from either end, a page at a time.

use super::{Event, read};
use crate::limits::limit;
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
/// How many of them for one page of the log.
const LOOKED_AT: usize = 2_048;

/// Which events, and in which order. The default is all, the oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Search<'a> {
    /// Only of these networks. `None`: of all, and those of no network.
    pub networks: Option<&'a [NetworkId]>,
    /// Only of this kind, such as [`kind::RELEASED`](super::kind::RELEASED).
    pub kind: Option<&'a str>,
    /// Only about the subject of this id; the subject of events about leases is the owner.
    pub subject: Option<&'a [u8]>,
    /// The newest first.
    pub newest_first: bool,
    /// Only those behind the event of this id, in the order asked for: the last of the page before.
    pub behind: Option<i64>,
    /// Only those up to this id, to follow the log with: what
    /// [`last_settled_event`](Transaction::last_settled_event) answers.
    pub up_to: Option<i64>,
}

/// A page of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The events, each with its id.
    pub events: Vec<(i64, Event)>,
    /// Behind which id to go on, where the search ended before it had as many events as were asked for
    /// and before the end of the log. Else the next page is behind the last event.
    pub go_on: Option<i64>,
}

/// The events that are asked for, at most `limit` of them.
///
/// A page costs what it holds, whatever there is beside it, and a step for each network that is looked
/// at. Of one subject it looks at some thousand events, and is [cut short](Found::go_on) where those
/// are not what is asked for. On PostgreSQL an event may appear after others with higher ids: going on
/// from the last one misses none as long as the search ends [in time](Search::up_to).
///
/// # Errors
///
/// The engine's.
pub fn search(tx: &mut dyn Transaction, search: &Search<'_>, limit: usize) -> Result<Found, Error> {
    if search.kind.is_some_and(|kind| limits::check("kind", kind, limits::NAME).is_err()) {
        return Ok(Found::default());
    }
    if search.subject.is_some() {
        return of_subject(tx, search, limit);
    }
    let mut ids = match search.networks {
        Some(networks) => of_networks(tx, search, networks, limit)?,
        None => everywhere(tx, search, limit)?,
    };
    ids.retain(|id| search.up_to.is_none_or(|end| *id <= end));
    ids.truncate(limit);
    let keys: Vec<_> = ids.iter().map(|id| vec![(*id).into()]).collect();
    let events =
        tx.query_each(BY_ID, &keys)?.iter().flatten().map(read).collect::<Result<_, _>>()?;
    Ok(Found { events, go_on: None })
}

/// The ids of the first `limit`, in order.
fn everywhere(
    tx: &mut dyn Transaction,
    search: &Search<'_>,
    limit: usize,
) -> Result<Vec<i64>, Error> {
    let behind = behind(search).into();
    let count = self::limit(limit).into();
    let way = |up, down| if search.newest_first { down } else { up };
    let Some(kind) = search.kind else {
        return ids(&tx.query(way(ALL_UP, ALL_DOWN), &[behind, count])?);
    };
    let rows = tx.query(NETWORKS, &[kind.into()])?;
    let networks: Vec<_> = rows
        .iter()
        .map(|row| Ok(NetworkId(row.columns().array()?)))
        .collect::<Result<_, Error>>()?;
    let mut found = of_networks(tx, search, &networks, limit)?;
    let elsewhere = way(ELSEWHERE_UP, ELSEWHERE_DOWN);
    found.extend(ids(&tx.query(elsewhere, &[kind.into(), behind, count])?)?);
    sort(&mut found, search);
    found.truncate(limit);
    Ok(found)
}

/// The same of these networks. Of many networks each is first asked for a few, and only those for more
/// whose next may belong to the page.
fn of_networks(
    tx: &mut dyn Transaction,
    search: &Search<'_>,
    networks: &[NetworkId],
    limit: usize,
) -> Result<Vec<i64>, Error> {
    let way = |up, down| if search.newest_first { down } else { up };
    let text = match search.kind {
        Some(_) => way(KIND_UP, KIND_DOWN),
        None => way(NETWORK_UP, NETWORK_DOWN),
    };
    let mut found: Vec<i64> = Vec::new();
    // Each network with the last id that is known of it.
    let mut open: Vec<_> = networks.iter().map(|network| (network, behind(search))).collect();
    let mut count = limit.div_ceil(networks.len().max(1)).saturating_add(1).min(limit);
    while !open.is_empty() && limit > 0 {
        let sets: Vec<_> = open
            .iter()
            .map(|(network, behind)| {
                let mut set: Vec<Param<'_>> = search.kind.map(Into::into).into_iter().collect();
                set.push(network.as_bytes().into());
                set.push((*behind).into());
                set.push(self::limit(count).into());
                set
            })
            .collect();
        let answers = tx.query_each(text, &sets)?;
        let mut more = Vec::new();
        for ((network, _), rows) in open.iter().zip(&answers) {
            let of_network = ids(rows)?;
            if let Some(last) = of_network.last().filter(|_| rows.len() >= count) {
                more.push((*network, *last));
            }
            found.extend(of_network);
        }
        sort(&mut found, search);
        found.truncate(limit);
        // Behind the end of a full page there is nothing to look for.
        let end = found.get(limit - 1).copied();
        more.retain(|(_, last)| end.is_none_or(|end| comes_before(search, *last, end)));
        open = more;
        count = count.saturating_mul(2).min(limit);
    }
    Ok(found)
}

fn ids(rows: &[Row]) -> Result<Vec<i64>, Error> {
    rows.iter().map(|row| row.columns().integer()).collect()
}

fn comes_before(search: &Search<'_>, one: i64, other: i64) -> bool {
    if search.newest_first { one > other } else { one < other }
}

fn sort(ids: &mut Vec<i64>, search: &Search<'_>) {
    ids.sort_unstable();
    ids.dedup();
    if search.newest_first {
        ids.reverse();
    }
}

/// A subject is mostly of one network, and has few events.
fn of_subject(tx: &mut dyn Transaction, search: &Search<'_>, limit: usize) -> Result<Found, Error> {
    let mut found = Vec::new();
    let mut behind = behind(search);
    let mut count = limit.min(PAGE);
    let mut left = LOOKED_AT;
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
        left = left.saturating_sub(count);
        // What is not settled yet may be followed by what is to come to light.
        let is_end = rows.len() < count || search.up_to.is_some_and(|end| behind > end);
        if is_end {
            break;
        }
        if left == 0 && found.len() < limit {
            return Ok(Found { events: found, go_on: Some(behind) });
        }
        count = PAGE;
    }
    found.truncate(limit);
    Ok(Found { events: found, go_on: None })
}

fn behind(search: &Search<'_>) -> i64 {
    if !search.newest_first {
        return search.behind.unwrap_or(i64::MIN);
    }
    let end = search.up_to.map_or(i64::MAX, |end| end.saturating_add(1));
    search.behind.map_or(end, |behind| behind.min(end))
}
