//! The names of what events are about, as they are now, or were last.

use std::collections::{BTreeMap, BTreeSet};

use nebula_alloc::event::{self, Event, Search};
use nebula_alloc::store::Transaction;
use serde_json::Value;
use uuid::Uuid;

use super::{ca, former_name};
use crate::Error;

/// The names of what an event is about, where they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventNames {
    /// Of who asked for it.
    pub actor: Option<String>,
    /// Of the network.
    pub network: Option<String>,
    /// Of what it is about.
    pub subject: Option<String>,
}

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Tenant,
    Network,
    Ca,
    Node,
    JoinToken,
    OperatorKey,
}

type Known = BTreeMap<(Thing, [u8; 16]), String>;

impl Thing {
    const ALL: [Self; 6] =
        [Self::Tenant, Self::Network, Self::Ca, Self::Node, Self::JoinToken, Self::OperatorKey];

    const fn sql(self) -> &'static str {
        match self {
            Self::Tenant => "SELECT name FROM gc_tenant WHERE id = $1",
            Self::Network => "SELECT name FROM gc_network WHERE id = $1 AND deleting_at IS NULL",
            Self::Ca => "SELECT certificate FROM gc_ca WHERE id = $1",
            Self::Node => "SELECT name FROM gc_node WHERE id = $1",
            Self::JoinToken => "SELECT name FROM gc_join_token WHERE id = $1",
            Self::OperatorKey => "SELECT name FROM gc_operator_key WHERE id = $1",
        }
    }

    /// The kind of event that is its last, and tells its name.
    const fn end(self) -> Option<&'static str> {
        match self {
            Self::Tenant => Some("tenant.deleted"),
            Self::Network => Some("network.deleted"),
            Self::Ca | Self::Node | Self::JoinToken | Self::OperatorKey => None,
        }
    }

    /// What events of a kind are about.
    fn of_kind(kind: &str) -> Option<Self> {
        Some(match kind.split_once('.').map(|(of, _)| of)? {
            "tenant" => Self::Tenant,
            "network" | "blocklist" => Self::Network,
            "ca" => Self::Ca,
            "node" | "certificate" | "lease" | "quarantine" => Self::Node,
            "join_token" => Self::JoinToken,
            "operator_key" => Self::OperatorKey,
            _ => return None,
        })
    }
}

fn subject(event: &Event) -> Option<(Thing, [u8; 16])> {
    let id = event.subject.as_deref()?.try_into().ok()?;
    Some((Thing::of_kind(&event.kind)?, id))
}

/// `node:ID` and the like.
fn actor(event: &Event) -> Option<(Thing, [u8; 16])> {
    let (kind, id) = event.actor.split_once(':')?;
    let thing = match kind {
        "operator_key" => Thing::OperatorKey,
        "join_token" => Thing::JoinToken,
        "node" => Thing::Node,
        _ => return None,
    };
    Some((thing, Uuid::parse_str(id).ok()?.into_bytes()))
}

fn network(event: &Event) -> Option<(Thing, [u8; 16])> {
    event.network.map(|id| (Thing::Network, *id.as_bytes()))
}

/// The names of each of these events.
pub(crate) fn of(tx: &mut dyn Transaction, events: &[Event]) -> Result<Vec<EventNames>, Error> {
    let asked: BTreeSet<_> = events
        .iter()
        .flat_map(|event| [actor(event), network(event), subject(event)])
        .flatten()
        .collect();
    let mut known = Known::new();
    for thing in Thing::ALL {
        let ids: Vec<_> = asked.iter().filter(|(of, _)| *of == thing).map(|(_, id)| *id).collect();
        if !ids.is_empty() {
            look_up(tx, thing, &ids, &mut known)?;
        }
    }
    let name = |key: Option<(Thing, [u8; 16])>| known.get(&key?).cloned();
    let names = events.iter().map(|event| EventNames {
        actor: name(actor(event)),
        network: name(network(event)),
        subject: name(subject(event)),
    });
    Ok(names.collect())
}

fn look_up(
    tx: &mut dyn Transaction,
    thing: Thing,
    ids: &[[u8; 16]],
    known: &mut Known,
) -> Result<(), Error> {
    let sets: Vec<_> = ids.iter().map(|id| vec![id.as_slice().into()]).collect();
    let found = tx.query_each(thing.sql(), &sets)?;
    for (id, rows) in ids.iter().zip(found) {
        let present =
            rows.first().map(|row| row.columns().optional_text().map(|it| it.map(str::to_owned)));
        let name = match present.transpose()? {
            // Its name is in its certificate.
            Some(pem) if thing == Thing::Ca => pem.and_then(|pem| ca::name_in(&pem)),
            Some(name) => name,
            None => last_name(tx, thing, id)?,
        };
        if let Some(name) = name {
            known.insert((thing, *id), name);
        }
    }
    Ok(())
}

/// The name that something had when it was deleted.
fn last_name(
    tx: &mut dyn Transaction,
    thing: Thing,
    id: &[u8; 16],
) -> Result<Option<String>, Error> {
    let Some(kind) = thing.end() else { return former_name::of(tx, id) };
    let search = Search {
        kind: Some(kind),
        subject: Some(id.as_slice()),
        newest_first: true,
        ..Search::default()
    };
    let found = event::search(tx, &search, 1)?;
    let detail = found.events.first().and_then(|(_, event)| event.detail.as_deref());
    let detail = detail.and_then(|text| serde_json::from_str::<Value>(text).ok());
    Ok(detail.and_then(|detail| Some(detail.get("name")?.as_str()?.to_owned())))
}
