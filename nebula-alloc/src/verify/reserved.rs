//! Whether reservations stay out of each other's way, and leases out of theirs.

use std::collections::HashSet;
use std::net::IpAddr;

use super::history::Place;
use super::{PAGE, Violation};
use crate::interval::limit;
use crate::store::Transaction;
use crate::{Error, NetworkId};

pub(crate) const RESERVED: &str = "SELECT network, family, last, first FROM alloc_reservation
     WHERE (network, family, last) > ($1, $2, $3) ORDER BY network, family, last LIMIT $4";
/// Kind 2 is for one owner, 3 for nobody.
pub(crate) const AGAINST: &str = "SELECT lease.network, lease.address, kept.kind
     FROM alloc_reservation AS kept
     JOIN alloc_lease AS lease ON lease.network = kept.network AND lease.family = kept.family
        AND lease.address >= kept.first AND lease.address <= kept.last
     WHERE lease.state = 1 AND (kept.kind = 3 OR kept.kind = 2 AND kept.owner <> lease.owner)";

const FOR_NOBODY: i64 = 3;

pub(super) fn check(
    tx: &mut dyn Transaction,
    passed_on: &HashSet<Place>,
    found: &mut Vec<Violation>,
) -> Result<(), Error> {
    overlaps(tx, found)?;
    for row in tx.query(AGAINST, &[])? {
        let (network, address) = (NetworkId(row.array(0)?), row.address(1)?);
        // Who has a pinned address may pass it on.
        if row.integer(2)? == FOR_NOBODY || !passed_on.contains(&(network, address)) {
            found.push(Violation::AgainstReservation { network, address });
        }
    }
    Ok(())
}

/// In the order of their last addresses, one that overlaps any overlaps the one before it.
fn overlaps(tx: &mut dyn Transaction, found: &mut Vec<Violation>) -> Result<(), Error> {
    let (mut network, mut family, mut last) = (Vec::new(), 0, Vec::new());
    let mut before: Option<(NetworkId, IpAddr)> = None;
    loop {
        let params = [(&network).into(), family.into(), (&last).into(), limit(PAGE).into()];
        let rows = tx.query(RESERVED, &params)?;
        for row in &rows {
            let (network, first) = (NetworkId(row.array(0)?), row.address(3)?);
            if let Some((other, end)) = before
                && other == network
                && end.is_ipv4() == first.is_ipv4()
                && first <= end
            {
                found.push(Violation::OverlappingReservations { network, first });
            }
            before = Some((network, row.address(2)?));
        }
        let Some(end) = rows.last().filter(|_| rows.len() == PAGE) else { return Ok(()) };
        (network, family, last) = (end.blob(0)?.to_vec(), end.integer(1)?, end.blob(2)?.to_vec());
    }
}
