//! What a pool or block gets of a range that comes to it.

use super::space::leased;
use crate::limits::STANDING;
use crate::store::Transaction;
use crate::{AddressRange, Error, NetworkId, reservation};

/// What is free of a range that comes to a pool or block: what is not leased and not reserved.
///
/// # Errors
///
/// [`Error::TooMany`]
pub(crate) fn vacant(
    tx: &mut dyn Transaction,
    network: NetworkId,
    range: AddressRange,
) -> Result<Vec<AddressRange>, Error> {
    let mut taken: Vec<_> =
        leased(tx, network, range, STANDING + 1)?.into_iter().map(AddressRange::single).collect();
    let reserved = reservation::first_within(tx, network, range, STANDING + 1)?;
    taken.extend(reserved.iter().map(|kept| kept.range));
    if taken.len() > STANDING {
        return Err(Error::TooMany { what: "leases and reservations in it", limit: STANDING });
    }
    Ok(range.without(taken))
}
