//! Whether the events about leases, in their order, lead to the leases that are stored.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{PAGE, Violation};
use crate::event::kind;
use crate::interval::limit;
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId};

pub(crate) const EVENTS: &str =
    "SELECT id, network, kind, subject, address, detail FROM alloc_event
     WHERE id > $1 ORDER BY id LIMIT $2";
pub(crate) const LEASES: &str = "SELECT network, address, owner, state FROM alloc_lease
     WHERE (network, address) > ($1, $2) ORDER BY network, address LIMIT $3";

const ACTIVE: i64 = 1;
const QUARANTINED: i64 = 2;

/// Owner and state of each address that has a lease.
type Held = HashMap<(NetworkId, IpAddr), (OwnerId, i64)>;

pub(super) fn check(tx: &mut dyn Transaction, found: &mut Vec<Violation>) -> Result<(), Error> {
    let mut held = replay(tx, found)?;
    let (mut network, mut address) = (Vec::new(), Vec::new());
    loop {
        let params = [(&network).into(), (&address).into(), limit(PAGE).into()];
        let rows = tx.query(LEASES, &params)?;
        for row in &rows {
            let key = (NetworkId(row.array(0)?), row.address(1)?);
            let stored = (OwnerId(row.array(2)?), row.integer(3)?);
            if held.remove(&key) != Some(stored) {
                found.push(Violation::Unexplained { network: key.0, address: key.1 });
            }
        }
        let Some(last) = rows.last().filter(|_| rows.len() == PAGE) else { break };
        (network, address) = (last.blob(0)?.to_vec(), last.blob(1)?.to_vec());
    }
    let mut left: Vec<_> = held.into_keys().collect();
    left.sort_unstable();
    found.extend(
        left.into_iter().map(|(network, address)| Violation::Unexplained { network, address }),
    );
    Ok(())
}

/// What the events lead to.
fn replay(tx: &mut dyn Transaction, found: &mut Vec<Violation>) -> Result<Held, Error> {
    let mut held = Held::new();
    let mut id = 0;
    loop {
        let rows = tx.query(EVENTS, &[id.into(), limit(PAGE).into()])?;
        for row in &rows {
            id = row.integer(0)?;
            let kind = row.text(2)?;
            if !kind.starts_with("lease.") {
                continue;
            }
            if kind == kind::HISTORY_BEGINS {
                held.clear();
                continue;
            }
            let key = (NetworkId(row.array(1)?), row.address(4)?);
            let owner = OwnerId(row.array(3)?);
            let detail = row.optional_text(5)?;
            if !follow(&mut held, key, kind, owner, detail) {
                let (network, address) = key;
                found.push(Violation::ImpossibleEvent { id, network, address });
            }
        }
        if rows.len() < PAGE {
            return Ok(held);
        }
    }
}

/// Carries out an event; `false` when it cannot follow.
fn follow(
    held: &mut Held,
    key: (NetworkId, IpAddr),
    kind: &str,
    owner: OwnerId,
    detail: Option<&str>,
) -> bool {
    let before = held.get(&key).copied();
    let state = before.map(|(_, state)| state);
    let (possible, after) = match kind {
        kind::RECORDED => {
            let state = if detail == Some("active") { ACTIVE } else { QUARANTINED };
            (before.is_none(), Some((owner, state)))
        }
        kind::ALLOCATED => (state != Some(ACTIVE), Some((owner, ACTIVE))),
        kind::RETURNED => (before == Some((owner, QUARANTINED)), Some((owner, ACTIVE))),
        kind::RELEASED | kind::EXPIRED => {
            (before == Some((owner, ACTIVE)), Some((owner, QUARANTINED)))
        }
        kind::TRANSFERRED => (before.is_some(), state.map(|state| (owner, state))),
        kind::FREED => (before == Some((owner, QUARANTINED)), None),
        kind::RENEWED => (before == Some((owner, ACTIVE)), before),
        kind::HELD => (before.is_some_and(|(holder, _)| holder == owner), before),
        _ => (false, before),
    };
    match after {
        Some(after) => held.insert(key, after),
        None => held.remove(&key),
    };
    possible
}
