//! Whether reservations stay out of each other's way, and leases out of theirs.

use std::collections::HashSet;
use std::net::IpAddr;

use super::violation::{PAGE, Place, Violation};
use crate::limits::limit;
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

/// Reservations do not overlap, and no owner holds an address that is reserved against it.
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
            let mut row = row.columns();
            let network = NetworkId(row.array()?);
            row.skip(); // the family, which the addresses show
            let (last, first) = (row.address()?, row.address()?);
            // In the order of their last addresses, one that overlaps any overlaps that one.
            if let Some((other, end)) = before
                && other == network
                && end.is_ipv4() == first.is_ipv4()
                && first <= end
            {
                found.push(Violation::OverlappingReservations { network, first });
            }
            before = Some((network, last));
        }
        holders(tx, &rows, passed_on, found)?;
        let Some(end) = rows.last().filter(|_| rows.len() == PAGE) else { return Ok(()) };
        let mut end = end.columns();
        (network, family, last) = (end.blob()?.to_vec(), end.integer()?, end.blob()?.to_vec());
    }
}

/// Whether those who have addresses under these reservations may have them.
fn holders(
    tx: &mut dyn Transaction,
    reservations: &[Row],
    passed_on: &HashSet<Place>,
    found: &mut Vec<Violation>,
) -> Result<(), Error> {
    let mut kept = Vec::new();
    for row in reservations {
        let mut row = row.columns();
        let (network, family) = (row.array()?, row.integer()?);
        let (last, first) = (row.blob()?, row.blob()?);
        let purpose = purpose(&mut row)?;
        if purpose != Purpose::Asking {
            kept.push((NetworkId(network), first, last, family, purpose));
        }
    }
    let sets: Vec<_> = kept
        .iter()
        .map(|(network, first, last, family, _)| {
            let network = network.as_bytes().into();
            vec![network, (*first).into(), (*last).into(), (*family).into(), limit(PAGE).into()]
        })
        .collect();
    let answers = tx.query_each(HOLDERS, &sets)?;
    for ((network, .., purpose), rows) in kept.iter().zip(answers) {
        for row in &rows {
            let mut row = row.columns();
            let (address, holder) = (row.address()?, OwnerId(row.array()?));
            // Who has a pinned address may pass it on.
            let may = match purpose {
                Purpose::Owner(owner) => {
                    *owner == holder || passed_on.contains(&(*network, address))
                }
                Purpose::Asking => true,
                Purpose::Nobody => false,
            };
            if !may {
                found.push(Violation::AgainstReservation { network: *network, address });
            }
        }
    }
    Ok(())
}
