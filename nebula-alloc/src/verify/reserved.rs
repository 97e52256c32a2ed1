//! Whether reservations stay out of each other's way, and leases out of theirs.

use std::collections::HashSet;
use std::net::IpAddr;

use super::history::Place;
use super::{PAGE, Violation};
use crate::interval::limit;
use crate::reservation::{Purpose, purpose};
use crate::store::{Row, Transaction};
use crate::{Error, NetworkId, OwnerId};

pub(crate) const RESERVED: &str = "SELECT network, family, last, first, kind, owner
     FROM alloc_reservation
     WHERE (network, family, last) > ($1, $2, $3) ORDER BY network, family, last LIMIT $4";
/// Sound rows have none but that of the owner that an address is pinned to.
pub(crate) const HOLDERS: &str = "SELECT address, owner FROM alloc_lease
     WHERE network = $1 AND address >= $2 AND address <= $3 AND family = $4 AND state = 1
     ORDER BY address LIMIT $5";

/// Each reservation stays out of the way of the one before it, and nobody holds what is not theirs.
pub(super) fn check(
    tx: &mut dyn Transaction,
    passed_on: &HashSet<Place>,
    found: &mut Vec<Violation>,
) -> Result<(), Error> {
    let (mut network, mut family, mut last) = (Vec::new(), 0, Vec::new());
    let mut before: Option<(NetworkId, IpAddr)> = None;
    loop {
        let params = [(&network).into(), family.into(), (&last).into(), limit(PAGE).into()];
        let rows = tx.query(RESERVED, &params)?;
        for row in &rows {
            let (network, first) = (NetworkId(row.array(0)?), row.address(3)?);
            // In the order of their last addresses, one that overlaps any overlaps that one.
            if let Some((other, end)) = before
                && other == network
                && end.is_ipv4() == first.is_ipv4()
                && first <= end
            {
                found.push(Violation::OverlappingReservations { network, first });
            }
            before = Some((network, row.address(2)?));
        }
        holders(tx, &rows, passed_on, found)?;
        let Some(end) = rows.last().filter(|_| rows.len() == PAGE) else { return Ok(()) };
        (network, family, last) = (end.blob(0)?.to_vec(), end.integer(1)?, end.blob(2)?.to_vec());
    }
}

/// Whether those who have addresses under these reservations may have them.
fn holders(
    tx: &mut dyn Transaction,
    reservations: &[Row],
    passed_on: &HashSet<Place>,
    found: &mut Vec<Violation>,
) -> Result<(), Error> {
    let (mut kept, mut sets) = (Vec::new(), Vec::new());
    for row in reservations {
        let purpose = purpose(row, 4, 5)?;
        if purpose != Purpose::Asking {
            kept.push((NetworkId(row.array(0)?), purpose));
            sets.push(vec![
                row.blob(0)?.into(),
                row.blob(3)?.into(),
                row.blob(2)?.into(),
                row.integer(1)?.into(),
                limit(PAGE).into(),
            ]);
        }
    }
    for ((network, purpose), rows) in kept.into_iter().zip(tx.query_each(HOLDERS, &sets)?) {
        for row in &rows {
            let (address, holder) = (row.address(0)?, OwnerId(row.array(1)?));
            // Who has a pinned address may pass it on.
            let may = match purpose {
                Purpose::Owner(owner) => owner == holder || passed_on.contains(&(network, address)),
                Purpose::Asking => true,
                Purpose::Nobody => false,
            };
            if !may {
                found.push(Violation::AgainstReservation { network, address });
            }
        }
    }
    Ok(())
}
