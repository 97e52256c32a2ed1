use std::collections::BTreeSet;

use nebula_alloc::NetworkId;
use nebula_alloc::store::Transaction;
use nebula_pki::Fingerprint;

use super::network::Revision;
use crate::Error;

/// Blocks a certificate in every bundle from `revision` on. It stays blocked where it already was.
pub(crate) fn insert(
    tx: &mut dyn Transaction,
    network: NetworkId,
    fingerprint: &Fingerprint,
    not_after: i64,
    revision: Revision,
) -> Result<(), Error> {
    Ok(tx.queue(
        "INSERT INTO gc_blocklist (network, fingerprint, not_after, revision) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (network, fingerprint) DO NOTHING",
        &[network.as_bytes().into(), fingerprint.as_bytes().into(), not_after.into(), revision.0.into()],
    )?)
}

pub(crate) fn is_blocked(
    tx: &mut dyn Transaction,
    network: NetworkId,
    fingerprint: &Fingerprint,
) -> Result<bool, Error> {
    let rows = tx.query(
        "SELECT 1 FROM gc_blocklist WHERE network = $1 AND fingerprint = $2",
        &[network.as_bytes().into(), fingerprint.as_bytes().into()],
    )?;
    Ok(!rows.is_empty())
}

pub(crate) fn fingerprints(
    tx: &mut dyn Transaction,
    network: NetworkId,
) -> Result<BTreeSet<Fingerprint>, Error> {
    let rows = tx.query(
        "SELECT fingerprint FROM gc_blocklist WHERE network = $1",
        &[network.as_bytes().into()],
    )?;
    rows.iter().map(|row| Ok(Fingerprint::from_bytes(row.array(0)?))).collect()
}

/// Nobody accepts an expired certificate, so nobody needs to block it.
pub(super) fn remove_expired(
    tx: &mut dyn Transaction,
    network: NetworkId,
    now: i64,
) -> Result<(), Error> {
    Ok(tx.queue(
        "DELETE FROM gc_blocklist WHERE network = $1 AND not_after < $2",
        &[network.as_bytes().into(), now.into()],
    )?)
}
