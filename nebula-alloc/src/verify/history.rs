//! Whether the events about leases, in their order, lead to the leases that are stored.

mod replay;

use std::collections::HashSet;

use self::replay::{Event, Replay};
use super::violation::{PAGE, Place, Violation};
use crate::address::octets;
use crate::event::kind;
use crate::lease::{LeaseState, columns, read};
use crate::limits::limit;
use crate::store::Transaction;
use crate::{Error, NetworkId, OwnerId};

pub(crate) const EVENTS: &str =
    "SELECT id, at, kind, network, subject, address, detail FROM alloc_event
     WHERE id > $1 ORDER BY id LIMIT $2";
pub(crate) const LEASES: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM alloc_lease
     WHERE (network, address) > ($1, $2) ORDER BY network, address LIMIT $3"
);

/// Answers the addresses whose holder has them from another.
pub(super) fn check(
    tx: &mut dyn Transaction,
    found: &mut Vec<Violation>,
) -> Result<HashSet<Place>, Error> {
    let mut held = follow(tx, found)?.held;
    let mut passed_on = HashSet::new();
    let (mut network, mut address) = (Vec::new(), Vec::new());
    loop {
        let params = [(&network).into(), (&address).into(), limit(PAGE).into()];
        let rows = tx.query(LEASES, &params)?;
        for row in &rows {
            let lease = read(row)?;
            let (network, address) = (lease.network, lease.address);
            let known = held.remove(&(network, address));
            match known {
                Some(known) if known.is_of(&lease) => {
                    if known.is_passed_on() {
                        passed_on.insert((network, address));
                    }
                    if !known.has_times_of(&lease) {
                        found.push(Violation::WrongTimes { network, address });
                    }
                }
                _ => found.push(Violation::Unexplained { network, address }),
            }
        }
        let Some(last) = rows.last().filter(|_| rows.len() == PAGE) else { break };
        let last = read(last)?;
        network = last.network.as_bytes().to_vec();
        address = octets(last.address).as_slice().to_vec();
    }
    let mut left: Vec<_> = held.into_keys().collect();
    left.sort_unstable();
    found.extend(
        left.into_iter().map(|(network, address)| Violation::Unexplained { network, address }),
    );
    Ok(passed_on)
}

/// Carries out all events.
fn follow(tx: &mut dyn Transaction, found: &mut Vec<Violation>) -> Result<Replay, Error> {
    let mut replay = Replay::default();
    let mut id = 0;
    loop {
        let rows = tx.query(EVENTS, &[id.into(), limit(PAGE).into()])?;
        for row in &rows {
            let mut row = row.columns();
            id = row.integer()?;
            let (at, kind) = (row.integer()?, row.text()?);
            if !kind.starts_with("lease.") {
                continue;
            }
            if kind == kind::HISTORY_BEGINS {
                replay.held.clear();
                continue;
            }
            let (Ok(network), Ok(owner), Ok(address)) = (row.array(), row.array(), row.address())
            else {
                found.push(Violation::NamelessEvent { id });
                continue;
            };
            let place = (NetworkId(network), address);
            let detail = row.optional_text()?;
            let event = Event { at, kind, owner: OwnerId(owner), detail };
            found.extend(replay.follow(id, place, &event));
        }
        if rows.len() < PAGE {
            return Ok(replay);
        }
    }
}
